//! Waits, time and spinning, under the one name that the pure protocols of this module use for them.
//!
//! The models put their own in its place, see [`atomics`](super::atomics).

use std::time::{Duration, Instant};

pub(super) use marmot_scheduler::wait::Parked;
pub(super) use marmot_scheduler::wait::{Outcome, Publish, Reason, Ticket, Wait, Why};

/// How long a task may be passed over before it is starved.
const PATIENCE: Duration = Duration::from_millis(1);

/// When a task began to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since(Instant);

impl Since {
    pub(super) fn now() -> Self {
        Since(Instant::now())
    }

    /// Whether that is so long ago that the task is starved.
    pub(super) fn is_long(self) -> bool {
        self.0.elapsed() > PATIENCE
    }
}

/// Spins for an object that a task on another core may be about to let go of.
#[derive(Debug)]
pub(super) struct Spin(u32);

impl Spin {
    /// How often to look again, and how many pauses lie between two looks: some microseconds in all,
    /// less than a thread's way to sleep and back.
    const LOOKS: u32 = 4;
    const PAUSES: u32 = 16;

    /// None at all for a goroutine that has no processor beside its own: whoever holds the object
    /// cannot be running.
    #[inline]
    pub(super) fn new() -> Self {
        let alone = marmot_scheduler::wait::on_goroutine() && marmot_scheduler::max_procs() == 1;
        Spin(if alone { 0 } else { Self::LOOKS })
    }

    /// Whether to look again before waiting.
    #[inline]
    pub(super) fn more(&self) -> bool {
        self.0 > 0
    }

    /// One round.
    #[inline]
    pub(super) fn turn(&mut self) {
        self.0 -= 1;
        for _ in 0..Self::PAUSES {
            std::hint::spin_loop();
        }
    }
}
