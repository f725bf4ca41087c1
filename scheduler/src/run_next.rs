//! The `runnext` slot: the goroutine that its processor runs next, ahead of the queue.
//!
//! A hand-off between two goroutines on one processor goes through this slot, so it costs two
//! switches and no queue. It inherits the time slice of the one that readied it. Whoever is readied
//! takes the slot, and who was in it queues up; but one that was only let go, having handed something
//! over, queues up itself.
//!
//! # Invariants
//!
//! 1. Only the owner puts a goroutine in. Thieves only take out. So the owner may fill an empty
//!    slot with a plain store: nobody else can have filled it meanwhile.
//! 2. A pointer in the slot is the right to run that goroutine; whoever takes it out by
//!    read-modify-write has that right, alone.

use std::ptr::NonNull;

use crate::sync::{AtomicPtr, Ordering};

/// See the module's documentation.
pub(crate) struct RunNext<T>(AtomicPtr<T>);

impl<T> RunNext<T> {
    pub(crate) fn new() -> Self {
        RunNext(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Owner: puts `next` in and gives back what it displaces.
    #[inline]
    pub(crate) fn put(&self, next: NonNull<T>) -> Option<NonNull<T>> {
        // Relaxed: if it is null it stays null but for us (invariant 1).
        if self.0.load(Ordering::Relaxed).is_null() {
            // Release: a thief sees the goroutine's state.
            self.0.store(next.as_ptr(), Ordering::Release);
            return None;
        }
        NonNull::new(self.0.swap(next.as_ptr(), Ordering::AcqRel))
    }

    /// Owner or thief: takes it out.
    #[inline]
    pub(crate) fn take(&self) -> Option<NonNull<T>> {
        if self.0.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // Acquire: pairs with `put`.
        NonNull::new(self.0.swap(std::ptr::null_mut(), Ordering::Acquire))
    }

    /// Whether there is something in it (a snapshot).
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }
}

impl<T> std::fmt::Debug for RunNext<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunNext")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}
