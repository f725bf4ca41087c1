//! Coming home: a goroutine that is bound to one machine is readied there, asleep or awake.
//!
//! A machine has a queue of its own, its *home queue*, for the goroutines that may run nowhere
//! else: all that it has begun, in a pinned runtime, or the one that has locked its thread. No
//! thief looks there. The danger is the usual one: somebody puts a goroutine there and finds the
//! machine awake, while the machine finds the queue empty and lies down.
//!
//! *Ready at home:*
//! - H1 push the goroutine on the home queue
//! - H2 fence
//! - H3 read whether the machine rests
//! - H4 if so, call it: put it in line and say by a flag that there is a line, under the lock of the
//!   park lot; then see to it that an idle processor comes to the line (H5 and H6 of `idle.rs`)
//!
//! *Lie down*, without a processor:
//! - N1 say that it rests
//! - N2 fence
//! - N3 look at the home queue: if there is something, call itself (H4 to H6), and sleep until there
//!   is a processor
//!
//! Of H2 and N2 one comes first. If it is H2, N3 sees the goroutine. If it is N2, H3 sees that the
//! machine rests. The machine that was called is first in line for a processor, before all work
//! that anybody may do: an idle one, or the one of a machine that has had its turn.
//!
//! | state     | meaning                                                              |
//! |-----------|----------------------------------------------------------------------|
//! | `AWAKE`   | it has a processor, or runs a goroutine without: it will look by itself |
//! | `RESTING` | it sleeps, or is about to, and has nothing to do at home                 |
//! | `WANTING` | it sleeps, was called, and stands in line for a processor               |
//!
//! # Invariants
//!
//! 1. The state changes under the lock of the park lot only. It is read by anyone.
//! 2. A machine is in the line exactly while its state is `WANTING`.

use crate::sync::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const RESTING: u32 = 1;
const WANTING: u32 = 2;

/// Whether a machine would look at its home queue by itself. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Rest(AtomicU32);

impl Rest {
    /// Of a machine that is awake.
    pub(crate) fn new() -> Self {
        Rest(AtomicU32::new(AWAKE))
    }

    /// N1 and N2; N3 follows. Under the lock.
    pub(crate) fn lie_down(&self) {
        // N1.
        self.0.store(RESTING, Ordering::Relaxed);
        // N2: partner H2.
        fence(Ordering::SeqCst);
    }

    /// It is awake again, or has been given a processor and will be. Under the lock. True if it
    /// stood in line.
    pub(crate) fn get_up(&self) -> bool {
        let wanted = self.0.load(Ordering::Relaxed) == WANTING;
        self.0.store(AWAKE, Ordering::Relaxed);
        wanted
    }

    /// H2 and H3, after H1: whether somebody has to call it.
    #[inline]
    #[must_use]
    pub(crate) fn must_be_called(&self) -> bool {
        // H2: partner N2.
        fence(Ordering::SeqCst);
        // H3.
        self.0.load(Ordering::Relaxed) == RESTING
    }

    /// H4, under the lock. True for the one caller who has to put it in line.
    #[must_use]
    pub(crate) fn call(&self) -> bool {
        let rests = self.0.load(Ordering::Relaxed) == RESTING;
        if rests {
            self.0.store(WANTING, Ordering::Relaxed);
        }
        rests
    }
}
