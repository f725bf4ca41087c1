//! The core of a channel: its lock, its gauges and its four queues; everything but the values.
//!
//! # Invariants
//!
//! 1. *Gauges* (`flags`, `len`, `limit`) are written under the lock only, and may be read by
//!    anybody at any time. What is read without the lock is a hint, except for `CLOSED`, which is
//!    never taken back. Beside the flags the values that were sent are counted, for the lock (`turns.rs`).
//! 2. `len <= limit <= cap`, where `limit` is the capacity less the places set aside for selects
//!    that have chosen to send but have not made their value yet. Unbounded: `limit` is
//!    `usize::MAX` and nothing is ever set aside. Rendezvous: `limit` is 0.
//! 3. A `*_WAITS` flag is set exactly if that queue has a node, be it a dead one whose wait has
//!    ended and whose task has not yet come to take it out.
//! 4. While a live receiver waits, the buffer is empty (and, on a rendezvous channel, no live
//!    sender waits). While a live sender waits, `len == limit`. All hold whenever the lock is free.
//! 5. When `CLOSED` is set, nobody joins a queue any more.
//! 6. *Observers* (the `ready` family of select) stand in queues of their own. They take nothing:
//!    whenever their side may have become ready all of them are woken, to look for themselves.

use std::cell::UnsafeCell;
use std::fmt;

use crate::lock::{Gauge, Lock};
use crate::sync::{AtomicU32, AtomicUsize, Ordering, Tag};
use crate::turns::{MODULUS, Turns};
use crate::wait_queue::{Claimed, Verdict, WaitQueue, Waiter, WakeList};

/// The channel is closed, or one side has no handle left.
pub(crate) const CLOSED: u32 = 1;
/// Somebody waits to receive.
pub(crate) const RECV_WAITS: u32 = 1 << 1;
/// Somebody waits to send.
pub(crate) const SEND_WAITS: u32 = 1 << 2;
/// Somebody waits for a receive to be possible.
pub(crate) const RECV_OBSERVED: u32 = 1 << 3;
/// Somebody waits for a send to be possible.
pub(crate) const SEND_OBSERVED: u32 = 1 << 4;
/// The channel has no buffer. Constant.
pub(crate) const RENDEZVOUS: u32 = 1 << 5;
/// The bits from this one on count the values that were sent into the buffer, or past it to one who waits.
const SENT: u32 = 1 << 6;
const _: () = assert!(u32::MAX / SENT == MODULUS - 1);

/// How many waiters a close takes out of the queues before it lets others have the lock.
const CLOSE_BATCH: usize = 32;

/// Whether the channel is a rendezvous, and that flag is set.
#[inline]
pub(crate) fn meets(flags: u32, flag: u32) -> bool {
    flags & (RENDEZVOUS | flag) == RENDEZVOUS | flag
}

/// A side of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Recv,
    Send,
}

/// Two queues, by what their waiters wait for.
#[derive(Debug)]
struct Queues {
    recv: WaitQueue,
    send: WaitQueue,
}

impl Queues {
    fn new() -> UnsafeCell<Self> {
        UnsafeCell::new(Queues {
            recv: WaitQueue::new(),
            send: WaitQueue::new(),
        })
    }
}

/// See the module's documentation.
///
/// A hand-off on a rendezvous channel touches the fields up to `len` alone: half a cache line.
#[repr(C)]
pub(crate) struct Core {
    /// Guards the queues, the buffer beside this core, and all writes to the gauges.
    pub(crate) lock: Lock,
    flags: AtomicU32,
    queues: UnsafeCell<Queues>,
    len: AtomicUsize,
    limit: AtomicUsize,
    turns: Turns,
    /// Constant; `None` is unbounded.
    cap: Option<usize>,
    observers: UnsafeCell<Queues>,
}

