//! The wait queue: tasks that stand in line at one side of a channel, first come first served.
//!
//! The nodes ([`Waiter`]) live on the waiting tasks' stacks and are linked through themselves, so
//! waiting allocates nothing and leaving the middle of the line is O(1).
//!
//! # Invariants
//!
//! 1. Links, `queued` and membership change only under the lock of the channel that owns the queue.
//! 2. A queued node is alive. Its task leaves the frame that holds it only after (a) somebody who
//!    held the lock took it out, claimed its ticket and readied the task, or (b) the task itself
//!    took the lock and found it out of the queue or took it out.
//! 3. Whoever takes a node out claims its ticket *before* letting go of the lock. If the claim
//!    fails, the task has ended its wait in another way and may leave as soon as the lock is free:
//!    the node is not touched again. If it succeeds, the task is asleep until its
//!    [`Parked`] is readied: until then the claimer, and nobody else, may touch the node and what
//!    its `slot` points to, with or without the lock.
//! 4. `verdict` is written by the claimer alone, once per wait, before it readies the task. So a
//!    select, which has several nodes under one ticket, finds exactly one of them decided.
//! 5. A task that looks for a partner has no node of its own in any queue.

use std::ptr::{self, NonNull};

use crate::task::{Parked, Ticket};

/// What a waiter brings to the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// `slot` points to the value to be sent, or to the room for the one to be received.
    Value,
    /// The send of a select, whose value does not exist yet: it is made when the case is chosen.
    Promise,
}

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet; the wait ended in another way, if it did.
    Pending,
    /// The value has been moved out of, or into, the slot.
    Done,
    /// The channel was closed.
    Closed,
    /// To a promise: a place in the buffer has been set aside.
    Granted,
    /// To a promise: a receiver waits for just this value; `slot` points to its `Packet`.
    Paired,
    /// The one who chose this waiter has changed its mind, or (to an observer) something happened:
    /// look again.
    Again,
}

/// One task in one line.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// The one before it in the queue; of the first, the last one.
    prev: *mut Waiter,
    /// The one after it in the queue, or null; also the link of a [`WakeList`].
    next: *mut Waiter,
    /// Constant while queued.
    ticket: Ticket,
    /// See [`Offer`] and [`Verdict::Paired`].
    pub(crate) slot: *mut (),
    /// The right to ready the task, while the node is in a [`WakeList`].
    parked: Option<Parked>,
    /// Constant.
    pub(crate) offer: Offer,
    /// See invariant 4.
    pub(crate) verdict: Verdict,
    /// Whether the node is in a queue.
    queued: bool,
}

impl Waiter {
    pub(crate) fn new(ticket: Ticket, offer: Offer, slot: *mut ()) -> Self {
        Waiter {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            ticket,
            slot,
            parked: None,
            offer,
            verdict: Verdict::Pending,
            queued: false,
        }
    }

    /// What has become of the wait of a node that is its task's alone again. Nothing is left in such
    /// a node that would have to be dropped.
    ///
    /// # Safety
    /// The node is initialised, the wait over, the node in no queue.
    #[inline]
    pub(crate) unsafe fn verdict_of(node: *const Waiter) -> Verdict {
        // SAFETY: the caller's promise.
        debug_assert!(!unsafe { (*node).queued });
        // SAFETY: as above.
        unsafe { (*node).verdict }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        debug_assert!(!self.queued, "a waiter left its frame while it was queued");
    }
}

/// A waiter that has been taken out of its queue and claimed (invariant 3).
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) waiter: NonNull<Waiter>,
    parked: Parked,
}

// SAFETY: a claimed waiter belongs to the holder of this, whichever thread that is on; `Parked`
// itself may be used from any thread.
unsafe impl Send for Claimed {}

impl Claimed {
    #[inline]
    pub(crate) fn offer(&self) -> Offer {
        // SAFETY: invariant 3: the waiter is asleep, the node ours.
        unsafe { (*self.waiter.as_ptr()).offer }
    }

    #[inline]
    pub(crate) fn slot(&self) -> *mut () {
        // SAFETY: as in `offer`.
        unsafe { (*self.waiter.as_ptr()).slot }
    }

    #[inline]
    pub(crate) fn set_slot(&mut self, slot: *mut ()) {
        // SAFETY: as in `offer`.
        unsafe { (*self.waiter.as_ptr()).slot = slot };
    }

    #[inline]
    fn decide(&mut self, verdict: Verdict) {
        // SAFETY: as in `offer`.
        unsafe { (*self.waiter.as_ptr()).verdict = verdict };
    }

    /// Tells the waiter what became of it and makes it run. Not under the lock.
    #[inline]
    pub(crate) fn ready(mut self, verdict: Verdict) {
        self.decide(verdict);
        self.parked.ready();
    }

    /// The same for a sender whose value was taken: it runs after whoever was given one.
    #[inline]
    pub(crate) fn release(mut self) {
        self.decide(Verdict::Done);
        self.parked.ready_after();
    }
}

