//! Turns: whether the threads that want one channel all the time had better take turns, found by trying.
//!
//! Two cores that use one channel at once have its cache lines go to and fro. If they do nothing else, that
//! takes several times as long as on one core: then it is better that each has the channel to itself
//! for some microseconds, a *tenure*, while the other waits. If they compute between two operations, be it for
//! a hundred nanoseconds, it is better not to wait. No single look tells the two apart, nor how long turns should
//! be, which depends on how far the cores are from each other. So where a channel is fought over, its values
//! are counted for a while in each way, and the best one holds for a time, and for twice that time if it
//! proves the best again.
//!
//! # Invariants
//!
//! 1. The book is touched under the channel's lock only.
//! 2. `until` says something about time alone: whoever reads an old one waits in vain, for a tenure at the
//!    most, or does not wait.

use std::cell::UnsafeCell;

use crate::sync::{AtomicU64, Ordering};

/// The ways: for how long a tenant at work is left alone, in nanoseconds. Without turns; for a multiple of what it
/// takes to move some lines from core to core; and longer, for where that takes long, since the cores share no
/// cache.
const WAYS: [u64; 4] = [0, 2_000, 16_000, 64_000];
/// How long a way is tried, in nanoseconds.
const TRIAL: u64 = 50_000;
/// How long before that: what the way before has left behind, a thousand senders in line, say, is worked off.
const SETTLES: u64 = 100_000;
/// A trial that took longer than this was hardly a fight, in nanoseconds.
const SLOW: u64 = 20 * TRIAL;
/// Fewer values in a trial are not worth another one.
const FEW: u32 = 100;
/// How long the best way holds, at first and at most, in nanoseconds.
const HOLDS: u64 = 1_000_000;
const HOLDS_AT_MOST: u64 = 64_000_000;
/// Values are counted modulo this, a power of two: more than are sent in a trial.
pub(crate) const MODULUS: u32 = 1 << 26;

/// What is being done about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The best way is used until then.
    Holds(u64),
    /// A way is used to see what it is worth, but not counted yet.
    Settles,
    /// Its values are counted.
    Counts,
}

/// What is known of a channel.
#[derive(Debug)]
struct Book {
    phase: Phase,
    /// The way in use, as a position in `WAYS`.
    way: usize,
    /// What a value took in each way that was tried, in 1/1024 nanoseconds.
    took: [u64; WAYS.len()],
    /// When the phase began, and the count of values then.
    began: u64,
    first: u32,
    /// How long the next best way holds.
    holds: u64,
    /// The way that was the best the last time.
    best: usize,
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
        let until = match book.note(now, sent) {
            0 => 0,
            tenure => now + tenure,
        };
        if until != self.until() {
            self.until.store(until, Ordering::Relaxed);
        }
    }
}

impl Book {
    fn new() -> Self {
        Book {
            phase: Phase::Holds(0),
            way: 0,
            took: [0; WAYS.len()],
            began: 0,
            first: 0,
            holds: HOLDS,
            best: 0,
            noted: MODULUS,
        }
    }

    /// For how long the new tenant is to be left alone.
    fn note(&mut self, now: u64, sent: u32) -> u64 {
        let took = now.saturating_sub(self.began);
        match self.phase {
            Phase::Holds(until) if now < until => {}
            Phase::Holds(_) => self.try_way(0, now),
            // Nobody has fought for a while: what was counted says nothing.
            _ if took > SLOW => self.hold(0, now),
            Phase::Settles if took < SETTLES => {}
            Phase::Settles => {
                self.phase = Phase::Counts;
                self.began = now;
                self.first = sent;
            }
            Phase::Counts if took < TRIAL => {}
            Phase::Counts => self.end_trial(took, sent.wrapping_sub(self.first) % MODULUS, now),
        }
        WAYS[self.way]
    }

    fn try_way(&mut self, way: usize, now: u64) {
        self.way = way;
        self.phase = Phase::Settles;
        self.began = now;
    }

