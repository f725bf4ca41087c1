//! The token of `goroutine::park` and `unpark`, as in `std::thread`, in type-stable memory.
//!
//! A `Goroutine` handle may outlive its goroutine, and the slot may be in use by another by then.
//! So the word carries the goroutine's id, which is never reused, beside the state:
//!
//! | bits   | meaning                          |
//! |--------|----------------------------------|
//! | 63..=2 | id of the goroutine, 0 for none  |
//! | 1..=0  | `EMPTY`, `NOTIFIED` or `PARKED`  |
//!
//! # Invariants
//!
//! 1. `EMPTY -> NOTIFIED` and `PARKED -> NOTIFIED` by any thread that has the right id;
//!    `EMPTY -> PARKED` and `* -> EMPTY` by the goroutine alone (the former on its behalf).
//! 2. While the word says `PARKED`, `number` is that of the wait to claim, or the wait is over.
//!    `number` only ever names waits of `park`, so that a claim that comes late is at worst a spurious
//!    return from `park`; and it only grows, since a `publish` may come late as well. Only in a free
//!    slot does it fall back to 0, which claims nothing: the waits of the next goroutine there have
//!    greater numbers than all before (`wait_word.rs`), so that a late `publish` still hides none.
//! 3. All zeroes is the token of no goroutine: ids begin at 1.

use crate::sync::{AtomicU64, Ordering};

const EMPTY: u64 = 0;
const NOTIFIED: u64 = 1;
const PARKED: u64 = 2;
const STATE: u64 = 3;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ParkToken {
    word: AtomicU64,
    /// Written by the goroutine's machine before `PARKED`, read by whoever has notified it.
    number: AtomicU64,
}

impl ParkToken {
    /// The token of a goroutine's first moment is zeroed memory.
    #[allow(dead_code)] // for the models
    pub(crate) fn new() -> Self {
        ParkToken {
            word: AtomicU64::new(EMPTY),
            number: AtomicU64::new(0),
        }
    }

    /// A goroutine with this id begins.
    pub(crate) fn begin(&self, id: u64) {
        self.word.store((id << 2) | EMPTY, Ordering::Release);
    }

    /// It has ended: every later `unpark` has no effect.
    pub(crate) fn retire(&self) {
        self.word.store(EMPTY, Ordering::Release);
    }

    /// Makes the token all zeroes, before its memory is given back. By the owner of a free slot.
    pub(crate) fn forget(&self) {
        // A stale `publish` may come at the same time, or later: then the number is not 0 but one
        // that nobody has any more. So the memory is never relied upon to be zero here.
        // (An exchange, for the models: loom leaves a store unordered with that `publish`.)
        self.number.swap(0, Ordering::Relaxed);
    }

    /// Goroutine only: takes the token if there is one.
    #[must_use]
    pub(crate) fn consume(&self, id: u64) -> bool {
        let word = self.word.load(Ordering::Acquire);
        if word != (id << 2) | NOTIFIED {
            return false;
        }
        // Nobody but the goroutine leaves NOTIFIED. A read-modify-write, not a store: it reads the
        // last `unpark`, and so synchronises with it even if it came after the load.
        self.word.fetch_and(!STATE, Ordering::Acquire);
        true
    }

    /// On behalf of the parked goroutine, in wait `number`: false if the token came first.
    #[must_use]
    pub(crate) fn publish(&self, id: u64, number: u64) -> bool {
        // Not a store: this may run late, for a wait that has timed out, when a later park has been
        // published already, of the next goroutine in the slot even. Numbers of one word only grow.
        self.number.fetch_max(number, Ordering::Relaxed);
        // Release: `number` is there for whoever sees PARKED.
        self.word
            .compare_exchange(
                (id << 2) | EMPTY,
                (id << 2) | PARKED,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Goroutine only, after the wait: back to `EMPTY`, taking the token if it came.
    pub(crate) fn leave(&self) {
        // Acquire: pairs with the release of `notify`.
        self.word.fetch_and(!STATE, Ordering::Acquire);
    }

    /// Anyone: leaves the token. `Some(number)`: the goroutine is parked, and the wait to claim.
    #[must_use]
    pub(crate) fn notify(&self, id: u64) -> Option<u64> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word >> 2 != id {
                return None;
            }
            // Also for NOTIFIED: what this caller did must be visible after the park it ends.
            let notified = (id << 2) | NOTIFIED;
            match self.word.compare_exchange_weak(
                word,
                notified,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                // Read only now: invariant 2 holds for the word just replaced, or a later park.
                Ok(_) if word & STATE == PARKED => {
                    return Some(self.number.load(Ordering::Relaxed));
                }
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
    }
}
