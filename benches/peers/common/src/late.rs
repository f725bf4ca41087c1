//! How late things happened.

use std::fmt;

/// Percentiles of a number of delays, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lateness {
    /// Half are not later than this.
    pub p50: u64,
    /// 99 of 100 are not later than this.
    pub p99: u64,
    /// The latest.
    pub max: u64,
}

impl Lateness {
    /// The percentiles of `delays`, which this sorts; all zero if there are none. The percentile
    /// is the nearest rank.
    ///
    /// ```
    /// let mut delays: Vec<u64> = (1..=200).rev().collect();
    /// let late = marmot_peer::Lateness::of(&mut delays);
    /// assert_eq!((late.p50, late.p99, late.max), (100, 198, 200));
    /// ```
    pub fn of(delays: &mut [u64]) -> Self {
        delays.sort_unstable();
        let rank = |percent: usize| {
            let rank = (delays.len() * percent).div_ceil(100);
            delays.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self {
            p50: rank(50),
            p99: rank(99),
            max: rank(100),
        }
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, max } = self;
        write!(f, r#"{{"p50":{p50},"p99":{p99},"max":{max}}}"#)
    }
}
