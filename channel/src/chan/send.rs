//! The sending half of a channel's work.

use std::mem::MaybeUninit;

use crate::buffer::Block;
use crate::task::{Outcome, Reason, Why};
use crate::wait_queue::{Verdict, Waiter, WakeList};

use super::core::{CLOSED, RECV_OBSERVED, RECV_WAITS, RENDEZVOUS};
use super::{Attempt, Chan, Guard, Limit, Patience, Side};

/// How a send ended. Only `Sent` has moved the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(usize)] // for an `Attempt` to be returned in registers
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
    #[inline(always)]
    pub(crate) unsafe fn send(&self, value: *const T, patience: Patience) -> SendEnd {
        // Asked first, where it is a constant to the compiler.
        let forever = patience == Patience::Forever;
        let mut guard = self.lock();
        let len = guard.len();
        let plain = guard.flags() & (CLOSED | RECV_WAITS | RECV_OBSERVED | RENDEZVOUS) == 0;
        if plain && len < guard.limit() && guard.buffer().has_slot() {
            // SAFETY: there is a slot and room; the value is ours to move; the lock is held.
            unsafe {
                guard.buffer().push(value);
                guard.set_len(len + 1);
                guard.count();
            }
            return SendEnd::Sent;
        }
        if forever {
            // SAFETY: the caller's promise.
            unsafe { self.send_forever(guard, value) }
        } else {
            // SAFETY: as above.
            unsafe { self.send_slow(guard, value, patience) }
        }
    }

    /// The rest of a send that waits as long as it takes.
    ///
    /// Inlined, and with it the park: see [`Attempt`].
    ///
    /// # Safety
    /// As for [`send`](Self::send).
    #[inline(always)]
    unsafe fn send_forever<'a>(&'a self, mut guard: Guard<'a, T>, value: *const T) -> SendEnd {
        loop {
            let mut waiter = MaybeUninit::uninit();
            let waiter = waiter.as_mut_ptr();
            // SAFETY: the caller's promise. The frame is left below, when the node is out of the
            // queue by a claimer's hand or our own.
            let wait = match unsafe { self.send_or_queue(guard, value, waiter) } {
                Attempt::Ended(end) => return end,
                Attempt::Queued(wait) => wait,
            };
            let why = Why::on(Reason::ChanSend, &self.core);
            // SAFETY: the lock is held since the node was queued.
            let publish = unsafe { self.publish() };
            if wait.park(why, None, publish) != Outcome::Ready {
                // SAFETY: the waiter is in this queue or in none.
                unsafe { self.leave(Side::Send, waiter) };
            }
            // SAFETY: the node is ours again, and initialised since it was queued.
            match unsafe { Waiter::verdict_of(waiter) } {
                Verdict::Done => return SendEnd::Sent,
                Verdict::Closed => return SendEnd::Closed,
                // A cancellation has no way to be told yet, as in `send_slow`.
                _ => guard = self.lock(),
            }
        }
    }

    /// One attempt to send; if that cannot be now, `waiter` is initialised and stands in line with
    /// the value on offer.
    ///
    /// # Safety
    /// As for [`send`](Self::send), and the waiter keeps the invariants of the wait queue.
    #[inline(never)]
    unsafe fn send_or_queue<'a>(
        &'a self,
        guard: Guard<'a, T>,
        value: *const T,
        waiter: *mut Waiter,
    ) -> Attempt<SendEnd> {
        // SAFETY: the caller's promise.
        let guard = match unsafe { self.attempt_send(guard, value) } {
            Ok(()) => return Attempt::Ended(SendEnd::Sent),
            Err(Refusal::Closed) => return Attempt::Ended(SendEnd::Closed),
            Err(Refusal::Full(guard)) => guard,
        };
        let slot = value.cast_mut().cast::<()>();
        // SAFETY: the caller's promise.
        Attempt::Queued(unsafe { self.queue(guard, Side::Send, waiter, slot) })
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
    #[inline(always)]
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
                    // SAFETY: the lock is held.
                    unsafe { guard.count() };
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
            if flags & RENDEZVOUS != 0 || guard.len() >= guard.limit() {
                return Err(Refusal::Full(guard));
            }
            // SAFETY: there is room; the value is ours to move.
            guard = match unsafe { self.put_tail(guard, value) } {
                None => return Ok(()),
                Some(guard) => guard,
            };
        }
    }

    /// Puts the value into the buffer. If there is no memory for it there, some is got, without the
    /// lock, and the guard comes back: look again.
    ///
    /// # Safety
    /// As for [`send`](Self::send), and there is room. The value has been moved if no guard comes back.
    #[inline(never)]
    unsafe fn put_tail<'a>(
        &'a self,
        mut guard: Guard<'a, T>,
        value: *const T,
    ) -> Option<Guard<'a, T>> {
        let len = guard.len();
        if !guard.buffer().make_slot(len == 0) {
            // The chain needs a block.
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
            return Some(guard);
        }
        // SAFETY: there is a slot and room; the value is ours to move; the lock is held.
        unsafe {
            guard.buffer().push(value);
            guard.set_len(len + 1);
            guard.count();
        }
        if guard.flags() & RECV_OBSERVED != 0 {
            let mut wakes = WakeList::new();
            // SAFETY: the lock is held.
            unsafe { guard.wake_observers(Side::Recv, &mut wakes) };
            drop(guard);
            wakes.wake();
        }
        None
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
        let mut waiter = MaybeUninit::uninit();
        let waiter = waiter.as_mut_ptr();
        let slot = value.cast_mut().cast::<()>();
        // SAFETY: the frame is left below, when the node is out of the queue by a claimer's hand or
        // our own.
        let wait = unsafe { self.queue(guard, Side::Send, waiter, slot) };
        let why = Why::on(Reason::ChanSend, &self.core);
        // SAFETY: the lock is held since the node was queued.
        let publish = unsafe { self.publish() };
        let outcome = wait.park(why, deadline, publish);
        if outcome != Outcome::Ready {
            // SAFETY: the waiter is in this queue or in none.
            unsafe { self.leave(Side::Send, waiter) };
        }
        // SAFETY: the node is ours again, and initialised since it was queued.
        (unsafe { Waiter::verdict_of(waiter) }, outcome)
    }
}
