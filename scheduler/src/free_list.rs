//! The free list of an arena: which slot is reused first, and which have lain idle for long.
//!
//! ```text
//!   front                      back
//! | due | idle so far | in use now and then |      kept (a reserve)      cold (`chunk.rs`)
//!   `-- the scavenger              push, pop ^            second choice          third choice
//! ```
//!
//! Slots are taken from the back and come back there, so what lies at the front has not been used
//! for as long as the list was never shorter. The least length in a *window* of time says how many
//! were not used in all of it: they are *due* in the next one. A few of those that are in use are
//! looked at in every window too, for a stack that was deep once need not stay so.
//!
//! # Invariants
//!
//! 1. A slot is in one list, or with whoever took it out.
//! 2. The first `due` slots were in the list for at least one whole window.
//!
//! # Rejected
//!
//! Giving everything beyond a fixed length back: a program that starts ten thousand goroutines a few
//! times a second would pay a page fault and a system call for each of them. A time for each slot:
//! it would have to be written where the slot is given back, in the path that must be fast.

use std::collections::VecDeque;

/// Nanoseconds of a window.
const WINDOW: u64 = 1_000_000_000;
/// Slots that are kept ready, with a shallow stack: 8 MiB of memory for each size at the most.
const RESERVE: usize = 512;
/// Slots in use that are looked at in each window.
const SAMPLE: usize = 64;

/// What is to be done with slots that the scavenger was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Give all memory back.
    Cold,
    /// Give the deep part back, then [`keep`](FreeList::keep) it.
    Keep,
    /// Give the deep part back, then [`push`](FreeList::push) it again.
    Return,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FreeList<T> {
    /// Slots with all the memory that they ever used.
    used: VecDeque<T>,
    /// Slots whose deep part was given back.
    kept: Vec<T>,
    /// When the window began, on the runtime's clock.
    window: u64,
    /// The least length of `used` in it so far.
    low: usize,
    /// How many at the front are still to go.
    due: usize,
    /// How many at the back are still to be looked at in this window.
    sample: usize,
}

impl<T> FreeList<T> {
    pub(crate) const fn new() -> Self {
        FreeList {
            used: VecDeque::new(),
            kept: Vec::new(),
            window: 0,
            low: 0,
            due: 0,
            sample: 0,
        }
    }

    /// How many slots there are that the scavenger has not seen to.
    pub(crate) fn used(&self) -> usize {
        self.used.len()
    }

    pub(crate) fn push(&mut self, slot: T) {
        self.used.push_back(slot);
    }

    pub(crate) fn extend(&mut self, slots: impl Iterator<Item = T>) {
        self.used.extend(slots);
    }

    pub(crate) fn keep(&mut self, slot: T) {
        self.kept.push(slot);
    }

