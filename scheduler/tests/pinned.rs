//! Pinned goroutines stay on their thread, migrating ones do not, and locked ones have it alone.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{pinned, scheduler};
use marmot_scheduler::goroutine::{current, park, park_timeout, sleep, yield_now};
use marmot_scheduler::{blocking, go, lock_os_thread, scope};

/// The thread that the caller runs on. A system call: nothing the compiler could remember.
fn thread() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// Waits in one of the ways there are.
fn wait(way: u64) {
    match way % 5 {
        0 => sleep(Duration::from_micros(way % 50)),
        1 => park_timeout(Duration::from_micros(20)),
        2 => go(yield_now).join().unwrap(),
        _ => yield_now(),
    }
}

#[test]
fn a_pinned_goroutine_stays_on_its_thread() {
    for max_procs in [1, 2, 4] {
        let s = pinned(max_procs);
        let threads = Mutex::new(HashSet::new());
        s.handle().run(|| {
            scope(|s| {
                for n in 0..20 {
                    let threads = &threads;
                    s.spawn(move || {
                        let home = thread();
                        threads.lock().unwrap().insert(home);
                        for park in 0..1000 {
                            wait(n + park);
                            assert_eq!(thread(), home, "after {park} parks");
                        }
                    });
                }
                // Pressure: processors are taken away all the time.
                for _ in 0..3 {
                    s.spawn(|| {
                        for _ in 0..20 {
                            blocking(|| std::thread::sleep(Duration::from_micros(300)));
                            yield_now();
                        }
                    });
                }
            });
        });
        let threads = threads.lock().unwrap().len();
        println!("pinned, max_procs={max_procs}: 20 goroutines at home on {threads} threads");
    }
}

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LIST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn thread_locals_behave_for_pinned_goroutines() {
    for max_procs in [1, 2, 4] {
        let s = pinned(max_procs);
        s.handle().run(|| {
            scope(|s| {
                for n in 0..16 {
                    s.spawn(move || {
                        for i in 0..500 {
                            // The pattern of hazard H1: before and after a park, in one function.
                            let before = COUNT.get() + 1;
                            COUNT.set(before);
                            LIST.with(|list| list.borrow_mut().push(n));
                            wait(n + i);
                            assert!(COUNT.get() >= before, "another thread's counter");
                            LIST.with(|list| {
                                let mut list = list.borrow_mut();
                                let at = list.iter().position(|m| *m == n).expect("pushed here");
                                list.swap_remove(at);
                            });
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn a_migrating_goroutine_moves() {
    let s = scheduler(4);
    let moved = AtomicU64::new(0);
    s.handle().run(|| {
        scope(|s| {
            for n in 0..50 {
                let moved = &moved;
                s.spawn(move || {
                    for i in 0..200 {
                        let before = thread();
                        sleep(Duration::from_micros((n * i) % 300));
                        if thread() != before {
                            moved.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
    });
    let moved = moved.into_inner();
    println!("migrating, max_procs=4: {moved} of 10,000 waits ended on another thread");
    assert!(moved > 0);
}

#[test]
fn more_homes_than_processors_take_turns() {
    let s = pinned(1);
    s.handle().run(|| {
        // Each of them blocks its thread at first, so that the next begins on another one.
        let begin = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let goroutines: Vec<_> = (0..6)
            .map(|_| {
                let stop = stop.clone();
                go(move || {
                    blocking(|| std::thread::sleep(Duration::from_millis(20)));
                    let (home, mut turns) = (thread(), 0_u64);
                    while !stop.load(Ordering::Relaxed) {
                        yield_now();
                        turns += 1;
                    }
                    (home, turns)
                })
            })
            .collect();
        sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let results: Vec<_> = goroutines.into_iter().map(|g| g.join().unwrap()).collect();
        let homes: HashSet<_> = results.iter().map(|(home, _)| *home).collect();
        println!(
            "6 yielding goroutines on {} threads, one processor, {:?}: {:?}",
            homes.len(),
            begin.elapsed(),
            results.iter().map(|(_, turns)| turns).collect::<Vec<_>>()
        );
        assert!(homes.len() > 1);
        assert!(results.iter().all(|(_, turns)| *turns > 10));
    });
}

#[test]
fn a_pinned_goroutine_may_panic_and_wait_while_it_unwinds() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            let home = thread();
            go(|| sleep(Duration::from_micros(100))).join().unwrap();
            park_timeout(Duration::from_micros(50));
            yield_now();
            assert_eq!(thread(), home);
        }
    }
    // The hook would print each of them.
    std::panic::set_hook(Box::new(|_| ()));
    let s = pinned(2);
    s.handle().run(|| {
        let unlucky: Vec<_> = (0..50)
            .map(|_| {
                go(|| {
                    let _waits = Waits;
                    panic!("deliberate");
                })
            })
            .collect();
        for goroutine in unlucky {
            assert!(goroutine.join().is_err());
        }
        assert!(!marmot_scheduler::goroutine::panicking());
    });
    let _ = std::panic::take_hook();
}

#[test]
fn a_locked_thread_is_the_goroutines_alone() {
    for max_procs in [1, 2, 4] {
        let s = scheduler(max_procs);
        let taken = Mutex::new(HashSet::new());
        let foreign = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        s.handle().run(|| {
            scope(|s| {
                // The others: none of them ever runs on a thread that is locked.
                for n in 0..8 {
                    let (taken, foreign, stop) = (&taken, &foreign, &stop);
                    s.spawn(move || {
                        let mut i = n;
                        while !stop.load(Ordering::Relaxed) {
                            // One call: the thread cannot change in between.
                            let locked = taken.lock().unwrap().contains(&thread());
                            foreign.fetch_add(locked.into(), Ordering::Relaxed);
                            wait(i);
                            i += 1;
                        }
                    });
                }
                let lockers: Vec<_> = (0..4)
                    .map(|n| {
                        let taken = &taken;
                        s.spawn(move || {
                            for round in 0..5 {
                                let guard = lock_os_thread();
                                let home = thread();
                                assert!(taken.lock().unwrap().insert(home));
                                let nested = lock_os_thread();
                                for i in 0..50 {
                                    wait(n + i + round);
                                    assert_eq!(thread(), home);
                                }
                                drop(guard);
                                yield_now();
                                assert_eq!(thread(), home, "still locked by the inner guard");
                                assert!(taken.lock().unwrap().remove(&home));
                                drop(nested);
                                sleep(Duration::from_micros(100));
                            }
                        })
                    })
                    .collect();
                for locker in lockers {
                    locker.join().unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            });
        });
        assert_eq!(foreign.into_inner(), 0, "on somebody's locked thread");
    }
}

#[test]
fn a_guard_that_is_forgotten_takes_the_thread_with_it() {
    let s = scheduler(2);
    s.handle().run(|| {
        for _ in 0..10 {
            let locked = go(|| {
                std::mem::forget(lock_os_thread());
                sleep(Duration::from_micros(100));
                thread()
            })
            .join()
            .unwrap();
            let begin = Instant::now();
            // The thread ends when the goroutine has left it, which is after `join`.
            while std::path::Path::new(&format!("/proc/self/task/{locked}")).exists() {
                assert!(begin.elapsed() < Duration::from_secs(10), "it goes on");
                yield_now();
            }
        }
    });
}

#[test]
fn locked_goroutines_hand_over_to_each_other() {
    for max_procs in [1, 2] {
        let s = scheduler(max_procs);
        s.handle().run(|| {
            let begin = Instant::now();
            let first = current();
            let second = go(move || {
                let _guard = lock_os_thread();
                for _ in 0..1000 {
                    park();
                    first.unpark();
                }
            });
            let _guard = lock_os_thread();
            let home = thread();
            while !second.is_finished() {
                second.goroutine().unpark();
                park_timeout(Duration::from_millis(1));
                assert_eq!(thread(), home);
            }
            second.join().unwrap();
            println!(
                "1000 round trips between two locked threads at max_procs={max_procs}: {:?}",
                begin.elapsed()
            );
        });
    }
}

#[test]
fn pinned_and_locked_goroutines_are_leaked_by_a_stop() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let late: Vec<_> = [pinned(2), scheduler(2)]
        .into_iter()
        .flat_map(|s| {
            let handles: Vec<_> = (0..4)
                .map(|_| {
                    let waiting = waiting.clone();
                    s.handle().go(move || {
                        let _guard = lock_os_thread();
                        waiting.fetch_add(1, Ordering::Release);
                        loop {
                            park();
                        }
                    })
                })
                .collect();
            while s.handle().run(|| waiting.load(Ordering::Acquire)) % 4 != 0
                || waiting.load(Ordering::Acquire) == 0
            {
                std::thread::yield_now();
            }
            drop(s);
            handles
        })
        .collect();
    for handle in late {
        // Nobody runs it any more; but it may be readied at any time.
        handle.goroutine().unpark();
    }
}
