//! The models.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::semaphore::{Semaphore, SemaphorePermit};
use crate::wait_group::WaitGroup;

/// A deadline that the clock does not reach, so that only the model's timeout counts.
const SOME_TIME: Duration = Duration::from_secs(3600);

/// All schedules with at most so many preemptions (a switch where the thread could go on).
fn explore(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(f);
}

/// A number that loom watches: accesses that nothing orders are found.
struct Watched(UnsafeCell<u32>);

impl Watched {
    fn new() -> Self {
        Watched(UnsafeCell::new(0))
    }

    fn bump(&self) {
        // SAFETY: loom panics if another access is not ordered with this one.
        self.0.with_mut(|n| unsafe { *n += 1 });
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|n| unsafe { *n })
    }
}

/// One permit is a lock.
#[test]
fn one_permit_excludes_and_orders() {
    explore(2, || {
        let shared = Arc::new((Semaphore::new(1), Watched::new()));
        let step = |shared: &(Semaphore, Watched)| {
            let _permit = shared.0.acquire(1);
            shared.1.bump();
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || step(&shared)
        });
        step(&shared);
        other.join().unwrap();
        assert_eq!(shared.1.get(), 2);
        assert_eq!(shared.0.available_permits(), 1);
    });
}

#[test]
fn one_permit_among_three() {
    explore(2, || {
        let shared = Arc::new((Semaphore::new(1), Watched::new()));
        let step = |shared: &(Semaphore, Watched)| {
            let _permit = shared.0.acquire(1);
            shared.1.bump();
        };
        let others = [(), ()].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || step(&shared))
        });
        step(&shared);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.1.get(), 3);
        assert_eq!(shared.0.available_permits(), 1);
    });
}

/// Permits come one by one, from two sides, to one that wants both.
#[test]
fn a_large_request_is_served_in_the_end() {
    explore(1, || {
        let shared = Arc::new((Semaphore::new(0), [Watched::new(), Watched::new()]));
        let givers = [0, 1].map(|n| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1[n].bump();
                shared.0.add_permits(1);
            })
        });
        let permit = shared.0.acquire(2);
        assert_eq!([shared.1[0].get(), shared.1[1].get()], [1, 1]);
        permit.forget();
        assert_eq!(shared.0.available_permits(), 0);
        for giver in givers {
            giver.join().unwrap();
        }
    });
}

/// The first in line wants too much, and gives up: the one behind it gets what there is.
#[test]
fn a_leaver_holds_nobody_up() {
    explore(2, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let greedy = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.acquire_timeout(2, SOME_TIME).is_some()
        });
        let modest = thread::spawn({
            let semaphore = semaphore.clone();
            move || drop(semaphore.acquire(1))
        });
        modest.join().unwrap();
        assert!(!greedy.join().unwrap());
        assert_eq!(semaphore.available_permits(), 1);
        // Nobody is in line any more.
        assert!(semaphore.try_acquire(1).is_some());
    });
}

/// A timeout against a permit: it is taken, or it is still there.
#[test]
fn a_timeout_loses_no_permit() {
    explore(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let impatient = thread::spawn({
            let semaphore = semaphore.clone();
            move || {
                let permit = semaphore.acquire_timeout(1, SOME_TIME);
                permit.map(SemaphorePermit::forget)
            }
        });
        semaphore.add_permits(1);
        let taken = impatient.join().unwrap().is_some();
        assert_eq!(semaphore.available_permits(), usize::from(!taken));
        assert_eq!(semaphore.try_acquire(1).is_some(), !taken);
    });
}

#[test]
fn the_end_of_all_tasks_is_seen() {
    explore(2, || {
        let group = WaitGroup::new();
        group.add(2);
        let done = Arc::new([Watched::new(), Watched::new()]);
        let tasks = [0, 1].map(|n| {
            let (group, done) = (group.clone(), done.clone());
            thread::spawn(move || {
                done[n].bump();
                group.done();
            })
        });
        group.wait();
        assert_eq!([done[0].get(), done[1].get()], [1, 1]);
        for task in tasks {
            task.join().unwrap();
        }
    });
}

#[test]
fn two_wait_for_one() {
    explore(1, || {
        let group = WaitGroup::new();
        group.add(1);
        let watched = Arc::new(Watched::new());
        let other = thread::spawn({
            let (group, watched) = (group.clone(), watched.clone());
            move || {
                group.wait();
                assert_eq!(watched.get(), 1);
            }
        });
        let task = thread::spawn({
            let (group, watched) = (group.clone(), watched.clone());
            move || {
                watched.bump();
                group.done();
            }
        });
        group.wait();
        assert_eq!(watched.get(), 1);
        other.join().unwrap();
        task.join().unwrap();
    });
}

/// The group is used again at once: whoever waits for the second round is not woken by the first.
#[test]
fn rounds_are_kept_apart() {
    explore(2, || {
        let group = WaitGroup::new();
        group.add(1);
        let first = Arc::new(Watched::new());
        let second = Arc::new(Watched::new());
        let other = thread::spawn({
            let (group, first, second) = (group.clone(), first.clone(), second.clone());
            move || {
                // Waits for the first round, or finds it over.
                group.wait();
                assert_eq!(first.get(), 1);
                group.add(1);
                second.bump();
                group.done();
            }
        });
        first.bump();
        group.done();
        other.join().unwrap();
        group.wait();
        assert_eq!(second.get(), 1);
    });
    explore(2, || {
        let group = WaitGroup::new();
        group.add(1);
        let early = thread::spawn({
            let group = group.clone();
            move || group.wait()
        });
        let task = thread::spawn({
            let group = group.clone();
            move || group.done()
        });
        while !group.wait_timeout(Duration::ZERO) {
            thread::yield_now();
        }
        group.add(1);
        // Nobody has ended this round.
        assert!(!group.wait_timeout(SOME_TIME));
        group.done();
        early.join().unwrap();
        task.join().unwrap();
    });
}

#[test]
fn a_wait_that_times_out_leaves_no_trace() {
    explore(2, || {
        let group = WaitGroup::new();
        group.add(1);
        let impatient = thread::spawn({
            let group = group.clone();
            move || group.wait_timeout(SOME_TIME)
        });
        group.done();
        let _ = impatient.join().unwrap();
        group.add(1);
        group.done();
        group.wait();
    });
}
