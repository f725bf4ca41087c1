//! The atomics, locks and cells that the pure protocols are written against.
//!
//! A pure protocol file names `crate::sync` and nothing else that synchronises. Here the names mean
//! std's types; `tests/models.rs` includes the same source files into a crate whose `sync` module
//! means loom's. So what is modelled is what ships.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// A cell that hands out raw pointers for the length of a closure: loom's shape of
/// [`std::cell::UnsafeCell`], which lets the model see each access.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Runs `f` on the content. Whether `f` may follow the pointer is for the caller to know.
    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
