//! The line: tasks that wait for an amount of something, first come first served, under a lock.
//!
//! The nodes ([`Waiter`]) are on the waiting tasks' stacks and linked through themselves, so waiting
//! allocates nothing, and leaving the middle of the line is O(1).
//!
//! # Invariants
//!
//! 1. The holder of the lock runs a few dozen instructions and no foreign code, and does not wait.
//!    Over a park the lock is held only up to the park's `publish`, which releases it.
//! 2. Links and membership change only under the lock.
//! 3. A queued node is alive: its task leaves the frame only after somebody who held the lock took
//!    the node out and claimed its ticket, or after the task itself took it out under the lock.
//! 4. Whoever takes a node out claims its ticket before letting go of the lock. If that fails, the
//!    wait has ended in another way, and the node is not touched again. If it succeeds, the node
//!    belongs to the claimer until it readies the task.
//!
//! # Rejected
//!
//! A lock of std: its guard would have to travel into `publish`, and its slow path and its poisoning
//! read thread-locals (H1, H5).

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::time::Instant;

use crate::atoms::{
    AtomicU32, Ordering, Outcome, Parked, Publish, Reason, Ticket, Wait, Why, pause,
};

const FREE: u32 = 0;
const HELD: u32 = 1;

/// One task in line.
#[derive(Debug)]
struct Waiter {
    /// Neighbours in the line; `next` is also the link of a [`WakeList`].
    prev: *mut Waiter,
    next: *mut Waiter,
    /// Constant.
    ticket: Ticket,
    /// How much it waits for. Constant.
    want: usize,
    /// The right to ready the task, while the node is in a [`WakeList`].
    parked: Option<Parked>,
    queued: bool,
}

/// Tasks in line, and the lock over them.
#[derive(Debug)]
pub(crate) struct Line {
    lock: AtomicU32,
    /// Guarded by the lock.
    ends: UnsafeCell<Ends>,
}

#[derive(Debug)]
struct Ends {
    head: *mut Waiter,
    tail: *mut Waiter,
}

// SAFETY: the ends are touched under the lock only, and lead to nodes that may be touched from any
// thread under that lock.
unsafe impl Send for Line {}
// SAFETY: as above.
unsafe impl Sync for Line {}

/// How a wait in line ended.
#[must_use]
pub(crate) enum End<'a> {
    /// Somebody served the waiter.
    Served,
    /// Nobody did, and it is out of the line, whose lock is held again.
    Left(Guard<'a>, Outcome),
}

impl Line {
    pub(crate) fn new() -> Self {
        Line {
            lock: AtomicU32::new(FREE),
            ends: UnsafeCell::new(Ends {
                head: ptr::null_mut(),
                tail: ptr::null_mut(),
            }),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_> {
        let mut step = 0;
        // Acquire: pairs with the release in `unlock`.
        while self
            .lock
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            pause(step);
            step += 1;
        }
        Guard { line: self }
    }

    /// # Safety
    /// The caller holds the lock, or was given the right to release it.
    unsafe fn unlock(&self) {
        self.lock.store(FREE, Ordering::Release);
    }
}

/// The lock of a line, held.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    line: &'a Line,
}

impl<'a> Guard<'a> {
    fn ends(&mut self) -> &mut Ends {
        // SAFETY: the lock is held as long as the guard lives, and the guard is borrowed.
        unsafe { &mut *self.line.ends.get() }
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.ends().head.is_null()
    }

    /// How much the first in line waits for.
    pub(crate) fn first(&mut self) -> Option<usize> {
        let head = NonNull::new(self.ends().head)?;
        // SAFETY: a queued node is alive (3).
        Some(unsafe { (*head.as_ptr()).want })
    }

    /// Takes the first one out of the line and into `wakes`. False if its wait has ended already.
    ///
    /// # Panics
    /// If nobody is in line.
    pub(crate) fn serve_first(&mut self, wakes: &mut WakeList) -> bool {
        let node = self.ends().head;
        assert!(!node.is_null(), "somebody is in line");
        // SAFETY: a queued node is alive (3), and stays so while the lock is held.
        let ticket = unsafe { (*node).ticket };
        // SAFETY: it is in this line.
        unsafe { self.remove(node) };
        let parked = ticket.claim(Outcome::Ready);
        parked.is_some_and(|parked| {
            // SAFETY: claimed, so the node is ours (4).
            unsafe { wakes.push(node, parked) };
            true
        })
    }

