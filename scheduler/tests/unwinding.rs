//! Waiting while unwinding (H5): std's count of panics stays right on every thread.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{chaotic, scheduler};
use marmot_scheduler::go;
use marmot_scheduler::goroutine::{panicking, park_timeout, sleep, yield_now};

/// Waits in its `drop`, in each of the ways there are.
struct WaitsInDrop {
    way: usize,
    drops: Arc<AtomicUsize>,
}

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        assert!(panicking());
        match self.way % 4 {
            0 => sleep(Duration::from_micros(500)),
            1 => go(yield_now).join().unwrap(),
            2 => {
                yield_now();
                park_timeout(Duration::from_micros(200));
            }
            _ => marmot_scheduler::scope(|s| {
                s.spawn(|| sleep(Duration::from_micros(100)));
            }),
        }
        assert!(panicking());
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn waits_in_drop_poison_nothing() {
    // The usual hook would print two hundred times. What is not deliberate is to be seen.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&"deliberate") {
            usual(info);
        }
    }));
    // Two hundred each: in the usual order, and under chaos.
    let usual = [1, 2, 4].map(scheduler);
    let unusual = [(1, 1), (2, 2), (4, 3), (8, 4)].map(|(procs, seed)| chaotic(procs, seed));
    for s in usual.into_iter().chain(unusual) {
        let drops = Arc::new(AtomicUsize::new(0));
        s.handle().run(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let mutex = Arc::new(Mutex::new(0_u64));
            // Healthy goroutines that run on the same threads meanwhile.
            let healthy: Vec<_> = (0..4)
                .map(|_| {
                    let (stop, mutex) = (stop.clone(), mutex.clone());
                    go(move || {
                        while !stop.load(Ordering::Relaxed) {
                            assert!(!panicking(), "somebody else's panic is seen here");
                            *mutex.lock().unwrap() += 1;
                            yield_now();
                        }
                    })
                })
                .collect();
            let unlucky: Vec<_> = (0..200)
                .map(|way| {
                    let drops = drops.clone();
                    go(move || {
                        let _guard = WaitsInDrop { way, drops };
                        panic!("deliberate");
                    })
                })
                .collect();
            for goroutine in unlucky {
                assert!(goroutine.join().is_err());
                assert!(!panicking());
            }
            stop.store(true, Ordering::Relaxed);
            for goroutine in healthy {
                goroutine.join().expect("a healthy goroutine");
            }
            assert!(!mutex.is_poisoned());
        });
        assert_eq!(drops.load(Ordering::Relaxed), 200);
    }
}
