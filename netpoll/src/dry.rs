//! The dry mark: since when a stream is known to be drained, so that the next read need not try.
//!
//! A read that gets less than it asked for has taken all there was. If no event has come since the
//! task looked at the slot before that read, the next read would find nothing: it may wait at once.
//! That saves the system call that says `WouldBlock`, one of four in a request and its answer.
//!
//! | word                | meaning                                        |
//! |---------------------|------------------------------------------------|
//! | an epoch            | drained by a read whose look saw this epoch    |
//! | `UNKNOWN`           | nothing is known                               |
//! | `NEVER`             | short reads prove nothing here, now or later   |
//!
//! # Invariants
//!
//! 1. A mark is made after the short read, with an epoch looked at before it; so whatever arrives
//!    after the read moves the slot away from the mark.
//! 2. What ends the stream arrives once, and may come in one event with the last data: then the
//!    short read has not taken everything there was. The same holds for urgent data, before which
//!    a read stops. Such an event sets `NEVER` before it moves the slot, so whoever looks at the
//!    epoch of that event makes no mark.
//! 3. `NEVER` stays until the record changes its descriptor. An event that is late for the former
//!    one may set it for the next: that costs system calls, no more.

use crate::slot::Epoch;
use crate::sync::{AtomicU64, Ordering};

/// No epoch is as large: three bits of the slot's word are not part of it.
const UNKNOWN: u64 = u64::MAX;
const NEVER: u64 = u64::MAX - 1;

/// See the module's documentation. Relaxed where nothing is said: the epochs carry the order.
#[derive(Debug)]
pub(crate) struct Dry(AtomicU64);

impl Dry {
    pub(crate) fn new() -> Self {
        Dry(AtomicU64::new(UNKNOWN))
    }

    /// Whether nothing has come since a short read that began at `now` or before.
    #[inline]
    pub(crate) fn is_at(&self, now: Epoch) -> bool {
        self.0.load(Ordering::Relaxed) == now.as_u64()
    }

    /// A read that began after the look that saw `seen` was short.
    #[inline]
    pub(crate) fn mark(&self, seen: Epoch) {
        let old = self.0.load(Ordering::Relaxed);
        if old != NEVER && old != seen.as_u64() {
            // Compared, so as not to overwrite a `NEVER` (invariant 3). Losing to another mark is
            // losing a hint.
            let _ =
                self.0
                    .compare_exchange(old, seen.as_u64(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// An event has come that says more than "there is data". Before the slot is moved, which
    /// releases this to those who look there (invariant 2).
    pub(crate) fn never(&self) {
        // A swap, so that the order among marks and this is that of read-modify-writes. (A store
        // would do: it cannot come between the two halves of a mark. loom does not know that.)
        self.0.swap(NEVER, Ordering::Relaxed);
    }

    /// The record has a new descriptor. Before that is registered.
    pub(crate) fn reset(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }
}