    /// # Safety
    /// The node is alive and in no line, and its task keeps invariant 3.
    unsafe fn push(&mut self, node: *mut Waiter) {
        let ends = self.ends();
        // SAFETY: the caller's node is ours to change.
        unsafe {
            (*node).prev = ends.tail;
            (*node).queued = true;
        }
        if ends.tail.is_null() {
            ends.head = node;
        } else {
            // SAFETY: a queued node is alive (3).
            unsafe { (*ends.tail).next = node };
        }
        ends.tail = node;
    }

    /// # Safety
    /// The node is alive, and in this line or in none.
    unsafe fn remove(&mut self, node: *mut Waiter) {
        // SAFETY: the node is alive; its fields are ours under the lock (2).
        let (queued, prev, next) = unsafe { ((*node).queued, (*node).prev, (*node).next) };
        if !queued {
            return;
        }
        // SAFETY: as above.
        unsafe { (*node).queued = false };
        let ends = self.ends();
        if prev.is_null() {
            ends.head = next;
        } else {
            // SAFETY: neighbours are queued, hence alive (3).
            unsafe { (*prev).next = next };
        }
        if next.is_null() {
            ends.tail = prev;
        } else {
            // SAFETY: as above.
            unsafe { (*next).prev = prev };
        }
    }

    /// Stands in line for `want` until served, or until `deadline`, or until cancelled.
    #[inline(never)]
    pub(crate) fn wait(mut self, want: usize, deadline: Option<Instant>) -> End<'a> {
        let line = self.line;
        let wait = Wait::new();
        let mut node = Waiter {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            ticket: wait.ticket(),
            want,
            parked: None,
            queued: false,
        };
        let node = &raw mut node;
        // SAFETY: the frame is left below, when the node is out of the line by a claimer's hand or
        // our own.
        unsafe { self.push(node) };
        let why = Why::on(Reason::Sync, line);
        match wait.park(why, deadline, self.into_publish()) {
            Outcome::Ready => End::Served,
            outcome => {
                let mut guard = line.lock();
                // SAFETY: the node is ours, and in this line or in none.
                unsafe { guard.remove(node) };
                End::Left(guard, outcome)
            }
        }
    }

    /// What a park has to publish: the lock, released.
    fn into_publish(self) -> impl FnOnce() -> Publish + use<> {
        let guard = std::mem::ManuallyDrop::new(self);
        // A pointer, for the closure may run when the task is on its way again. The task does not
        // leave before it has found the lock free, or was served by somebody who had.
        let line: *const Line = guard.line;
        move || {
            // SAFETY: the guard went into this closure, which runs once.
            unsafe { (*line).unlock() };
            Publish::Published
        }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard stands for the lock being held.
        unsafe { self.line.unlock() };
    }
}

/// Tasks that have been served, to be readied when the lock is released. Linked through the nodes.
#[must_use = "who has been served must be readied"]
#[derive(Debug)]
pub(crate) struct WakeList(Ends);

impl WakeList {
    pub(crate) fn new() -> Self {
        WakeList(Ends {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        })
    }

    /// # Safety
    /// The node is out of its line, and `parked` is the right to its task.
    unsafe fn push(&mut self, node: *mut Waiter, parked: Parked) {
        // SAFETY: claimed, so the node is ours (4).
        unsafe {
            (*node).next = ptr::null_mut();
            (*node).parked = Some(parked);
        }
        if self.0.tail.is_null() {
            self.0.head = node;
        } else {
            // SAFETY: nodes in the list are claimed and not yet readied.
            unsafe { (*self.0.tail).next = node };
        }
        self.0.tail = node;
    }

    /// Readies them all, first come first served. Not under the lock: the caller may be made to let
    /// others run, but not before the last one is readied.
    pub(crate) fn wake(mut self) {
        while !self.0.head.is_null() {
            let node = self.0.head;
            // SAFETY: as in `push`; from `ready` on the node is not touched again.
            let parked = unsafe {
                self.0.head = (*node).next;
                (*node).parked.take()
            };
            let Some(parked) = parked else { continue };
            if self.0.head.is_null() {
                parked.ready();
            } else {
                parked.ready_first();
            }
        }
    }
}
