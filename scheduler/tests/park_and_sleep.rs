//! `park`, `unpark`, `sleep` and `yield_now`, from goroutines and threads.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{at_each_width, scheduler};
use marmot_scheduler::goroutine::{current, park, park_timeout, sleep, sleep_until, yield_now};
use marmot_scheduler::{go, scope};

#[test]
fn an_unpark_is_never_lost() {
    at_each_width(|s| {
        s.handle().run(|| {
            let turn = Arc::new(AtomicU32::new(0));
            let main = current();
            let other = go({
                let turn = turn.clone();
                move || {
                    for i in 0..2_000 {
                        while turn.load(Ordering::Acquire) != 2 * i + 1 {
                            park();
                        }
                        turn.store(2 * i + 2, Ordering::Release);
                        main.unpark();
                    }
                }
            });
            for i in 0..2_000 {
                turn.store(2 * i + 1, Ordering::Release);
                other.goroutine().unpark();
                while turn.load(Ordering::Acquire) != 2 * i + 2 {
                    park();
                }
            }
            other.join().unwrap();
        });
    });
}

#[test]
fn threads_and_goroutines_unpark_each_other() {
    let s = scheduler(2);
    let thread = current();
    let flag = Arc::new(AtomicBool::new(false));
    let handle = s.handle().go({
        let flag = flag.clone();
        move || {
            park();
            flag.store(true, Ordering::Release);
            thread.unpark();
        }
    });
    handle.goroutine().unpark();
    while !flag.load(Ordering::Acquire) {
        park();
    }
    handle.join().unwrap();
}

/// Whether a `park` with this timeout takes its time. Since it may return for no reason now and then
/// (under chaos it does), several are made, and one has to.
fn park_takes(timeout: Duration) -> bool {
    (0..20).any(|_| {
        let begin = Instant::now();
        park_timeout(timeout);
        begin.elapsed() >= timeout
    })
}

#[test]
fn a_handle_outlives_its_goroutine() {
    let s = scheduler(1);
    let old = s.handle().run(current);
    let fresh = s.handle().go(|| park_takes(Duration::from_millis(20)));
    for _ in 0..100 {
        old.unpark();
    }
    assert!(fresh.join().unwrap());
}

#[test]
fn park_timeout_ends_and_leaves_no_token() {
    at_each_width(|s| {
        s.handle().run(|| {
            assert!(park_takes(Duration::from_millis(5)));
            current().unpark();
            current().unpark();
            park();
            assert!(park_takes(Duration::from_millis(5)), "one token only");
        });
    });
}

#[test]
fn sleepers_wake_in_order_of_their_deadlines() {
    at_each_width(|s| {
        s.handle().run(|| {
            let base = Instant::now();
            let handles: Vec<_> = (0..50_u64)
                .map(|i| {
                    let at = base + Duration::from_millis(1 + i * 7 % 50);
                    go(move || {
                        sleep_until(at);
                        (at, Instant::now())
                    })
                })
                .collect();
            for handle in handles {
                let (wanted, woken) = handle.join().unwrap();
                assert!(woken >= wanted);
            }
        });
    });
}

#[test]
fn a_sleep_ends_while_everything_else_sleeps() {
    // The timer is added by one machine, and fired by whichever waits.
    at_each_width(|s| {
        for _ in 0..50 {
            s.handle().run(|| {
                let handles: Vec<_> = (0..4)
                    .map(|_| go(|| sleep(Duration::from_micros(300))))
                    .collect();
                sleep(Duration::from_micros(200));
                for handle in handles {
                    handle.join().unwrap();
                }
            });
        }
    });
}

#[test]
fn a_yielder_lets_others_run() {
    let s = scheduler(1);
    s.handle().run(|| {
        let done = Arc::new(AtomicBool::new(false));
        let other = go({
            let done = done.clone();
            move || done.store(true, Ordering::Release)
        });
        while !done.load(Ordering::Acquire) {
            yield_now();
        }
        other.join().unwrap();
    });
}

#[test]
fn a_yielder_starves_no_timer() {
    let s = scheduler(1);
    s.handle().run(|| {
        let done = Arc::new(AtomicBool::new(false));
        let sleeper = go({
            let done = done.clone();
            move || {
                sleep(Duration::from_millis(1));
                done.store(true, Ordering::Release);
            }
        });
        while !done.load(Ordering::Acquire) {
            yield_now();
        }
        sleeper.join().unwrap();
    });
}

/// Parks that time out at once, each followed by one that only an unpark ends, with more processors
/// than cores: a park that is published late must not hide the next one.
#[test]
fn an_unpark_finds_the_park_after_a_timed_one() {
    let s = scheduler(8);
    s.handle().run(|| {
        scope(|goroutines| {
            for _ in 0..64 {
                goroutines.spawn(|| {
                    for _ in 0..2_000 {
                        park_timeout(Duration::from_nanos(1));
                        let flag = Arc::new(AtomicBool::new(false));
                        let (theirs, me) = (flag.clone(), current());
                        go(move || {
                            yield_now();
                            theirs.store(true, Ordering::Release);
                            me.unpark();
                        });
                        while !flag.load(Ordering::Acquire) {
                            park();
                        }
                    }
                });
            }
        });
    });
}
