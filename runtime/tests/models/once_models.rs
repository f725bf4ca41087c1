//! Models of what is done once, and of the barrier.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::raw_barrier::RawBarrier;
use crate::raw_once::{Begin, RawOnce};
use crate::sync_models::{Watched, explore, task, together};
use crate::task::{Settings, cancel_next_wait};

// ---- once ---------------------------------------------------------------------------------------

type Done = (RawOnce, Watched);

fn done() -> Arc<Done> {
    Arc::new((RawOnce::new(), Watched::new()))
}

/// What `call_once_force` does.
fn run_once((once, data): &Done) {
    match once.begin(true) {
        Begin::Run { .. } => {
            data.add(1);
            // SAFETY: the runner.
            unsafe { once.end(true) };
        }
        other => assert_eq!(other, Begin::Done),
    }
    assert_eq!(data.get(), 1);
}

#[test]
fn it_is_done_once_and_seen_by_all() {
    explore(3, Settings::default(), || {
        let shared = done();
        together(vec![
            task(&shared, run_once),
            task(&shared, |shared| {
                if shared.0.is_completed() {
                    assert_eq!(shared.1.get(), 1);
                }
                run_once(shared);
            }),
        ]);
    });
    explore(2, Settings::default(), || {
        let shared = done();
        together(vec![
            task(&shared, |shared| {
                cancel_next_wait();
                run_once(shared);
            }),
            task(&shared, |(once, data)| {
                assert!(once.wait(false));
                assert_eq!(data.get(), 1);
            }),
            task(&shared, run_once),
        ]);
    });
}

#[test]
fn who_sees_that_it_is_done_sees_what_was_done() {
    explore(3, Settings::default(), || {
        let shared = done();
        together(vec![
            task(&shared, run_once),
            task(&shared, |(once, data)| {
                for _ in 0..3 {
                    if once.is_completed() {
                        assert_eq!(data.get(), 1);
                    }
                    thread::yield_now();
                }
            }),
        ]);
    });
}

#[test]
fn a_failed_run_makes_way_for_another() {
    explore(2, Settings::default(), || {
        let shared = done();
        together(vec![
            // Fails if it comes first.
            task(&shared, |(once, _)| match once.begin(false) {
                // SAFETY: the runner.
                Begin::Run { .. } => unsafe { once.end(false) },
                other => assert_eq!(other, Begin::Done),
            }),
            task(&shared, |(once, data)| {
                assert!(once.wait(true));
                assert_eq!(data.get(), 1);
            }),
            task(&shared, run_once),
        ]);
    });
}

#[test]
fn those_who_wait_learn_of_the_failure() {
    explore(3, Settings::default(), || {
        let shared = done();
        together(vec![
            task(&shared, |(once, _)| {
                assert_eq!(once.begin(true), Begin::Run { poisoned: false });
                // SAFETY: the runner.
                unsafe { once.end(false) };
            }),
            task(&shared, |(once, _)| {
                assert!(!once.wait(false));
                assert_eq!(once.begin(false), Begin::Poisoned);
            }),
        ]);
    });
}

// ---- barrier ------------------------------------------------------------------------------------

#[test]
fn a_barrier_is_crossed_together() {
    explore(2, Settings::default(), || {
        let shared = Arc::new((RawBarrier::new(), [Watched::new(), Watched::new()]));
        let side = |me: usize| {
            move |(barrier, data): &(RawBarrier, [Watched; 2])| {
                for round in 1..=2 {
                    data[me].add(1);
                    barrier.wait(2);
                    // Both are here, and nobody goes on before the other has looked.
                    assert_eq!(data[1 - me].get(), round);
                    barrier.wait(2);
                }
            }
        };
        together(vec![task(&shared, side(0)), task(&shared, side(1))]);
    });
    explore(1, Settings::default(), || {
        let shared = Arc::new((RawBarrier::new(), AtomicU32::new(0), AtomicU32::new(0)));
        let side = |cancelled: bool| {
            move |(barrier, leaders, come): &(RawBarrier, AtomicU32, AtomicU32)| {
                if cancelled {
                    cancel_next_wait();
                }
                come.fetch_add(1, Ordering::Relaxed);
                let leader = barrier.wait(3);
                assert_eq!(come.load(Ordering::Relaxed), 3);
                if leader {
                    leaders.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        together(vec![
            task(&shared, side(true)),
            task(&shared, side(false)),
            task(&shared, side(false)),
        ]);
        let leaders = shared.1.load(Ordering::Relaxed);
        assert_eq!(leaders, 1);
    });
}
