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
    /// Processors there are: `max_procs`, or more for the moment if that was lowered and goroutines
    /// have not come to a scheduling point since.
    pub processors: usize,
    /// Threads that run goroutines, or are there to do so.
    pub machines: usize,
    /// Those of them that sleep, having nothing to do.
    pub resting_machines: usize,
    /// Those that run a goroutine without a processor: it blocks its thread, or has computed for long
    /// while its processor was missed. A snapshot of things in motion, to which those that are about to
    /// run or to rest may be added.
    pub adrift_machines: usize,
    /// How often a processor was taken from a goroutine that kept it for long while it was missed:
    /// that computed for 10 ms, or blocked its thread.
    pub processors_taken: u64,
    /// How often a thread was wanted and could not be had: `max_machines` was reached, or the
    /// operating system refused. Goroutines that could have run had to wait.
    pub threads_refused: u64,
}

impl Sched {
    pub(crate) fn metrics(&self) -> Metrics {
        // Sysmon is counted among the threads.
        let machines = self.machines.count().saturating_sub(1);
        let resting = self.lot.resting();
        let all = self.machines.all();
        let with_p = all.iter().filter(|m| m.processor().is_some()).count();
        drop(all);
        Metrics {
            processors: self.alive() as usize,
            machines,
            resting_machines: resting,
            adrift_machines: machines.saturating_sub(resting + self.lot.in_line() + with_p),
            processors_taken: self.taken.load(Ordering::Relaxed),
            threads_refused: self.refused(),
        }
    }
}
