//! The atomics and the back-off that the pure protocols are written against.
//!
//! In this crate the names mean std's types. The models (`tests/models.rs`) include the protocol
//! files into a crate of their own, whose `sync` module means loom's: what is modelled is what
//! ships, and no dependency is built with a `cfg` flag.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

pub(crate) use crate::tag::Tag;

/// The rank of a lock among those that are taken together: its address. (The models give ranks of
/// their own, for addresses differ from run to run.) Never zero.
#[inline]
pub(crate) fn rank<T>(lock: &T) -> usize {
    std::ptr::from_ref(lock).addr()
}

/// One step of waiting for a lock whose holder is inside a few dozen instructions.
///
/// First spin, since the holder most likely runs on another core; then give the core away, since
/// it may have been preempted; then sleep, since even that may not let it run (a holder of lower
/// real-time priority). Touches no thread-local, so it may run on a goroutine (hazard H1).
pub(crate) fn pause(step: u32) {
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

/// Nanoseconds of a clock that never goes back, from a moment on that is the same for all.
#[inline]
pub(crate) fn now() -> u64 {
    marmot_scheduler::wait::now()
}

/// Waits until [`now`] says `until`, without giving the core away: it is microseconds. What it says then.
pub(crate) fn spin_until(until: u64) -> u64 {
    loop {
        let now = now();
        if now >= until {
            return now;
        }
        std::hint::spin_loop();
    }
}
