//! The harness of the tests of `sync` and `time`: each runs on threads, on goroutines and on both.

#![allow(dead_code)] // not every test file uses all of it

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::Runtime;

/// Long enough that nothing which works takes it.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Short, for waits that are meant to end by their timeout.
pub(crate) const SHORT: Duration = Duration::from_millis(5);

/// Where the tasks of a test run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tasks {
    Threads,
    Goroutines,
    /// Alternating, so that each kind meets the other.
    Mixed,
}

/// A task that has been started.
pub(crate) struct Task<T>(marmot::channel::Receiver<std::thread::Result<T>>);

impl<T> Task<T> {
    pub(crate) fn join(self) -> T {
        self.result().expect("the task panicked")
    }

    /// The end of it. Waits as a goroutine where it is one, also for a thread.
    pub(crate) fn result(self) -> std::thread::Result<T> {
        self.0.recv().expect("a task reports its end")
    }
}

static TURN: AtomicUsize = AtomicUsize::new(0);

impl Tasks {
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        let (tx, rx) = marmot::channel::bounded(1);
        let run = move || {
            let f = std::panic::AssertUnwindSafe(f);
            let _ = tx.send(std::panic::catch_unwind(f));
        };
        let goroutine = match self {
            Tasks::Threads => false,
            Tasks::Goroutines => true,
            Tasks::Mixed => TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(2),
        };
        if goroutine {
            marmot::go(run);
        } else {
            std::thread::spawn(run);
        }
        Task(rx)
    }
}

pub(crate) fn runtime(max_procs: usize) -> Runtime {
    let builder = Runtime::builder().max_procs(max_procs);
    // SAFETY: the tests use no thread-local on both sides of a wait.
    unsafe { builder.build_migrating() }.expect("a runtime starts")
}

/// Runs a test on a thread with threads, and on a goroutine with goroutines and with both.
pub(crate) fn everywhere(test: fn(Tasks)) {
    test(Tasks::Threads);
    for max_procs in [1, 2, 4] {
        let rt = runtime(max_procs);
        for tasks in [Tasks::Goroutines, Tasks::Mixed] {
            rt.run(move || test(tasks));
        }
    }
}

/// Waits until something is seen that no wait can tell of. Not a synchronisation: the condition is.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "it never happened");
        marmot::sleep(Duration::from_micros(100));
    }
}
