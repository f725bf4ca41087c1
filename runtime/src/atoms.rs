//! The atomics, the back-off and the waiting that the protocols of `sync` are written against.
//!
//! In this crate the names mean std's types and the scheduler's waits. The models
//! (`tests/models_more.rs`) include the protocol files into a crate of their own, whose `atoms` means
//! loom's: what is modelled is what ships.

pub(crate) use marmot_scheduler::wait::{Outcome, Parked, Publish, Reason, Ticket, Wait, Why};
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How many waiters are woken before others get the lock.
pub(crate) const BATCH: usize = 32;

/// One step of waiting for a lock whose holder is inside a few dozen instructions: spin, then give
/// the core away, then sleep, since the holder may have been preempted by whoever spins. Touches no
/// thread-local, so it may run on a goroutine (hazard H1).
#[cold]
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
