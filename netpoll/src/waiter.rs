//! Who waits in a slot: a task, by its ticket, or a future, by its waker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use marmot_scheduler::wait::{Outcome, Parked, Ticket};

use crate::poller::OwnedWaiting;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A goroutine, or a thread.
    Task(Ticket),
    /// A future.
    Future(Box<Standing>),
}

/// A future's entry.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Which future: no two have the same.
    pub(crate) id: u64,
    pub(crate) waker: Waker,
    /// Counts as one who waits, as long as it lives.
    pub(crate) _waiting: OwnedWaiting,
}

/// The right to make the waiter go on.
#[derive(Debug)]
#[must_use = "whoever waits has to be readied"]
pub(crate) enum Claimed {
    Task(Parked),
    Future(Waker),
}

impl Waiter {
    /// Takes the right, unless the wait has ended in another way. A future's entry is its right.
    #[inline]
    pub(crate) fn claim(self) -> Option<Claimed> {
        match self {
            Waiter::Task(ticket) => ticket.claim(Outcome::Ready).map(Claimed::Task),
            Waiter::Future(standing) => Some(Claimed::Future(standing.waker)),
        }
    }

    pub(crate) fn is_task(&self, ticket: Ticket) -> bool {
        matches!(self, Waiter::Task(other) if other.same_task(ticket))
    }

    pub(crate) fn is_future(&self, id: u64) -> bool {
        matches!(self, Waiter::Future(standing) if standing.id == id)
    }
}

impl Claimed {
    /// Makes the waiter go on, as `Parked::ready` does.
    #[inline]
    pub(crate) fn ready(self) {
        match self {
            Claimed::Task(parked) => parked.ready(),
            Claimed::Future(waker) => wake(waker),
        }
    }

    /// The same for a caller that is not done, as `Parked::ready_first`.
    pub(crate) fn ready_first(self) {
        match self {
            Claimed::Task(parked) => parked.ready_first(),
            Claimed::Future(waker) => wake(waker),
        }
    }
}

/// Wakes a future, whatever its executor makes of it: whoever is here has others to ready. Not to be
/// called under a lock.
#[cold]
pub(crate) fn wake(waker: Waker) {
    // The panic has been reported by the hook. Nobody here could do more.
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}
