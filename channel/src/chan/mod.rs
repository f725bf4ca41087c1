//! The channel itself: its core and its buffer, under one lock.
//!
//! What a plain send or receive does is in [`send`] and [`recv`], what a select does in its second
//! phase in [`promise`]. The common case of each, with nobody waiting on the other side, is one
//! compare-and-swap, a copy and a few plain stores.
//!
//! # Invariants
//!
//! Those of [`core`] and of the wait queue, and:
//!
//! 1. A value is moved, never copied: it is in one frame, or in the buffer, or in the frame of a
//!    claimed waiter. Who moves it says so in the waiter's verdict, or in the gauge.
//! 2. Tasks are readied, blocks allocated and freed, and values dropped after the lock is released.

mod core;
mod promise;
mod recv;
mod send;

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

use crate::buffer::{Buffer, Leftovers};
use crate::lock::Lock;
use crate::sync::Tag;
use crate::task::{Publish, Wait};
use crate::wait_queue::{Offer, Waiter};

pub(crate) use self::core::{Core, Side};
pub(crate) use self::promise::Pledge;
pub(crate) use self::recv::RecvEnd;
pub(crate) use self::send::SendEnd;

/// How long an operation may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    Now,
    /// As long as it takes.
    Forever,
    /// So long from the moment that it turns out to have to wait.
    For(Duration),
    /// Until then.
    Until(Instant),
}

/// The end of somebody's patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It is over.
    Passed,
    /// It ends then; `None` is never.
    At(Option<Instant>),
}

impl Patience {
    /// Fixes the end of the patience, on the first call, and says whether it has come.
    #[inline]
    pub(crate) fn limit(&mut self) -> Limit {
        let (now, at) = match *self {
            Patience::Forever => return Limit::At(None),
            Patience::Now => return Limit::Passed,
            Patience::For(left) => {
                if left.is_zero() {
                    return Limit::Passed;
                }
                let now = Instant::now();
                // Beyond the end of time is never, as everywhere in the interface.
                match now.checked_add(left) {
                    Some(at) => *self = Patience::Until(at),
                    None => *self = Patience::Forever,
                }
                return match *self {
                    Patience::Until(at) => Limit::At(Some(at)),
                    _ => Limit::At(None),
                };
            }
            Patience::Until(at) => (Instant::now(), at),
        };
        if now >= at {
            Limit::Passed
        } else {
            Limit::At(Some(at))
        }
    }
}

/// What has become of an attempt that stands in line if it has to wait.
///
/// Attempt and park are two functions: the first is called, the second inlined into the user's code.
/// The processor predicts a return by the call it remembers last, which after a switch is another
/// one; so each return between the switch and the user's code costs a wrong guess (5 ns).
enum Attempt<End> {
    /// It is over.
    Ended(End),
    /// The lock is held, the node in line: park, and [`publish`](Chan::publish).
    Queued(Wait),
}

/// A channel of `T`.
///
/// The second cache line has all that changes with each value: the cursors of the buffer, the lock,
/// the flags, the two queues and the length (a test looks).
#[repr(C, align(64))]
pub(crate) struct Chan<T> {
    _room: [usize; 6],
    /// Guarded by the core's lock.
    buffer: UnsafeCell<Buffer<T>>,
    core: Core,
}

// SAFETY: values go from thread to thread, hence `T: Send`; the buffer is touched under the lock.
unsafe impl<T: Send> Send for Chan<T> {}
// SAFETY: as above. No `&T` is ever given out, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Chan<T> {}

impl<T> Chan<T> {
    pub(crate) fn bounded(cap: usize) -> Self {
        Chan {
            _room: [0; 6],
            buffer: UnsafeCell::new(Buffer::ring(cap)),
            core: Core::new(Some(cap)),
        }
    }

