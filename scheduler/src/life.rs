//! The life of a goroutine as its handles see it: one end, one waiter, and who still holds on.
//!
//! What a spawn makes is one piece of memory, shared by the goroutine, its *handle* (which owns the
//! result) and any number of *names* of it. All of that is counted in one word, so that an end and
//! a hold given up cost one atomic operation together.
//!
//! | bits  | meaning                                                      |
//! |-------|--------------------------------------------------------------|
//! | 0     | `WAITING`: `waiter` holds who waits                          |
//! | 1     | `DONE`: the goroutine has ended, the result is there         |
//! | 2     | `HANDLE`: there is a handle                                  |
//! | 3 ..  | holds: one of the goroutine, one of the handle, of each name |
//!
//! # Invariants
//!
//! 1. The memory stays while anybody has a hold; who gives up the last one frees it.
//! 2. The result is the goroutine's until `DONE`; then the handle's, if it was there at that moment.
//!    If not, the goroutine has dropped it before. `HANDLE` never comes back.
//! 3. `waiter` is written by the handle, without `WAITING`; it is read by the goroutine, with a hold,
//!    after `DONE` was added to `WAITING`. There is at most one waiter at a time.

use crate::sync::{AtomicU64, Ordering, UnsafeCell};

const WAITING: u64 = 1;
const DONE: u64 = 2;
const HANDLE: u64 = 4;
const HOLD: u64 = 8;

/// See the module's documentation. `W` names the waiter.
#[derive(Debug)]
pub(crate) struct Life<W> {
    state: AtomicU64,
    waiter: UnsafeCell<Option<W>>,
}

// SAFETY: `waiter` is passed from one thread to another by the state (invariant 3).
unsafe impl<W: Send> Send for Life<W> {}
// SAFETY: as above.
unsafe impl<W: Send> Sync for Life<W> {}

/// What remains to be done after the goroutine has ended.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ended<W> {
    /// Whom to wake.
    pub(crate) waiter: Option<W>,
    /// Whether the memory is to be freed.
    pub(crate) last: bool,
}

impl<W: Copy> Life<W> {
    /// Of a goroutine and its handle.
    pub(crate) fn new() -> Self {
        Life {
            state: AtomicU64::new(HANDLE + 2 * HOLD),
            waiter: UnsafeCell::new(None),
        }
    }

    /// Whether the goroutine has ended. What it did before is visible then.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) & DONE != 0
    }

    /// Handle: says who waits. False if the goroutine has ended, and nobody needs to wait.
    ///
    /// # Safety
    /// The caller is the one waiter, and is not registered.
    #[must_use]
    pub(crate) unsafe fn subscribe(&self, waiter: W) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        if state & DONE != 0 {
            return false;
        }
        // SAFETY: without WAITING the waiter alone touches it (invariant 3).
        self.waiter.with_mut(|w| unsafe { *w = Some(waiter) });
        while state & DONE == 0 {
            // Release: the goroutine sees `waiter`. Acquire: if it has ended, we see what it did.
            let exchanged = self.state.compare_exchange_weak(
                state,
                state | WAITING,
                Ordering::Release,
                Ordering::Acquire,
            );
            match exchanged {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Handle: takes the registration back. False if the goroutine has ended, and may be about to
    /// claim the waiter.
    #[must_use]
    pub(crate) fn unsubscribe(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state & DONE == 0 {
            let exchanged = self.state.compare_exchange_weak(
                state,
                state & !WAITING,
                Ordering::Relaxed,
                Ordering::Acquire,
            );
            match exchanged {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Goroutine: it has ended and left its result, and gives up its hold. `unwanted` drops the
    /// result, and is called, once at most, if there is no handle.
    #[inline]
    pub(crate) fn finish(&self, mut unwanted: impl FnMut()) -> Ended<W> {
        let mut dropped = false;
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & HANDLE == 0 && !dropped {
                unwanted();
                dropped = true;
                state = self.state.load(Ordering::Relaxed);
            }
            // Whoever waits has to be read before the hold is given up.
            let waited_for = state & WAITING != 0;
            let next = state + DONE - if waited_for { 0 } else { HOLD };
            // Release: the result is there for whoever sees DONE, and we are done with the memory.
            // Acquire: we see `waiter`; if we are the last, what others did with the memory.
            let exchanged =
                self.state
                    .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed);
            match exchanged {
                Err(now) => state = now,
                Ok(_) if waited_for => {
                    // SAFETY: the waiter wrote it before WAITING, and leaves it alone from then on.
                    let waiter = self.waiter.with(|w| unsafe { *w });
                    let last = self.drop_hold();
                    return Ended { waiter, last };
                }
                Ok(_) => {
                    let last = next < HOLD;
                    return Ended { waiter: None, last };
                }
            }
        }
    }

    /// Handle: gives up its hold. `take` moves the result out, and is called if it is the handle's.
    /// True if the memory is to be freed.
    #[inline]
    #[must_use]
    pub(crate) fn drop_handle(&self, take: impl FnOnce()) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state & DONE == 0 {
            // Release: we are done with the memory. Acquire: as above.
            let exchanged = self.state.compare_exchange_weak(
                state,
                state - HANDLE - HOLD,
                Ordering::Release,
                Ordering::Acquire,
            );
            match exchanged {
                // The goroutine has its hold still.
                Ok(_) => return false,
                Err(now) => state = now,
            }
        }
        take();
        // Nobody else has a hold, and nobody can get one: others get theirs from one that they have.
        // What was done under the others was seen with the load (Acquire), for each gave up its hold
        // by a read-modify-write that released it.
        if state & !WAITING == DONE + HANDLE + HOLD {
            return true;
        }
        self.drop_hold()
    }

    /// Whoever has a hold: makes another one.
    pub(crate) fn hold(&self) {
        // Relaxed: who has a hold keeps the memory until this is done. There is no room in memory for
        // as many names as would overflow.
        self.state.fetch_add(HOLD, Ordering::Relaxed);
    }

    /// Gives up a hold. True if the memory is to be freed.
    #[must_use]
    pub(crate) fn drop_hold(&self) -> bool {
        // Release: we are done with the memory. Acquire: if we are the last, so are all others.
        self.state.fetch_sub(HOLD, Ordering::AcqRel) < 2 * HOLD
    }
}
