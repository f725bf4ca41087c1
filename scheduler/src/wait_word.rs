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
//! | 1..=0  | phase: the outcome it was claimed with, or `OPEN`              |
//!
//! All zeroes is a word on which no wait was ever opened. The memory of a goroutine's word is given
//! back to the system while its slot is free, whereupon it reads as zeroes, and is taken again later:
//! [`forget`](WaitWord::forget) goes before the one, [`resume`](WaitWord::resume) after the other.
//!
//! # Invariants
//!
//! 1. Only the waiter opens, and only while no wait of its own is open.
//! 2. For one number the phase goes `OPEN -> outcome`, once.
//! 3. Numbers never repeat on one word: at one wait per nanosecond 62 bits last 146 years. A word
//!    that forgets its number first raises a mark that all words share, and goes on above it; the
//!    mark is at most the number of waits that there ever were, so the 146 years stand.
//! 4. Whoever claims sees all that the waiter did before it opened (`open` releases, `claim`
//!    acquires), and the waiter, once it runs again, sees all that the claimer did before it made
//!    it run (the hand-over of the waiter itself is that edge: a run queue, or a futex word).
//! 5. A word that is all zeroes cannot be claimed, whatever the number, 0 included. So between
//!    `forget` and `resume` a stale claim fails, be it before or after the memory was zeroed; a
//!    failed claim writes nothing, so it matters not in which order it and `resume` come.
//!
//! # Rejected
//!
//! A word per wait, on the waiter's stack: then a timer or a poller that comes late touches a
//! frame that is gone, so each of them has to be cancelled synchronously on every wake-up. With
//! the word in type-stable memory a stale claim is one failed compare-and-swap.
//!
//! Keeping the numbers of trimmed words in a table beside: 8 bytes for each slot, for ever, and one
//! more thing to look up. Looking before the compare-and-swap, so that a stale claim does not make
//! the system put a page under a word that was given back: the line would travel twice for every
//! claim, to save a page for each ticket that is as stale as that.

use crate::sync::{AtomicU64, Ordering};

const PHASE_BITS: u32 = 2;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
const OPEN: u64 = 3;

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
            // 0, so that a zeroed word is one whose wait 0 has ended.
            Outcome::Ready => 0,
            Outcome::TimedOut => 1,
            Outcome::Cancelled => 2,
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
    /// A word on which no wait was ever opened: claims of any number fail. Zeroed memory is one.
    pub(crate) fn new() -> Self {
        // A wait 0 that has already ended; the first one opened is 1.
        WaitWord(AtomicU64::new(0))
    }

    /// Makes the word all zeroes, before its memory is given back, and sees to it that
    /// [`resume`](Self::resume) finds its number in `mark`. By the owner of a free slot, alone.
    pub(crate) fn forget(&self, mark: &AtomicU64) {
        // Relaxed, both: whoever resumes the word has been handed the slot since.
        let number = self.0.swap(0, Ordering::Relaxed) >> PHASE_BITS;
        mark.fetch_max(number, Ordering::Relaxed);
    }

    /// Goes on above every number that was forgotten, on this word or another. The memory reads as
    /// zeroes. By the owner of the slot, alone.
    pub(crate) fn resume(&self, mark: &AtomicU64) {
        let number = mark.load(Ordering::Relaxed);
        // An atomic store, for a stale claim may come at the same time. It fails before and after.
        self.0.store(
            (number << PHASE_BITS) | Outcome::Ready.phase(),
            Ordering::Relaxed,
        );
    }

    /// The number that the next [`open`](Self::open) will give. Waiter only.
    #[inline]
    pub(crate) fn next(&self) -> WaitNumber {
        // Relaxed: the waiter is the only one who changes the number.
        WaitNumber((self.0.load(Ordering::Relaxed) >> PHASE_BITS) + 1)
    }

    /// Opens the next wait. Waiter only, or whoever acts for it while it is off its stack.
    #[inline]
    pub(crate) fn open(&self) -> WaitNumber {
        let number = self.next();
        // Release: invariant 4. No read-modify-write, for nobody else writes while no wait is open.
        self.0
            .store((number.0 << PHASE_BITS) | OPEN, Ordering::Release);
        number
    }

    /// Tries to end wait `number` with `outcome`; true for exactly one caller per number.
    #[must_use]
    #[inline]
    pub(crate) fn claim(&self, number: WaitNumber, outcome: Outcome) -> bool {
        let open = (number.0 << PHASE_BITS) | OPEN;
        let ended = (number.0 << PHASE_BITS) | outcome.phase();
        // Acquire: invariant 4. Release: so that `outcome` read by the waiter is no earlier.
        self.0
            .compare_exchange(open, ended, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The outcome of the last wait. Waiter only, after it was made to run again.
    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        match self.0.load(Ordering::Acquire) & PHASE_MASK {
            0 => Outcome::Ready,
            phase => Self::rare_outcome(phase),
        }
    }

    /// Not inlined: of all four the compiler makes a table and a jump, to be predicted after a switch.
    #[cold]
    #[inline(never)]
    fn rare_outcome(phase: u64) -> Outcome {
        match phase {
            1 => Outcome::TimedOut,
            2 => Outcome::Cancelled,
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
