//! A future's place in a slot: how it is given up, by a poll that comes or by one that never does.
//!
//! A task that waits is gone from the slot when it runs again. A future is polled whenever its executor
//! likes, with another waker perhaps, and may be dropped at any time. So it remembers that it stands in
//! a slot, and leaves before anything else.
//!
//! # Invariants
//!
//! 1. A future has one entry in a slot at most.
//! 2. If an event took the entry, it is the future's to pass on, unless its next attempt finds the end
//!    of it. A future that is dropped makes no attempt, and passes it on at once.

use std::cell::Cell;

use crate::slot::Slot;

/// Leaves the slot; whether an event had taken the entry before. May come to answer for an event that
/// fell upon another waiter meanwhile, as [`Slot::withdraw`] says.
#[must_use = "an event that took the entry has to be passed on, and the other waiter readied"]
pub(crate) fn leave<T, P>(
    slot: &Slot<T>,
    mine: impl Fn(&T) -> bool,
    claim: impl FnMut(T) -> Option<P>,
) -> (bool, Option<P>) {
    let found = Cell::new(false);
    let inherited = slot.withdraw(
        |waiter| {
            let is_mine = mine(waiter);
            found.set(found.get() || is_mine);
            is_mine
        },
        claim,
    );
    (!found.get(), inherited)
}

/// Leaves the slot for good; gives those who are to be readied.
#[must_use = "they have to be readied"]
pub(crate) fn abandon<T, P>(
    slot: &Slot<T>,
    mine: impl Fn(&T) -> bool,
    mut claim: impl FnMut(T) -> Option<P>,
) -> [Option<P>; 2] {
    let (taken, inherited) = leave(slot, mine, &mut claim);
    let next = match taken {
        true => slot.pass_on(claim),
        false => None,
    };
    [inherited, next]
}
