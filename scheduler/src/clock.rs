//! The clock: monotonic nanoseconds since the process first asked. All of the runtime's notion of
//! time comes from here.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds now.
#[inline]
pub(crate) fn now() -> u64 {
    nanos_of(Instant::now())
}

/// The nanoseconds of an instant. One before the base is 0, one 584 years on is the last.
#[inline]
pub(crate) fn nanos_of(at: Instant) -> u64 {
    let since = at.saturating_duration_since(*BASE);
    // Cheaper than `as_nanos`, which goes through 128 bits.
    since
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(since.subsec_nanos()))
}

/// The instant of a number of nanoseconds.
pub(crate) fn instant_of(nanos: u64) -> Instant {
    *BASE + Duration::from_nanos(nanos)
}
