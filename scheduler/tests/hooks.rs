//! Switch hooks: each goroutine's switches are told in order, on the thread that runs it.

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marmot_scheduler::event::NoEvents;
use marmot_scheduler::goroutine::{GoroutineId, current, sleep, yield_now};
use marmot_scheduler::{Config, Scheduler, SwitchHooks, go};

/// Where a goroutine is, as the hooks have it.
#[derive(Default)]
struct Seen {
    running: Option<i32>,
    switches: usize,
    over: bool,
}

#[derive(Default)]
struct Watch(Mutex<HashMap<GoroutineId, Seen>>);

fn thread() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

impl SwitchHooks for Watch {
    fn resumed(&self, id: GoroutineId) {
        let mut all = self.0.lock().unwrap();
        let seen = all.entry(id).or_default();
        assert!(seen.running.is_none() && !seen.over);
        seen.running = Some(thread());
        seen.switches += 1;
    }

    fn suspended(&self, id: GoroutineId) {
        let mut all = self.0.lock().unwrap();
        let seen = all.get_mut(&id).expect("it was resumed");
        assert_eq!(seen.running.take(), Some(thread()));
    }

    fn ended(&self, id: GoroutineId) {
        self.suspended(id);
        self.0.lock().unwrap().get_mut(&id).unwrap().over = true;
    }
}

#[test]
fn every_switch_is_told() {
    let watch = Arc::new(Watch::default());
    let config = Config::from_env().unwrap().max_procs(4).unwrap();
    let config = config.switch_hooks(watch.clone());
    // SAFETY: no goroutine uses a thread-local on both sides of a wait.
    let s = unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) }.unwrap();
    let ids: Vec<GoroutineId> = s.handle().run(|| {
        let handles: Vec<_> = (0..50)
            .map(|n| {
                let watch = watch.clone();
                go(move || {
                    let id = current().id();
                    for i in 0..100 {
                        if (n + i) % 3 == 0 {
                            sleep(Duration::from_micros(10));
                        } else {
                            yield_now();
                        }
                        let all = watch.0.lock().unwrap();
                        assert_eq!(all[&id].running, Some(thread()));
                    }
                    id
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    // Every machine has ended, and with it the last switch.
    drop(s);
    let all = watch.0.lock().unwrap();
    assert_eq!(all.len(), 51);
    for id in ids {
        assert!(all[&id].over);
        assert!(all[&id].switches >= 100, "{}", all[&id].switches);
    }
}