    pub(crate) fn unbounded() -> Self {
        Chan {
            _room: [0; 6],
            buffer: UnsafeCell::new(Buffer::chain()),
            core: Core::new(None),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    #[inline]
    fn lock(&self) -> Guard<'_, T> {
        let tenant = self.core.lock();
        Guard { chan: self, tenant }
    }

    /// Puts the task in line with a node that is made here. The lock stays held, for the park to
    /// [`publish`](Self::publish).
    ///
    /// # Safety
    /// The waiter keeps the invariants of the wait queue.
    #[inline(always)]
    unsafe fn queue(
        &self,
        guard: Guard<'_, T>,
        side: Side,
        waiter: *mut Waiter,
        slot: *mut (),
    ) -> Wait {
        let wait = Wait::new();
        // SAFETY: the caller's place for the node.
        unsafe { waiter.write(Waiter::new(wait.ticket(), Offer::Value, slot)) };
        // SAFETY: the lock is held; the rest is the caller's promise.
        unsafe { guard.enqueue(side, waiter) };
        let _ = guard.into_lock();
        wait
    }

    /// What a park after [`queue`](Self::queue) publishes: the lock, released.
    ///
    /// # Safety
    /// The lock is held, and nobody else releases it.
    #[inline(always)]
    unsafe fn publish(&self) -> impl FnOnce() -> Publish + use<T> {
        // A pointer, for the closure may run when the task is on its way again. It is valid until
        // it is used, since the task does not leave before somebody has found the lock free.
        let lock = &raw const self.core.lock;
        move || {
            // SAFETY: the caller's promise went into this closure, which runs once.
            unsafe { (*lock).unlock() };
            Publish::Published
        }
    }

    /// Takes the node of a wait that has ended in another way out of the line.
    ///
    /// # Safety
    /// The node is initialised, and in this side's queue or in none.
    #[cold]
    #[inline(never)]
    unsafe fn leave(&self, side: Side, waiter: *mut Waiter) {
        let guard = self.lock();
        // SAFETY: the lock is held; the rest is the caller's promise.
        unsafe { guard.withdraw(side, waiter) };
    }

    /// Closes the channel; whether this call did.
    pub(crate) fn close(&self) -> bool {
        // The lock is not taken by those who come late: a loop that closes costs nobody anything.
        if self.core.is_closed() {
            return false;
        }
        let guard = self.lock();
        // SAFETY: the lock is held, and `expel` follows.
        let first = unsafe { self.core.mark_closed() };
        if first {
            let _ = guard.into_lock();
            // SAFETY: the lock is held, and its guard is gone.
            unsafe { self.core.expel() };
        }
        first
    }

    /// Closes the channel for want of receivers. What nobody can receive any more is handed out,
    /// to be dropped when the channel is in order.
    #[must_use]
    pub(crate) fn abandon(&self) -> Leftovers<T> {
        let mut guard = self.lock();
        // SAFETY: the lock is held, and `expel` follows.
        unsafe { self.core.mark_closed() };
        let len = guard.len();
        let buffer = std::mem::replace(guard.buffer(), Buffer::ring(0));
        // SAFETY: the lock is held.
        unsafe { self.core.set_len(0) };
        let _ = guard.into_lock();
        // SAFETY: the lock is held, and its guard is gone.
        unsafe { self.core.expel() };
        // SAFETY: the gauge counted the values of that buffer.
        unsafe { Leftovers::new(buffer, len) }
    }
}

impl<T> fmt::Debug for Chan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chan")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

/// The right to change the channel: its lock is held.
struct Guard<'a, T> {
    chan: &'a Chan<T>,
    tenant: Tag,
}

impl<'a, T> Guard<'a, T> {
    #[inline]
    fn buffer(&mut self) -> &mut Buffer<T> {
        // SAFETY: the lock is held as long as the guard lives, and the guard is borrowed.
        unsafe { &mut *self.chan.buffer.get() }
    }

    /// Gives up the guard, but not the lock: whoever unlocks it now must know that it may.
    #[inline]
    fn into_lock(self) -> &'a Lock {
        let guard = std::mem::ManuallyDrop::new(self);
        &guard.chan.core.lock
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard stands for the lock being held.
        unsafe { self.chan.core.lock.unlock_by(self.tenant) };
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.chan.core
    }
}
