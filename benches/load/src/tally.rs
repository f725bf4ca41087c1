//! What a worker has counted, and how the counts of all workers come together.

use hdrhistogram::Histogram;

use crate::clock::SECOND;
use crate::{Errors, Latency};

/// The longest latency that is told from longer ones: an hour.
const LONGEST: u64 = 3600 * SECOND;

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Counts, those of the window unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Answers that came within the window.
    pub(crate) requests: u64,
    /// Latencies: in a closed loop of the answers that came within the window, in an open one of the
    /// requests that were due in it.
    latency: Histogram<u64>,
    /// What went wrong, at any time.
    pub(crate) errors: Errors,
    /// What the first wrong answer was.
    pub(crate) wrong: Option<String>,
    /// Requests without an answer when the run ended.
    pub(crate) unanswered: u64,
    /// Requests that were due.
    pub(crate) due: u64,
    /// Those of them that were sent late.
    pub(crate) late: u64,
    /// The nanoseconds by which a worker looked too late after due requests: in all, and at the most.
    pub(crate) behind: u64,
    pub(crate) behind_max: u64,
    /// Processor time of the workers, in nanoseconds.
    pub(crate) cpu: u64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        let latency = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Tally {
            requests: 0,
            latency: latency.expect("the bounds are right"),
            errors: Errors::default(),
            wrong: None,
            unanswered: 0,
            due: 0,
            late: 0,
            behind: 0,
            behind_max: 0,
            cpu: 0,
        }
    }

    /// Records so many latencies of `nanoseconds`.
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64, count: u64) {
        self.latency.saturating_record_n(nanoseconds.max(1), count);
    }

    /// Adds what another worker has counted.
    pub(crate) fn add(&mut self, other: Tally) {
        self.requests += other.requests;
        self.latency
            .add(&other.latency)
            .expect("the bounds are the same");
        self.errors.add(&other.errors);
        self.wrong = self.wrong.take().or(other.wrong);
        self.unanswered += other.unanswered;
        self.due += other.due;
        self.late += other.late;
        self.behind += other.behind;
        self.behind_max = self.behind_max.max(other.behind_max);
        self.cpu += other.cpu;
    }

    pub(crate) fn latency(&self) -> Latency {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Latency {
            count: self.latency.len(),
            mean: self.latency.mean() as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.latency.max(),
        }
    }
}
