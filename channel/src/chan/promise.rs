//! The two-step send of a select: first the case is chosen, then its value is made and sent.
//!
//! Between the steps runs code of the user, as long as it likes; so the choice is recorded as a
//! [`Pledge`], which nothing can take back but its holder, and no lock is held.
//!
//! | channel    | chooses when                         | the pledge is                          |
//! |------------|--------------------------------------|----------------------------------------|
//! | unbounded  | always                               | nothing: there is always room          |
//! | bounded    | there is room                        | a place: `limit` is one less           |
//! | rendezvous | a receiver waits                     | that receiver, claimed, not yet readied |
//! | rendezvous | a receiver comes to the waiting case | a packet in the frame of that receiver |
//!
//! # Invariants
//!
//! 1. A pledge is redeemed or renounced, once.
//! 2. A [`Packet`] lives in the frame of a receiver that has claimed the promise. The receiver does
//!    not leave the frame before the packet's state has left `Empty`; only the holder of the
//!    pledge changes it, under the lock, and does not touch the packet afterwards.

use crate::buffer::Block;
use crate::task::{Outcome, Reason, Ticket, Wait, Why};
use crate::wait_queue::{Claimed, Verdict, WakeList};

use super::core::{CLOSED, RECV_OBSERVED, RECV_WAITS, SEND_OBSERVED, SEND_WAITS};
use super::{Chan, Guard, Patience, SendEnd, Side};

/// The right, and the duty, to complete a send that a select has chosen.
#[derive(Debug)]
#[must_use]
pub(crate) enum Pledge {
    /// The channel is closed; the value will come back.
    Closed,
    /// An unbounded channel: there is nothing to set aside.
    Open,
    /// A place in the buffer.
    Place,
    /// A receiver, asleep until it is served.
    Receiver(Claimed),
    /// A receiver that serves itself as soon as the packet is full.
    Packet(*mut Packet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Full,
    Abandoned,
}

/// Room for a promised value, in the frame of the receiver that waits for it.
#[derive(Debug)]
pub(crate) struct Packet {
    slot: *mut (),
    state: State,
    /// The receiver's wait, once it is about to open it.
    ticket: Option<Ticket>,
}

impl<T> Chan<T> {
    /// The first step of a select's send, if it need not wait.
    pub(crate) fn pledge(&self) -> Option<Pledge> {
        let guard = self.lock();
        if guard.flags() & CLOSED != 0 {
            return Some(Pledge::Closed);
        }
        match guard.cap() {
            None => Some(Pledge::Open),
            // SAFETY: the lock is held.
            Some(0) => unsafe { guard.pop(Side::Recv) }.map(Pledge::Receiver),
            Some(_) if guard.len() < guard.limit() => {
                // SAFETY: the lock is held.
                unsafe { guard.set_limit(guard.limit() - 1) };
                Some(Pledge::Place)
            }
            Some(_) => None,
        }
    }

    /// The second step: sends the value at `value`. `false`: the channel is closed, and the value
    /// still there.
    ///
    /// # Safety
    /// The pledge is of this channel. The value may be moved; it has been if the answer is `true`.
    pub(crate) unsafe fn redeem(&self, pledge: Pledge, value: *const T) -> bool {
        match pledge {
            Pledge::Closed => false,
            // SAFETY: the caller's promise.
            Pledge::Open => unsafe { self.send(value, Patience::Now) == SendEnd::Sent },
            Pledge::Place => {
                let guard = self.lock();
                // SAFETY: the lock is held, and our place makes `limit + 1 <= cap`.
                unsafe { guard.set_limit(guard.limit() + 1) };
                // SAFETY: the caller's promise. It cannot be full: there is our place.
                let sent = unsafe { self.attempt_send(guard, value) }.is_ok();
                if sent && self.core.flags() & (SEND_WAITS | SEND_OBSERVED) != 0 {
                    // If a waiting receiver has got it, the place is free for the next sender.
                    self.settle(self.lock());
                }
                sent
            }
            Pledge::Receiver(receiver) => {
                // SAFETY: the receiver is claimed, the room in its frame ours to fill.
                unsafe {
                    receiver
                        .slot()
                        .cast::<T>()
                        .copy_from_nonoverlapping(value, 1)
                };
                receiver.ready(Verdict::Done);
                true
            }
            Pledge::Packet(packet) => {
                // SAFETY: the pledge is the right to fill it (2).
                unsafe {
                    (*packet)
                        .slot
                        .cast::<T>()
                        .copy_from_nonoverlapping(value, 1);
                    self.finish(packet, State::Full);
                }
                true
            }
        }
    }

