//! The line of tasks that wait for one object: a short lock, and nodes on the waiting tasks' stacks.
//!
//! Nothing is allocated for a wait, and leaving the middle of the line is O(1).
//!
//! # Invariants
//!
//! 1. Links, membership and every field of a queued node change only under the line's lock. Its
//!    holder runs a few dozen instructions, calls no foreign code and does not wait. Over a park it
//!    is held up to the park's `publish`, which releases it on the scheduler's stack.
//! 2. A queued node is alive. Its task leaves the frame that holds it only after (a) somebody who
//!    held the lock took it out, with the right to ready the task, and readied it, or (b) the task
//!    itself took the lock and found it out of the line or took it out.
//! 3. Whoever takes a node out claims its ticket *before* letting go of the lock. If the claim
//!    fails, the wait has ended in another way, and the node is not touched again. If it succeeds,
//!    the task is asleep until its [`Parked`] is readied: until then the node belongs to the
//!    claimer ([`Claimed`]), who may also put it, right and all, into another line.
//! 4. `verdict` is written by the claimer alone, before it readies the task.
//!
//! The lock is released by a plain store, after which its holder touches the line no more. A futex
//! or a parking lot for the contended case was rejected: the release would have to be a
//! read-modify-write, and to find those who sleep; here the losers spin, yield, then sleep in short
//! steps.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};

use super::atomics::{AtomicU32, Ordering, UnsafeCell, const_fn, pause};
use super::task::{Outcome, Parked, Publish, Ticket};

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; the wait has ended in another way, if it has.
    Pending,
    /// What was waited for has happened, or may have: look again.
    Again,
    /// The same, with the duty that the object's protocol ties to it.
    Woken,
    /// The object was handed over.
    Owned,
}

/// What a waiter stands in line for, where there is more than one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What the line is for.
    Usual,
    /// A writer who waits for the readers that were there before.
    Drain,
}

/// One task in line.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Neighbours; `next` is also the link of a [`Chain`].
    prev: *mut Waiter,
    next: *mut Waiter,
    /// Counts up along the line from front to back, except where somebody was let in at the front.
    number: u64,
    /// Constant while queued.
    ticket: Ticket,
    /// The right to ready the task, if its wait was claimed already and the node is in a line or in
    /// a chain all the same.
    parked: Option<Parked>,
    /// Constant: what the waiter asks for when it is readied, in the terms of the object.
    object: *const (),
    /// Constant.
    role: Role,
    /// Invariant 4.
    pub(super) verdict: Verdict,
    /// Whether the node is in a line.
    queued: bool,
}

impl Waiter {
    pub(super) fn new(ticket: Ticket) -> Self {
        Waiter::with(ticket, Role::Usual, ptr::null())
    }

    pub(super) fn with(ticket: Ticket, role: Role, object: *const ()) -> Self {
        Waiter {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            number: 0,
            ticket,
            parked: None,
            object,
            role,
            verdict: Verdict::Pending,
            queued: false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        debug_assert!(!self.queued, "a waiter left its frame while it was in line");
    }
}

/// A waiter that was taken out of its line, and the right to ready it (invariant 3).
#[derive(Debug)]
#[must_use = "a claimed waiter must be readied"]
pub(super) struct Claimed {
    node: NonNull<Waiter>,
    parked: Parked,
}

impl Claimed {
    /// What the waiter asks for.
    pub(super) fn object(&self) -> *const () {
        // SAFETY: invariant 3: the node is ours.
        unsafe { (*self.node.as_ptr()).object }
    }

    fn decide(self, verdict: Verdict) -> Parked {
        // SAFETY: invariant 3: the node is ours.
        unsafe { (*self.node.as_ptr()).verdict = verdict };
        self.parked
    }

    /// Tells the waiter what became of it and makes it run. Under no lock: the caller may have to
    /// let others run first.
    #[inline]
    pub(super) fn ready(self, verdict: Verdict) {
        self.decide(verdict).ready();
    }

    /// The same for a caller that surely goes on.
    #[inline]
    pub(super) fn ready_first(self, verdict: Verdict) {
        self.decide(verdict).ready_first();
    }
}

/// The line itself. Locked while it is touched.
#[derive(Debug)]
pub(super) struct WaitList {
    /// 1 while somebody holds the lock, which guards `ends`.
    lock: AtomicU32,
    ends: UnsafeCell<Ends>,
}

#[derive(Debug)]
struct Ends {
    head: *mut Waiter,
    tail: *mut Waiter,
    /// The number of the next waiter.
    next_number: u64,
}

// SAFETY: the ends and the nodes behind them are touched under the lock only, from any thread.
unsafe impl Send for WaitList {}
// SAFETY: as above.
unsafe impl Sync for WaitList {}

// No code of a user runs while the line is touched, so no panic leaves it half changed.
impl UnwindSafe for WaitList {}
impl RefUnwindSafe for WaitList {}

impl WaitList {
    const_fn! {
        pub(super) const fn new() -> Self {
            WaitList {
                lock: AtomicU32::new(0),
                ends: UnsafeCell::new(Ends {
                    head: ptr::null_mut(),
                    tail: ptr::null_mut(),
                    next_number: 0,
                }),
            }
        }
    }

