//! The sending half of a channel's work.

use crate::buffer::Block;
use crate::task::{Outcome, Reason, Wait, Why};
use crate::wait_queue::{Offer, Verdict, Waiter, WakeList};

use super::core::{CLOSED, RECV_OBSERVED, RECV_WAITS};
use super::{Chan, Guard, Limit, Patience, Side};

/// How a send ended. Only `Sent` has moved the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum SendEnd {
    /// A receiver has the value, or the buffer.
    Sent,
    /// There was no room, and patience was over.
    Full,
    /// The channel is closed.
    Closed,
}

/// Why one attempt to send did not succeed. The lock is still held.
pub(super) enum Refusal<'a, T> {
    Full(Guard<'a, T>),
    Closed,
}

impl<T> Chan<T> {
    /// Sends the value at `value`.
    ///
    /// # Safety
    /// The value may be moved from there; it has been if the answer is [`SendEnd::Sent`].
    #[inline]
    pub(crate) unsafe fn send(&self, value: *const T, patience: Patience) -> SendEnd {
        let mut guard = self.lock();
        let len = guard.len();
        let plain = guard.flags() & (CLOSED | RECV_WAITS | RECV_OBSERVED) == 0;
        if plain && len < guard.limit() && guard.buffer().has_slot() {
            // SAFETY: there is a slot and room; the value is ours to move; the lock is held.
            unsafe {
                guard.buffer().push(value);
                guard.set_len(len + 1);
            }
            return SendEnd::Sent;
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_slow(guard, value, patience) }
    }

    /// # Safety
    /// As for [`send`](Self::send).
    #[inline(never)]
    unsafe fn send_slow<'a>(
        &'a self,
        mut guard: Guard<'a, T>,
        value: *const T,
        mut patience: Patience,
    ) -> SendEnd {
        loop {
            // SAFETY: the caller's promise.
            guard = match unsafe { self.attempt_send(guard, value) } {
                Ok(()) => return SendEnd::Sent,
                Err(Refusal::Closed) => return SendEnd::Closed,
                Err(Refusal::Full(guard)) => guard,
            };
            let Limit::At(deadline) = patience.limit() else {
                return SendEnd::Full;
            };
            // SAFETY: the caller's promise.
            let (verdict, outcome) = unsafe { self.wait_to_send(guard, value, deadline) };
            match (verdict, outcome) {
                (Verdict::Done, _) => return SendEnd::Sent,
                (Verdict::Closed, _) => return SendEnd::Closed,
                // A deadline of ours ends the operation, and so does a cancellation of an operation
                // that has one. A cancellation of one without has no way to be told yet: the task
                // looks once more and waits again. Here the seam is for cancellation to come.
                (Verdict::Pending, Outcome::TimedOut) => return SendEnd::Full,
                (Verdict::Pending, _) if deadline.is_some() => return SendEnd::Full,
                _ => guard = self.lock(),
            }
        }
    }

    /// One attempt to hand the value over or to put it into the buffer.
    ///
    /// # Safety
    /// As for [`send`](Self::send).
    #[inline]
    pub(super) unsafe fn attempt_send<'a>(
        &'a self,
        mut guard: Guard<'a, T>,
        value: *const T,
    ) -> Result<(), Refusal<'a, T>> {
        loop {
            let flags = guard.flags();
            if flags & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            if flags & RECV_WAITS != 0 {
                // SAFETY: the lock is held.
                if let Some(receiver) = unsafe { guard.pop(Side::Recv) } {
                    drop(guard);
                    // SAFETY: the receiver is claimed, so the room in its frame is ours to fill; all
                    // receivers in line offer room for one value.
                    unsafe {
                        receiver
                            .slot()
                            .cast::<T>()
                            .copy_from_nonoverlapping(value, 1)
                    };
                    receiver.ready(Verdict::Done);
                    return Ok(());
                }
            }
            let len = guard.len();
            if len >= guard.limit() {
                return Err(Refusal::Full(guard));
            }
            if !guard.buffer().make_slot(len == 0) {
                // The chain needs a block, which is got without the lock.
                drop(guard);
                let block = Block::new();
                guard = self.lock();
                let surplus = guard.buffer().give(block);
                if surplus.is_some() {
                    // Another sender was as quick.
                    drop(guard);
                    drop(surplus);
                    guard = self.lock();
                }
                continue;
            }
            // SAFETY: there is a slot and room; the value is ours to move; the lock is held.
            unsafe {
                guard.buffer().push(value);
                guard.set_len(len + 1);
            }
            if flags & RECV_OBSERVED != 0 {
                let mut wakes = WakeList::new();
                // SAFETY: the lock is held.
                unsafe { guard.wake_observers(Side::Recv, &mut wakes) };
                drop(guard);
                wakes.wake();
            }
            return Ok(());
        }
    }

    /// Waits in line with the value at `value` on offer.
    ///
    /// # Safety
    /// As for [`send`](Self::send); it has been moved if the verdict is [`Verdict::Done`].
    #[inline]
    unsafe fn wait_to_send(
        &self,
        guard: Guard<'_, T>,
        value: *const T,
        deadline: Option<std::time::Instant>,
    ) -> (Verdict, Outcome) {
        let wait = Wait::new();
        let slot = value.cast_mut().cast::<()>();
        let mut waiter = Waiter::new(wait.ticket(), Offer::Value, slot);
        let waiter = &raw mut waiter;
        // SAFETY: the lock is held. The frame is left below, when the node is out of the queue by
        // a claimer's hand or our own.
        unsafe { guard.enqueue(Side::Send, waiter) };
        let why = Why::on(Reason::ChanSend, &self.core);
        let outcome = wait.park(why, deadline, guard.into_publish());
        if outcome != Outcome::Ready {
            let guard = self.lock();
            // SAFETY: the lock is held, the waiter is in this queue or in none.
            unsafe { guard.withdraw(Side::Send, waiter) };
        }
        // SAFETY: the node is ours again.
        (unsafe { (*waiter).verdict }, outcome)
    }
}
