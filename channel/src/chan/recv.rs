//! The receiving half of a channel's work.

use std::mem::MaybeUninit;
use std::time::Instant;

use crate::buffer::Block;
use crate::task::{Outcome, Reason, Why};
use crate::wait_queue::{Offer, Verdict, Waiter, WakeList};

use super::core::{CLOSED, SEND_OBSERVED, SEND_WAITS, meets};
use super::{Attempt, Chan, Guard, Limit, Patience, Side};

/// How a receive ended. Only `Received` has written the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[repr(usize)] // for an `Attempt` to be returned in registers
pub(crate) enum RecvEnd {
    /// The value is there.
    Received,
    /// There was none, and patience was over.
    Empty,
    /// There is none, and the channel is closed.
    Closed,
}

/// Why one attempt to receive did not succeed.
enum Refusal<'a, T> {
    /// The lock is still held.
    Empty(Guard<'a, T>),
    Closed,
}

impl<T> Chan<T> {
    /// Receives a value into `out`.
    ///
    /// # Safety
    /// `out` may be written; it has been if the answer is [`RecvEnd::Received`].
    #[inline(always)]
    pub(crate) unsafe fn recv(&self, out: *mut T, patience: Patience) -> RecvEnd {
        // As in `send`.
        let forever = patience == Patience::Forever;
        let mut guard = self.lock();
        let len = guard.len();
        let plain = guard.flags() & (SEND_WAITS | SEND_OBSERVED) == 0;
        if plain && len > 0 && guard.buffer().has_value_here() {
            // SAFETY: there is a value at the cursor; the caller's `out`; the lock is held.
            unsafe {
                guard.buffer().pop(out);
                guard.set_len(len - 1);
            }
            return RecvEnd::Received;
        }
        if forever {
            // SAFETY: the caller's promise.
            unsafe { self.recv_forever(guard, out) }
        } else {
            // SAFETY: as above.
            unsafe { self.recv_slow(guard, out, patience) }
        }
    }

