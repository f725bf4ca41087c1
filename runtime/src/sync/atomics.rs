//! The atomics, the watched cell and the back-off that the pure protocols of this module are
//! written against.
//!
//! A protocol file names `super::atomics` and `super::task` and nothing else that synchronises. Here
//! the names mean std's types. The models (`tests/models.rs`) include the same files into a crate
//! of their own, where they mean loom's: what is modelled is what ships, and no dependency is built
//! with a `cfg` flag.

pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Declares a `const fn`; in the models an ordinary one, for loom's types have no `const`
/// constructors.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}
pub(super) use const_fn;

/// `std::cell::UnsafeCell` with loom's interface.
#[derive(Debug)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer for reading and writing.
    #[inline(always)]
    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// One step of waiting for a line's lock, whose holder is inside a few dozen instructions.
///
/// First spin, since the holder most likely runs on another core; then give the core away, since it
/// may have been preempted; then sleep, since even that may not let it run (a holder of lower
/// real-time priority). Touches no thread-local, so it may run on a goroutine (hazard H1).
pub(super) fn pause(step: u32) {
    const SPINS: u32 = 6;
    const YIELDS: u32 = 24;
    if step < SPINS {
        for _ in 0..1 << step {
            std::hint::spin_loop();
        }
    } else if step < YIELDS {
        std::thread::yield_now();
    } else {
        let doublings = (step - YIELDS).min(5);
        std::thread::sleep(std::time::Duration::from_micros(20 << doublings));
    }
}
