//! The mark that a panic leaves on what its task had locked.
//!
//! `std::thread::panicking` is called here, which may look into a thread-local. That is allowed on
//! goroutines, even in functions that go on to wait (hazard H1): unless some thread panics just now,
//! it looks at a process-wide atomic alone, and what it does otherwise is a call that is never
//! inlined, so that no address is remembered over a wait. And a goroutine that is unwinding stays
//! on its thread (H5), so the answer is about the goroutine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError};

/// One per lock. Written by guards, which own the lock, and by `clear_poison`.
#[derive(Debug)]
pub(super) struct Poison(AtomicBool);

/// Whether the task was unwinding already when it locked: then its panic is not about what it does
/// under the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unwinding(bool);

impl Poison {
    pub(super) const fn new() -> Self {
        Poison(AtomicBool::new(false))
    }

    /// Called when a lock has been taken.
    #[inline]
    pub(super) fn enter(&self) -> Unwinding {
        Unwinding(std::thread::panicking())
    }

    /// Called before the lock is let go.
    #[inline]
    pub(super) fn leave(&self, before: Unwinding) {
        if !before.0 && std::thread::panicking() {
            // Relaxed, here and below: the lock orders.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// `value`, as an error if the mark is there.
    #[inline]
    pub(super) fn wrap<T>(&self, value: T) -> LockResult<T> {
        if self.get() {
            Err(PoisonError::new(value))
        } else {
            Ok(value)
        }
    }
}
