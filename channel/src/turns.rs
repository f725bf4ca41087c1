//! Turns: whether the threads that want one channel all the time had better take turns, found by trying.
//!
//! Two cores that use one channel at once have its cache lines go to and fro. If they do nothing else, that
//! takes several times as long as on one core: then it is better that each has the channel to itself
//! for some microseconds, a *tenure*, while the other waits. If they compute between two operations, be it for
//! a hundred nanoseconds, it is better not to wait. No single look tells the two apart. So where
//! a channel is fought over, its values are counted for a while without turns, then with them, and the
//! better way holds for a time, and for twice that time if it proves the better one again.
//!
//! # Invariants
//!
//! 1. The book is touched under the channel's lock only.
//! 2. `until` says something about time alone: whoever reads an old one waits in vain, for a tenure at the
//!    most, or does not wait.

use std::cell::UnsafeCell;

use crate::sync::{AtomicU64, Ordering};

/// How long a tenant at work is left alone, in nanoseconds: a multiple of what it takes to move some lines
/// from core to core.
const TENURE: u64 = 2_000;
/// How long a way is tried, in nanoseconds.
const TRIAL: u64 = 50_000;
/// A trial that took longer than this was hardly a fight, in nanoseconds.
const SLOW: u64 = 20 * TRIAL;
/// Fewer values in a trial are not worth a second one.
const FEW: u32 = 100;
/// How long the better way holds, at first and at most, in nanoseconds.
const HOLDS: u64 = 1_000_000;
const HOLDS_AT_MOST: u64 = 64_000_000;

/// Values are counted modulo this, a power of two: more than are sent in a trial.
pub(crate) const MODULUS: u32 = 1 << 26;

/// What is being done about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The way that was found the better one is used until then, with or without turns.
    Holds(u64),
    /// Values are counted without turns.
    TriesWithout,
    /// Values are counted with turns; so many nanoseconds were taken for so many before.
    TriesWith(u64, u32),
}

/// What is known of a channel.
#[derive(Debug)]
struct Book {
    phase: Phase,
    /// When the trial began, and the count of values then.
    began: u64,
    first: u32,
    /// How long the next better way holds.
    holds: u64,
    /// Whether turns were found better the last time.
    better: bool,
    /// The count of values that was noted last.
    noted: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Turns {
    /// When the tenure ends; 0 where no turns are taken. Written under the lock.
    until: AtomicU64,
    book: UnsafeCell<Book>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Turns {
            until: AtomicU64::new(0),
            book: UnsafeCell::new(Book::new()),
        }
    }

    /// Until when the tenant is to be left alone, if it works; 0 if it is not.
    #[inline]
    pub(crate) fn until(&self) -> u64 {
        // Relaxed: says nothing about other memory (2).
        self.until.load(Ordering::Relaxed)
    }

    /// The lock has a new tenant; so many values were sent so far, modulo [`MODULUS`]. Reads the clock, but
    /// where no turns are taken and nothing was sent since the last time.
    ///
    /// # Safety
    /// The lock is held.
    pub(crate) unsafe fn note(&self, now: impl FnOnce() -> u64, sent: u32) {
        // SAFETY: the lock is held (1).
        let book = unsafe { &mut *self.book.get() };
        let taken = self.until() != 0;
        if std::mem::replace(&mut book.noted, sent) == sent && !taken {
            return;
        }
        let now = now();
        let turns = book.note(now, sent, taken);
        let until = if turns { now + TENURE } else { 0 };
        if until != self.until() {
            self.until.store(until, Ordering::Relaxed);
        }
    }
}

impl Book {
    fn new() -> Self {
        Book {
            phase: Phase::Holds(0),
            began: 0,
            first: 0,
            holds: HOLDS,
            better: false,
            noted: MODULUS,
        }
    }

