//! How often timers wake an idle machine: a lone one at its time, a crowd 10,000 times a second at most.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use marmot_scheduler::event::{EventSource, NoEvents, ReadyList, Wait};
use marmot_scheduler::goroutine::sleep_until;
use marmot_scheduler::{Config, Scheduler, go};

/// The least time between two moments at which timers wake a machine (`PACE` in `sleep.rs`).
const PACE: Duration = Duration::from_micros(100);

/// A wait with a deadline: until when it was to be, and when it ended.
#[derive(Clone, Copy, Debug)]
struct Timed {
    until: Instant,
    ended: Instant,
}

/// No events; but it remembers how long it was asked to wait.
#[derive(Default)]
struct Watch {
    inner: NoEvents,
    waits: Mutex<Vec<Timed>>,
}

impl EventSource for Watch {
    fn has_waiters(&self) -> bool {
        self.inner.has_waiters()
    }

    fn poll(&self, wait: Wait, ready: &mut ReadyList) -> io::Result<()> {
        let result = self.inner.poll(wait, ready);
        if let Wait::Until(until) = wait {
            let ended = Instant::now();
            self.waits.lock().unwrap().push(Timed { until, ended });
        }
        result
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }
}

/// So many times, `apart` from each other, the first after `delay`.
fn times(count: u32, delay: Duration, apart: Duration) -> Vec<Instant> {
    let begin = Instant::now() + delay;
    (0..count).map(|i| begin + i * apart).collect()
}

/// One goroutine sleeps until each of these times; the waits that came of it, in order.
fn waits_for(deadlines: &[Instant]) -> Vec<Timed> {
    let watch = Arc::new(Watch::default());
    let config = Config::from_env().and_then(|c| c.max_procs(1)).unwrap();
    // SAFETY: no thread-local is used.
    let s = unsafe { Scheduler::start_migrating(config, watch.clone()) }.unwrap();
    let deadlines = deadlines.to_vec();
    s.handle().run(move || {
        let sleepers: Vec<_> = deadlines
            .into_iter()
            .map(|at| {
                go(move || {
                    sleep_until(at);
                    assert!(Instant::now() >= at);
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
    drop(s);
    std::mem::take(&mut *watch.waits.lock().unwrap())
}

#[test]
fn a_crowd_wakes_a_machine_once_in_a_while() {
    let deadlines = times(4000, Duration::from_millis(20), Duration::from_micros(10));
    let waits = waits_for(&deadlines);
    let mut last: Option<Instant> = None;
    for wait in &waits {
        if let Some(last) = last {
            assert!(wait.until >= last + PACE, "{wait:?} after {last:?}");
        }
        if wait.ended >= wait.until {
            last = Some(wait.ended);
        }
    }
    assert!(last.is_some(), "none of {} waits was timed", waits.len());
}

#[test]
fn a_lone_timer_is_waited_for_exactly() {
    let deadlines = times(50, Duration::from_millis(5), Duration::from_millis(2));
    let waits = waits_for(&deadlines);
    // A machine that the system has kept from running may be late for one, but not for all.
    let exact = waits.iter().filter(|w| deadlines.contains(&w.until));
    assert!(exact.count() >= 10, "{waits:?}");
}