    /// Gives the pledge up, as if the case had never been chosen.
    pub(crate) fn renounce(&self, pledge: Pledge) {
        match pledge {
            Pledge::Closed | Pledge::Open => {}
            Pledge::Place => {
                let guard = self.lock();
                // SAFETY: the lock is held, and our place makes `limit + 1 <= cap`.
                unsafe { guard.set_limit(guard.limit() + 1) };
                self.settle(guard);
            }
            Pledge::Receiver(receiver) => receiver.ready(Verdict::Again),
            // SAFETY: the pledge is the right to do so (2).
            Pledge::Packet(packet) => unsafe { self.finish(packet, State::Abandoned) },
        }
    }

    /// Decides a packet and readies its receiver, if that is already asleep.
    ///
    /// # Safety
    /// The packet belongs to the pledge that the caller holds.
    unsafe fn finish(&self, packet: *mut Packet, state: State) {
        let guard = self.lock();
        // SAFETY: the receiver does not leave before it has seen the state change under the lock.
        let ticket = unsafe {
            (*packet).state = state;
            (*packet).ticket
        };
        // If the claim fails, the receiver is awake and on its way to the lock.
        let parked = ticket.and_then(|ticket| ticket.claim(Outcome::Ready));
        drop(guard);
        if let Some(parked) = parked {
            parked.ready();
        }
    }

    /// Receives the value that a claimed promise is going to send. `false`: it will not.
    ///
    /// A deadline does not count here: both sides are committed, as they are in crossbeam-channel.
    ///
    /// # Safety
    /// The promise was claimed from this channel's queue; `out` may be written.
    #[inline(never)]
    pub(super) unsafe fn recv_promised(&self, mut sender: Claimed, out: *mut T) -> bool {
        let mut packet = Packet {
            slot: out.cast(),
            state: State::Empty,
            ticket: None,
        };
        let packet = &raw mut packet;
        sender.set_slot(packet.cast());
        sender.ready(Verdict::Paired);
        loop {
            let guard = self.lock();
            // SAFETY: the packet is ours, and shared under the lock.
            match unsafe { (*packet).state } {
                State::Full => return true,
                State::Abandoned => return false,
                State::Empty => {}
            }
            let wait = Wait::new();
            // SAFETY: as above.
            unsafe { (*packet).ticket = Some(wait.ticket()) };
            let why = Why::on(Reason::ChanRecv, &self.core);
            // However it ends, the state says what has happened.
            let _ = guard.into_lock();
            // SAFETY: the lock is held, and its guard is gone.
            let publish = unsafe { self.publish() };
            let _ = wait.park(why, None, publish);
        }
    }

    /// Brings waiting senders, free places, values and waiting receivers together until nothing
    /// more can be done. Only for bounded channels, when a pledged place has become free.
    fn settle(&self, mut guard: Guard<'_, T>) {
        let mut wakes = WakeList::new();
        loop {
            let flags = guard.flags();
            if flags & CLOSED != 0 {
                break;
            }
            if guard.len() > 0 && flags & RECV_WAITS != 0 {
                // SAFETY: the lock is held.
                if let Some(receiver) = unsafe { guard.pop(Side::Recv) } {
                    // SAFETY: there is a value; the receiver is claimed and offers room for it.
                    let retired: Option<Block<T>> =
                        unsafe { self.take_head(&mut guard, receiver.slot().cast(), &mut wakes) };
                    debug_assert!(retired.is_none(), "a ring retires no block");
                    wakes.push(receiver, Verdict::Done);
                }
                continue;
            }
            if guard.len() < guard.limit() && flags & SEND_WAITS != 0 {
                // SAFETY: the channel is bounded and has room.
                let _ = unsafe { self.admit(&mut guard, &mut wakes) };
                continue;
            }
            break;
        }
        // SAFETY: the lock is held.
        unsafe {
            if guard.len() > 0 && guard.flags() & RECV_OBSERVED != 0 {
                guard.wake_observers(Side::Recv, &mut wakes);
            }
            if guard.len() < guard.limit() && guard.flags() & SEND_OBSERVED != 0 {
                guard.wake_observers(Side::Send, &mut wakes);
            }
        }
        drop(guard);
        wakes.wake();
    }
}
