//! Completion: one event that happens once, and the one task that may wait for it.
//!
//! | state     | meaning                                          |
//! |-----------|--------------------------------------------------|
//! | `PENDING` | it has not happened, nobody waits                |
//! | `WAITING` | it has not happened, `waiter` holds who waits    |
//! | `DONE`    | it has happened                                  |
//!
//! # Invariants
//!
//! 1. `waiter` is written by the waiter in `PENDING`, before it says `WAITING`; it is read by the
//!    completer, after it has replaced `WAITING` by `DONE`.
//! 2. There is at most one waiter at a time, and one completer ever.

use crate::sync::{AtomicU32, Ordering, UnsafeCell};

const PENDING: u32 = 0;
const WAITING: u32 = 1;
const DONE: u32 = 2;

/// See the module's documentation. `W` names the waiter.
#[derive(Debug)]
pub(crate) struct Completion<W> {
    state: AtomicU32,
    waiter: UnsafeCell<Option<W>>,
}

// SAFETY: `waiter` is passed from one thread to another by the state (invariant 1).
unsafe impl<W: Send> Send for Completion<W> {}
// SAFETY: as above.
unsafe impl<W: Send> Sync for Completion<W> {}

impl<W: Copy> Completion<W> {
    pub(crate) fn new() -> Self {
        Completion {
            state: AtomicU32::new(PENDING),
            waiter: UnsafeCell::new(None),
        }
    }

    /// Whether it has happened. What the completer did before is visible then.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Says who waits. False if it has happened already, and nobody needs to wait.
    ///
    /// # Safety
    /// The caller is the one waiter, and is not registered.
    #[must_use]
    pub(crate) unsafe fn subscribe(&self, waiter: W) -> bool {
        if self.is_done() {
            return false;
        }
        // SAFETY: in PENDING the waiter alone touches it (invariant 1).
        self.waiter.with_mut(|w| unsafe { *w = Some(waiter) });
        // Release: the completer sees `waiter`. Acquire: if it is done, we see what was done.
        self.state
            .compare_exchange(PENDING, WAITING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes the registration back. False if it has happened, and the completer may be about to
    /// claim the waiter.
    #[must_use]
    pub(crate) fn unsubscribe(&self) -> bool {
        self.state
            .compare_exchange(WAITING, PENDING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// It has happened: whom to wake, if anybody waits. To be called once.
    #[must_use]
    pub(crate) fn complete(&self) -> Option<W> {
        // Release: what was done is visible to whoever sees DONE. Acquire: we see `waiter`.
        match self.state.swap(DONE, Ordering::AcqRel) {
            // SAFETY: the waiter wrote it before WAITING and leaves it alone from then on.
            WAITING => self.waiter.with(|w| unsafe { *w }),
            _ => None,
        }
    }
}
