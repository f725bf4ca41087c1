//! The descriptor slot: who waits for one direction of one descriptor, and what has happened there.
//!
//! A slot is an *event count* with waiters. Each event of the kernel moves the count. A task reads
//! the count ([`Slot::epoch`]), tries its system call, and if that would block stands in the slot
//! ([`Slot::register`]) naming the epoch it has read. If the count has moved in between, the task is
//! told so and tries again. "Ready" is therefore no state that somebody would have to clear: the
//! slot is ready *for a task* if it has moved since that task looked. That keeps the rule of
//! edge-triggered polling (readiness may be forgotten only by a task whose system call, begun after
//! it was announced, said `WouldBlock`) for any number of tasks on one descriptor, and costs no
//! second system call where an event and a read have crossed.
//!
//! ```text
//!   task                                      poller
//!   seen = epoch()
//!   recv() -> WouldBlock                      epoll_wait() -> event for the token
//!   register(seen, ticket) -> Waiting         notify_one(generation): count += 1, takes the ticket
//!   parks                                     claims it, readies the task
//! ```
//!
//! An event wakes *one* waiter. A woken task that gets what it came for (or gives up) passes the
//! event on ([`Slot::pass_on`]), since there may be more; one whose system call would block again
//! has seen the end of it, and does not. So a connection wakes one acceptor out of a thousand.
//!
//! | bits   | meaning                                                                     |
//! |--------|-----------------------------------------------------------------------------|
//! | 63..=40| generation: moves when the record changes its descriptor                    |
//! | 39..=3 | event count, wrapping within its field                                      |
//! | 2      | `QUEUED`: there are waiters in the queue                                    |
//! | 1..=0  | phase of the cell: `EMPTY`, `INSTALLING`, `WAITING`, `TAKING`               |
//!
//! Generation and count together are the *epoch*. The first waiter stands in the cell; those that
//! come while it is there stand in a queue under a mutex, which a descriptor with one reader and
//! one writer never touches.
//!
//! # Invariants
//!
//! 1. The cell is written by whoever moved the phase `EMPTY -> INSTALLING`, until it moves it on;
//!    it is read by whoever moved it `WAITING -> TAKING`, until it moves it on. Nobody else.
//! 2. A waiter enters (cell or queue) by a compare-and-swap that finds the epoch it has seen. So an
//!    event is either before the entry, which then fails, or after it, and then finds the waiter.
//! 3. Whoever holds `INSTALLING` or `TAKING` and finds, on letting go, that the epoch has moved,
//!    answers for the event: the installer does not wait, the inspector wakes the waiter that it
//!    was about to put back.
//! 4. `QUEUED` changes under the lock of the queue only, and is set exactly when the queue has an
//!    entry and nobody holds the lock.
//! 5. The generation moves when a descriptor leaves the record. An event or a registration that
//!    names another generation than the slot's has no effect.
//! 6. A waiter that went away for another reason (deadline, cancellation) withdraws. One that could
//!    not, because its registration was still under way on another thread, leaves an entry whose
//!    claim fails: harmless, and gone with the next event or the end of the descriptor.
//!
//! # Rejected
//!
//! A `READY` flag, as in Go's `pollDesc`: somebody has to clear it, either before each system call
//! (a write on the path that finds data) or on meeting it (one more system call that would block),
//! and with several readers the one who clears it may take it from another who has not looked yet.
//! Waking all waiters: a herd on every listener with many acceptors.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ptr;

use crate::sync::{AtomicPtr, AtomicU64, Mutex, Ordering, UnsafeCell};

const PHASE_MASK: u64 = 0b011;
const QUEUED: u64 = 0b100;
const EPOCH_SHIFT: u32 = 3;
const EVENT: u64 = 1 << EPOCH_SHIFT;
const GENERATION_SHIFT: u32 = 40;
const EVENTS_MASK: u64 = (1 << GENERATION_SHIFT) - EVENT;

/// Nobody in the cell.
const EMPTY: u64 = 0;
/// A waiter is being written.
const INSTALLING: u64 = 1;
/// A waiter is there.
const WAITING: u64 = 2;
/// A waiter is being read.
const TAKING: u64 = 3;

