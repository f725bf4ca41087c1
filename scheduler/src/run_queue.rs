//! The run queue of one processor: the queue, the `runnext` slot ahead of it, and the bound on that.
//!
//! It has two halves. [`RunQueue`] is the owner's, which moves with the processor from machine to
//! machine; [`Far`] is what everybody else sees of it, thieves above all. The queue itself is
//! a ring (`ring.rs`); what is here decides who goes next, and where what has no room in it goes.
//!
//! # Invariants
//!
//! 1. What is put in comes out once: at the owner's [`pop`](RunQueue::pop), or at one thief's. It is
//!    the right to run a goroutine, so that is what keeps two machines off one stack.
//! 2. While the queue waits, `runnext` has fewer than `RUN_NEXT_BOUND` turns in a row; then its
//!    occupant goes through the queue. So what is queued runs, though a pair hands over to each
//!    other for ever.
//! 3. `tick - in_a_row` names the time slice: it stays the same through the turns of `runnext`.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::ring::Ring;
use crate::run_next::RunNext;
use crate::sync::{AtomicU32, Injector, Ordering, Steal, Worker};

/// Turns in a row that `runnext` may have.
const RUN_NEXT_BOUND: u32 = 64;

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

    /// Has the processor fetch what will be needed of the next items to run, the first of which was
    /// the second before. Either pointer may be one that was queued long ago, or null.
    #[inline(always)]
    fn prefetch(_next: [*mut Self::Target; 2]) {}
}

/// The half of a run queue that others see.
pub(crate) struct Far<T: Item> {
    /// Pushed by the owner, taken from by it and by thieves.
    ring: Ring<T::Target>,
    /// Put by the owner, taken by the owner or, on its last pass, a thief.
    next: RunNext<T::Target>,
    /// Counts scheduling rounds. Written by the owner, read by thieves and sysmon.
    tick: AtomicU32,
    /// Turns that `runnext` had in a row, which share a time slice. Written by the owner, read by
    /// sysmon.
    in_a_row: AtomicU32,
}

impl<T: Item> Far<T> {
    /// How many wait in the queue, `runnext` not included (a snapshot).
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing waits in the queue, `runnext` not included (a snapshot).
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.len() == 0
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

    /// Thief: moves half of the queue into its own, which is empty. The first of them is returned.
    pub(crate) fn steal_half(&self, own: &RunQueue<T>) -> Option<T> {
        let first = self.ring.steal_half(&own.far.ring)?;
        // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(first) })
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

/// The half of a run queue that belongs to its owner. Not `Sync`.
pub(crate) struct RunQueue<T: Item> {
    far: Arc<Far<T>>,
    /// Where half of the queue goes when it is full.
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
                next: RunNext::new(),
                tick: AtomicU32::new(0),
                in_a_row: AtomicU32::new(0),
            }),
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

    /// Queues an item behind all others here. If there is no room, the older half goes to the global
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
                self.push(unsafe { T::from_pointer(displaced) });
                true
            }
        }
    }

    /// The next to run: `runnext`, then the queue.
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
            self.push(next);
        }
        in_a_row.store(0, Ordering::Relaxed);
        let (first, next) = self.far.ring.pop()?;
        T::prefetch(next);
        // SAFETY: put in by `push`, as a pointer; whoever takes it out has it alone.
        Some(unsafe { T::from_pointer(first) })
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

    /// Moves what is in `runnext` to the queue, where others see it.
    pub(crate) fn expose_next(&self) {
        if let Some(next) = self.take_next() {
            self.push(next);
        }
    }
}

impl<T: Item> std::fmt::Debug for RunQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunQueue").field("far", &self.far).finish()
    }
}
