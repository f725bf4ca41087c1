//! The channel's lock: one word, taken by one compare-and-swap, released by one plain store.
//!
//! # Invariants
//!
//! 1. The holder runs a few dozen instructions, calls no foreign code (no `T::drop`, no `clone`, no
//!    allocator) and does not wait. Its last access to the lock is the releasing store: whoever
//!    finds the lock free may free the memory it lives in.
//! 2. It is held over a park only up to the park's `publish`, which releases it on the scheduler's
//!    stack of the same machine.
//! 3. Two locks are held at once only by a select, in the order of their addresses.
//!
//! # Rejected
//!
//! A futex or a parking lot for the contended case: then the release has to be a read-modify-write,
//! which tells it of sleepers, and every buffered send and receive pays for that (6 ns of some
//! 15 on the machine this was written on). Here the losers spin, then yield, then sleep in short
//! steps; see [`pause`]. std's and parking_lot's locks also keep thread-locals
//! in their slow paths or poison through them (H1, H5).

use crate::sync::{AtomicU32, Ordering, pause};

const FREE: u32 = 0;
const HELD: u32 = 1;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Lock(AtomicU32);

impl Lock {
    pub(crate) fn new() -> Self {
        Lock(AtomicU32::new(FREE))
    }

    /// Takes the lock. The caller must release it by [`unlock`](Self::unlock).
    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire: pairs with the release in `unlock`.
        self.0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        let mut step = 0;
        loop {
            pause(step);
            step = step.saturating_add(1);
            // Look before trying: a failed compare-and-swap takes the cache line from the holder.
            if self.0.load(Ordering::Relaxed) == FREE && self.try_lock() {
                return;
            }
        }
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// The caller holds it, or was given the right to release it by the one who does.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        self.0.store(FREE, Ordering::Release);
    }
}
