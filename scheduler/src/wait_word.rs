//! The wait word: the one atomic that decides how a wait ends.
//!
//! Every task that can wait (goroutine, OS thread) owns one wait word for life. A wait is a
//! numbered episode on it: the waiter *opens* the wait, anybody who holds its number may *claim*
//! it with an outcome, and exactly one claim succeeds. The winner thereby owns the right to make
//! the waiter run again; every other holder of the number, however late, has no effect at all.
//!
//! | bits   | meaning                                                       |
//! |--------|---------------------------------------------------------------|
//! | 63..=2 | number of the wait, counting up for as long as the word exists |
//! | 1..=0  | phase: `OPEN`, or the outcome it was claimed with              |
//!
//! # Invariants
//!
//! 1. Only the waiter opens, and only while no wait of its own is open.
//! 2. For one number the phase goes `OPEN -> outcome`, once.
//! 3. Numbers never repeat on one word: at one wait per nanosecond 62 bits last 146 years.
//! 4. Whoever claims sees all that the waiter did before it opened (`open` releases, `claim`
//!    acquires), and the waiter, once it runs again, sees all that the claimer did before it made
//!    it run (the hand-over of the waiter itself is that edge: a run queue, or a futex word).
//!
//! # Rejected
//!
//! A word per wait, on the waiter's stack: then a timer or a poller that comes late touches a
//! frame that is gone, so each of them has to be cancelled synchronously on every wake-up. With
//! the word in type-stable memory a stale claim is one failed compare-and-swap.

use crate::sync::{AtomicU64, Ordering};

const PHASE_BITS: u32 = 2;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
const OPEN: u64 = 0;

/// How a wait ended. The one who ends it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// What was waited for has happened.
    Ready,
    /// The deadline of the wait passed first.
    TimedOut,
    /// Somebody asked the waiter to give up.
    Cancelled,
}

impl Outcome {
    const fn phase(self) -> u64 {
        match self {
            Outcome::Ready => 1,
            Outcome::TimedOut => 2,
            Outcome::Cancelled => 3,
        }
    }
}

/// The number of one wait on one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitNumber(u64);

#[allow(dead_code)] // the models know one user of it
impl WaitNumber {
    /// For storing it in an atomic.
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }

    /// The inverse of [`as_u64`](Self::as_u64).
    pub(crate) fn from_u64(number: u64) -> Self {
        WaitNumber(number)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct WaitWord(AtomicU64);

impl WaitWord {
    /// A word on which no wait was ever opened: claims of any number fail.
    pub(crate) fn new() -> Self {
        // A wait 0 that has already ended; the first one opened is 1.
        WaitWord(AtomicU64::new(Outcome::Ready.phase()))
    }

    /// The number that the next [`open`](Self::open) will give. Waiter only.
    pub(crate) fn next(&self) -> WaitNumber {
        // Relaxed: the waiter is the only one who changes the number.
        WaitNumber((self.0.load(Ordering::Relaxed) >> PHASE_BITS) + 1)
    }

    /// Opens the next wait. Waiter only, or whoever acts for it while it is off its stack.
    pub(crate) fn open(&self) -> WaitNumber {
        let number = self.next();
        // Release: invariant 4. No read-modify-write, for nobody else writes while no wait is open.
        self.0
            .store((number.0 << PHASE_BITS) | OPEN, Ordering::Release);
        number
    }

    /// Tries to end wait `number` with `outcome`; true for exactly one caller per number.
    #[must_use]
    pub(crate) fn claim(&self, number: WaitNumber, outcome: Outcome) -> bool {
        let open = (number.0 << PHASE_BITS) | OPEN;
        let ended = (number.0 << PHASE_BITS) | outcome.phase();
        // Acquire: invariant 4. Release: so that `outcome` read by the waiter is no earlier.
        self.0
            .compare_exchange(open, ended, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The outcome of the last wait. Waiter only, after it was made to run again.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.0.load(Ordering::Acquire) & PHASE_MASK {
            1 => Outcome::Ready,
            2 => Outcome::TimedOut,
            3 => Outcome::Cancelled,
            _ => unreachable!("a task runs while its wait is open"),
        }
    }

    /// Whether a wait is open just now: a snapshot, for reports only.
    #[allow(dead_code)] // read by reports, not by the models
    pub(crate) fn is_open(&self) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word & PHASE_MASK == OPEN
    }
}