// SAFETY: the queues, and the book of the turns, are touched under the lock only; the raw pointers in the
// queues lead to waiters that may be touched from any thread under that lock.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Core {
    pub(crate) fn new(cap: Option<usize>) -> Self {
        Core {
            lock: Lock::new(),
            flags: AtomicU32::new(if cap == Some(0) { RENDEZVOUS } else { 0 }),
            queues: Queues::new(),
            len: AtomicUsize::new(0),
            limit: AtomicUsize::new(cap.unwrap_or(usize::MAX)),
            turns: Turns::new(),
            cap,
            observers: Queues::new(),
        }
    }

    /// Takes the lock, to be released by `lock.unlock` or, with what this gives, `lock.unlock_by`.
    #[inline]
    pub(crate) fn lock(&self) -> Tag {
        self.lock.lock(&self.turns, self)
    }

    // ---- gauges, for everybody -----------------------------------------------------------------

    pub(crate) fn cap(&self) -> Option<usize> {
        self.cap
    }

    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        // Acquire: who sees `CLOSED` also sees what the closer did before it closed. The other
        // flags need no order: they are hints, or read under the lock.
        self.flags.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Acquire: who sees a value counted sees what its sender did before it sent.
        self.len.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        // Relaxed: says nothing about other memory.
        self.limit.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.flags() & CLOSED != 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit()
    }

    /// Whether an operation of `side` would not wait. Under the lock that is certain, except that
    /// a waiting partner may be dead; without it, it is a hint, and the length is read first: a
    /// channel that is closed and a buffer that is drained between the two reads is not missed.
    #[inline]
    pub(crate) fn is_ready(&self, side: Side) -> bool {
        match side {
            Side::Recv => {
                self.len() > 0 || {
                    let flags = self.flags();
                    flags & CLOSED != 0 || meets(flags, SEND_WAITS)
                }
            }
            Side::Send => {
                // That of a rendezvous channel is never more than its limit of 0.
                let flags = self.flags();
                if flags & RENDEZVOUS != 0 {
                    flags & (CLOSED | RECV_WAITS) != 0
                } else {
                    self.len() < self.limit() || self.is_closed()
                }
            }
        }
    }

    /// Whether somebody waits for an operation of `side` to be possible, without doing it.
    pub(crate) fn is_observed(&self, side: Side) -> bool {
        let flag = match side {
            Side::Recv => RECV_OBSERVED,
            Side::Send => SEND_OBSERVED,
        };
        self.flags() & flag != 0
    }

    // ---- gauges and queues, under the lock -----------------------------------------------------

    /// # Safety
    /// The lock is held (for this and all functions below).
    #[inline]
    pub(crate) unsafe fn set_len(&self, len: usize) {
        // Release: pairs with `len`.
        self.len.store(len, Ordering::Release);
    }

    /// Counts a value that is sent.
    ///
    /// # Safety
    /// The lock is held.
    #[inline]
    pub(crate) unsafe fn count(&self) {
        let flags = self.flags.load(Ordering::Relaxed);
        // Release: as in `set_flag`.
        self.flags
            .store(flags.wrapping_add(SENT), Ordering::Release);
    }

    /// # Safety
    /// The lock is held.
    pub(crate) unsafe fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Sets or clears a flag; the flags then. The lock makes load and store one step.
    ///
    /// # Safety
    /// The lock is held.
    #[inline]
    unsafe fn set_flag(&self, flag: u32, on: bool) -> u32 {
        let flags = self.flags.load(Ordering::Relaxed);
        let flags = if on { flags | flag } else { flags & !flag };
        // Release: pairs with `flags`.
        self.flags.store(flags, Ordering::Release);
        flags
    }

    /// # Safety
    /// The lock is held, and the reference is not kept beyond the next use of the core.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the lock makes it unique
    unsafe fn queue(&self, side: Side) -> (&mut WaitQueue, u32) {
        // SAFETY: the lock is held, and the functions here use one queue at a time.
        let queues = unsafe { &mut *self.queues.get() };
        match side {
            Side::Recv => (&mut queues.recv, RECV_WAITS),
            Side::Send => (&mut queues.send, SEND_WAITS),
        }
    }

    /// # Safety
    /// As for `queue`.
    #[allow(clippy::mut_from_ref)] // the lock makes it unique
    unsafe fn observers(&self, side: Side) -> (&mut WaitQueue, u32) {
        // SAFETY: as for `queue`.
        let queues = unsafe { &mut *self.observers.get() };
        match side {
            Side::Recv => (&mut queues.recv, RECV_OBSERVED),
            Side::Send => (&mut queues.send, SEND_OBSERVED),
        }
    }

    /// Puts the waiter in line. On a rendezvous channel that makes the *other* side ready, whose
    /// observers are readied here and now: this is the one place where a task is readied under
    /// the lock, for the lock goes over into the coming park. By `ready_first`, after which the caller goes on.
    ///
    /// # Safety
    /// The lock is held; the waiter keeps the invariants of the wait queue.
    #[inline]
    pub(crate) unsafe fn enqueue(&self, side: Side, waiter: *mut Waiter) {
        debug_assert!(!self.is_closed());
        // SAFETY: the lock is held.
        let flags = unsafe {
            let (queue, flag) = self.queue(side);
            queue.push_back(waiter);
            self.set_flag(flag, true)
        };
        let (other, observed) = match side {
            Side::Recv => (Side::Send, SEND_OBSERVED),
            Side::Send => (Side::Recv, RECV_OBSERVED),
        };
        if meets(flags, observed) {
            let mut wakes = WakeList::new();
            // SAFETY: the lock is held.
            unsafe { self.wake_observers(other, &mut wakes) };
            wakes.wake_under_lock();
        }
    }

    /// Takes the waiter out of line, if it is in it.
    ///
    /// # Safety
    /// The lock is held; the waiter is in this side's queue or in none.
    pub(crate) unsafe fn withdraw(&self, side: Side, waiter: *mut Waiter) {
        // SAFETY: the lock is held; the rest is the caller's promise.
        unsafe {
            let (queue, flag) = self.queue(side);
            queue.remove(waiter);
            if queue.is_empty() {
                self.set_flag(flag, false);
            }
        }
    }

    /// # Safety
    /// As for `enqueue`.
    pub(crate) unsafe fn enqueue_observer(&self, side: Side, waiter: *mut Waiter) {
        // SAFETY: the lock is held; the rest is the caller's promise.
        unsafe {
            let (queue, flag) = self.observers(side);
            queue.push_back(waiter);
            self.set_flag(flag, true);
        }
    }

    /// # Safety
    /// As for `withdraw`.
    pub(crate) unsafe fn withdraw_observer(&self, side: Side, waiter: *mut Waiter) {
        // SAFETY: the lock is held; the rest is the caller's promise.
        unsafe {
            let (queue, flag) = self.observers(side);
            queue.remove(waiter);
            if queue.is_empty() {
                self.set_flag(flag, false);
            }
        }
    }

    /// The first live waiter of that side, claimed.
    ///
    /// # Safety
    /// The lock is held.
    #[inline]
    pub(crate) unsafe fn pop(&self, side: Side) -> Option<Claimed> {
        // SAFETY: the lock is held.
        unsafe {
            let (queue, flag) = self.queue(side);
            let claimed = queue.pop_claimed();
            if queue.is_empty() {
                self.set_flag(flag, false);
            }
            claimed
        }
    }

    /// Moves all observers of that side to `wakes`.
    ///
    /// # Safety
    /// The lock is held.
    #[cold]
    pub(crate) unsafe fn wake_observers(&self, side: Side, wakes: &mut WakeList) {
        // SAFETY: the lock is held.
        unsafe {
            let (queue, flag) = self.observers(side);
            while let Some(claimed) = queue.pop_claimed() {
                wakes.push(claimed, Verdict::Again);
            }
            self.set_flag(flag, false);
        }
    }

    // ---- closing -------------------------------------------------------------------------------

    /// Sets `CLOSED`; whether this call did.
    ///
    /// # Safety
    /// The lock is held. The caller goes on to [`expel`](Self::expel).
    pub(crate) unsafe fn mark_closed(&self) -> bool {
        let first = !self.is_closed();
        // SAFETY: the lock is held.
        unsafe { self.set_flag(CLOSED, true) };
        first
    }

    /// Wakes everybody who waits on a closed channel, a batch at a time, so that a hundred thousand
    /// of them do not keep the lock from those who only want to learn that it is closed.
    ///
    /// # Safety
    /// The lock is held; it is released by this call. `CLOSED` is set.
    pub(crate) unsafe fn expel(&self) {
        const WAITS: u32 = RECV_WAITS | SEND_WAITS | RECV_OBSERVED | SEND_OBSERVED;
        debug_assert!(self.is_closed());
        loop {
            let mut wakes = WakeList::new();
            let mut batch = 0;
            while batch < CLOSE_BATCH {
                // SAFETY: the lock is held.
                let claimed = unsafe { self.pop_any() };
                let Some(claimed) = claimed else { break };
                wakes.push(claimed, Verdict::Closed);
                batch += 1;
            }
            let more = self.flags() & WAITS != 0;
            // SAFETY: the lock is held.
            unsafe { self.lock.unlock() };
            wakes.wake();
            if !more {
                return;
            }
            // Between batches others may come, but nobody joins a queue (5).
            self.lock();
        }
    }

    /// # Safety
    /// The lock is held.
    unsafe fn pop_any(&self) -> Option<Claimed> {
        for side in [Side::Recv, Side::Send] {
            // SAFETY: the lock is held.
            let claimed = unsafe { self.pop(side) };
            if claimed.is_some() {
                return claimed;
            }
            // SAFETY: the lock is held.
            let claimed = unsafe {
                let (queue, flag) = self.observers(side);
                let claimed = queue.pop_claimed();
                if queue.is_empty() {
                    self.set_flag(flag, false);
                }
                claimed
            };
            if claimed.is_some() {
                return claimed;
            }
        }
        None
    }
}

impl Gauge for Core {
    fn is_for_turns(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & RENDEZVOUS == 0
    }

    #[inline]
    fn sent(&self) -> u32 {
        self.flags.load(Ordering::Relaxed) / SENT
    }

    #[inline]
    fn left(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("flags", &(self.flags() % SENT))
            .field("len", &self.len())
            .field("limit", &self.limit())
            .field("cap", &self.cap)
            .finish_non_exhaustive()
    }
}
