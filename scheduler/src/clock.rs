//! The clock: monotonic nanoseconds since the process first asked. All of the runtime's notion of
//! time comes from here.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The last time that was asked for, give or take [`COARSE`].
static LATELY: AtomicU64 = AtomicU64::new(0);
/// How far `lately` may be behind `now`, if that is asked for often enough.
const COARSE: u64 = 500_000;

/// Nanoseconds now.
#[inline]
pub(crate) fn now() -> u64 {
    let now = nanos_of(Instant::now());
    // A store at most every half millisecond, for all processors read this word.
    if now.wrapping_sub(LATELY.load(Ordering::Relaxed)) > COARSE {
        LATELY.store(now, Ordering::Relaxed);
    }
    now
}

/// About what time it is, for one load: for reports. Good to a millisecond or so, since a machine
/// that gets a processor asks for the time, and sysmon does while any is busy.
#[inline]
pub(crate) fn lately() -> u64 {
    LATELY.load(Ordering::Relaxed)
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
