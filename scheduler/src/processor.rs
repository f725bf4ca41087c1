//! `P`, the processor: the right to run goroutines, with the queue and caches that go with it.
//!
//! There are `max_procs` of them. A processor has two halves: [`P`], which its current machine
//! owns and moves around as a `Box`, and [`PShared`], which everybody can look at.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_deque::{Stealer, Worker};

use crate::arena::{self, Slot, StackClass, Trimmer};
use crate::g::{G, Runnable};
use crate::random::Random;
use crate::run_next::RunNext;
use crate::timers::Timers;

/// Free stacks a processor keeps for itself; half of them move when it has too many or none.
const STACK_CACHE: usize = 256;
/// Goroutine ids taken from the shared counter at once.
const ID_BLOCK: u64 = 1024;
/// Turns in a row that `runnext` may have.
const RUN_NEXT_BOUND: u32 = 64;

/// The next unused goroutine id in the process. 0 is nobody's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The half of a processor that others see.
#[derive(Debug)]
pub(crate) struct PShared {
    /// Constant.
    pub(crate) index: u32,
    /// Takes from the other end of the queue. Any thief.
    pub(crate) stealer: Stealer<Runnable>,
    /// Put by the owner, taken by the owner or, on its last pass, a thief.
    pub(crate) run_next: RunNext<G>,
    pub(crate) timers: Timers,
    /// Counts scheduling rounds. Written by the owner, read by thieves and sysmon.
    tick: AtomicU32,
    /// Turns that `runnext` had in a row, which share a time slice. Written by the owner, read by
    /// sysmon.
    in_a_row: AtomicU32,
    /// Goroutines spawned and ended here. Written by the owner, read for reports.
    spawned: AtomicU64,
    ended: AtomicU64,
}

impl PShared {
    pub(crate) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// Names the time slice: it stays while `runnext` has its turns.
    pub(crate) fn slice(&self) -> u32 {
        let in_a_row = self.in_a_row.load(Ordering::Relaxed);
        self.tick().wrapping_sub(in_a_row)
    }

