//! The first step of a select: which cases are ready, and which of them is taken.
//!
//! No lock is taken for it: what is found ready may be gone a moment later. One that will wait looks again
//! under the locks (`run.rs`).

use crate::chan::{Patience, Side};
use crate::flavors::Clock;
use crate::receiver::Receiver;
use crate::select::case::{Case, Handle};
use crate::sender::Sender;
use crate::sync::{Ordering, fence};
use crate::task::next_u32;

/// For the macro: a look at its cases, one after the other, by their handles. There is no case yet: to
/// write one takes longer than to look.
#[derive(Debug)]
pub struct Look {
    marks: u64,
    clock: Clock,
}

impl Look {
    /// Before a select that may wait.
    #[inline(always)]
    #[allow(clippy::new_without_default)] // for the macro only
    pub fn new() -> Self {
        Look {
            marks: 0,
            clock: Clock::default(),
        }
    }

    /// Before one that does not.
    #[inline(always)]
    pub fn last() -> Self {
        last_look();
        Self::new()
    }

    /// At a receive, the case at that position.
    #[inline(always)]
    pub fn recv<T>(&mut self, position: usize, receiver: &Receiver<T>) {
        let ready = match receiver.chan() {
            Some(chan) => chan.core().is_ready(Side::Recv),
            None => receiver.is_due(&mut self.clock),
        };
        self.marks |= u64::from(ready) << position;
    }

    /// At a send.
    #[inline(always)]
    pub fn send<T>(&mut self, position: usize, sender: &Sender<T>) {
        let ready = sender.chan().core().is_ready(Side::Send);
        self.marks |= u64::from(ready) << position;
    }

    /// Whether none of them was ready.
    #[inline(always)]
    pub fn is_in_vain(&self) -> bool {
        self.marks == 0
    }

    /// The position of one that was: the first if biased, else any with the same probability.
    #[inline(always)]
    pub fn choose(&self, biased: bool) -> Option<usize> {
        if biased {
            return (self.marks != 0).then(|| self.marks.trailing_zeros() as usize);
        }
        any_mark(self.marks)
    }
}

/// Before a look that is not followed by a second one under the locks. The fence puts it after all that the
/// task has done before, its own sends included: two tasks that each send and then look for the
/// other's value cannot both miss it.
#[inline(always)]
fn last_look() {
    fence(Ordering::SeqCst);
}

/// The position of a ready case: the first one if biased, else any with the same probability.
#[inline(always)]
pub(super) fn look(cases: &[Case<'_>], patience: Patience, biased: bool) -> Option<usize> {
    if patience == Patience::Now {
        last_look();
    }
    let mut clock = Clock::default();
    if biased {
        return cases.iter().position(|case| case.is_ready(&mut clock));
    }
    if cases.len() > MARKS {
        return look_at_many(cases, &mut clock);
    }
    any_mark(mark_ready(cases, &mut clock))
}

/// [`look`] at more cases than a word has bits: each further word with any ready ones replaces the
/// choice with the probability of its share.
#[cold]
#[inline(never)]
fn look_at_many(cases: &[Case<'_>], clock: &mut Clock) -> Option<usize> {
    let mut found = None;
    let mut ready = 0;
    for (word, cases) in cases.chunks(MARKS).enumerate() {
        let marks = mark_ready(cases, clock);
        let here = marks.count_ones();
        if here == 0 {
            continue;
        }
        ready += here;
        let chosen = below(ready);
        if chosen < here {
            found = Some(word * MARKS + nth_mark(marks, chosen));
        }
    }
    found
}

/// A mark for each case that is ready.
#[inline]
fn mark_ready(cases: &[Case<'_>], clock: &mut Clock) -> u64 {
    let mut marks = 0;
    for (position, case) in cases.iter().enumerate() {
        marks |= u64::from(case.is_ready(clock)) << position;
    }
    marks
}

/// As many cases as are marked in a word.
const MARKS: usize = u64::BITS as usize;

/// The position of one of the marks, each with the same probability.
#[inline]
fn any_mark(marks: u64) -> Option<usize> {
    if marks & marks.wrapping_sub(1) == 0 {
        return (marks != 0).then(|| marks.trailing_zeros() as usize);
    }
    Some(nth_mark(marks, below(marks.count_ones())))
}

/// The position of the `n`-th mark, counted from 0. There is one.
#[inline]
fn nth_mark(mut marks: u64, n: u32) -> usize {
    for _ in 0..n {
        marks &= marks - 1;
    }
    marks.trailing_zeros() as usize
}

/// A random number below `n`.
pub(super) fn below(n: u32) -> u32 {
    ((u64::from(next_u32()) * u64::from(n)) >> 32) as u32
}
