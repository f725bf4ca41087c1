//! The way in which the runtime ends the process over a bug of its own: `throw`.
//!
//! A *panic* is the caller's mistake and stays in its goroutine. A *throw* is a bug in Marmot itself:
//! it says where and aborts, since no state can be trusted any more.

use std::io::Write;

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
