//! The protocol of a condition variable: a line of waiters that move on into the line of a mutex.
//!
//! A waiter joins the line under its lock, lets the mutex go, and parks; the park releases the
//! line's lock. So whoever locks the mutex after it finds it in line, and can claim it.
//!
//! Those who are notified have to lock the mutex next. While it is locked, as it is when the
//! notifier holds it, there is no use in making them run: they are moved, claimed, into the mutex'
//! own line, where each is woken when its turn has come. So `notify_all` wakes one task and not a
//! herd.
//!
//! # Invariants
//!
//! 1. `waiting` is 1 exactly if the line has a node, whenever the line's lock is free. It is a hint
//!    to those who do not hold the lock; it is right for a notifier that has locked the mutex since
//!    the waiter let it go.
//! 2. A notification goes to a wait that it ends: a waiter that has timed out cannot be claimed, and
//!    the next in line is.
//! 3. The mutex that a node asks for exists as long as the node's task has not run on: it holds a
//!    guard's borrow.
//! 4. The line's lock is taken before that of a mutex' line, and never the other way round.

use std::time::Instant;

use super::atomics::{AtomicU32, Ordering, const_fn};
use super::raw_mutex::RawMutex;
use super::task::{Outcome, Reason, Wait, Why};
use super::wait_list::{Chain, Line, Role, Verdict, WaitList, Waiter};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RawCondvar {
    /// Invariant 1. Written under the line's lock.
    waiting: AtomicU32,
    line: WaitList,
}

impl RawCondvar {
    const_fn! {
        pub(super) const fn new() -> Self {
            RawCondvar {
                waiting: AtomicU32::new(0),
                line: WaitList::new(),
            }
        }
    }

    /// Lets the mutex go, waits to be notified, and locks the mutex again. How the wait ended: a
    /// cancelled one counts as a spurious wake-up.
    ///
    /// # Safety
    /// The caller owns the mutex.
    #[inline(never)]
    pub(super) unsafe fn wait(&self, mutex: &RawMutex, deadline: Option<Instant>) -> Outcome {
        let object = std::ptr::from_ref(mutex).cast();
        let wait = Wait::new();
        let mut waiter = Waiter::with(wait.ticket(), Role::Usual, object);
        let waiter = &raw mut waiter;
        let mut line = self.line.lock();
        // SAFETY: the node is new. The frame is left below, when it is out of the line by the hand
        // of a claimer who has readied us, or by our own.
        unsafe { line.push_back(waiter) };
        self.mark(&line);
        // Under the lock of our line, for the park takes that along.
        // SAFETY: the caller's promise.
        unsafe { mutex.unlock_first() };
        let outcome = wait.park(Why::on(Reason::Sync, self), deadline, line.into_publish());
        if outcome != Outcome::Ready {
            let mut line = self.line.lock();
            // SAFETY: the wait was not claimed by a notifier, so the waiter is in this line or in
            // none.
            unsafe { line.remove(waiter) };
            self.mark(&line);
        }
        // SAFETY: the node is ours again.
        mutex.relock(unsafe { (*waiter).verdict });
        outcome
    }

    /// Ends the wait of the first in line.
    #[inline]
    pub(super) fn notify_one(&self) {
        // Relaxed: invariant 1; the mutex orders.
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.notify_first();
        }
    }

    #[inline(never)]
    fn notify_first(&self) {
        let mut line = self.line.lock();
        let claimed = line.pop();
        self.mark(&line);
        drop(line);
        let Some(claimed) = claimed else { return };
        // SAFETY: invariant 3; the waiter is claimed and not readied.
        let mutex = unsafe { &*claimed.object().cast::<RawMutex>() };
        if mutex.is_locked() {
            let mut chain = Chain::new();
            chain.push(claimed);
            // SAFETY: that is what it asks for. The mutex is not used after this.
            unsafe { mutex.adopt(&mut chain) };
        } else {
            claimed.ready(Verdict::Again);
        }
    }

    /// Ends the waits of all who are in line now.
    #[inline]
    pub(super) fn notify_all(&self) {
        // Relaxed: as in `notify_one`.
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.notify_line();
        }
    }

    #[inline(never)]
    fn notify_line(&self) {
        // Those who come between two batches are not meant.
        let bound = self.line.lock().next_number();
        let mut more = true;
        while more {
            let mut line = self.line.lock();
            let mut chain;
            (chain, more) = line.pop_batch(bound);
            self.mark(&line);
            drop(line);
            while let Some(object) = chain.object() {
                // SAFETY: invariant 3; the first of the chain is claimed and not readied.
                let mutex = unsafe { &*object.cast::<RawMutex>() };
                // SAFETY: that is what it asks for, and perhaps those behind it. The mutex is not
                // used after this.
                unsafe { mutex.adopt(&mut chain) };
            }
        }
    }

    fn mark(&self, line: &Line<'_>) {
        self.waiting
            .store(u32::from(!line.is_empty()), Ordering::Relaxed);
    }
}