    /// The rest of a receive that waits as long as it takes.
    ///
    /// Inlined, and with it the park: see [`Attempt`].
    ///
    /// # Safety
    /// As for [`recv`](Self::recv).
    #[inline(always)]
    unsafe fn recv_forever<'a>(&'a self, mut guard: Guard<'a, T>, out: *mut T) -> RecvEnd {
        loop {
            let mut waiter = MaybeUninit::uninit();
            let waiter = waiter.as_mut_ptr();
            // SAFETY: the caller's promise. The frame is left below, when the node is out of the
            // queue by a claimer's hand or our own.
            let wait = match unsafe { self.recv_or_queue(guard, out, waiter) } {
                Attempt::Ended(end) => return end,
                Attempt::Queued(wait) => wait,
            };
            let why = Why::on(Reason::ChanRecv, &self.core);
            // SAFETY: the lock is held since the node was queued.
            let publish = unsafe { self.publish() };
            if wait.park(why, None, publish) != Outcome::Ready {
                // SAFETY: the waiter is in this queue or in none.
                unsafe { self.leave(Side::Recv, waiter) };
            }
            // SAFETY: the node is ours again, and initialised since it was queued.
            match unsafe { Waiter::verdict_of(waiter) } {
                Verdict::Done => return RecvEnd::Received,
                Verdict::Closed => return RecvEnd::Closed,
                // As in `send_forever`.
                _ => guard = self.lock(),
            }
        }
    }

    /// One attempt to receive; if there is nothing now, `waiter` is initialised and stands in line
    /// with the room at `out` on offer.
    ///
    /// # Safety
    /// As for [`recv`](Self::recv), and the waiter keeps the invariants of the wait queue.
    #[inline(never)]
    unsafe fn recv_or_queue<'a>(
        &'a self,
        guard: Guard<'a, T>,
        out: *mut T,
        waiter: *mut Waiter,
    ) -> Attempt<RecvEnd> {
        // SAFETY: the caller's promise.
        let guard = match unsafe { self.attempt_recv(guard, out) } {
            Ok(()) => return Attempt::Ended(RecvEnd::Received),
            Err(Refusal::Closed) => return Attempt::Ended(RecvEnd::Closed),
            Err(Refusal::Empty(guard)) => guard,
        };
        // SAFETY: the caller's promise.
        Attempt::Queued(unsafe { self.queue(guard, Side::Recv, waiter, out.cast()) })
    }

    /// # Safety
    /// As for [`recv`](Self::recv).
    #[inline(never)]
    unsafe fn recv_slow<'a>(
        &'a self,
        mut guard: Guard<'a, T>,
        out: *mut T,
        mut patience: Patience,
    ) -> RecvEnd {
        loop {
            // SAFETY: the caller's promise.
            guard = match unsafe { self.attempt_recv(guard, out) } {
                Ok(()) => return RecvEnd::Received,
                Err(Refusal::Closed) => return RecvEnd::Closed,
                Err(Refusal::Empty(guard)) => guard,
            };
            let Limit::At(deadline) = patience.limit() else {
                return RecvEnd::Empty;
            };
            // SAFETY: the caller's promise.
            let (verdict, outcome) = unsafe { self.wait_to_recv(guard, out, deadline) };
            match (verdict, outcome) {
                (Verdict::Done, _) => return RecvEnd::Received,
                (Verdict::Closed, _) => return RecvEnd::Closed,
                // As in `send_slow`.
                (Verdict::Pending, Outcome::TimedOut) => return RecvEnd::Empty,
                (Verdict::Pending, _) if deadline.is_some() => return RecvEnd::Empty,
                _ => guard = self.lock(),
            }
        }
    }

    /// One attempt to take a value out of the buffer or from a sender.
    ///
    /// # Safety
    /// As for [`recv`](Self::recv).
    #[inline(always)]
    unsafe fn attempt_recv<'a>(
        &'a self,
        mut guard: Guard<'a, T>,
        out: *mut T,
    ) -> Result<(), Refusal<'a, T>> {
        loop {
            if guard.len() > 0 {
                // SAFETY: there is a value; the caller's `out`.
                unsafe { self.take_value(guard, out) };
                return Ok(());
            }
            if meets(guard.flags(), SEND_WAITS) {
                // SAFETY: the lock is held.
                if let Some(sender) = unsafe { guard.pop(Side::Send) } {
                    drop(guard);
                    if sender.offer() == Offer::Value {
                        // SAFETY: the sender is claimed, so its value is ours to move; the caller's
                        // `out`.
                        unsafe { out.copy_from_nonoverlapping(sender.slot().cast::<T>(), 1) };
                        sender.release();
                        return Ok(());
                    }
                    // SAFETY: the caller's `out`; the promise is claimed.
                    if unsafe { self.recv_promised(sender, out) } {
                        return Ok(());
                    }
                    guard = self.lock();
                    continue;
                }
            }
            // Elsewhere a waiting sender means that the buffer is full; if it is empty all the same,
            // then every place in it is set aside, and those who hold them will serve us.
            if guard.flags() & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            return Err(Refusal::Empty(guard));
        }
    }

    /// Receives the oldest value from the buffer.
    ///
    /// # Safety
    /// There is a value, and `out` may be written.
    #[inline(never)]
    unsafe fn take_value(&self, mut guard: Guard<'_, T>, out: *mut T) {
        let mut wakes = WakeList::new();
        // SAFETY: the caller's promise.
        let retired = unsafe { self.take_head(&mut guard, out, &mut wakes) };
        drop(guard);
        wakes.wake();
        drop(retired);
    }

    /// Moves the oldest value to `out` and lets the next sender have its place.
    ///
    /// # Safety
    /// There is a value, and `out` may be written.
    #[must_use]
    pub(super) unsafe fn take_head(
        &self,
        guard: &mut Guard<'_, T>,
        out: *mut T,
        wakes: &mut WakeList,
    ) -> Option<Block<T>> {
        let len = guard.len() - 1;
        // SAFETY: there is a value; the caller's `out`; the lock is held.
        let retired = unsafe {
            let retired = guard.buffer().advance();
            guard.buffer().pop(out);
            guard.set_len(len);
            retired
        };
        let flags = guard.flags();
        if flags & SEND_WAITS != 0 {
            // SAFETY: the lock is held, and there is room now.
            unsafe { self.admit(guard, wakes) };
        }
        if flags & SEND_OBSERVED != 0 {
            // SAFETY: the lock is held.
            unsafe { guard.wake_observers(Side::Send, wakes) };
        }
        retired
    }

    /// Gives a free place in the buffer to the next sender in line, if there is one.
    ///
    /// # Safety
    /// The channel is bounded, and `len < limit`.
    pub(super) unsafe fn admit(&self, guard: &mut Guard<'_, T>, wakes: &mut WakeList) -> bool {
        // SAFETY: the lock is held.
        let Some(sender) = (unsafe { guard.pop(Side::Send) }) else {
            return false;
        };
        match sender.offer() {
            Offer::Value => {
                let len = guard.len();
                let made = guard.buffer().make_slot(len == 0);
                debug_assert!(made, "a ring needs no block");
                // SAFETY: there is room; the sender is claimed, so its value is ours to move; the
                // lock is held.
                unsafe {
                    guard.buffer().push(sender.slot().cast::<T>());
                    guard.set_len(len + 1);
                    guard.count();
                }
                wakes.push(sender, Verdict::Done);
            }
            Offer::Promise => {
                // SAFETY: the lock is held.
                unsafe { guard.set_limit(guard.limit() - 1) };
                wakes.push(sender, Verdict::Granted);
            }
        }
        true
    }

    /// Waits in line with the room at `out` on offer.
    ///
    /// # Safety
    /// As for [`recv`](Self::recv); it has been written if the verdict is [`Verdict::Done`].
    #[inline]
    unsafe fn wait_to_recv(
        &self,
        guard: Guard<'_, T>,
        out: *mut T,
        deadline: Option<Instant>,
    ) -> (Verdict, Outcome) {
        let mut waiter = MaybeUninit::uninit();
        let waiter = waiter.as_mut_ptr();
        // SAFETY: the frame is left below, when the node is out of the queue by a claimer's hand or
        // our own.
        let wait = unsafe { self.queue(guard, Side::Recv, waiter, out.cast()) };
        let why = Why::on(Reason::ChanRecv, &self.core);
        // SAFETY: the lock is held since the node was queued.
        let publish = unsafe { self.publish() };
        let outcome = wait.park(why, deadline, publish);
        if outcome != Outcome::Ready {
            // SAFETY: the waiter is in this queue or in none.
            unsafe { self.leave(Side::Recv, waiter) };
        }
        // SAFETY: the node is ours again, and initialised since it was queued.
        (unsafe { Waiter::verdict_of(waiter) }, outcome)
    }
}
