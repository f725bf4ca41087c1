//! The run queue of one processor: the ring, the nursery beside it, the `runnext` slot ahead of both, and
//! the bounds on who goes first.
//!
//! It has two halves. [`RunQueue`] is the owner's, which moves with the processor from machine to
//! machine; [`Far`] is what everybody else sees of it, thieves above all. What waits is in one of
//!
//! | place     | what waits there                               | order                                 |
//! |-----------|------------------------------------------------|---------------------------------------|
//! | `runnext` | what was readied last                          |                                       |
//! | ring      | what was woken (`ring.rs`)                     | first in, first out                   |
//! | nursery   | what has not begun: a deque                    | owner: newest first; thieves: oldest  |
//! | spent     | what gave way or had its time, to newborns     | first in, first out                   |
//!
//! and in that order. The global queue comes before the nursery: what the ring has no room for is there.
//!
//! # Why a nursery
//!
//! Goroutines that start goroutines make a tree. First in, first out runs it by breadth: all of a
//! level is alive at once, each with a stack, and the caches hold none of it. Newest first goes by depth,
//! so that few are alive; and the oldest, which a thief takes, is the greatest part of the rest. Who
//! joins a batch in order is woken once, by the first, which comes last. What has begun keeps to
//! the order of a queue, for there it is fairness that counts.
//!
//! # Invariants
//!
//! 1. What is put in comes out once: at the owner's [`pop`](RunQueue::pop), or at one thief's. It is
//!    the right to run a goroutine, so that is what keeps two machines off one stack.
//! 2. While the queue waits, `runnext` has fewer than `RUN_NEXT_BOUND` turns in a row; then its
//!    occupant goes through the queue. So what is queued runs, though a pair hands over to each
//!    other for ever.
//! 3. Every `NEWBORN_TURN`th turn is the nursery's, or, if that is empty, of what is spent; every
//!    `OLDEST_TURN`th that of the oldest in the nursery, and in the middle between two of those it is
//!    the turn of what is spent. So whatever waits runs, though others come for ever.
//! 4. What gives way, or has had its time slice, goes behind the newborns there are. So one that starts
//!    others without end waits for them, and their number has a bound.
//! 5. `tick - in_a_row` names the time slice: it stays the same through the turns of `runnext`.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::ring::Ring;
use crate::run_next::RunNext;
use crate::sync::{AtomicU32, Injector, Ordering, Steal, Stealer, Worker};

/// Turns in a row that `runnext` may have.
const RUN_NEXT_BOUND: u32 = 64;
/// Every so many turns of ring and nursery, the nursery has its own, however many wait in the ring.
const NEWBORN_TURN: u32 = 8;
/// Every so many, it is that of the oldest in the nursery. A multiple of the other. Rarely, for in a tree
/// that is the one that has most below it.
const OLDEST_TURN: u32 = if cfg!(test) { 64 } else { 4096 };
const HALF_WAY: u32 = OLDEST_TURN / 2;
/// The most that are taken from the global queue at once while newborns wait.
const GLOBAL_BATCH: usize = 16;
/// The most that wait in the nursery. A tree of millions stays below that.
const NURSERY: usize = if cfg!(test) { 8 } else { 65536 };

/// What is queued: a right that can be kept in a pointer.
pub(crate) trait Item: Sized {
    /// What the pointer points to.
    type Target;

    /// The right, as a pointer.
    fn into_pointer(self) -> NonNull<Self::Target>;

    /// The inverse.
    ///
    /// # Safety
    /// The pointer is from `into_pointer`, and this is called once for it.
    unsafe fn from_pointer(pointer: NonNull<Self::Target>) -> Self;

    /// Whether it has not begun: then its place is in the nursery.
    fn is_newborn(&self) -> bool;

    /// Has the processor fetch what will be needed of the next items to run, the first of which was
    /// the second before. Either pointer may be one that was queued long ago, or null.
    #[inline(always)]
    fn prefetch(_next: [*mut Self::Target; 2]) {}
}

/// The half of a run queue that others see.
pub(crate) struct Far<T: Item> {
    /// Pushed by the owner, taken from by it and by thieves.
    ring: Ring<T::Target>,
    /// The far end of the nursery.
    nursery: Stealer<T>,
    /// The far end of what is spent.
    spent: Stealer<T>,
    /// Put by the owner, taken by the owner or, on its last pass, a thief.
    next: RunNext<T::Target>,
    /// Counts scheduling rounds. Written by the owner, read by thieves and sysmon.
    tick: AtomicU32,
    /// Turns that `runnext` had in a row, which share a time slice. Written by the owner, read by
    /// sysmon.
    in_a_row: AtomicU32,
}

impl<T: Item> Far<T> {
    /// How many wait, `runnext` not included (a snapshot).
    pub(crate) fn len(&self) -> usize {
        self.ring.len() + self.nursery.len() + self.spent.len()
    }

