//! The wait group: waiting until a number of tasks are done.
//!
//! # Invariants
//!
//! 1. `word` holds the number of tasks, shifted by one, and in its lowest bit `WAITED`.
//! 2. The number goes from 1 to 0 while `WAITED` is set only under the line's lock, and `WAITED` is
//!    cleared in the same step. So nobody joins the line between the end of the tasks and the
//!    waking of those who waited for it.
//! 3. `WAITED` is set by the waiter, under the lock, in one step with seeing the number above 0.
//! 4. Those in line wait for the end of a *round*, of which each zero ends one. Rounds go up along
//!    the line; a batch of waking serves those of its own round and earlier ones.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::{End, Line, WakeList};
use crate::atoms::{AtomicUsize, BATCH, Ordering, Outcome};

/// Somebody waits.
const WAITED: usize = 1;
/// The most tasks.
const MAX: usize = usize::MAX >> 1;

/// Waits until a number of tasks are done, as Go's `sync.WaitGroup`.
///
/// Clones share one number. A group may be used again after a wait. Everything that was done
/// before a [`done`](Self::done) is seen after the [`wait`](Self::wait) that it ends.
///
/// # Examples
///
/// ```
/// use marmot::sync::WaitGroup;
///
/// # fn main() -> std::io::Result<()> {
/// # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
/// let rt = unsafe { marmot::Runtime::migrating() }?;
/// rt.run(|| {
///     let group = WaitGroup::new();
///     for n in 0..3 {
///         group.go(move || println!("goroutine {n}"));
///     }
///     group.wait();
/// });
/// # Ok(())
/// # }
/// ```
///
/// On plain threads, and wherever a task is not a closure:
///
/// ```
/// use marmot::sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// group.add(3);
/// for _ in 0..3 {
///     let group = group.clone();
///     std::thread::spawn(move || group.done());
/// }
/// group.wait();
/// ```
#[derive(Clone, Default)]
pub struct WaitGroup {
    shared: Arc<Shared>,
}

struct Shared {
    /// See the invariants.
    word: AtomicUsize,
    /// The number of the current round. Changed under the line's lock.
    round: AtomicUsize,
    line: Line,
}