    fn end_trial(&mut self, took: u64, count: u32, now: u64) {
        if self.way == 0 && count < FEW {
            return self.hold(0, now);
        }
        self.took[self.way] = took * 1024 / u64::from(count.max(1));
        if self.way + 1 < WAYS.len() {
            return self.try_way(self.way + 1, now);
        }
        // Whoever is to wait for longer has to move a quarter more for it.
        let better = |best, way| {
            if self.took[way] < self.took[best] * 4 / 5 {
                way
            } else {
                best
            }
        };
        let best = (1..WAYS.len()).fold(0, better);
        self.hold(best, now);
    }

    fn hold(&mut self, best: usize, now: u64) {
        self.holds = if best == self.best {
            (2 * self.holds).min(HOLDS_AT_MOST)
        } else {
            HOLDS
        };
        self.best = best;
        self.way = best;
        self.phase = Phase::Holds(now + self.holds);
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
        tenure: u64,
    }

    impl Fight {
        fn new() -> Self {
            Fight {
                book: Book::new(),
                now: 1,
                sent: MODULUS - 5,
                tenure: 0,
            }
        }

        /// For `span` nanoseconds a value takes so many without turns; with them it takes `with`, and to
        /// change hands `moves`. For how much of the time each way was used.
        fn go_on(&mut self, without: u64, with: u64, moves: u64, span: u64) -> [f64; WAYS.len()] {
            let end = self.now + span;
            let mut used = [0; WAYS.len()];
            while self.now < end {
                let (took, values) = match self.tenure {
                    0 => (without, 1),
                    tenure => (tenure + moves, tenure / with),
                };
                used[WAYS.iter().position(|&way| way == self.tenure).unwrap()] += took;
                self.now += took;
                self.sent = (self.sent + values as u32) % MODULUS;
                self.tenure = self.book.note(self.now, self.sent);
            }
            used.map(|used| used as f64 / span as f64)
        }
    }

    #[test]
    fn turns_are_taken_where_they_move_more() {
        let [_, short, ..] = Fight::new().go_on(20, 5, 100, SECOND);
        assert!(short > 0.98, "{short}");
    }

    #[test]
    fn long_turns_are_taken_where_it_takes_long_to_change_hands() {
        let [_, _, long, longer] = Fight::new().go_on(30, 5, 4_000, SECOND);
        assert!(long > 0.98 && longer < 0.01, "{long}, {longer}");
        let [.., longer] = Fight::new().go_on(60, 5, 20_000, SECOND);
        assert!(longer > 0.98, "{longer}");
    }

    #[test]
    fn no_turns_are_taken_where_they_move_less_or_hardly_more() {
        for (without, with) in [(60, 110), (100, 100), (100, 85)] {
            let [share, ..] = Fight::new().go_on(without, with, 100, SECOND);
            assert!(share > 0.97, "{without} to {with}: {share}");
        }
    }

    #[test]
    fn a_change_is_noticed() {
        let mut fight = Fight::new();
        assert!(fight.go_on(20, 5, 100, SECOND)[0] < 0.02);
        let [share, ..] = fight.go_on(60, 110, 100, SECOND);
        assert!(share > 0.9, "{share}");
        let [share, ..] = fight.go_on(20, 5, 100, SECOND);
        assert!(share < 0.1, "{share}");
    }

    #[test]
    fn a_channel_that_seldom_changes_hands_is_not_fought_over() {
        let mut book = Book::new();
        for n in 1..10_000 {
            assert_eq!(book.note(u64::from(n) * 2 * SLOW, n), 0);
        }
    }

    #[test]
    fn a_trial_that_nobody_ends_is_no_trial() {
        let mut fight = Fight::new();
        while fight.tenure == 0 {
            fight.go_on(20, 5, 100, TRIAL / 10);
        }
        // One sends alone for long, and without changing hands.
        fight.now += SECOND;
        fight.sent = (fight.sent + 100_000_000) % MODULUS;
        assert_eq!(fight.book.note(fight.now, fight.sent), 0);
    }
}
