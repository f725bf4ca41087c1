//! The two ways in which the runtime ends the process: `fatal` and `throw`.
//!
//! Three severities exist. A *panic* is the caller's mistake and stays in its goroutine. *Fatal*
//! means that the program broke a rule the runtime cannot work without, or that nothing can ever
//! run again: it says what and exits with code 2. A *throw* is a bug in Marmot itself: it says
//! where and aborts, since no state can be trusted any more.

use std::io::Write;

/// Exit code of [`fatal`].
#[allow(dead_code)]
pub(crate) const EXIT_CODE: i32 = 2;

/// Reports a bug of the runtime and aborts.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn throw(what: &str) -> ! {
    let at = std::panic::Location::caller();
    // Straight to the descriptor: this may run anywhere, and must not wait for a lock.
    let _ = writeln!(
        crate::sys::Stderr,
        "marmot: internal error: {what} ({}:{}); please report this as a bug",
        at.file(),
        at.line()
    );
    std::process::abort()
}