/// A snapshot of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn phase(self) -> u64 {
        self.0 & PHASE_MASK
    }

    fn queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    fn epoch(self) -> Epoch {
        Epoch(self.0 >> EPOCH_SHIFT)
    }

    fn generation(self) -> u32 {
        // 24 bits are left.
        (self.0 >> GENERATION_SHIFT) as u32
    }

    fn with_phase(self, phase: u64) -> Word {
        Word(self.0 & !PHASE_MASK | phase)
    }

    fn with_queued(self) -> Word {
        Word(self.0 | QUEUED)
    }

    /// One event later. The count wraps within its field: a task that would be fooled has slept
    /// through exactly 2^37 events between two lines.
    fn after_event(self) -> Word {
        Word(self.0 & !EVENTS_MASK | self.0.wrapping_add(EVENT) & EVENTS_MASK)
    }

    /// One descriptor later.
    fn after_retirement(self) -> Word {
        Word(self.0.wrapping_add(1 << GENERATION_SHIFT))
    }
}

/// A moment in the life of a slot: which descriptor, and after how many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// Below 2^61.
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

/// What became of a registration.
#[derive(Debug)]
#[must_use]
pub(crate) enum Registered<T> {
    /// The waiter stands in the slot: the next event will find it.
    Waiting,
    /// The epoch has moved: do not wait, try the system call again. The waiter comes back.
    Moved(T),
}

/// Who may be woken for an event that has been counted: the one that stood in the cell, else, or if
/// it waits no more, one from the queue.
#[derive(Debug)]
#[must_use = "the event has to be answered"]
pub(crate) struct Found<T> {
    pub(crate) first: Option<T>,
}

/// See the module's documentation. `T` names a waiter: a ticket, or a task's waker.
///
/// An event is a hundred descriptors away from the one before it, so what counts is how many cache
/// lines it touches. Word and cell are 24 bytes, and those of both directions of a descriptor lie on
/// one line (`record.rs`); what is seldom needed is elsewhere.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot<T> {
    /// Written by all, by compare-and-swap.
    word: AtomicU64,
    /// See invariant 1. It holds a waiter exactly in the phase `WAITING`, and after `put` and before
    /// `take` in `INSTALLING` and `TAKING`.
    cell: UnsafeCell<MaybeUninit<T>>,
    /// The waiters behind the first; null until there was one, then never changed.
    queue: AtomicPtr<Queue<T>>,
}

/// Waiters, oldest first. The lock is held for a push or a pop and the claims of one search: nothing
/// under it waits, takes a lock or runs a task.
type Queue<T> = Mutex<VecDeque<T>>;