// A panic never leaves it in a state that anybody could see: nothing of the user's runs inside.
impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl WaitGroup {
    /// A group without a task.
    ///
    /// # Examples
    ///
    /// ```
    /// marmot::sync::WaitGroup::new().wait(); // there is nothing to wait for
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `n` tasks, to be [done](Self::done) once each. Never waits.
    ///
    /// Add them before whoever waits begins to: one that comes to a group of no tasks does not wait.
    ///
    /// # Panics
    /// If the number would exceed half of a `usize`.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = marmot::sync::WaitGroup::new();
    /// group.add(2);
    /// group.done();
    /// group.done();
    /// group.wait();
    /// ```
    #[track_caller]
    pub fn add(&self, n: usize) {
        let word = &self.shared.word;
        let mut now = word.load(Ordering::Relaxed);
        loop {
            assert!(n <= MAX - (now >> 1), "too many tasks in a `WaitGroup`");
            // Relaxed: nobody learns anything from a task that has begun.
            match word.compare_exchange_weak(
                now,
                now + (n << 1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    /// One task is done. If it was the last, those who wait go on. Never waits.
    ///
    /// # Panics
    /// If there is no task left. The number stays 0 then.
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// marmot::sync::WaitGroup::new().done(); // below zero
    /// ```
    #[track_caller]
    pub fn done(&self) {
        assert!(self.shared.done(), "negative `WaitGroup` counter");
    }

    /// Waits until there is no task left. Any number of tasks may wait.
    ///
    /// While it waits, a goroutine is parked and a thread sleeps.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = marmot::sync::WaitGroup::new();
    /// group.add(1);
    /// let task = group.clone();
    /// std::thread::spawn(move || task.done());
    /// group.wait();
    /// ```
    pub fn wait(&self) {
        let ended = self.shared.wait(|| None);
        debug_assert!(ended, "a wait without a deadline lasts until the end");
    }

    /// Waits until there is no task left, for at most `timeout`; whether there is none left.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let group = marmot::sync::WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(5)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::ZERO));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if timeout.is_zero() {
            return self.shared.is_zero();
        }
        // Beyond the end of time is never, as everywhere.
        self.shared.wait(|| Instant::now().checked_add(timeout))
    }

    /// Starts a goroutine on the current runtime, as one of the tasks: adds it before it starts, and
    /// it is done when `f` has returned or panicked.
    ///
    /// # Panics
    /// As [`marmot::go`](crate::go): outside a runtime (there call [`add`](Self::add) and
    /// `Runtime::go`, and [`done`](Self::done) in the goroutine), and without memory for the stack.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
    /// # let rt = unsafe { marmot::Runtime::migrating() }?;
    /// let group = marmot::sync::WaitGroup::new();
    /// rt.run(|| {
    ///     group.go(|| marmot::yield_now());
    ///     group.wait();
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.add(1);
        let task = Task(self.clone());
        marmot_scheduler::go(move || {
            let _task = task;
            f();
        });
    }
}

/// One of the tasks: done when it is dropped, also if it never came to run.
struct Task(WaitGroup);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl Shared {
    fn is_zero(&self) -> bool {
        // Acquire: pairs with the release of `done`.
        self.word.load(Ordering::Acquire) >> 1 == 0
    }

    /// False: there was no task.
    fn done(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word >> 1 == 0 {
                return false;
            }
            if word == (1 << 1) | WAITED {
                return self.last_done();
            }
            // Release: what the task did comes before the end of the wait. Acquire: the last one
            // passes on what the others did.
            match self.word.compare_exchange_weak(
                word,
                word - (1 << 1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The last of the tasks seems to be done, and somebody waits for that.
    #[cold]
    #[inline(never)]
    fn last_done(&self) -> bool {
        let mut guard = self.line.lock();
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word >> 1 == 0 {
                return false;
            }
            let last = word >> 1 == 1;
            let next = if last { 0 } else { word - (1 << 1) };
            // As in `done`.
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if last => break,
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        // Relaxed, here and in `wait`: under the lock.
        let round = self.round.load(Ordering::Relaxed);
        self.round.store(round.wrapping_add(1), Ordering::Relaxed);
        loop {
            let mut wakes = WakeList::new();
            let mut batch = 0;
            let is_of_round = |of: usize| round.wrapping_sub(of) <= MAX;
            while batch < BATCH && guard.first().is_some_and(is_of_round) {
                let _ = guard.serve_first(&mut wakes);
                batch += 1;
            }
            drop(guard);
            wakes.wake();
            if batch < BATCH {
                return true;
            }
            guard = self.line.lock();
        }
    }

    /// Waits for the end of the current round; false if the deadline was first.
    fn wait(&self, deadline: impl FnOnce() -> Option<Instant>) -> bool {
        if self.is_zero() {
            return true;
        }
        let deadline = deadline();
        loop {
            let guard = self.line.lock();
            if !self.join() {
                return true;
            }
            let round = self.round.load(Ordering::Relaxed);
            match guard.wait(round, deadline) {
                End::Served => return true,
                End::Left(_, outcome) => {
                    if deadline.is_some() || outcome == Outcome::TimedOut {
                        return self.is_zero();
                    }
                    // The seam for a cancellation of a wait without a deadline, see `Semaphore`.
                }
            }
        }
    }

    /// Under the lock: sets `WAITED`, unless there is no task left; whether it did.
    fn join(&self) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word >> 1 == 0 {
                return false;
            }
            // In one step with the look (3). Acquire, on both ways: as in `is_zero`.
            match self.word.compare_exchange_weak(
                word,
                word | WAITED,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            word: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            line: Line::new(),
        }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("tasks", &(self.shared.word.load(Ordering::Relaxed) >> 1))
            .finish_non_exhaustive()
    }
}
