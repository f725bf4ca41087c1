//! The run queue of one processor: the ring, the nursery beside it, the `runnext` slot ahead of both, and
//! the bounds on who goes first.
//!
//! It has two halves. [`RunQueue`] is the owner's, which moves with the processor from machine to
//! machine; [`Far`] is what everybody else sees of it, thieves above all. What waits is in one of
//!
//! | place     | what waits there                                    | order                        |
//! |-----------|-----------------------------------------------------|------------------------------|
//! | `runnext` | what was readied last                               |                              |
//! | ring      | what was woken (`ring.rs`)                          | first in, first out          |
//! | nursery   | what has not begun (`nursery.rs`)                   | newest first; thieves oldest |
//! | spent     | what gave way, or had its time slice, while newborns waited | first in, first out  |
//!
//! and has its turn in that order. The global queue comes before the nursery: what the ring has no room
//! for is there.
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
//! 3. Every `NEWBORN_TURN`th turn is the nursery's, whatever waits in the ring; every `OLDEST_TURN`th, and
//!    one after [`serve_oldest`](RunQueue::serve_oldest), that of the oldest there. So each newborn
//!    begins, though others be woken and born for ever.
//! 4. What is spent goes to the ring when as many newborns have left the nursery as waited there when the
//!    first of it came: just as long as it would wait in a common queue, and no longer. So one that
//!    starts others without end waits for them, and their number has a bound. What had no processor to
//!    wait at, and comes by the global queue, is marked, and waits like that where it arrives.
//! 5. `tick - in_a_row` names the time slice: it stays the same through the turns of `runnext`.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::nursery::Nursery;
use crate::ring::Ring;
use crate::run_next::RunNext;
use crate::sync::{AtomicU32, Injector, Ordering, Steal, Worker};

/// Turns in a row that `runnext` may have.
const RUN_NEXT_BOUND: u32 = 64;
/// Every so many turns of ring and nursery, the nursery has its own.
const NEWBORN_TURN: u32 = 8;
/// Every so many, it is that of the oldest in the nursery. A multiple of the other. Rarely, for in a tree
/// that is the one that has most below it.
const OLDEST_TURN: u32 = if cfg!(test) { 64 } else { 4096 };
/// The most that are taken from the global queue at once while newborns wait.
const GLOBAL_BATCH: usize = 16;
/// The most newborns that one theft takes.
const STOLEN: usize = 32;

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

    /// Marks what has had its time and has no processor to wait at.
    fn mark_spent(&self);

    /// Whether it is marked; it is not from now on.
    fn take_mark(&self) -> bool;

    /// Has the processor fetch what will be needed of the next items to run, the first of which was
    /// the second before; of that one more if `deep`. Either pointer may be one that was queued long ago,
    /// or null.
    #[inline(always)]
    fn prefetch(_next: [*mut Self::Target; 2], _deep: bool) {}
}

/// The half of a run queue that others see.
pub(crate) struct Far<T: Item> {
    /// Pushed by the owner, taken from by it and by thieves.
    ring: Ring<T::Target>,
    nursery: Nursery<T::Target>,
    spent: Ring<T::Target>,
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
        self.ring.len() == 0 && self.nursery.is_empty() && self.spent.len() == 0
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

    /// Thief: moves half of the nursery into its own, or else of the ring or of what is spent. The first,
    /// and of newborns the oldest, is returned.
    pub(crate) fn steal_half(&self, own: &RunQueue<T>) -> Option<T> {
        let half = self.nursery.len().div_ceil(2).min(STOLEN);
        let mut stolen = (0..half).map_while(|_| self.take_oldest_newborn());
        if let Some(oldest) = stolen.next() {
            stolen.for_each(|newborn| own.nurse(newborn));
            return Some(oldest);
        }
        let first = self.ring.steal_half(&own.far.ring);
        let first = first.or_else(|| self.spent.steal_half(&own.far.ring))?;
        // SAFETY: put in by `push` or `give_way`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(first) })
    }

    /// How many wait in the ring, where all that wait have run before and have not used up their time
    /// slices: of others nothing is known, or that they take long. A hint.
    pub(crate) fn len_if_rested(&self) -> Option<usize> {
        (self.nursery.is_empty() && self.spent.len() == 0).then(|| self.ring.len())
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
        self.take_next()
    }

    /// What is in `runnext`, for owner or thief.
    #[inline]
    fn take_next(&self) -> Option<T> {
        let next = self.next.take()?;
        // SAFETY: put in by `put_next`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(next) })
    }