/// Tasks in line.
///
/// One pointer, so that both lines of a channel fit into the cache line of its lock: the first in
/// line keeps the last one where it has no predecessor to name.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    head: *mut Waiter,
}

impl WaitQueue {
    pub(crate) const fn new() -> Self {
        WaitQueue {
            head: ptr::null_mut(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Puts a waiter at the end of the line.
    ///
    /// # Safety
    /// The lock is held; the node is in no queue, and its task keeps invariant 2.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: *mut Waiter) {
        let head = self.head;
        let mut tail = node;
        if head.is_null() {
            self.head = node;
        } else {
            // SAFETY: queued nodes are alive (2), and links change under the lock (1).
            unsafe {
                tail = (*head).prev;
                (*head).prev = node;
                (*tail).next = node;
            }
        }
        // SAFETY: the caller's node is alive and ours to change.
        unsafe {
            (*node).prev = tail;
            (*node).next = ptr::null_mut();
            (*node).queued = true;
        }
    }

    /// Takes a waiter out of the line, if it is (still) in it.
    ///
    /// # Safety
    /// The lock is held; the node is alive, and if it is in a queue it is in this one.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, node: *mut Waiter) {
        // SAFETY: the node is alive; its fields are ours under the lock (1).
        let (queued, prev, next) = unsafe { ((*node).queued, (*node).prev, (*node).next) };
        if !queued {
            return;
        }
        // SAFETY: as above.
        unsafe { (*node).queued = false };
        if self.head == node {
            self.head = next;
        } else {
            // SAFETY: neighbours are queued, hence alive (2).
            unsafe { (*prev).next = next };
        }
        // Of the last one the first is told, if there is one left.
        let told = if next.is_null() { self.head } else { next };
        if !told.is_null() {
            // SAFETY: as above.
            unsafe { (*told).prev = prev };
        }
    }

    /// Takes the first waiter that still waits out of the line and claims it. Those before it whose
    /// wait has ended are taken out as well.
    ///
    /// # Safety
    /// The lock is held.
    #[inline]
    pub(crate) unsafe fn pop_claimed(&mut self) -> Option<Claimed> {
        while let Some(waiter) = NonNull::new(self.head) {
            // SAFETY: a queued node is alive (2), and stays so while we hold the lock, claimed or
            // not.
            let ticket = unsafe { (*waiter.as_ptr()).ticket };
            // SAFETY: it is the head of this queue.
            unsafe { self.remove(waiter.as_ptr()) };
            if let Some(parked) = ticket.claim(crate::task::Outcome::Ready) {
                return Some(Claimed { waiter, parked });
            }
        }
        None
    }

    /// For tests: who stands in line. Panics if a link is wrong.
    #[cfg(test)]
    pub(crate) fn order(&self) -> Vec<*mut Waiter> {
        let mut order = Vec::new();
        let mut node = self.head;
        while !node.is_null() {
            order.push(node);
            // SAFETY: queued nodes are alive (2).
            node = unsafe { (*node).next };
        }
        for (position, &node) in order.iter().enumerate() {
            let before = (position + order.len() - 1) % order.len();
            // SAFETY: as above.
            assert_eq!(unsafe { (*node).prev }, order[before]);
        }
        order
    }
}

/// Claimed waiters whose verdict is in, to be readied when the lock is released.
///
/// Linked through the nodes, so a batch of any size needs no memory.
#[must_use = "claimed waiters must be readied"]
#[derive(Debug)]
pub(crate) struct WakeList {
    head: *mut Waiter,
    tail: *mut Waiter,
}

impl WakeList {
    #[inline]
    pub(crate) const fn new() -> Self {
        WakeList {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    /// Adds a waiter, with what became of it.
    pub(crate) fn push(&mut self, mut claimed: Claimed, verdict: Verdict) {
        claimed.decide(verdict);
        let Claimed { waiter, parked } = claimed;
        let node = waiter.as_ptr();
        // SAFETY: claimed, so the node is ours (3).
        unsafe {
            (*node).next = ptr::null_mut();
            (*node).parked = Some(parked);
        }
        if self.tail.is_null() {
            self.head = node;
        } else {
            // SAFETY: nodes in the list are claimed and not yet readied.
            unsafe { (*self.tail).next = node };
        }
        self.tail = node;
    }

    /// Readies them all, first come first served. Not under a lock.
    #[inline]
    pub(crate) fn wake(self) {
        // The caller may lose its processor for long, but not before the last is woken.
        self.wake_all(Parked::ready);
    }

    /// The same under a lock: the caller surely goes on.
    pub(crate) fn wake_under_lock(self) {
        self.wake_all(Parked::ready_first);
    }

    #[inline]
    fn wake_all(mut self, ready_last: impl Fn(Parked)) {
        while !self.head.is_null() {
            let node = self.head;
            // SAFETY: nodes in the list are claimed and not yet readied; from `ready` on this one
            // is not touched again.
            let parked = unsafe {
                self.head = (*node).next;
                (*node).parked.take()
            };
            if let Some(parked) = parked {
                if self.head.is_null() {
                    ready_last(parked);
                } else {
                    parked.ready_first();
                }
            }
        }
    }
}