    /// Takes the slot that was used last.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let slot = self.used.pop_back();
        self.low = self.low.min(self.used.len());
        slot.or_else(|| self.kept.pop())
    }

    /// Takes up to `want` slots: those that were used last.
    pub(crate) fn pop_many(&mut self, want: usize, into: &mut impl Extend<T>) {
        let from = self.used.len().saturating_sub(want);
        let left = want - (self.used.len() - from);
        into.extend(self.used.drain(from..));
        self.low = self.low.min(self.used.len());
        let from = self.kept.len().saturating_sub(left);
        into.extend(self.kept.drain(from..));
    }

    /// Begins a new window if it is time for one. Gives the list's own memory back after a crowd.
    pub(crate) fn look(&mut self, now: u64) {
        if now.saturating_sub(self.window) < WINDOW {
            return;
        }
        self.window = now;
        // Slots that were due, and have been neither seen to nor used, are among them again.
        self.due = self.low;
        self.low = self.used.len();
        self.sample = SAMPLE.min(self.used.len() - self.due);
        if self.used.capacity() > 4 * self.used.len() + 4096 {
            self.used.shrink_to(2 * self.used.len());
        }
    }

    /// Makes everything due, whenever it was used: for tests.
    pub(crate) fn hasten(&mut self) {
        self.due = self.used.len();
    }

    /// Takes up to `most` slots that have the same fate.
    pub(crate) fn take_idle(&mut self, most: usize, into: &mut impl Extend<T>) -> Option<Fate> {
        self.due = self.due.min(self.used.len());
        if self.due > 0 {
            let room = RESERVE.saturating_sub(self.kept.len());
            let (count, fate) = match room {
                0 => (most.min(self.due), Fate::Cold),
                room => (most.min(self.due).min(room), Fate::Keep),
            };
            into.extend(self.used.drain(..count));
            self.due -= count;
            self.low = self.low.saturating_sub(count);
            return Some(fate);
        }
        let count = most.min(self.sample).min(self.used.len());
        if count == 0 {
            return None;
        }
        let from = self.used.len() - count;
        into.extend(self.used.drain(from..));
        self.sample -= count;
        Some(Fate::Return)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(slots: usize) -> FreeList<usize> {
        let mut list = FreeList::new();
        list.extend(0..slots);
        list
    }

    /// What the scavenger is given at `now`, in batches of 100.
    fn scavenge(list: &mut FreeList<usize>, now: u64) -> Vec<(Fate, Vec<usize>)> {
        list.look(now);
        let mut batches = Vec::new();
        loop {
            let mut batch = Vec::new();
            let Some(fate) = list.take_idle(100, &mut batch) else {
                return batches;
            };
            for &slot in &batch {
                match fate {
                    Fate::Cold => {}
                    Fate::Keep => list.keep(slot),
                    Fate::Return => list.push(slot),
                }
            }
            batches.push((fate, batch));
        }
    }

    fn count(batches: &[(Fate, Vec<usize>)], fate: Fate) -> usize {
        let of_fate = batches.iter().filter(|(f, _)| *f == fate);
        of_fate.map(|(_, slots)| slots.len()).sum()
    }

    #[test]
    fn the_last_in_is_the_first_out() {
        let mut list = list(10);
        assert_eq!(list.pop(), Some(9));
        let mut many = Vec::new();
        list.pop_many(3, &mut many);
        assert_eq!(many, [6, 7, 8]);
        list.keep(77);
        list.keep(78);
        many.clear();
        list.pop_many(7, &mut many);
        assert_eq!(many, [0, 1, 2, 3, 4, 5, 78]);
        assert_eq!(list.pop(), Some(77));
        assert_eq!(list.pop(), None);
    }

    #[test]
    fn what_lies_idle_for_a_window_is_given_back() {
        let mut list = list(2000);
        assert!(
            count(&scavenge(&mut list, WINDOW), Fate::Cold) == 0,
            "it was used till now"
        );
        assert!(scavenge(&mut list, 2 * WINDOW - 1).is_empty(), "not yet");
        let batches = scavenge(&mut list, 2 * WINDOW);
        assert_eq!(count(&batches, Fate::Keep), RESERVE);
        assert_eq!(count(&batches, Fate::Cold), 2000 - RESERVE);
        assert_eq!(
            batches[0].1[0], 0,
            "the one that was idle for longest goes first"
        );
        assert_eq!(list.used(), 0);
        assert!(scavenge(&mut list, 3 * WINDOW).is_empty());
    }

    #[test]
    fn what_is_in_use_stays() {
        let mut list = list(2000);
        scavenge(&mut list, WINDOW);
        for window in 2..20 {
            // 1500 are in use by turns.
            let mut taken = Vec::new();
            list.pop_many(1500, &mut taken);
            list.extend(taken.into_iter());
            let batches = scavenge(&mut list, window * WINDOW);
            let expected = if window == 2 { 500 } else { 0 };
            assert_eq!(count(&batches, Fate::Keep), expected);
            assert_eq!(count(&batches, Fate::Cold), 0);
            assert_eq!(count(&batches, Fate::Return), SAMPLE, "a few are looked at");
        }
        assert_eq!(list.used(), 1500);
    }

    #[test]
    fn slots_that_come_into_use_are_no_longer_due() {
        let mut list = list(300);
        scavenge(&mut list, WINDOW);
        list.look(2 * WINDOW);
        let mut taken = Vec::new();
        list.pop_many(290, &mut taken);
        let mut batch = Vec::new();
        assert_eq!(list.take_idle(100, &mut batch), Some(Fate::Keep));
        assert_eq!(batch, (0..10).collect::<Vec<_>>());
        assert_eq!(list.take_idle(100, &mut batch), None);
    }

    #[test]
    fn the_list_itself_shrinks() {
        let mut list = list(100_000);
        list.hasten();
        let mut gone = Vec::new();
        while list.take_idle(1000, &mut gone).is_some() {}
        list.look(WINDOW);
        assert!(list.used.capacity() < 10_000, "{}", list.used.capacity());
    }
}
