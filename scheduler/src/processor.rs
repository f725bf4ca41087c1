//! `P`, the processor: the right to run goroutines, with the queue and the caches that go with it.
//!
//! There are `max_procs` of them. A processor has two halves: [`P`], which its current machine
//! owns and moves around as a `Box`, and [`PShared`], which everybody can look at.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_deque::Injector;

use crate::arena::{self, Slot, StackClass, Trimmer};
use crate::find::CLOCK_TICKS;
use crate::g::{G, Runnable};
use crate::random::Random;
use crate::run_queue::{Far, Item, RunQueue};
use crate::sysmon::TIME_SLICE;
use crate::timers::Timers;

/// Free stacks a processor keeps for itself; half of them move when it has too many or none.
const STACK_CACHE: usize = 256;
/// How many of these stay while it lies idle: 1 MiB of memory at the most, if they are shallow.
const IDLE_STACKS: usize = 64;
/// The most that [`take_surplus_stacks`](P::take_surplus_stacks) takes.
pub(crate) const SURPLUS_STACKS: usize = STACK_CACHE - IDLE_STACKS;
/// Promises of stacks that a processor takes at once.
const PROMISES: usize = 64;
/// Goroutine ids taken from the shared counter at once.
const ID_BLOCK: u64 = 1024;
/// The next unused goroutine id in the process. 0 is nobody's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// In rounds that are longer than this, in nanoseconds, what was fetched of a goroutine when it was readied
/// goes from the cache before it runs, and to fetch it again is little beside them.
const LONG_ROUND: u32 = 1_000;

/// The half of a processor that others see.
#[derive(Debug)]
pub(crate) struct PShared {
    /// Constant.
    pub(crate) index: u32,
    /// What others see of its queue.
    pub(crate) queue: Arc<Far<Runnable>>,
    pub(crate) timers: Timers,
    /// The tick that others saw when they last looked whether it stands still.
    seen: AtomicU32,
    /// How long a scheduling round took lately, in nanoseconds. Written by the owner, and by sysmon
    /// when the processor stands still.
    round: AtomicU32,
    /// Goroutines spawned and ended here. Written by the owner, read for reports.
    spawned: AtomicU64,
    ended: AtomicU64,
}

impl PShared {
    pub(crate) fn tick(&self) -> u32 {
        self.queue.tick()
    }

    /// Whether it has come to no scheduling round since anybody last asked. A hint.
    pub(crate) fn stands_still(&self) -> bool {
        let tick = self.tick();
        let before = self.seen.load(Ordering::Relaxed);
        if tick != before {
            self.seen.store(tick, Ordering::Relaxed);
        }
        tick == before
    }

    /// The current round has taken this long already, in nanoseconds.
    pub(crate) fn round_takes(&self, long: u32) {
        self.round.fetch_max(long, Ordering::Relaxed);
    }

    /// Whether there is something in the queue, no more than `few` goroutines, which by the length of
    /// the last rounds will have had their turn within `soon` nanoseconds. A hint.
    pub(crate) fn is_nearly_done(&self, few: usize, soon: u64) -> bool {
        let round = u64::from(self.round.load(Ordering::Relaxed));
        let len = self.queue.len_if_rested().unwrap_or(0);
        (1..=few).contains(&len) && len as u64 * round < soon
    }

    /// Whether there is something in the queue, and by the length of the last rounds each has had its
    /// turn here before another processor would have taken it over. A hint.
    pub(crate) fn has_short_rounds(&self, short: u32) -> bool {
        // 0: none was measured yet.
        (1..short).contains(&self.round.load(Ordering::Relaxed)) && !self.queue.is_empty()
    }

    pub(crate) fn slice(&self) -> u32 {
        self.queue.slice()
    }