    /// Whether turns are to be taken from now on.
    fn note(&mut self, now: u64, sent: u32, turns: bool) -> bool {
        let took = now.saturating_sub(self.began);
        let count = sent.wrapping_sub(self.first) % MODULUS;
        match self.phase {
            Phase::Holds(until) => {
                if now < until {
                    return turns;
                }
                self.begin(Phase::TriesWithout, now, sent);
                false
            }
            _ if took < TRIAL => turns,
            // Nobody has fought for a while: what was counted says nothing.
            _ if took > SLOW => self.hold(false, now),
            Phase::TriesWithout => {
                if count < FEW {
                    return self.hold(false, now);
                }
                self.begin(Phase::TriesWith(took, count), now, sent);
                true
            }
            Phase::TriesWith(before, counted) => {
                // A quarter more values a second.
                let with = u128::from(count) * u128::from(before) * 4;
                let without = u128::from(counted) * u128::from(took) * 5;
                self.hold(with > without, now)
            }
        }
    }

    fn begin(&mut self, phase: Phase, now: u64, sent: u32) {
        self.phase = phase;
        self.began = now;
        self.first = sent;
    }

    fn hold(&mut self, better: bool, now: u64) -> bool {
        self.holds = if better == self.better {
            (2 * self.holds).min(HOLDS_AT_MOST)
        } else {
            HOLDS
        };
        self.better = better;
        self.phase = Phase::Holds(now + self.holds);
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A channel that is fought over, and the time there.
    struct Fight {
        book: Book,
        now: u64,
        sent: u32,
        turns: bool,
    }

    impl Fight {
        fn new() -> Self {
            Fight {
                book: Book::new(),
                now: 1,
                sent: MODULUS - 5,
                turns: false,
            }
        }

        /// For `span` nanoseconds a value takes so many without turns, and so many with them; the channel
        /// changes hands after each value, or after each tenure. For how much of it turns were taken.
        fn go_on(&mut self, without: u64, with: u64, span: u64) -> f64 {
            let (end, mut taken) = (self.now + span, 0);
            while self.now < end {
                let (took, values) = if self.turns {
                    taken += TENURE;
                    (TENURE, TENURE / with)
                } else {
                    (without, 1)
                };
                self.now += took;
                self.sent = (self.sent + values as u32) % MODULUS;
                self.turns = self.book.note(self.now, self.sent, self.turns);
            }
            taken as f64 / span as f64
        }
    }

    #[test]
    fn turns_are_taken_where_they_move_more() {
        let share = Fight::new().go_on(20, 5, SECOND);
        assert!(share > 0.99, "{share}");
    }

    #[test]
    fn no_turns_are_taken_where_they_move_less_or_hardly_more() {
        for (without, with) in [(60, 110), (100, 100), (100, 85)] {
            let share = Fight::new().go_on(without, with, SECOND);
            assert!(share < 0.01, "{without} to {with}: {share}");
        }
    }

    #[test]
    fn a_change_is_noticed() {
        let mut fight = Fight::new();
        assert!(fight.go_on(20, 5, SECOND) > 0.99);
        let share = fight.go_on(60, 110, SECOND);
        assert!(share < 0.1, "{share}");
        let share = fight.go_on(20, 5, SECOND);
        assert!(share > 0.9, "{share}");
    }

    #[test]
    fn a_channel_that_seldom_changes_hands_is_not_fought_over() {
        let mut book = Book::new();
        for n in 1..10_000 {
            assert!(!book.note(u64::from(n) * 2 * TRIAL, n, false));
        }
    }

    #[test]
    fn a_trial_that_nobody_ends_is_no_trial() {
        let mut fight = Fight::new();
        while !fight.turns {
            fight.go_on(20, 5, TRIAL / 10);
        }
        // One sends alone for long, and without changing hands.
        fight.now += SECOND;
        fight.sent = (fight.sent + 100_000_000) % MODULUS;
        assert!(!fight.book.note(fight.now, fight.sent, true));
    }
}
