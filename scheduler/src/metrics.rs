//! What a scheduler counts, for dashboards and tests.

use std::sync::atomic::Ordering;

use crate::sched::Sched;

/// A snapshot of what a runtime has counted since it was started. Made by
/// [`Handle::metrics`](crate::Handle::metrics).
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// rt.run(|| ());
/// let metrics = rt.metrics();
/// assert!(metrics.machines >= 1);
/// assert_eq!(metrics.threads_refused, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Threads that run goroutines, or are there to do so.
    pub machines: usize,
    /// Those of them that sleep, having nothing to do.
    pub resting_machines: usize,
    /// How often a processor was taken from a goroutine that kept it for long while it was missed:
    /// that computed for 10 ms, or blocked its thread.
    pub processors_taken: u64,
    /// How often a thread was wanted and could not be had: `max_machines` was reached, or the
    /// operating system refused. Goroutines that could have run had to wait.
    pub threads_refused: u64,
}

impl Sched {
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics {
            // Sysmon is counted among the threads.
            machines: self.machines.count().saturating_sub(1),
            resting_machines: self.lot.resting(),
            processors_taken: self.taken.load(Ordering::Relaxed),
            threads_refused: self.refused(),
        }
    }
}
