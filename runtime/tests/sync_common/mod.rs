//! What the tests of `marmot::sync` share: each test runs on OS threads, on goroutines and on both.

#![allow(dead_code)] // not every test file uses all of it

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::Runtime;
use marmot::channel::{Receiver, bounded};

/// Long enough that nothing which works takes it.
pub(crate) const LONG: Duration = Duration::from_secs(30);
/// Short, for waits that are meant to end by their timeout.
pub(crate) const SHORT: Duration = Duration::from_millis(10);

/// A task started by [`Tasks::spawn`].
pub(crate) enum Task<T> {
    /// Not std's handle: joining that on a goroutine would block the goroutine's thread.
    Thread(Receiver<std::thread::Result<T>>),
    Goroutine(marmot::JoinHandle<T>),
}

impl<T> Task<T> {
    pub(crate) fn join(self) -> T {
        self.result().expect("the task panicked")
    }

    pub(crate) fn result(self) -> std::thread::Result<T> {
        match self {
            Task::Thread(result) => result.recv().expect("a thread reports its end"),
            Task::Goroutine(task) => task.join(),
        }
    }
}

/// Where the tasks of a test run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tasks {
    Threads,
    Goroutines,
    /// Alternating, so that each kind meets the other.
    Mixed,
}

static TURN: AtomicUsize = AtomicUsize::new(0);

impl Tasks {
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Task<T> {
        let goroutine = match self {
            Tasks::Threads => false,
            Tasks::Goroutines => true,
            Tasks::Mixed => TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(2),
        };
        if goroutine {
            Task::Goroutine(marmot::go(f))
        } else {
            let (report, result) = bounded(1);
            std::thread::spawn(move || {
                let f = std::panic::AssertUnwindSafe(f);
                let _ = report.send(std::panic::catch_unwind(f));
            });
            Task::Thread(result)
        }
    }

    pub(crate) fn spawn_all<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        self,
        n: usize,
        f: impl Fn(usize) -> F,
    ) -> Vec<Task<T>> {
        (0..n).map(|i| self.spawn(f(i))).collect()
    }
}

/// A runtime with `max_procs` processors.
pub(crate) fn runtime(max_procs: usize) -> Runtime {
    // SAFETY: the tests use no thread-local on both sides of a wait.
    unsafe { Runtime::builder().max_procs(max_procs).build_migrating() }.expect("a runtime starts")
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
        marmot::sleep(Duration::from_micros(50));
    }
}

/// Panics of tests are not printed, and there are many.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if !text.contains("deliberate") && !text.contains("has previously been poisoned") {
            eprintln!("{text}");
        }
    }));
}

/// A random number generator whose seed is printed, and can be given as `MARMOT_TEST_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded() -> Self {
        let seed = match std::env::var("MARMOT_TEST_SEED") {
            Ok(seed) => seed.parse().expect("MARMOT_TEST_SEED is a number"),
            Err(_) => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |d| d.as_nanos() as u64),
        };
        println!("MARMOT_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn fork(&mut self) -> Self {
        Random(self.next_u64())
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n
    }
}
