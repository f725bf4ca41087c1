//! A value that signal handlers may read: replaced as a whole, and freed when no reader is left.
//!
//! # Invariants
//!
//! 1. A reader counts itself in before it loads the pointer, and out when it has done with it.
//! 2. A writer swaps the pointer first, and frees the former value when it has seen no reader once.
//!    All accesses to the count are read-modify-writes, so one of two comes first: the reader's, which
//!    the writer then sees; or the writer's, and then the reader sees the new pointer.
//! 3. Writers exclude each other, by a lock of the caller's. A reader never waits, so it may interrupt
//!    whom it likes, a writer on the same thread among them.

use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// See the module's documentation. Leaks its last value.
#[derive(Debug)]
pub(crate) struct Published<T> {
    /// From `Box`. Written by writers.
    current: AtomicPtr<T>,
    /// Readers at work. Written by them, and (adding nothing) by writers.
    readers: AtomicUsize,
}

impl<T> Published<T> {
    pub(crate) fn new(value: T) -> Self {
        Published {
            current: AtomicPtr::new(Box::into_raw(Box::new(value))),
            readers: AtomicUsize::new(0),
        }
    }

    /// Reads the value. Safe in a signal handler, if `f` is: neither waits nor allocates.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        // AcqRel: invariant 2; pairs with `replace`.
        self.readers.fetch_add(1, Ordering::AcqRel);
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: the pointer is from a box, and invariant 2 keeps it while we are counted.
        let result = f(unsafe { &*current });
        // Release: what we have read is read before a writer sees us gone.
        self.readers.fetch_sub(1, Ordering::Release);
        result
    }

    /// Replaces the value and frees the former one, waiting for its last reader with `pause`. Only
    /// by one thread at a time.
    pub(crate) fn replace(&self, value: T, mut pause: impl FnMut()) {
        let new = Box::into_raw(Box::new(value));
        // AcqRel: readers see the new value whole.
        let old = self.current.swap(new, Ordering::AcqRel);
        while self.readers.fetch_add(0, Ordering::AcqRel) != 0 {
            pause();
        }
        // SAFETY: from a box, no longer reachable, and no reader has it (invariant 2).
        drop(unsafe { Box::from_raw(old) });
    }
}