    /// Whether nothing waits, `runnext` not included (a snapshot).
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.len() == 0 && self.nursery.is_empty() && self.spent.is_empty()
    }

    /// Whether there is something in `runnext` (a snapshot).
    pub(crate) fn has_next(&self) -> bool {
        !self.next.is_empty()
    }

    /// How many rounds its owner has begun, modulo 2^32.
    pub(crate) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Names the time slice: it stays while `runnext` has its turns.
    pub(crate) fn slice(&self) -> u32 {
        let in_a_row = self.in_a_row.load(Ordering::Relaxed);
        self.tick().wrapping_sub(in_a_row)
    }

    /// Thief: moves half of the nursery into its own, or else of the ring, or takes one that is spent. The
    /// first of them is returned.
    pub(crate) fn steal_half(&self, own: &RunQueue<T>) -> Option<T> {
        let born = |nursery: &Stealer<T>| nursery.steal_batch_and_pop(&own.nursery);
        if let Some(first) = steal(&self.nursery, born) {
            own.is_crowded.set(true);
            return Some(first);
        }
        if let Some(first) = self.ring.steal_half(&own.far.ring) {
            // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
            return Some(unsafe { T::from_pointer(first) });
        }
        steal(&self.spent, Stealer::steal)
    }

    /// Thief: takes `runnext` if the owner makes no progress during so many spin loops: what was
    /// just readied there will be run there, warm, unless the one that readied it goes on for long.
    pub(crate) fn steal_stuck_next(&self, back_off: u32) -> Option<T> {
        if self.next.is_empty() {
            return None;
        }
        let tick = self.tick();
        for _ in 0..back_off {
            std::hint::spin_loop();
            if self.tick() != tick {
                return None;
            }
        }
        let next = self.next.take()?;
        // SAFETY: put in by `put_next`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(next) })
    }
}

impl<T: Item> std::fmt::Debug for Far<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Far")
            .field("len", &self.len())
            .field("next", &self.next)
            .field("tick", &self.tick())
            .finish_non_exhaustive()
    }
}