    pub(crate) fn spawned(&self) -> u64 {
        self.spawned.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Adds one to a counter that only the caller writes.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// The half of a processor that its machine owns.
#[derive(Debug)]
pub(crate) struct P {
    pub(crate) shared: Arc<PShared>,
    queue: Worker<Runnable>,
    pub(crate) random: Random,
    /// Free stacks of the default class.
    stacks: RefCell<Vec<Slot>>,
    class: StackClass,
    trimmer: Trimmer,
    /// The unused rest of a block of ids: next and end.
    ids: Cell<(u64, u64)>,
}

impl P {
    pub(crate) fn new(index: u32, class: StackClass, seed: u64) -> (Box<P>, Arc<PShared>) {
        let queue = Worker::new_fifo();
        let shared = Arc::new(PShared {
            index,
            stealer: queue.stealer(),
            run_next: RunNext::new(),
            timers: Timers::new(),
            tick: AtomicU32::new(0),
            in_a_row: AtomicU32::new(0),
            spawned: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        });
        let p = Box::new(P {
            shared: shared.clone(),
            queue,
            random: Random::new(seed),
            stacks: RefCell::new(Vec::with_capacity(STACK_CACHE)),
            class,
            trimmer: Trimmer::default(),
            ids: Cell::new((0, 0)),
        });
        (p, shared)
    }

    /// Begins a scheduling round.
    #[inline]
    pub(crate) fn next_tick(&self) -> u32 {
        let tick = self.shared.tick().wrapping_add(1);
        self.shared.tick.store(tick, Ordering::Relaxed);
        tick
    }

    /// Queues a goroutine behind all others here.
    ///
    /// Not inlined: a queue that grows uses a thread-local of its library, whose address must not
    /// be remembered by a caller that parks later (H1).
    #[inline(never)]
    pub(crate) fn push(&self, r: Runnable) {
        self.queue.push(r);
    }

    /// Makes a goroutine the next to run. True if another had to be queued for it: a backlog.
    #[inline]
    #[must_use]
    pub(crate) fn put_next(&self, r: Runnable) -> bool {
        match self.shared.run_next.put(r.into_g()) {
            None => false,
            Some(displaced) => {
                // SAFETY: what leaves the slot carries the right to run it.
                self.push(unsafe { Runnable::from_g(displaced) });
                true
            }
        }
    }

    /// The next goroutine of this processor: `runnext`, then the queue.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        let in_a_row = &self.shared.in_a_row;
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
        self.queue.pop()
    }

    /// The time slice is spent: what is in `runnext` goes through the queue as well.
    #[cold]
    pub(crate) fn end_slice(&self) {
        self.shared
            .in_a_row
            .store(RUN_NEXT_BOUND, Ordering::Relaxed);
    }

    #[inline]
    fn take_next(&self) -> Option<Runnable> {
        self.shared
            .run_next
            .take()
            // SAFETY: what leaves the slot carries the right to run it.
            .map(|g| unsafe { Runnable::from_g(g) })
    }

    /// Whether nothing is queued here.
    pub(crate) fn has_nothing(&self) -> bool {
        self.shared.run_next.is_empty() && self.queue.is_empty()
    }

    /// Moves what is in `runnext` to the queue, where others see it.
    pub(crate) fn expose_next(&self) {
        if let Some(next) = self.take_next() {
            self.push(next);
        }
    }

    /// The queue, as the destination of a theft. Empty when a theft begins.
    pub(crate) fn queue(&self) -> &Worker<Runnable> {
        &self.queue
    }

    /// A free stack. Default class only from the cache.
    #[inline]
    pub(crate) fn take_stack(&self, class: StackClass) -> std::io::Result<Slot> {
        if class == self.class
            && let Some(slot) = self.stacks.borrow_mut().pop()
        {
            return Ok(slot);
        }
        self.take_stack_slow(class)
    }

    #[cold]
    #[inline(never)]
    fn take_stack_slow(&self, class: StackClass) -> std::io::Result<Slot> {
        if class == self.class {
            let mut stacks = self.stacks.borrow_mut();
            arena::take_used(class, STACK_CACHE / 2, &mut stacks);
            if let Some(slot) = stacks.pop() {
                return Ok(slot);
            }
        }
        arena::take(class)
    }

    /// Gives back the stack of a goroutine that has ended here.
    #[inline]
    pub(crate) fn give_stack(&self, slot: Slot, class: StackClass) {
        bump(&self.shared.ended);
        if class != self.class {
            drop(slot);
            return;
        }
        let mut stacks = self.stacks.borrow_mut();
        if stacks.len() == STACK_CACHE {
            arena::give_back(class, stacks.drain(..STACK_CACHE / 2));
            self.trimmer.visit(&stacks, class);
        }
        stacks.push(slot);
    }

    /// Now and then, where it costs next to nothing: with a block of ids, when the cache is full,
    /// and before the processor goes idle. The depth of free stacks is forgotten.
    pub(crate) fn trim_stacks(&self) {
        self.trimmer.visit(&self.stacks.borrow(), self.class);
    }

    /// Gives all free stacks to the arena.
    pub(crate) fn give_stacks_back(&self) {
        arena::give_back(self.class, self.stacks.borrow_mut().drain(..));
    }

    /// The id of a goroutine that is spawned here.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        let (mut next, mut end) = self.ids.get();
        if next == end {
            (next, end) = self.more_ids();
        }
        self.ids.set((next + 1, end));
        bump(&self.shared.spawned);
        next
    }

    #[cold]
    #[inline(never)]
    fn more_ids(&self) -> (u64, u64) {
        self.trim_stacks();
        let next = take_ids(ID_BLOCK);
        (next, next + ID_BLOCK)
    }
}

/// Takes `count` ids from the shared counter; the first one.
pub(crate) fn take_ids(count: u64) -> u64 {
    NEXT_ID.fetch_add(count, Ordering::Relaxed)
}
