//! One case of a select: a channel, and which side of it.

use std::alloc::Layout;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Instant;

use crate::chan::{Core, Patience, Pledge, RecvEnd, Side};
use crate::flavors::Clock;
use crate::receiver::Receiver;
use crate::select::token::{Choice, Token};
use crate::sender::Sender;
use crate::wait_queue::{Verdict, Waiter};

/// The part of a case that knows the type of the values.
pub(crate) trait Handle {
    /// Whether the operation would not wait. Asked only of clocks.
    fn is_due(&self, clock: &mut Clock) -> bool;

    /// When it will be due, if it is known. Asked only of clocks.
    fn next(&self) -> Option<Instant>;

    /// Chooses the operation if it need not wait: its first step is taken.
    fn choose(&self, token: &mut Token<'_>) -> bool;

    /// Takes over what the claimer of this case's waiter has done. `false`: nothing after all.
    fn accept(&self, verdict: Verdict, slot: *mut (), token: &mut Token<'_>) -> bool;

    /// Gives back a send that has been chosen.
    fn renounce(&self, pledge: Pledge);
}

impl<T> Handle for Sender<T> {
    fn is_due(&self, _: &mut Clock) -> bool {
        false
    }

    fn next(&self) -> Option<Instant> {
        None
    }

    fn choose(&self, token: &mut Token<'_>) -> bool {
        match self.chan().pledge() {
            Some(pledge) => {
                token.choice = Choice::Pledged(pledge);
                true
            }
            None => false,
        }
    }

    fn accept(&self, verdict: Verdict, slot: *mut (), token: &mut Token<'_>) -> bool {
        let pledge = match verdict {
            Verdict::Granted => Pledge::Place,
            Verdict::Paired => Pledge::Packet(slot.cast()),
            Verdict::Closed => Pledge::Closed,
            Verdict::Pending | Verdict::Done | Verdict::Again => return false,
        };
        token.choice = Choice::Pledged(pledge);
        true
    }

    fn renounce(&self, pledge: Pledge) {
        self.chan().renounce(pledge);
    }
}

impl<T> Handle for Receiver<T> {
    fn is_due(&self, clock: &mut Clock) -> bool {
        self.clock().is_some_and(|channel| channel.is_ready(clock))
    }

    fn next(&self) -> Option<Instant> {
        self.clock().and_then(|channel| channel.next())
    }

    fn choose(&self, token: &mut Token<'_>) -> bool {
        token.landing.reserve(Layout::new::<T>());
        let out = token.landing.place().cast::<T>();
        // SAFETY: the landing has room for a `T`.
        match unsafe { self.recv_into(out, Patience::Now) } {
            RecvEnd::Received => token.received::<T>(),
            RecvEnd::Closed => token.choice = Choice::Closed,
            RecvEnd::Empty => return false,
        }
        true
    }

    fn accept(&self, verdict: Verdict, _: *mut (), token: &mut Token<'_>) -> bool {
        match verdict {
            Verdict::Done => token.received::<T>(),
            Verdict::Closed => token.choice = Choice::Closed,
            Verdict::Pending | Verdict::Granted | Verdict::Paired | Verdict::Again => return false,
        }
        true
    }

    fn renounce(&self, _: Pledge) {}
}

/// One case of a select, with the room for standing in line. Made by the macro and by `Select`.
pub struct Case<'a> {
    pub(super) handle: &'a dyn Handle,
    /// Where to stand in line; `None` for clocks that nobody sets, and for `never`.
    pub(super) core: Option<&'a Core>,
    /// The clock fills the channel, or nobody: its core, if it has one, only has observers.
    pub(super) is_clock: bool,
    pub(super) side: Side,
    /// The room that a received value needs.
    pub(super) room: Layout,
    /// The address of the handle, by which it is recognised when the operation is completed.
    pub(super) address: *const u8,
    /// What the user knows it by.
    pub(super) index: usize,
    /// Scratch: the first so many `turn`s are the positions of cases whose locks are to be taken,
    /// in this order.
    pub(super) turn: usize,
    /// Initialised and in a queue only while the select waits.
    pub(super) node: MaybeUninit<Waiter>,
}

impl<'a> Case<'a> {
    /// A send.
    #[inline]
    pub fn send<T>(sender: &'a Sender<T>, index: usize) -> Self {
        Case {
            handle: sender,
            core: Some(sender.chan().core()),
            is_clock: false,
            side: Side::Send,
            room: Layout::new::<()>(),
            address: ptr::from_ref(sender).cast(),
            index,
            turn: 0,
            node: MaybeUninit::uninit(),
        }
    }

    /// A receive.
    #[inline]
    pub fn recv<T>(receiver: &'a Receiver<T>, index: usize) -> Self {
        Case {
            handle: receiver,
            core: receiver.core(),
            is_clock: receiver.chan().is_none(),
            side: Side::Recv,
            room: Layout::new::<T>(),
            address: ptr::from_ref(receiver).cast(),
            index,
            turn: 0,
            node: MaybeUninit::uninit(),
        }
    }

    /// Whether the operation would not wait, by a look without the lock.
    pub(super) fn is_ready(&self, clock: &mut Clock) -> bool {
        match self.core {
            Some(core) if !self.is_clock => core.is_ready(self.side),
            _ => self.handle.is_due(clock),
        }
    }
}

impl Clone for Case<'_> {
    fn clone(&self) -> Self {
        Case {
            node: MaybeUninit::uninit(),
            ..*self
        }
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("side", &self.side)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