    /// Takes the lock.
    #[inline]
    pub(super) fn lock(&self) -> Line<'_> {
        if !self.try_lock() {
            self.lock_contended();
        }
        Line { list: self }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire: pairs with the release in `Line::drop`.
        self.lock
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) {
        let mut step = 0;
        loop {
            pause(step);
            step = step.saturating_add(1);
            // Look before trying: a failed compare-and-swap takes the cache line from the holder.
            if self.lock.load(Ordering::Relaxed) == 0 && self.try_lock() {
                return;
            }
        }
    }
}

/// A line whose lock is held; dropping this releases it.
#[derive(Debug)]
pub(super) struct Line<'a> {
    list: &'a WaitList,
}

impl Line<'_> {
    #[inline(always)]
    fn ends<R>(&self, f: impl FnOnce(&mut Ends) -> R) -> R {
        // SAFETY: the lock is held, and nothing that is called from `f` calls this.
        self.list.ends.with_mut(|ends| f(unsafe { &mut *ends }))
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ends(|ends| ends.head.is_null())
    }

    /// The number that the next waiter will get: all who are in line have lower ones.
    pub(super) fn next_number(&self) -> u64 {
        self.ends(|ends| ends.next_number)
    }

    /// Puts a waiter at the end of the line.
    ///
    /// # Safety
    /// The node is alive and in no line, and its task keeps invariant 2.
    #[inline]
    pub(super) unsafe fn push_back(&mut self, node: *mut Waiter) {
        self.ends(|ends| {
            let tail = ends.tail;
            // SAFETY: the caller's node is alive and ours to change.
            unsafe {
                (*node).prev = tail;
                (*node).next = ptr::null_mut();
                (*node).number = ends.next_number;
                (*node).queued = true;
            }
            if tail.is_null() {
                ends.head = node;
            } else {
                // SAFETY: a queued node is alive (2), and links change under the lock (1).
                unsafe { (*tail).next = node };
            }
            ends.tail = node;
            ends.next_number += 1;
        });
    }

    /// Puts a waiter at the front of the line.
    ///
    /// # Safety
    /// As for [`push_back`](Self::push_back).
    #[inline]
    pub(super) unsafe fn push_front(&mut self, node: *mut Waiter) {
        self.ends(|ends| {
            let head = ends.head;
            // SAFETY: the caller's node is alive and ours to change.
            unsafe {
                (*node).prev = ptr::null_mut();
                (*node).next = head;
                (*node).number = 0;
                (*node).queued = true;
            }
            if head.is_null() {
                ends.tail = node;
            } else {
                // SAFETY: a queued node is alive (2), and links change under the lock (1).
                unsafe { (*head).prev = node };
            }
            ends.head = node;
        });
    }

    /// Puts a claimed waiter at the end of this line, right and all.
    #[inline]
    pub(super) fn adopt(&mut self, claimed: Claimed) {
        let node = shelve(claimed);
        // SAFETY: invariant 3: the node is ours, in no line; it stays where it is until somebody
        // takes it out of this one and readies it.
        unsafe { self.push_back(node) };
    }

    /// Puts a claimed waiter back to the front.
    #[inline]
    pub(super) fn put_back(&mut self, claimed: Claimed) {
        let node = shelve(claimed);
        // SAFETY: as in `adopt`.
        unsafe { self.push_front(node) };
    }

    /// Takes a waiter out of the line, if it is (still) in it.
    ///
    /// # Safety
    /// The node is alive, and if it is in a line it is in this one.
    #[inline]
    pub(super) unsafe fn remove(&mut self, node: *mut Waiter) {
        // SAFETY: the node is alive; its fields are ours under the lock (1).
        let (queued, prev, next) = unsafe { ((*node).queued, (*node).prev, (*node).next) };
        if !queued {
            return;
        }
        // SAFETY: as above.
        unsafe { (*node).queued = false };
        self.ends(|ends| {
            if prev.is_null() {
                ends.head = next;
            } else {
                // SAFETY: neighbours are queued, hence alive (2).
                unsafe { (*prev).next = next };
            }
            if next.is_null() {
                ends.tail = prev;
            } else {
                // SAFETY: as above.
                unsafe { (*next).prev = prev };
            }
        });
    }

    /// Takes the first waiter that still waits out of the line and claims it. Those before it whose
    /// wait has ended are taken out as well.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Claimed> {
        self.pop_if(|_| true)
    }

    /// The same among the first ones with a number below `bound`.
    pub(super) fn pop_below(&mut self, bound: u64) -> Option<Claimed> {
        self.pop_if(|waiter| waiter.number < bound)
    }

    /// The same among the first ones in the role `role`.
    pub(super) fn pop_role(&mut self, role: Role) -> Option<Claimed> {
        self.pop_if(|waiter| waiter.role == role)
    }

    #[inline(always)]
    fn pop_if(&mut self, wanted: impl Fn(&Waiter) -> bool) -> Option<Claimed> {
        while let Some(node) = NonNull::new(self.ends(|ends| ends.head)) {
            // SAFETY: a queued node is alive (2), and stays so while we hold the lock, claimed or
            // not. Nobody else touches it meanwhile (1).
            let waiter = unsafe { &mut *node.as_ptr() };
            if !wanted(waiter) {
                return None;
            }
            let ticket = waiter.ticket;
            let parked = waiter.parked.take();
            // SAFETY: it is the head of this line.
            unsafe { self.remove(node.as_ptr()) };
            let parked = parked.or_else(|| ticket.claim(Outcome::Ready));
            if let Some(parked) = parked {
                return Some(Claimed { node, parked });
            }
        }
        None
    }

    /// Takes all waiters with a number below `bound` out of the line, at most [`BATCH`] at a time.
    /// The flag says whether there may be more.
    pub(super) fn pop_batch(&mut self, bound: u64) -> (Chain, bool) {
        let mut chain = Chain::new();
        for _ in 0..BATCH {
            let Some(claimed) = self.pop_below(bound) else {
                return (chain, false);
            };
            chain.push(claimed);
        }
        (chain, true)
    }

    /// The lock goes over into a park, whose `publish` releases it.
    #[inline]
    pub(super) fn into_publish(self) -> impl FnOnce() -> Publish {
        move || {
            drop(self);
            Publish::Published
        }
    }
}