// SAFETY: the cell moves waiters between threads (`T: Send`) and is accessed by one thread at a
// time (invariant 1); no reference to a waiter is ever shared.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// A slot of generation 0 without events and waiters.
    pub(crate) fn new() -> Self {
        Slot {
            word: AtomicU64::new(EMPTY),
            cell: UnsafeCell::new(MaybeUninit::uninit()),
            queue: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The present epoch. To be read *before* the system call whose `WouldBlock` leads to
    /// [`register`](Self::register).
    #[inline]
    pub(crate) fn epoch(&self) -> Epoch {
        // Acquire: the system call that follows begins after the event that was counted, and what
        // a caller of `notify_all` wrote before is seen.
        Word(self.word.load(Ordering::Acquire)).epoch()
    }

    /// The present generation.
    pub(crate) fn generation(&self) -> u32 {
        Word(self.word.load(Ordering::Acquire)).generation()
    }

    /// Puts a waiter into the slot, unless the epoch is no longer `seen`.
    pub(crate) fn register(&self, seen: Epoch, waiter: T) -> Registered<T> {
        loop {
            let now = self.load();
            if now.epoch() != seen {
                return Registered::Moved(waiter);
            }
            if now.phase() != EMPTY || now.queued() {
                return self.enqueue(seen, waiter);
            }
            if self.swap(now, now.with_phase(INSTALLING)).is_ok() {
                return self.install(seen, waiter);
            }
        }
    }

    /// The second half of `register`: the phase is `INSTALLING` and ours.
    fn install(&self, seen: Epoch, waiter: T) -> Registered<T> {
        self.put(waiter);
        loop {
            let now = self.load();
            if now.epoch() != seen {
                // Invariant 3: the event found nobody, so it is ours.
                let waiter = self.take();
                self.free_cell();
                return Registered::Moved(waiter);
            }
            if self.swap(now, now.with_phase(WAITING)).is_ok() {
                return Registered::Waiting;
            }
        }
    }

    fn enqueue(&self, seen: Epoch, waiter: T) -> Registered<T> {
        let mut queue = self.lock();
        loop {
            let now = self.load();
            if now.epoch() != seen {
                return Registered::Moved(waiter);
            }
            // A swap even if the bit is set already: it must find the epoch (invariant 2). An event
            // that comes after it waits for the lock, and finds the entry.
            if self.swap(now, now.with_queued()).is_ok() {
                queue.push_back(waiter);
                return Registered::Waiting;
            }
        }
    }

    /// Counts an event of the descriptor of that generation and takes the first waiter whose claim
    /// succeeds, oldest first.
    #[inline]
    pub(crate) fn notify_one<P>(
        &self,
        generation: u32,
        claim: impl FnMut(T) -> Option<P>,
    ) -> Option<P> {
        self.answer(self.count(generation)?, claim)
    }

    /// The first half of [`notify_one`](Self::notify_one): counts the event. `None` if there is nobody
    /// to wake; else [`answer`](Self::answer) has to follow. Whoever has several events looks for all
    /// waiters first, so that their memory is on its way when they are claimed.
    #[inline]
    pub(crate) fn count(&self, generation: u32) -> Option<Found<T>> {
        let mut now = self.load();
        loop {
            if now.generation() != generation {
                return None;
            }
            let mut next = now.after_event();
            if now.phase() == WAITING {
                next = next.with_phase(TAKING);
            }
            match self.swap(now, next) {
                Ok(()) => break,
                Err(other) => now = other,
            }
        }
        // In the phases INSTALLING and TAKING somebody else answers for the cell (invariant 3), or
        // is about to wake its waiter for an earlier event: which will find this one, too.
        let mut first = None;
        if now.phase() == WAITING {
            first = Some(self.take());
            now = self.free_cell();
        }
        (first.is_some() || now.queued()).then_some(Found { first })
    }

    /// The second half: claims a waiter. Between the two the one from the cell is in no place where
    /// others would find it, as it is between leaving the cell and the claim in any case: if its wait
    /// ends in another way, the claim fails.
    #[inline]
    pub(crate) fn answer<P>(
        &self,
        found: Found<T>,
        mut claim: impl FnMut(T) -> Option<P>,
    ) -> Option<P> {
        if let Some(claimed) = found.first.and_then(&mut claim) {
            return Some(claimed);
        }
        if self.load().queued() {
            return self.dequeue(claim);
        }
        None
    }

    #[cold]
    fn dequeue<P>(&self, mut claim: impl FnMut(T) -> Option<P>) -> Option<P> {
        let mut queue = self.lock();
        let mut claimed = None;
        while claimed.is_none() {
            match queue.pop_front() {
                Some(waiter) => claimed = claim(waiter),
                None => break,
            }
        }
        self.settle(&queue);
        claimed
    }

    /// For a task that was woken by an event and did not find the end of it: wakes the next waiter,
    /// if there is one.
    #[inline]
    pub(crate) fn pass_on<P>(&self, claim: impl FnMut(T) -> Option<P>) -> Option<P> {
        let now = self.load();
        // Any phase but `EMPTY`: behind `TAKING` may be a waiter that is only looked at.
        if now.phase() != EMPTY || now.queued() {
            self.notify_one(now.generation(), claim)
        } else {
            None
        }
    }

    /// Counts an event and takes all waiters. Whoever registers later sees what the caller wrote
    /// before; whoever is registering now is sent back to look again.
    pub(crate) fn notify_all(&self, each: impl FnMut(T)) {
        self.take_all(Word::after_event, each);
    }

    /// Ends the generation: the descriptor is gone. Late events and registrations have no effect.
    pub(crate) fn retire(&self, each: impl FnMut(T)) {
        self.take_all(Word::after_retirement, each);
    }

    fn take_all(&self, step: impl Fn(Word) -> Word, mut each: impl FnMut(T)) {
        let mut now = self.load();
        loop {
            let mut next = step(now);
            if now.phase() == WAITING {
                next = next.with_phase(TAKING);
            }
            match self.swap(now, next) {
                Ok(()) => break,
                Err(other) => now = other,
            }
        }
        if now.phase() == WAITING {
            let waiter = self.take();
            now = self.free_cell();
            each(waiter);
        }
        if now.queued() {
            // All at once: those who are woken may come back while we go through the list.
            let waiters = {
                let mut queue = self.lock();
                let waiters = std::mem::take(&mut *queue);
                self.settle(&queue);
                waiters
            };
            waiters.into_iter().for_each(each);
        }
    }

    /// Takes out the waiters that are `mine`: their wait has ended in another way.
    ///
    /// May come to answer for an event that fell upon another waiter while it looked (invariant 3);
    /// then it claims that waiter and returns it to be readied.
    #[cold]
    pub(crate) fn withdraw<P>(
        &self,
        mine: impl Fn(&T) -> bool,
        mut claim: impl FnMut(T) -> Option<P>,
    ) -> Option<P> {
        let mut claimed = None;
        let mut now = self.load();
        while now.phase() == WAITING {
            match self.swap(now, now.with_phase(TAKING)) {
                Ok(()) => {
                    claimed = self.inspect(now.epoch(), &mine, &mut claim);
                    break;
                }
                Err(other) => now = other,
            }
        }
        if self.load().queued() {
            // Dropped when the lock is released: the end of a waker may run anything.
            let mut gone = Vec::new();
            let mut queue = self.lock();
            let mut i = 0;
            while i < queue.len() {
                match mine(&queue[i]) {
                    true => gone.extend(queue.remove(i)),
                    false => i += 1,
                }
            }
            self.settle(&queue);
            drop(queue);
        }
        claimed
    }

    /// The phase is `TAKING` and ours, since `seen`.
    fn inspect<P>(
        &self,
        seen: Epoch,
        mine: impl Fn(&T) -> bool,
        claim: impl FnMut(T) -> Option<P>,
    ) -> Option<P> {
        let waiter = self.take();
        if mine(&waiter) {
            self.free_cell();
            return None;
        }
        self.put(waiter);
        loop {
            let now = self.load();
            if now.epoch() != seen {
                let waiter = self.take();
                self.free_cell();
                return Some(waiter).and_then(claim);
            }
            if self.swap(now, now.with_phase(WAITING)).is_ok() {
                return None;
            }
        }
    }

    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Acquire: who gets a right to the cell sees what the former holder wrote there, and an event
    /// sees the waiter. Release: the reverse of both.
    fn swap(&self, from: Word, to: Word) -> Result<(), Word> {
        self.word
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// Lets go of the cell; gives the word as it was then.
    fn free_cell(&self) -> Word {
        Word(self.word.fetch_and(!PHASE_MASK, Ordering::AcqRel))
    }

    /// Makes `QUEUED` tell the truth. The guard is held by the caller (invariant 4).
    fn settle(&self, queue: &VecDeque<T>) {
        if queue.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::AcqRel);
        }
    }

    fn lock(&self) -> impl std::ops::DerefMut<Target = VecDeque<T>> + '_ {
        // Acquire: pairs with the release in `make_queue`.
        let queue = self.queue.load(Ordering::Acquire);
        let queue = match queue.is_null() {
            true => self.make_queue(),
            // SAFETY: made by `make_queue`, and freed with the slot.
            false => unsafe { &*queue },
        };
        // Nothing that can panic runs under the lock but the callers' claims; a list of waiters is
        // whole between any two of them.
        queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    #[cold]
    fn make_queue(&self) -> &Queue<T> {
        let new = Box::into_raw(Box::new(Mutex::new(VecDeque::new())));
        // Release: whoever sees the address sees the queue. Acquire: the same for a queue that
        // somebody else has made meanwhile.
        let made =
            self.queue
                .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
        let queue = match made {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: made above, and seen by nobody.
                drop(unsafe { Box::from_raw(new) });
                other
            }
        };
        // SAFETY: it is freed with the slot, not before.
        unsafe { &*queue }
    }

    /// Writes the cell. Only between `INSTALLING` or `TAKING` and the letting go.
    fn put(&self, waiter: T) {
        self.cell.with_mut(|cell| {
            // SAFETY: invariant 1: the caller alone has access now, and the pointer is the cell's.
            unsafe { (*cell).write(waiter) };
        });
    }

    /// Empties the cell. Only by the holder of `INSTALLING` or `TAKING`, and only if a waiter is in
    /// it.
    fn take(&self) -> T {
        self.cell.with_mut(|cell| {
            // SAFETY: invariant 1: the caller alone has access now, and the pointer is the cell's. A
            // waiter was put there: before the phase became `WAITING`, or by the caller.
            unsafe { (*cell).assume_init_read() }
        })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // Nobody else is here any more, so nobody is in between two phases.
        if self.load().phase() == WAITING {
            drop(self.take());
        }
        let queue = self.queue.load(Ordering::Acquire);
        if !queue.is_null() {
            // SAFETY: made by `make_queue`, and the slot is gone.
            drop(unsafe { Box::from_raw(queue) });
        }
    }
}
