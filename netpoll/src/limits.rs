//! How long a call on a descriptor may wait: a deadline that stands until it is moved, and a timeout
//! that starts anew with each call.
//!
//! Both are single words, so that they can be read on every call and moved while one waits; a mover
//! wakes the waiters afterwards, and they read again.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No deadline, no timeout.
const NONE: u64 = u64::MAX;

/// The instant that stored deadlines are counted from. It is older than most of them; a deadline
/// before it has passed, and that is all that has to be known of it.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds; 584 years are as good as none.
fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(NONE)
}

/// The limits of one direction.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Nanoseconds since `ORIGIN`. Relaxed everywhere: a waiter that reads the old value has
    /// registered before the mover's sweep, which finds it (or reads under the lock that the sweep
    /// takes), so it will read again.
    deadline: AtomicU64,
    /// Nanoseconds.
    timeout: AtomicU64,
}

/// What ended a wait that nothing came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// The deadline: nothing may be done on the descriptor any more.
    Deadline,
    /// The timeout of this call.
    Timeout,
}

impl Passed {
    /// The error of a call that ends so: for a timeout what the kernel's own gives here.
    pub(crate) fn error(self) -> io::Error {
        match self {
            Passed::Deadline => io::ErrorKind::TimedOut.into(),
            Passed::Timeout => io::Error::from_raw_os_error(libc::EAGAIN),
        }
    }
}

impl Limits {
    pub(crate) fn new() -> Self {
        Limits {
            deadline: AtomicU64::new(NONE),
            timeout: AtomicU64::new(NONE),
        }
    }

    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::Relaxed) {
            NONE => None,
            nanos => Some(*ORIGIN.get()? + Duration::from_nanos(nanos)),
        }
    }

    /// The caller wakes the waiters afterwards.
    pub(crate) fn set_deadline(&self, at: Option<Instant>) {
        let value = at.map_or(NONE, |at| {
            let origin = *ORIGIN.get_or_init(Instant::now);
            nanos(at.saturating_duration_since(origin))
        });
        self.deadline.store(value, Ordering::Relaxed);
    }

    /// Whether the deadline has passed. Without one this is a load; no clock is read.
    #[inline]
    pub(crate) fn is_past(&self) -> bool {
        self.deadline().is_some_and(|at| at <= Instant::now())
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.timeout.load(Ordering::Relaxed) {
            NONE => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// # Errors
    /// `InvalidInput` for zero, as std.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let value = timeout.map_or(NONE, nanos);
        self.timeout.store(value, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_kept_to_the_nanosecond() {
        let limits = Limits::new();
        assert_eq!(limits.deadline(), None);
        assert!(!limits.is_past());
        let first = Instant::now();
        limits.set_deadline(Some(first));
        assert!(limits.is_past());
        let later = Instant::now() + Duration::from_secs(3600);
        limits.set_deadline(Some(later));
        assert_eq!(limits.deadline(), Some(later));
        assert!(!limits.is_past());
        limits.set_deadline(None);
        assert_eq!(limits.deadline(), None);
    }

    #[test]
    fn zero_is_no_timeout() {
        let limits = Limits::new();
        let error = limits.set_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        limits.set_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(limits.timeout(), None, "as good as none");
        limits.set_timeout(Some(Duration::from_micros(7))).unwrap();
        assert_eq!(limits.timeout(), Some(Duration::from_micros(7)));
    }
}
