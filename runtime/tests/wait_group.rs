//! `WaitGroup`: waits last until all tasks are done, and no longer.

mod tasks;

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::sync::WaitGroup;
use tasks::{LONG, SHORT, everywhere, runtime};

#[test]
fn traits() {
    fn is<T: Clone + Default + Send + Sync + UnwindSafe + RefUnwindSafe + std::fmt::Debug>() {}
    is::<WaitGroup>();
    let group = WaitGroup::default();
    group.add(2);
    assert_eq!(format!("{group:?}"), "WaitGroup { tasks: 2, .. }");
}

#[test]
fn a_group_of_none_does_not_wait() {
    let group = WaitGroup::new();
    group.wait();
    group.add(0);
    assert!(group.wait_timeout(Duration::ZERO));
}

#[test]
fn all_tasks_are_waited_for() {
    everywhere(|tasks| {
        let group = WaitGroup::new();
        let sum = Arc::new(AtomicUsize::new(0));
        group.add(50);
        for n in 0..50 {
            let (group, sum) = (group.clone(), sum.clone());
            tasks.spawn(move || {
                sum.fetch_add(n, Ordering::Relaxed);
                group.done();
            });
        }
        group.wait();
        assert_eq!(sum.load(Ordering::Relaxed), 1225);
    });
}

/// More of them than one batch.
#[test]
fn any_number_may_wait() {
    everywhere(|tasks| {
        let group = WaitGroup::new();
        group.add(1);
        let done = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..100)
            .map(|n| {
                let (group, done) = (group.clone(), done.clone());
                tasks.spawn(move || {
                    if n % 2 == 0 {
                        group.wait();
                    } else {
                        assert!(group.wait_timeout(LONG));
                    }
                    assert_eq!(done.load(Ordering::Relaxed), 1);
                })
            })
            .collect();
        marmot::sleep(SHORT); // so that most of them are in line by now
        done.store(1, Ordering::Relaxed);
        group.done();
        waiters.into_iter().for_each(tasks::Task::join);
    });
}

#[test]
fn below_zero_is_a_panic() {
    let group = WaitGroup::new();
    let text = *catch_unwind(|| group.done())
        .unwrap_err()
        .downcast::<&str>()
        .unwrap();
    assert_eq!(text, "negative `WaitGroup` counter");
    // Nothing has changed.
    group.add(1);
    assert!(!group.wait_timeout(Duration::ZERO));
    group.done();
    group.wait();
    assert!(catch_unwind(|| group.done()).is_err());
    assert!(catch_unwind(|| group.add(usize::MAX)).is_err());
    group.wait();
}

#[test]
fn timeouts_end_in_time() {
    everywhere(|_| {
        let group = WaitGroup::new();
        group.add(1);
        let begin = Instant::now();
        assert!(!group.wait_timeout(SHORT));
        assert!(begin.elapsed() >= SHORT && begin.elapsed() < LONG);
        group.done();
        assert!(group.wait_timeout(SHORT));
    });
}

/// The same group, round after round, with waiters of each that are slow to leave.
#[test]
fn it_can_be_used_again() {
    everywhere(|tasks| {
        let group = WaitGroup::new();
        for round in 0..100_usize {
            let done = Arc::new(AtomicUsize::new(0));
            group.add(4);
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (group, done) = (group.clone(), done.clone());
                    tasks.spawn(move || {
                        group.wait();
                        assert!(done.load(Ordering::Relaxed) >= 4);
                    })
                })
                .collect();
            for _ in 0..4 {
                let (group, done) = (group.clone(), done.clone());
                tasks.spawn(move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    group.done();
                });
            }
            group.wait();
            assert_eq!(done.load(Ordering::Relaxed), 4, "round {round}");
            others.into_iter().for_each(tasks::Task::join);
        }
    });
}

#[test]
fn goroutines_of_a_group() {
    for max_procs in [1, 2, 4] {
        runtime(max_procs).run(|| {
            let group = WaitGroup::new();
            let sum = Arc::new(AtomicUsize::new(0));
            for n in 0..100 {
                let (inner, sum) = (group.clone(), sum.clone());
                group.go(move || {
                    sum.fetch_add(1, Ordering::Relaxed);
                    // A task may add another.
                    if n % 10 == 0 {
                        inner.go(move || {
                            sum.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
            group.wait();
            assert_eq!(sum.load(Ordering::Relaxed), 110);
            group.go(|| std::panic::resume_unwind(Box::new("deliberate")));
            group.wait();
        });
    }
}

#[test]
fn outside_a_runtime_go_panics_and_adds_nothing() {
    let group = WaitGroup::new();
    let payload = catch_unwind(AssertUnwindSafe(|| group.go(|| ()))).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("Runtime::go"), "{text}");
    assert!(group.wait_timeout(Duration::ZERO));
}
