//! The atomics, cells, locks and queues that the pure protocols are written against.
//!
//! A pure protocol file names `crate::sync` and nothing else that synchronises. In this crate the
//! names mean std's types; the model tests include the same source files into a crate of their own
//! whose `sync` module means loom's (see `tests/models.rs`). So what is modelled is what ships,
//! and no `cfg` flag has to be passed to any dependency.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use crossbeam_deque::{Injector, Steal, Worker};

/// Null pointers, in memory that the system gives zeroed, and only when it is touched.
pub(crate) fn null_pointers<T, const N: usize>() -> Box<[AtomicPtr<T>; N]> {
    let zeroed = Box::<[AtomicPtr<T>; N]>::new_zeroed();
    // SAFETY: a null pointer is all zeroes.
    unsafe { zeroed.assume_init() }
}

/// `std::cell::UnsafeCell` with loom's interface.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer for reading.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer for writing.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
