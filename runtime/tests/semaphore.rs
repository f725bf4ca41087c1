//! `Semaphore`: permits are counted, given out in order, and come back.

mod tasks;

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::channel::unbounded;
use marmot::sync::{Semaphore, SemaphorePermit};
use tasks::{LONG, SHORT, Tasks, everywhere, until};

#[test]
fn traits() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + std::fmt::Debug>() {}
    is::<Semaphore>();
    is::<SemaphorePermit<'_>>();
    let semaphore = Semaphore::new(3);
    assert_eq!(
        format!("{semaphore:?}"),
        "Semaphore { available_permits: 3, .. }"
    );
    assert_eq!(
        format!("{:?}", semaphore.acquire(2)),
        "SemaphorePermit { permits: 2, .. }"
    );
}

#[test]
fn permits_are_counted() {
    everywhere(|_| {
        let semaphore = Semaphore::new(5);
        let two = semaphore.acquire(2);
        let three = semaphore.try_acquire(3).unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        assert!(semaphore.try_acquire(1).is_none());
        assert!(semaphore.acquire_timeout(1, Duration::ZERO).is_none());
        drop(two);
        assert_eq!(semaphore.available_permits(), 2);
        assert!(semaphore.try_acquire(3).is_none());
        assert_eq!(semaphore.available_permits(), 2, "a refusal takes nothing");
        three.forget();
        assert_eq!(semaphore.available_permits(), 2);
        semaphore.add_permits(10);
        assert_eq!(semaphore.available_permits(), 12);
        drop(semaphore.acquire_timeout(12, Duration::MAX).unwrap());
        drop(semaphore.acquire(0));
        assert_eq!(semaphore.available_permits(), 12);
    });
}

#[test]
fn none_of_nothing_is_no_wait() {
    let semaphore = Semaphore::new(0);
    drop(semaphore.acquire(0));
    assert!(semaphore.try_acquire(0).is_some());
    assert!(semaphore.try_acquire(1).is_none());
}