/// Takes from the far end of a deque, if there is anything.
fn steal<T>(deque: &Stealer<T>, how: impl Fn(&Stealer<T>) -> Steal<T>) -> Option<T> {
    while !deque.is_empty() {
        match how(deque) {
            Steal::Success(item) => return Some(item),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
    None
}

/// The half of a run queue that belongs to its owner. Not `Sync`.
pub(crate) struct RunQueue<T: Item> {
    far: Arc<Far<T>>,
    /// What has not begun, newest last.
    nursery: Worker<T>,
    /// What waits behind the newborns.
    spent: Worker<T>,
    /// Whether there may be anything in the nursery or spent. If not, neither is looked at.
    is_crowded: Cell<bool>,
    /// Counts the turns of ring and nursery.
    turn: Cell<u32>,
    /// Where half of the ring goes when it is full.
    global: Arc<Injector<T>>,
    /// Where a batch from there lands on its way to the ring. Else empty.
    landing: Worker<T>,
}

impl<T: Item> RunQueue<T> {
    /// An empty one, which overflows into `global`.
    pub(crate) fn new(global: Arc<Injector<T>>) -> Self {
        let (nursery, spent) = (Worker::new_lifo(), Worker::new_fifo());
        RunQueue {
            far: Arc::new(Far {
                ring: Ring::new(),
                nursery: nursery.stealer(),
                spent: spent.stealer(),
                next: RunNext::new(),
                tick: AtomicU32::new(0),
                in_a_row: AtomicU32::new(0),
            }),
            nursery,
            spent,
            is_crowded: Cell::new(false),
            turn: Cell::new(0),
            global,
            landing: Worker::new_fifo(),
        }
    }

    /// The half that others see.
    pub(crate) fn far(&self) -> &Arc<Far<T>> {
        &self.far
    }

    /// Begins a scheduling round.
    #[inline]
    pub(crate) fn next_tick(&self) -> u32 {
        let tick = self.far.tick().wrapping_add(1);
        self.far.tick.store(tick, Ordering::Relaxed);
        tick
    }

    /// Queues an item behind all others in the ring. If there is no room, the older half goes to the global
    /// queue first: the owner looks there too, so nobody need be told.
    #[inline]
    pub(crate) fn push(&self, item: T) {
        let mut pointer = item.into_pointer();
        while let Err(back) = self.far.ring.push(pointer) {
            pointer = back;
            self.overflow();
        }
    }

    /// Not inlined: the global queue may use a thread-local of its library, whose address must not be
    /// remembered by a caller that parks later (H1).
    #[cold]
    #[inline(never)]
    fn overflow(&self) {
        self.far.ring.take_half(|pointer| {
            // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
            self.global.push(unsafe { T::from_pointer(pointer) });
        });
    }

    /// Owner: takes up to `limit` items from the global queue: one to run, the others into its own.
    #[inline(never)]
    pub(crate) fn take_global(&self, limit: usize) -> Option<T> {
        loop {
            match self
                .global
                .steal_batch_with_limit_and_pop(&self.landing, limit)
            {
                Steal::Success(first) => {
                    while let Some(item) = self.landing.pop() {
                        self.push(item);
                    }
                    return Some(first);
                }
                Steal::Empty => return None,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    /// Makes an item the next to run. True if another had to be queued for it: a backlog.
    #[inline]
    #[must_use]
    pub(crate) fn put_next(&self, item: T) -> bool {
        match self.far.next.put(item.into_pointer()) {
            None => false,
            Some(displaced) => {
                // SAFETY: put in by an earlier call, and displaced once.
                self.line_up(unsafe { T::from_pointer(displaced) });
                true
            }
        }
    }

    /// What was to run next waits where it belongs.
    #[inline]
    pub(crate) fn line_up(&self, item: T) {
        if item.is_newborn() {
            self.nurse(item);
        } else {
            self.push(item);
        }
    }

    /// Not inlined: as for `overflow`.
    #[inline(never)]
    fn nurse(&self, item: T) {
        if self.nursery.len() < NURSERY {
            self.is_crowded.set(true);
            self.nursery.push(item);
        } else {
            self.global.push(item);
        }
    }

    /// An item that was running goes behind all others here.
    #[inline]
    pub(crate) fn give_way(&self, item: T) {
        if self.is_crowded.get() {
            self.give_way_to_newborns(item);
        } else {
            self.push(item);
        }
    }

    /// Not inlined: as for `overflow`.
    #[inline(never)]
    fn give_way_to_newborns(&self, item: T) {
        if self.nursery.is_empty() {
            self.push(item);
        } else {
            self.spent.push(item);
        }
    }

    /// The next to run: in the order above, but for invariants 2 and 3.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let in_a_row = &self.far.in_a_row;
        if let Some(next) = self.take_next() {
            let turns = in_a_row.load(Ordering::Relaxed) + 1;
            if turns < RUN_NEXT_BOUND {
                in_a_row.store(turns, Ordering::Relaxed);
                return Some(next);
            }
            // It had its share: once through the queue, so that a pair that hands over to each
            // other for ever does not starve the rest.
            self.line_up(next);
        }
        in_a_row.store(0, Ordering::Relaxed);
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        if turn.is_multiple_of(NEWBORN_TURN)
            && self.is_crowded.get()
            && let Some(newborn) = self.pop_in_turn(turn)
        {
            return Some(newborn);
        }
        match self.far.ring.pop() {
            Some((first, next)) => {
                T::prefetch(next);
                // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
                Some(unsafe { T::from_pointer(first) })
            }
            None if self.is_crowded.get() => self.pop_crowd(),
            None => None,
        }
    }

    /// From the nursery or what is spent, with an empty ring.
    #[inline]
    fn pop_crowd(&self) -> Option<T> {
        if !self.global.is_empty()
            && let Some(first) = self.take_global(GLOBAL_BATCH)
        {
            return Some(first);
        }
        if let Some(newest) = self.nursery.pop() {
            return Some(newest);
        }
        let spent = self.spent.pop();
        self.is_crowded.set(spent.is_some());
        spent
    }

    /// Any item but what is next: for a processor that is put away. Unlike `pop`, which may take from the
    /// global queue, it comes to an end.
    pub(crate) fn take_any(&self) -> Option<T> {
        if let Some((first, _)) = self.far.ring.pop() {
            // SAFETY: as in `pop`.
            return Some(unsafe { T::from_pointer(first) });
        }
        self.nursery.pop().or_else(|| self.spent.pop())
    }

    /// One that has a turn by invariant 3.
    #[inline(never)]
    fn pop_in_turn(&self, turn: u32) -> Option<T> {
        let is_born = !self.nursery.is_empty();
        let found = match turn % OLDEST_TURN {
            0 if is_born => steal(&self.far.nursery, Stealer::steal),
            HALF_WAY => self.spent.pop(),
            _ if is_born => self.nursery.pop(),
            _ => self.spent.pop(),
        };
        if !is_born && found.is_none() {
            self.is_crowded.set(false);
        }
        found
    }

    /// The time slice is spent: what is in `runnext` goes through the queue as well.
    #[cold]
    pub(crate) fn end_slice(&self) {
        self.far.in_a_row.store(RUN_NEXT_BOUND, Ordering::Relaxed);
    }

    #[inline]
    fn take_next(&self) -> Option<T> {
        let next = self.far.next.take()?;
        // SAFETY: put in by `put_next`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(next) })
    }

    /// Whether nothing is queued here.
    pub(crate) fn has_nothing(&self) -> bool {
        self.far.next.is_empty() && self.far.is_empty()
    }

    /// Moves what is in `runnext` to where others see it.
    pub(crate) fn expose_next(&self) {
        if let Some(next) = self.take_next() {
            self.line_up(next);
        }
    }
}

impl<T: Item> std::fmt::Debug for RunQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunQueue").field("far", &self.far).finish()
    }
}