impl Drop for Line<'_> {
    #[inline]
    fn drop(&mut self) {
        self.list.lock.store(0, Ordering::Release);
    }
}

/// How many waiters are taken out of a line before others get its lock.
const BATCH: u32 = 32;

/// Stores the right of a claimed waiter in its node.
#[inline]
fn shelve(claimed: Claimed) -> *mut Waiter {
    let Claimed { node, parked } = claimed;
    // SAFETY: invariant 3: the node is ours.
    unsafe { (*node.as_ptr()).parked = Some(parked) };
    node.as_ptr()
}

/// Claimed waiters, to be readied when the lock is released.
///
/// Linked through the nodes, so a batch of any size needs no memory.
#[derive(Debug)]
#[must_use = "claimed waiters must be readied"]
pub(super) struct Chain {
    head: *mut Waiter,
    tail: *mut Waiter,
}

impl Chain {
    pub(super) const fn new() -> Self {
        Chain {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    /// Adds a waiter at the end.
    pub(super) fn push(&mut self, claimed: Claimed) {
        let node = shelve(claimed);
        // SAFETY: claimed, so the node is ours (3).
        unsafe { (*node).next = ptr::null_mut() };
        if self.tail.is_null() {
            self.head = node;
        } else {
            // SAFETY: nodes in the chain are claimed and not yet readied.
            unsafe { (*self.tail).next = node };
        }
        self.tail = node;
    }

    /// The first waiter.
    pub(super) fn pop(&mut self) -> Option<Claimed> {
        let node = NonNull::new(self.head)?;
        // SAFETY: nodes in the chain are claimed and not yet readied.
        let waiter = unsafe { &mut *node.as_ptr() };
        self.head = waiter.next;
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        let parked = waiter.parked.take()?;
        Some(Claimed { node, parked })
    }

    /// What the first waiter asks for.
    pub(super) fn object(&self) -> Option<*const ()> {
        // SAFETY: nodes in the chain are claimed and not yet readied.
        NonNull::new(self.head).map(|node| unsafe { (*node.as_ptr()).object })
    }

    /// Readies them all, first come first served.
    pub(super) fn wake(mut self, verdict: Verdict) {
        while let Some(claimed) = self.pop() {
            // The caller may have to let others run, but not before the last is readied.
            if self.head.is_null() {
                claimed.ready(verdict);
            } else {
                claimed.ready_first(verdict);
            }
        }
    }

    /// The same for a caller that surely goes on.
    pub(super) fn wake_first(mut self, verdict: Verdict) {
        while let Some(claimed) = self.pop() {
            claimed.ready_first(verdict);
        }
    }
}