/// More than there can ever be is a mistake; more than there are now is not.
#[test]
fn too_many_is_a_panic() {
    let semaphore = Semaphore::new(1);
    const TOO_MANY: usize = Semaphore::MAX_PERMITS + 1;
    for wrong in [
        (|s| drop(s.acquire(TOO_MANY))) as fn(&Semaphore),
        |s| drop(s.try_acquire(TOO_MANY)),
        |s| drop(s.acquire_timeout(TOO_MANY, Duration::ZERO)),
        |s| drop(s.acquire(usize::MAX)),
        |s| s.add_permits(Semaphore::MAX_PERMITS),
        |s| s.add_permits(usize::MAX),
        |_| assert!(Semaphore::new(TOO_MANY).available_permits() > 0),
    ] {
        assert!(catch_unwind(|| wrong(&semaphore)).is_err());
        assert_eq!(semaphore.available_permits(), 1);
    }
    // Those that are held count too, and those forgotten do not.
    let held = semaphore.acquire(1);
    semaphore.add_permits(Semaphore::MAX_PERMITS - 1);
    assert!(catch_unwind(|| semaphore.add_permits(1)).is_err());
    held.forget();
    semaphore.add_permits(1);
    drop(semaphore.acquire(Semaphore::MAX_PERMITS));
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

#[test]
fn at_most_so_many_at_once() {
    everywhere(|tasks| {
        let shared = Arc::new((Semaphore::new(3), AtomicUsize::new(0)));
        let workers: Vec<_> = (0..12)
            .map(|n| {
                let shared = shared.clone();
                tasks.spawn(move || {
                    for round in 0..200 {
                        let weight = 1 + (n + round) % 3;
                        let _permit = shared.0.acquire(weight);
                        let before = shared.1.fetch_add(weight, Ordering::SeqCst);
                        assert!(before + weight <= 3, "{before} + {weight} are inside");
                        if round % 16 == 0 {
                            marmot::yield_now();
                        }
                        shared.1.fetch_sub(weight, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(tasks::Task::join);
        assert_eq!(shared.0.available_permits(), 3);
    });
}

/// Starts a task that waits for `n`, and reports when it got them and gave them up for good. Returns
/// when it stands in line, which shows in that nobody else gets a permit any more.
fn in_line(
    tasks: Tasks,
    semaphore: &Arc<Semaphore>,
    n: usize,
    order: &marmot::channel::Sender<usize>,
) -> tasks::Task<()> {
    let (semaphore, order) = (semaphore.clone(), order.clone());
    tasks.spawn(move || {
        let permit = semaphore.acquire_timeout(n, LONG).expect("it is served");
        order.send(n).unwrap();
        permit.forget();
    })
}

/// One that wants many is not overtaken by those behind it, nor by newcomers.
#[test]
fn the_order_is_that_of_arrival() {
    everywhere(|tasks| {
        let semaphore = Arc::new(Semaphore::new(2));
        let (order, served) = unbounded();
        let many = in_line(tasks, &semaphore, 3, &order);
        until(|| semaphore.try_acquire(1).is_none());
        let few = in_line(tasks, &semaphore, 1, &order);
        // Two are free, and nobody gets them before the one that wants three.
        assert!(semaphore.try_acquire(1).is_none());
        assert!(semaphore.acquire_timeout(1, SHORT).is_none());
        assert_eq!(semaphore.available_permits(), 2);
        assert!(served.try_recv().is_err());
        semaphore.add_permits(1);
        many.join();
        assert_eq!(served.recv(), Ok(3));
        semaphore.add_permits(1);
        few.join();
        assert_eq!(served.recv(), Ok(1));
        assert_eq!(semaphore.available_permits(), 0);
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire(1).is_some(), "nobody is in line");
    });
}

/// When the first in line gives up, those behind it get what it has held up.
#[test]
fn who_gives_up_lets_the_others_pass() {
    everywhere(|tasks| {
        let semaphore = Arc::new(Semaphore::new(1));
        let (order, served) = unbounded();
        let (give_up, waits) = (Arc::new(AtomicUsize::new(0)), semaphore.clone());
        let flag = give_up.clone();
        let greedy = tasks.spawn(move || {
            let mut timeout = SHORT;
            // In line for ever longer, until the test has seen it there.
            while flag.load(Ordering::SeqCst) == 0 {
                assert!(waits.acquire_timeout(2, timeout).is_none());
                timeout = (timeout * 2).min(LONG);
            }
        });
        until(|| semaphore.try_acquire(1).is_none());
        give_up.store(1, Ordering::SeqCst);
        let modest = in_line(tasks, &semaphore, 1, &order);
        modest.join();
        assert_eq!(served.recv(), Ok(1));
        greedy.join();
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire(1).is_some());
    });
}

#[test]
fn timeouts_end_in_time() {
    everywhere(|_| {
        let semaphore = Semaphore::new(0);
        let begin = Instant::now();
        assert!(semaphore.acquire_timeout(1, SHORT).is_none());
        assert!(begin.elapsed() >= SHORT);
        assert!(begin.elapsed() < LONG);
    });
}

/// Permits of a task that panics come back, as it unwinds.
#[test]
fn a_panic_gives_permits_back() {
    everywhere(|tasks| {
        let semaphore = Arc::new(Semaphore::new(2));
        let holder = tasks.spawn({
            let semaphore = semaphore.clone();
            move || {
                let _permit = semaphore.acquire(2);
                std::panic::resume_unwind(Box::new("deliberate"));
            }
        });
        let permit = semaphore.acquire_timeout(2, LONG);
        assert!(permit.is_some());
        drop(permit);
        assert!(holder.result().is_err());
        assert_eq!(semaphore.available_permits(), 2);
        let unwinding = catch_unwind(AssertUnwindSafe(|| {
            struct Waits<'a>(&'a Semaphore);
            impl Drop for Waits<'_> {
                fn drop(&mut self) {
                    assert!(self.0.acquire_timeout(3, SHORT).is_none());
                    drop(self.0.acquire(1));
                }
            }
            let _waits = Waits(&semaphore);
            std::panic::resume_unwind(Box::new("deliberate"));
        }));
        assert!(unwinding.is_err());
    });
}

/// Tasks take, wait, give up and add at random: in the end the sum is right.
#[test]
fn sums_agree_under_stress() {
    everywhere(|tasks| {
        let semaphore = Arc::new(Semaphore::new(4));
        let workers: Vec<_> = (0..8_u64)
            .map(|seed| {
                let semaphore = semaphore.clone();
                tasks.spawn(move || {
                    let mut state = seed + 1;
                    let mut random = move |n: u64| {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                        (state >> 33) % n
                    };
                    let mut added = 0_isize;
                    for _ in 0..300 {
                        let n = 1 + random(4) as usize;
                        let permit = match random(3) {
                            0 => Some(semaphore.acquire(n)),
                            1 => semaphore.try_acquire(n),
                            _ => {
                                let timeout = Duration::from_micros(random(60));
                                semaphore.acquire_timeout(n, timeout)
                            }
                        };
                        match permit {
                            Some(permit) if random(8) == 0 => {
                                permit.forget();
                                semaphore.add_permits(n);
                            }
                            Some(_) => {}
                            None if random(50) == 0 => {
                                semaphore.add_permits(1);
                                added += 1;
                            }
                            None => {}
                        }
                    }
                    added
                })
            })
            .collect();
        let added: isize = workers.into_iter().map(tasks::Task::join).sum();
        assert_eq!(semaphore.available_permits() as isize, 4 + added);
        let all = semaphore.try_acquire(semaphore.available_permits());
        assert!(all.is_some(), "nobody is left in line");
    });
}