    pub(crate) fn spawned(&self) -> u64 {
        self.spawned.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Item for Runnable {
    type Target = G;

    #[inline]
    fn into_pointer(self) -> NonNull<G> {
        self.into_g()
    }

    #[inline]
    unsafe fn from_pointer(pointer: NonNull<G>) -> Self {
        // SAFETY: the caller's promise: the pointer is a right to the goroutine, and the only one.
        unsafe { Runnable::from_g(pointer) }
    }

    #[inline(always)]
    fn is_newborn(&self) -> bool {
        Runnable::is_newborn(self)
    }

    fn mark_spent(&self) {
        Runnable::mark_spent(self);
    }

    fn take_mark(&self) -> bool {
        Runnable::take_mark(self)
    }

    #[inline(always)]
    fn prefetch(next: [*mut G; 2], deep: bool) {
        G::prefetch(next, deep);
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
    queue: RunQueue<Runnable>,
    pub(crate) random: Random,
    /// Free stacks of the default class.
    stacks: RefCell<Vec<Slot>>,
    class: StackClass,
    trimmer: Trimmer,
    /// Promises of stacks of the default class that are not used.
    promises: Cell<usize>,
    /// The unused rest of a block of ids: next and end.
    ids: Cell<(u64, u64)>,
    /// When the oldest newborn had its turn, on the runtime's clock.
    oldest_served: Cell<u64>,
    /// When the clock was read last, the tick of that round, and how long a round took until then.
    clock_read: Cell<(u64, u32, u32)>,
    /// One less than the number of rounds between two readings of it, a power of two.
    clock_mask: Cell<u32>,
}

impl P {
    pub(crate) fn new(
        index: u32,
        class: StackClass,
        seed: u64,
        global: Arc<Injector<Runnable>>,
    ) -> (Box<P>, Arc<PShared>) {
        let queue = RunQueue::new(global);
        let shared = Arc::new(PShared {
            index,
            queue: queue.far().clone(),
            timers: Timers::new(),
            seen: AtomicU32::new(0),
            round: AtomicU32::new(0),
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
            promises: Cell::new(0),
            ids: Cell::new((0, 0)),
            oldest_served: Cell::new(0),
            clock_read: Cell::new((0, 0, 0)),
            clock_mask: Cell::new(CLOCK_TICKS - 1),
        });
        (p, shared)
    }

    /// Begins a scheduling round.
    #[inline]
    pub(crate) fn next_tick(&self) -> u32 {
        self.queue.next_tick()
    }

    /// The queue of its runnable goroutines.
    #[inline]
    pub(crate) fn queue(&self) -> &RunQueue<Runnable> {
        &self.queue
    }

    /// Queues a goroutine behind all others here.
    #[inline]
    pub(crate) fn push(&self, r: Runnable) {
        self.queue.push(r);
    }

    /// Queues a goroutine where it belongs.
    pub(crate) fn line_up(&self, r: Runnable) {
        self.queue.line_up(r);
    }

    /// The goroutine that ran goes behind those that wait and have not begun.
    #[inline]
    pub(crate) fn give_way(&self, r: Runnable) {
        self.queue.give_way(r);
    }

    /// Makes a goroutine the next to run. True if another had to be queued for it: a backlog.
    #[inline]
    #[must_use]
    pub(crate) fn put_next(&self, r: Runnable) -> bool {
        self.queue.put_next(r)
    }

    /// Makes a goroutine the next to run if there is no such, or else queues it. True if it was queued: a
    /// backlog.
    #[inline]
    #[must_use]
    pub(crate) fn put_after_next(&self, r: Runnable) -> bool {
        self.queue.put_after_next(r)
    }

    /// The next goroutine of this processor.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        self.queue.pop()
    }

    /// Whether the clock may have to be read in the round with this tick.
    #[inline]
    pub(crate) fn is_clock_tick(&self, tick: u32) -> bool {
        tick & self.clock_mask.get() == 0
    }

    /// Sets how many rounds there are between two readings of the clock: a power of two.
    pub(crate) fn read_clock_every(&self, rounds: u32) {
        debug_assert!(rounds.is_power_of_two(), "it is a mask");
        self.clock_mask.set(rounds - 1);
    }

    /// Whether rounds took longer than this lately, in nanoseconds. A hint.
    #[inline]
    pub(crate) fn rounds_take(&self, longer_than: u32) -> bool {
        self.shared.round.load(Ordering::Relaxed) > longer_than
    }

    /// It is `now`, in the round with this tick: the time that a round takes is measured, which is
    /// what it gives, in nanoseconds; and the oldest newborn has a turn once in a time slice.
    ///
    /// The shorter of two measurements in a row counts: in one the thread may have been descheduled.
    /// Time in which the processor lay idle is measured, too: where there is little to do, it costs
    /// nothing that matters to wake others for it at once.
    #[inline]
    pub(crate) fn note_time(&self, now: u64, tick: u32) -> u32 {
        let (before, first, last) = self.clock_read.get();
        let rounds = u64::from(tick.wrapping_sub(first)).max(1);
        let round = now.saturating_sub(before) / rounds;
        let round = u32::try_from(round).unwrap_or(u32::MAX);
        self.clock_read.set((now, tick, round));
        let round = round.min(last);
        self.shared.round.store(round, Ordering::Relaxed);
        self.queue.set_rounds_are_long(round > LONG_ROUND);
        if now.saturating_sub(self.oldest_served.get()) >= TIME_SLICE {
            self.oldest_served.set(now);
            self.queue.serve_oldest();
        }
        round
    }

    /// Any goroutine that waits here, to be put elsewhere.
    pub(crate) fn take_any(&self) -> Option<Runnable> {
        self.queue.take_any()
    }

    /// The time slice is spent.
    pub(crate) fn end_slice(&self) {
        self.queue.end_slice();
    }

    /// Whether nothing is queued here.
    pub(crate) fn has_nothing(&self) -> bool {
        self.queue.has_nothing()
    }

    /// Moves what is in `runnext` to the queue, where others see it.
    pub(crate) fn expose_next(&self) {
        self.queue.expose_next();
    }

    /// Makes sure that there will be a stack for a goroutine that is spawned here. `Some`: the stack
    /// itself, where the promise of one would be worth nothing.
    ///
    /// # Errors
    /// There is no address space for it.
    #[inline]
    pub(crate) fn promise_stack(&self, class: StackClass) -> std::io::Result<Option<Slot>> {
        let promises = self.promises.get();
        if class != self.class || promises == 0 || arena::guards_are_dear() {
            return self.promise_stack_slow(class);
        }
        self.promises.set(promises - 1);
        Ok(None)
    }

    #[cold]
    #[inline(never)]
    fn promise_stack_slow(&self, class: StackClass) -> std::io::Result<Option<Slot>> {
        if class != self.class {
            return arena::promise_one(class);
        }
        if self.promises.get() == 0 {
            self.promises.set(arena::promise(class, PROMISES)?);
        }
        self.promises.set(self.promises.get() - 1);
        if arena::guards_are_dear() {
            return match self.take_stack(class) {
                Ok(slot) => Ok(Some(slot)),
                Err(error) => {
                    self.promises.set(self.promises.get() + 1);
                    Err(error)
                }
            };
        }
        Ok(None)
    }

    /// A goroutine has ended that was promised a stack.
    #[inline]
    fn end_promise(&self) {
        let promises = self.promises.get() + 1;
        self.promises.set(promises);
        if promises > 2 * STACK_CACHE {
            self.promises.set(STACK_CACHE);
            arena::unpromise(self.class, promises - STACK_CACHE);
        }
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
            arena::unpromise(class, 1);
            return;
        }
        self.end_promise();
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

    /// Takes the free stacks that an idle processor need not keep: those that it would use last.
    pub(crate) fn take_surplus_stacks(&self, into: &mut Vec<Slot>) {
        let mut stacks = self.stacks.borrow_mut();
        let surplus = stacks.len().saturating_sub(IDLE_STACKS);
        into.extend(stacks.drain(..surplus));
    }

    /// Gives all free stacks to the arena.
    pub(crate) fn give_stacks_back(&self) {
        arena::unpromise(self.class, self.promises.take());
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
