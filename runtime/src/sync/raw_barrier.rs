//! The protocol of a barrier: a count and a round, under the lock of the line of those who wait.
//!
//! # Invariants
//!
//! 1. `count` and `round` change under the line's lock only. `count` is the number of those who
//!    have come in this round.
//! 2. A task joins the line in the step that counts it. The last to come begins the next round and
//!    takes all who are in line by then out of it. So a task that finds itself in a later round,
//!    however its wait has ended, may go.

use super::atomics::{AtomicU64, Ordering, const_fn};
use super::task::{Outcome, Reason, Wait, Why};
use super::wait_list::{Line, Verdict, WaitList, Waiter};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RawBarrier {
    /// Both are guarded by the line's lock; atomics for the sake of safe code, never contended.
    count: AtomicU64,
    round: AtomicU64,
    line: WaitList,
}

impl RawBarrier {
    const_fn! {
        pub(super) const fn new() -> Self {
            RawBarrier {
                count: AtomicU64::new(0),
                round: AtomicU64::new(0),
                line: WaitList::new(),
            }
        }
    }

    /// Waits until `n` have come. Whether the caller was the last of them.
    pub(super) fn wait(&self, n: u64) -> bool {
        let mut line = self.line.lock();
        let round = self.round.load(Ordering::Relaxed);
        let count = self.count.load(Ordering::Relaxed) + 1;
        if count >= n {
            self.count.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Relaxed);
            self.release(line);
            return true;
        }
        self.count.store(count, Ordering::Relaxed);
        loop {
            let wait = Wait::new();
            let mut waiter = Waiter::new(wait.ticket());
            let waiter = &raw mut waiter;
            // SAFETY: the node is new. The frame is left below, when it is out of the line by the
            // hand of a claimer who has readied us, or by our own.
            unsafe { line.push_back(waiter) };
            let outcome = wait.park(Why::on(Reason::Sync, self), None, line.into_publish());
            if outcome == Outcome::Ready {
                return false;
            }
            line = self.line.lock();
            // SAFETY: the waiter is in this line or in none.
            unsafe { line.remove(waiter) };
            if self.round.load(Ordering::Relaxed) != round {
                return false;
            }
        }
    }

    /// Readies all who are in line.
    fn release<'a>(&'a self, mut line: Line<'a>) {
        // Those who come between two batches belong to the next round.
        let bound = line.next_number();
        loop {
            let (chain, more) = line.pop_batch(bound);
            drop(line);
            chain.wake(Verdict::Again);
            if !more {
                return;
            }
            line = self.line.lock();
        }
    }
}
