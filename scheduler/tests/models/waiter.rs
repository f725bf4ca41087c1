//! Waiters for the models of the timers: a wait word, and rights that are counted and not used.

use crate::sync::Arc;
use crate::wait_word::{Outcome, WaitNumber, WaitWord};

/// The name of one wait.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub word: Arc<WaitWord>,
    pub number: WaitNumber,
}

impl Ticket {
    pub fn prefetch(&self) {}

    pub fn claim(self, outcome: Outcome) -> Option<Parked> {
        self.word
            .claim(self.number, outcome)
            .then_some(Parked(self.word))
    }
}

/// The right to go on as the waiter.
#[derive(Debug)]
pub struct Parked(pub Arc<WaitWord>);

/// Those whom a timer has claimed.
#[derive(Default)]
pub struct ReadyList(pub Vec<Parked>);

impl ReadyList {
    pub fn push(&mut self, parked: Parked) {
        self.0.push(parked);
    }
}
