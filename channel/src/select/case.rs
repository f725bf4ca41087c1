//! One case of a select: a channel, and which side of it.

use std::alloc::Layout;
use std::fmt;
use std::mem::MaybeUninit;
use std::time::Instant;

use crate::chan::{Core, Patience, Pledge, RecvEnd, Side};
use crate::flavors::Clock;
use crate::receiver::Receiver;
use crate::select::landing::{Choice, Landing, fits_inline};
use crate::sender::Sender;
use crate::wait_queue::{Verdict, Waiter};

/// The part of a case that knows the type of the values.
pub(crate) trait Handle {
    /// Whether the operation would not wait. Asked only of clocks.
    fn is_due(&self, clock: &mut Clock) -> bool;

    /// When it will be due, if it is known. Asked only of clocks.
    fn next(&self) -> Option<Instant>;

    /// Chooses the operation if it need not wait: its first step is taken.
    fn choose<'a>(&'a self, landing: &mut Landing<'a>) -> bool;

    /// Takes over what the claimer of this case's waiter has done. `false`: nothing after all.
    fn accept<'a>(&'a self, verdict: Verdict, slot: *mut (), landing: &mut Landing<'a>) -> bool;

    /// Gives back a send that has been chosen.
    fn renounce(&self, pledge: Pledge);

    /// The room that a received value needs.
    fn room(&self) -> Layout;
}

impl<T> Handle for Sender<T> {
    fn is_due(&self, _: &mut Clock) -> bool {
        false
    }

    fn next(&self) -> Option<Instant> {
        None
    }

    fn choose<'a>(&'a self, landing: &mut Landing<'a>) -> bool {
        match self.chan().pledge() {
            Some(pledge) => {
                landing.choose(self, Choice::Pledged(pledge));
                true
            }
            None => false,
        }
    }

    fn accept<'a>(&'a self, verdict: Verdict, slot: *mut (), landing: &mut Landing<'a>) -> bool {
        let pledge = match verdict {
            Verdict::Granted => Pledge::Place,
            Verdict::Paired => Pledge::Packet(slot.cast()),
            Verdict::Closed => Pledge::Closed,
            Verdict::Pending | Verdict::Done | Verdict::Again => return false,
        };
        landing.choose(self, Choice::Pledged(pledge));
        true
    }

    fn renounce(&self, pledge: Pledge) {
        self.chan().renounce(pledge);
    }

    fn room(&self) -> Layout {
        Layout::new::<()>()
    }
}

impl<T> Handle for Receiver<T> {
    fn is_due(&self, clock: &mut Clock) -> bool {
        self.clock().is_some_and(|channel| channel.is_ready(clock))
    }

    fn next(&self) -> Option<Instant> {
        self.clock().and_then(|channel| channel.next())
    }

    fn choose<'a>(&'a self, landing: &mut Landing<'a>) -> bool {
        landing.reserve(Layout::new::<T>());
        let out = landing.place().cast::<T>();
        // SAFETY: the landing has room for a `T`.
        match unsafe { self.recv_into(out, Patience::Now) } {
            RecvEnd::Received => landing.received(self),
            RecvEnd::Closed => landing.choose(self, Choice::Closed),
            RecvEnd::Empty => return false,
        }
        true
    }

    fn accept<'a>(&'a self, verdict: Verdict, _: *mut (), landing: &mut Landing<'a>) -> bool {
        match verdict {
            Verdict::Done => landing.received(self),
            Verdict::Closed => landing.choose(self, Choice::Closed),
            Verdict::Pending | Verdict::Granted | Verdict::Paired | Verdict::Again => return false,
        }
        true
    }

    fn renounce(&self, _: Pledge) {}

    fn room(&self) -> Layout {
        Layout::new::<T>()
    }
}

/// What is to be known of a case at every step, in one byte: it is written for each case of each
/// select.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits(u8);

impl Traits {
    const SEND: u8 = 1;
    const CLOCK: u8 = 2;
    const LARGE: u8 = 4;

    #[inline]
    pub(super) fn side(self) -> Side {
        if self.0 & Self::SEND == 0 {
            Side::Recv
        } else {
            Side::Send
        }
    }

    /// The clock fills the channel, or nobody: its core, if it has one, only has observers.
    #[inline]
    pub(super) fn is_clock(self) -> bool {
        self.0 & Self::CLOCK != 0
    }

    /// A received value may need more room than a landing has.
    #[inline]
    pub(super) fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0
    }
}

/// One case of a select, with the room for standing in line. Made by the macro and by `Select`.
///
/// A select writes one for each of its cases, so there is little in it: what depends on the type
/// alone and is seldom asked for is with the handle.
pub struct Case<'a> {
    pub(super) handle: &'a dyn Handle,
    /// Where to stand in line; `None` for clocks that nobody sets, and for `never`.
    pub(super) core: Option<&'a Core>,
    pub(super) traits: Traits,
    /// Initialised and in a queue only while the select waits.
    pub(super) node: MaybeUninit<Waiter>,
}

impl<'a> Case<'a> {
    /// A send.
    #[inline]
    pub fn send<T>(sender: &'a Sender<T>) -> Self {
        Case {
            handle: sender,
            core: Some(sender.chan().core()),
            traits: Traits(Traits::SEND),
            node: MaybeUninit::uninit(),
        }
    }

    /// A receive.
    #[inline]
    pub fn recv<T>(receiver: &'a Receiver<T>) -> Self {
        let chan = receiver.chan();
        let large = if fits_inline::<T>() { 0 } else { Traits::LARGE };
        Case {
            handle: receiver,
            core: match chan {
                Some(chan) => Some(chan.core()),
                None => receiver.core(),
            },
            traits: match chan {
                Some(_) => Traits(large),
                None => Traits(large | Traits::CLOCK),
            },
            node: MaybeUninit::uninit(),
        }
    }

    /// Whether the operation would not wait, by a look without the lock.
    #[inline]
    pub(super) fn is_ready(&self, clock: &mut Clock) -> bool {
        match self.core {
            Some(core) if !self.traits.is_clock() => core.is_ready(self.traits.side()),
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
            .field("side", &self.traits.side())
            .finish_non_exhaustive()
    }
}
