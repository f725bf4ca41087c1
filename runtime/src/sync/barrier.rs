//! The barrier: [`Barrier`] and [`BarrierWaitResult`].

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::raw_barrier::RawBarrier;

/// A line that tasks cross together: all wait until so many have come. Mirrors
/// [`std::sync::Barrier`].
///
/// A goroutine that waits parks; a plain thread sleeps. It can be used again and again, by the same
/// tasks or by others.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # // SAFETY: the goroutines below use no thread-local.
/// # let rt = unsafe { marmot::Runtime::migrating() }?;
/// # rt.run(|| {
/// use marmot::sync::Barrier;
///
/// let n = 10;
/// let barrier = Barrier::new(n);
/// marmot::scope(|s| {
///     for _ in 0..n {
///         // The same messages will be printed together, with no interleaving.
///         s.spawn(|| {
///             println!("before wait");
///             barrier.wait();
///             println!("after wait");
///         });
///     }
/// });
/// # });
/// # Ok(())
/// # }
/// ```
pub struct Barrier {
    raw: RawBarrier,
    /// Constant.
    num_tasks: usize,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// What [`Barrier::wait`] gives to those who have crossed.
pub struct BarrierWaitResult(bool);

impl Barrier {
    /// A barrier that is crossed by `n` tasks at a time. Zero means one.
    ///
    /// ```
    /// use marmot::sync::Barrier;
    ///
    /// let barrier = Barrier::new(10);
    /// ```
    #[inline]
    #[must_use]
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            raw: RawBarrier::new(),
            num_tasks: n,
        }
    }

    /// Waits until all have come. One of them, the last to come, is told that it is the leader.
    ///
    /// ```
    /// use marmot::sync::Barrier;
    /// use std::thread;
    ///
    /// let n = 10;
    /// let barrier = Barrier::new(n);
    /// let leaders: usize = thread::scope(|s| {
    ///     let threads: Vec<_> = (0..n).map(|_| s.spawn(|| barrier.wait().is_leader())).collect();
    ///     threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum()
    /// });
    /// assert_eq!(leaders, 1);
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        BarrierWaitResult(self.raw.wait(self.num_tasks as u64))
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl BarrierWaitResult {
    /// Whether this task is the leader: one of those who have crossed together is.
    ///
    /// ```
    /// use marmot::sync::Barrier;
    ///
    /// let barrier = Barrier::new(1);
    /// let barrier_wait_result = barrier.wait();
    /// assert!(barrier_wait_result.is_leader());
    /// ```
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.is_leader())
            .finish()
    }
}
