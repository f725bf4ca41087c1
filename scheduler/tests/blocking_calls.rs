//! Goroutines that block their threads stop nobody else.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::scheduler;
use marmot_scheduler::goroutine::{sleep, yield_now};
use marmot_scheduler::{blocking, go, scope};

/// The tests measure, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn unmarked_blocking_calls_overlap() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(2);
    let took = s.handle().run(|| {
        let begin = Instant::now();
        let sleepers: Vec<_> = (0..8)
            .map(|_| go(|| std::thread::sleep(Duration::from_millis(300))))
            .collect();
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        begin.elapsed()
    });
    println!("8 sleeps of 300 ms that block their threads, at max_procs=2: {took:?}");
    assert!(took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn marked_blocking_calls_overlap_at_once() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sleeps = || std::thread::sleep(Duration::from_millis(10));
    // The ideal is what as many threads need for it, in the same run on the same machine.
    let begin = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..64 {
            threads.spawn(|| (0..20).for_each(|_| sleeps()));
        }
    });
    let ideal = begin.elapsed();
    let s = scheduler(2);
    let took = s.handle().run(|| {
        let begin = Instant::now();
        scope(|goroutines| {
            for _ in 0..64 {
                goroutines.spawn(|| (0..20).for_each(|_| blocking(sleeps)));
            }
        });
        begin.elapsed()
    });
    let ratio = took.as_secs_f64() / ideal.as_secs_f64();
    println!(
        "64 x 20 blocking sleeps of 10 ms at max_procs=2: {took:?}; 64 threads: {ideal:?}; ratio {ratio:.2}"
    );
    assert!(ratio < 1.3, "{took:?} against {ideal:?}");
}

#[test]
fn a_std_mutex_held_over_a_sleep_heals() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for max_procs in [1, 2, 4] {
        let s = scheduler(max_procs);
        let took = s.handle().run(move || {
            let begin = Instant::now();
            let mutex = Arc::new(Mutex::new(0));
            let held = Arc::new(AtomicBool::new(false));
            let holder = go({
                let (mutex, held) = (mutex.clone(), held.clone());
                move || {
                    let mut guard = mutex.lock().unwrap();
                    held.store(true, Ordering::Release);
                    sleep(Duration::from_millis(5));
                    *guard += 1;
                }
            });
            while !held.load(Ordering::Acquire) {
                yield_now();
            }
            let others: Vec<_> = (0..max_procs + 8)
                .map(|_| {
                    let mutex = mutex.clone();
                    go(move || *mutex.lock().unwrap() += 1)
                })
                .collect();
            holder.join().unwrap();
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(*mutex.lock().unwrap(), max_procs + 9);
            begin.elapsed()
        });
        println!(
            "std Mutex over a sleep, {} waiters, max_procs={max_procs}: {took:?}",
            max_procs + 8
        );
    }
}

#[test]
fn blocking_returns_its_value_and_lets_panics_through() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for max_procs in [1, 2] {
        let s = scheduler(max_procs);
        s.handle().run(|| {
            assert_eq!(blocking(|| blocking(|| 7)), 7);
            let panics = go(|| blocking(|| panic!("deliberate")));
            assert!(panics.join().is_err());
            // Parking inside is allowed, and may change threads.
            let n = blocking(|| {
                sleep(Duration::from_millis(1));
                go(|| 3).join().unwrap()
            });
            assert_eq!(n, 3);
        });
    }
    assert_eq!(blocking(|| 1), 1, "on a plain thread");
}

/// Sysmon asks a goroutine to yield whose slice is spent; meanwhile its machine may have passed the
/// processor on by itself, on the way into a `blocking` region, and comes back without one.
#[test]
fn a_request_to_yield_may_find_the_processor_gone() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(2);
    s.handle().run(|| {
        scope(|goroutines| {
            for n in 0..48_u64 {
                goroutines.spawn(move || {
                    for _ in 0..10 {
                        // About a time slice, so that the request comes at the end of it.
                        let slice = Duration::from_micros(9_900 + n * 10);
                        let begin = Instant::now();
                        while begin.elapsed() < slice {
                            std::hint::spin_loop();
                        }
                        blocking(|| std::thread::sleep(Duration::from_micros(100)));
                    }
                });
            }
        });
    });
}