    /// The oldest in the nursery, for owner or thief.
    fn take_oldest_newborn(&self) -> Option<T> {
        let oldest = self.nursery.steal()?;
        // SAFETY: put in by `nurse`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(oldest) })
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

/// The half of a run queue that belongs to its owner. Not `Sync`.
pub(crate) struct RunQueue<T: Item> {
    far: Arc<Far<T>>,
    /// Whether there may be anything in the nursery or spent. If not, neither is looked at.
    is_crowded: Cell<bool>,
    /// Whether what is fetched for the next item is worth some instructions more.
    rounds_are_long: Cell<bool>,
    /// Counts the turns of ring and nursery.
    turn: Cell<u32>,
    /// Whether the next turn of the nursery is the oldest's.
    oldest_is_due: Cell<bool>,
    /// Newborns that were ever put in, modulo 2^32.
    born: Cell<u32>,
    /// What `born` was when the first of what is spent came.
    spent_at: Cell<u32>,
    /// Where the oldest in the ring go when it is full.
    global: Arc<Injector<T>>,
    /// Where a batch from there lands on its way to the ring. Else empty.
    landing: Worker<T>,
}

impl<T: Item> RunQueue<T> {
    /// An empty one, which overflows into `global`.
    pub(crate) fn new(global: Arc<Injector<T>>) -> Self {
        RunQueue {
            far: Arc::new(Far {
                ring: Ring::new(),
                nursery: Nursery::new(),
                spent: Ring::new(),
                next: RunNext::new(),
                tick: AtomicU32::new(0),
                in_a_row: AtomicU32::new(0),
            }),
            is_crowded: Cell::new(false),
            rounds_are_long: Cell::new(false),
            turn: Cell::new(0),
            oldest_is_due: Cell::new(false),
            born: Cell::new(0),
            spent_at: Cell::new(0),
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

    /// Queues an item behind all others in the ring. If there is no room, the oldest go to the global
    /// queue first: the owner looks there too, so nobody need be told.
    #[inline]
    pub(crate) fn push(&self, item: T) {
        if let Err(back) = self.far.ring.push(item.into_pointer()) {
            self.push_to_full(back);
        }
    }

    /// Not inlined, so that `push` needs no registers for it.
    #[cold]
    #[inline(never)]
    fn push_to_full(&self, mut pointer: NonNull<T::Target>) {
        loop {
            self.overflow();
            match self.far.ring.push(pointer) {
                Ok(()) => return,
                Err(back) => pointer = back,
            }
        }
    }

    /// Not inlined: the global queue may use a thread-local of its library, whose address must not be
    /// remembered by a caller that parks later (H1).
    #[cold]
    #[inline(never)]
    fn overflow(&self) {
        self.far.ring.take_oldest(|pointer| {
            // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
            self.global.push(unsafe { T::from_pointer(pointer) });
        });
    }

    /// Owner: takes up to `limit` items from the global queue: one to run, the others into its own. `None`
    /// also if none of them may run yet.
    #[inline(never)]
    pub(crate) fn take_global(&self, limit: usize) -> Option<T> {
        loop {
            match self
                .global
                .steal_batch_with_limit_and_pop(&self.landing, limit)
            {
                Steal::Success(first) => return self.arrive(first),
                Steal::Empty => return None,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    /// Puts a batch in its places, and gives one that may run.
    fn arrive(&self, first: T) -> Option<T> {
        let mut runs = None;
        let mut next = Some(first);
        while let Some(item) = next {
            if item.take_mark() {
                self.give_way(item);
            } else if runs.is_none() {
                runs = Some(item);
            } else {
                self.push(item);
            }
            next = self.landing.pop();
        }
        // If there was nobody to give way to, that is where they are.
        runs.or_else(|| self.pop_ring())
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

    /// Makes an item the next to run if there is no such, or else queues it. True if it was queued: a
    /// backlog.
    #[inline]
    #[must_use]
    pub(crate) fn put_after_next(&self, item: T) -> bool {
        if self.far.next.is_empty() {
            return self.put_next(item);
        }
        self.line_up(item);
        true
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

    #[inline]
    fn nurse(&self, newborn: T) {
        match self.far.nursery.push(newborn.into_pointer()) {
            Ok(()) => {
                self.born.set(self.born.get().wrapping_add(1));
                self.is_crowded.set(true);
            }
            // SAFETY: it is what was to be put in.
            Err(back) => self.push_global(unsafe { T::from_pointer(back) }),
        }
    }

    /// Not inlined: as for `overflow`.
    #[cold]
    #[inline(never)]
    fn push_global(&self, item: T) {
        self.global.push(item);
    }

    /// An item that was running goes behind all newborns there are, and all that wait in the ring.
    #[inline]
    pub(crate) fn give_way(&self, item: T) {
        if self.is_crowded.get() && !self.far.nursery.is_empty() {
            self.spend(item);
        } else {
            self.push(item);
        }
    }

    #[cold]
    fn spend(&self, item: T) {
        if self.far.spent.len() == 0 {
            self.spent_at.set(self.born.get());
        }
        if let Err(back) = self.far.spent.push(item.into_pointer()) {
            // SAFETY: it is what was to be put in.
            let item = unsafe { T::from_pointer(back) };
            item.mark_spent();
            self.push_global(item);
        }
    }

    /// Lets what is spent go to the ring, if it has waited long enough.
    #[inline]
    fn release_spent(&self) {
        if self.far.spent.len() != 0 {
            self.release_if_due();
        }
    }

    #[cold]
    #[inline(never)]
    fn release_if_due(&self) {
        let left = self.born.get().wrapping_sub(self.far.nursery.len() as u32);
        if left.wrapping_sub(self.spent_at.get()) as i32 >= 0 {
            while let Some(first) = self.pop_spent() {
                self.push(first);
            }
        }
    }

    fn pop_spent(&self) -> Option<T> {
        let (first, _) = self.far.spent.pop()?;
        // SAFETY: put in by `spend`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(first) })
    }

    /// The next to run: in the order above, but for invariants 2 and 3.
    ///
    /// What is inlined is the way of a hand-off and that of a goroutine in the ring; the others are calls,
    /// so that these two need no registers for them.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<T> {
        let in_a_row = &self.far.in_a_row;
        if let Some(next) = self.far.take_next() {
            let turns = in_a_row.load(Ordering::Relaxed) + 1;
            if turns < RUN_NEXT_BOUND {
                in_a_row.store(turns, Ordering::Relaxed);
                return Some(next);
            }
            self.had_its_share(next);
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
        let first = self.pop_ring();
        if first.is_none() && self.is_crowded.get() {
            return self.pop_crowd();
        }
        first
    }

    /// What was next goes once through the queue, so that a pair that hands over to each other for ever
    /// does not starve the rest.
    #[cold]
    #[inline(never)]
    fn had_its_share(&self, next: T) {
        self.line_up(next);
    }

    #[inline(always)]
    fn pop_ring(&self) -> Option<T> {
        let (first, next) = self.far.ring.pop()?;
        T::prefetch(next, self.rounds_are_long.get());
        // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(first) })
    }

    #[inline]
    fn pop_nursery(&self) -> Option<T> {
        let newest = self.far.nursery.pop()?;
        // SAFETY: put in by `nurse`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(newest) })
    }

    /// The next when the ring is empty.
    #[inline(never)]
    fn pop_crowd(&self) -> Option<T> {
        if !self.global.is_empty()
            && let Some(first) = self.take_global(GLOBAL_BATCH)
        {
            return Some(first);
        }
        self.release_spent();
        if let Some(first) = self.pop_ring() {
            return Some(first);
        }
        if let Some(newest) = self.pop_nursery() {
            return Some(newest);
        }
        // What is spent waits for nobody now.
        self.release_spent();
        let first = self.pop_ring();
        self.is_crowded.set(first.is_some());
        first
    }

    /// One that has a turn by invariant 3.
    #[inline(never)]
    fn pop_in_turn(&self, turn: u32) -> Option<T> {
        self.release_spent();
        if self.far.nursery.is_empty() {
            // Thieves may have emptied it since the look at what is spent.
            self.is_crowded.set(self.far.spent.len() != 0);
            return None;
        }
        if turn.is_multiple_of(OLDEST_TURN) || self.oldest_is_due.take() {
            return self.far.take_oldest_newborn();
        }
        self.pop_nursery()
    }

    /// From now on items run for long, or not.
    #[inline]
    pub(crate) fn set_rounds_are_long(&self, long: bool) {
        self.rounds_are_long.set(long);
    }

    /// The next turn of the nursery is the oldest's.
    pub(crate) fn serve_oldest(&self) {
        self.oldest_is_due.set(true);
    }

    /// Any item but what is next: for a processor that is put away. Unlike `pop`, which may take from the
    /// global queue, it comes to an end.
    pub(crate) fn take_any(&self) -> Option<T> {
        self.pop_ring()
            .or_else(|| self.pop_nursery())
            .or_else(|| self.pop_spent())
    }

    /// The time slice is spent: what is in `runnext` goes through the queue as well.
    #[cold]
    pub(crate) fn end_slice(&self) {
        self.far.in_a_row.store(RUN_NEXT_BOUND, Ordering::Relaxed);
    }

    /// Whether nothing is queued here.
    pub(crate) fn has_nothing(&self) -> bool {
        self.far.next.is_empty() && self.far.is_empty()
    }

    /// Moves what is in `runnext` to where others see it.
    pub(crate) fn expose_next(&self) {
        if let Some(next) = self.far.take_next() {
            self.line_up(next);
        }
    }
}

impl<T: Item> std::fmt::Debug for RunQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunQueue").field("far", &self.far).finish()
    }
}
