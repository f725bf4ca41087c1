//! `M`, the machine: an OS thread that runs goroutines while it has a processor.
//!
//! # Invariants
//!
//! 1. `MShared::p` is touched by the machine's thread while it is *inside* the runtime, or by
//!    sysmon between the two halves of taking it (`handshake.rs`). The scheduling loop is inside
//!    all the time; a goroutine's code is outside, but for its calls into the runtime.
//! 2. A machine that has lost its processor goes on with its goroutine until that parks, or calls
//!    in: then it wins a processor back, or the goroutine goes to the global queue (to its home
//!    queue, if it is bound to the machine).

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_deque::Injector;

use crate::arena::{self, Slot, StackClass};
use crate::clock;
use crate::event::{ReadyList, Wait};
use crate::find::{FEW, SOON};
use crate::g::{Runnable, prefetch_parked};
use crate::handshake::{Entry, Handshake};
use crate::hooks::Hooks;
use crate::overflow;
use crate::park_lot::Sleeper;
use crate::processor::P;
use crate::records;
use crate::sched::Sched;
use crate::timers::TimerKey;
use crate::wait::Ticket;

/// The stack of a machine's thread, in bytes. No user code runs on it.
const MACHINE_STACK: usize = 512 * 1024;
/// Of a crowd that is readied at once, so many are fetched into the cache: they run first, and more
/// would be gone from it until they do.
const FETCHED: usize = 256;

/// The half of a machine that belongs to its thread: its scheduling loop, and the goroutine that
/// it runs, use it by turns. Neither `Send` nor `Sync`.
pub(crate) struct M {
    pub(crate) sched: Arc<Sched>,
    pub(crate) shared: Arc<MShared>,
    /// Whether it is counted as a searcher.
    pub(crate) searching: Cell<bool>,
    /// Whether it is on a list of the park lot, having given its processor up.
    pub(crate) enlisted: Cell<bool>,
    /// Whether the running goroutine's next call in has something to do at its end: it has lost its
    /// processor, or had its time slice.
    attention: Cell<bool>,
    /// Constant: whether it differs from the usual in any way: chaos, a pinned runtime, or hooks.
    unusual: bool,
    /// Constant: whether scheduling is to be unusual.
    pub(crate) chaos: bool,
    /// Constant: told of each switch.
    pub(crate) hooks: Option<Hooks>,
    /// How many goroutines are bound to it: all it has begun, if the runtime is pinned, or the one
    /// that has locked its thread.
    pub(crate) residents: Cell<u32>,
    /// How deep that one has locked it; 0 if none has.
    pub(crate) locked: Cell<u32>,
    /// Goroutines bound to it that were made runnable here: the near end of its home queue.
    pub(crate) near: RefCell<VecDeque<Runnable>>,
    /// The goroutine that has locked it wants others to run first.
    pub(crate) gave_way: Cell<bool>,
    /// It ends: a goroutine that had locked its thread is over and has not unlocked it.
    pub(crate) condemned: Cell<bool>,
    /// When it got its processor, on the runtime's clock.
    pub(crate) turn: Cell<u64>,
    /// Reused from poll to poll.
    pub(crate) ready: RefCell<ReadyList>,
}

/// The half of a machine that others see.
pub(crate) struct MShared {
    pub(crate) handshake: Handshake,
    /// What it sleeps on.
    pub(crate) sleeper: Arc<Sleeper>,
    /// The far end of its home queue: goroutines bound to it that others have made runnable.
    pub(crate) inbox: Injector<Runnable>,
    /// The processor it has. See invariant 1.
    p: UnsafeCell<Option<Box<P>>>,
    /// Index of that processor plus one, or 0. Written like `p`, read by sysmon.
    processor: AtomicU32,
    /// When its goroutine began a `blocking` region, on the runtime's clock; 0 outside. Written by
    /// the machine, read by sysmon.
    blocking: AtomicU64,
}

// SAFETY: `p` passes between the machine and sysmon by the hand-shake; the rest is atomic.
unsafe impl Send for MShared {}
// SAFETY: as above.
unsafe impl Sync for MShared {}

impl MShared {
    fn new(p: Option<Box<P>>) -> Self {
        MShared {
            handshake: Handshake::new(),
            sleeper: Arc::new(Sleeper::new()),
            inbox: Injector::new(),
            processor: AtomicU32::new(p.as_ref().map_or(0, |p| p.shared.index + 1)),
            p: UnsafeCell::new(p),
            blocking: AtomicU64::new(0),
        }
    }

    /// The index of the processor it has (a snapshot).
    pub(crate) fn processor(&self) -> Option<usize> {
        (self.processor.load(Ordering::Relaxed) as usize).checked_sub(1)
    }

    /// Since when it is in a `blocking` region, if it is (a snapshot).
    pub(crate) fn blocking_since(&self) -> Option<u64> {
        match self.blocking.load(Ordering::Relaxed) {
            0 => None,
            since => Some(since),
        }
    }

    /// Takes the processor away, if the machine is not inside. Sysmon only.
    pub(crate) fn take_from_outside(&self) -> Option<Box<P>> {
        let asked = self.handshake.ask()?;
        // SAFETY: the machine is outside, and waits for the decision if it comes in (invariant 1).
        match unsafe { (*self.p.get()).take() } {
            Some(p) => {
                self.processor.store(0, Ordering::Relaxed);
                asked.taken();
                Some(p)
            }
            None => {
                asked.withdrawn();
                None
            }
        }
    }
}

impl M {
    /// Starts a thread for a machine; with a processor, it is already counted as a searcher.
    ///
    /// # Errors
    /// No thread could be made; the processor is given back.
    #[inline(never)]
    pub(crate) fn start(
        sched: &Arc<Sched>,
        p: Option<Box<P>>,
    ) -> Result<(), (io::Error, Option<Box<P>>)> {
        // The processor travels in a box of its own, so that it is not lost with the closure if
        // the thread cannot be made.
        let parcel = Arc::new(std::sync::Mutex::new(p));
        let theirs = parcel.clone();
        let sched_of_m = sched.clone();
        sched.machines.started();
        let made = std::thread::Builder::new()
            .name(sched.config.name.clone())
            .stack_size(MACHINE_STACK)
            .spawn(move || {
                let p = theirs.lock().unwrap_or_else(|e| e.into_inner()).take();
                drop(theirs);
                let m = M {
                    searching: Cell::new(p.is_some()),
                    shared: Arc::new(MShared::new(p)),
                    enlisted: Cell::new(false),
                    attention: Cell::new(false),
                    unusual: sched_of_m.is_unusual(),
                    chaos: sched_of_m.config.debug.chaos.is_some(),
                    hooks: sched_of_m.config.hooks.clone(),
                    sched: sched_of_m,
                    residents: Cell::new(0),
                    locked: Cell::new(0),
                    near: RefCell::default(),
                    gave_way: Cell::new(false),
                    condemned: Cell::new(false),
                    turn: Cell::new(clock::now()),
                    ready: RefCell::new(ReadyList::new()),
                };
                m.sched.machines.register(m.shared.clone());
                m.main();
            });
        match made {
            Ok(_detached) => Ok(()),
            Err(e) => {
                sched.machines.ended();
                let p = parcel.lock().unwrap_or_else(|e| e.into_inner()).take();
                Err((e, p))
            }
        }
    }

    fn main(self) {
        let _alternate_stack = overflow::AlternateStack::install();
        records::open();
        loop {
            if !self.has_p() {
                if self.condemned.get() {
                    break;
                }
                if !self.enlisted.replace(false) {
                    // It never had a processor, or it was taken or given away.
                    self.enlist_without_p();
                }
                if !self.sleep() {
                    break;
                }
            }
            match self.find_runnable() {
                Some(r) => self.execute(r),
                None if self.sched.stopping() => break,
                None => {}
            }
        }
        if let Some(p) = self.take_p() {
            self.sched.lot.put_back(p);
        }
        let machines = self.sched.machines.clone();
        machines.unregister(&self.shared);
        if self.residents.get() > 0 {
            // The scheduler has stopped. Leaked goroutines name their home, and may still be readied.
            std::mem::forget(self.shared.clone());
        }
        if self.sched.stopping() {
            self.sched.let_go_if_empty();
        }
        records::close();
        // Everything of this machine is gone before its end is announced, its hold on the scheduler
        // too.
        drop(self);
        machines.ended();
    }

    #[inline]
    pub(crate) fn has_p(&self) -> bool {
        // SAFETY: the machine is inside (invariant 1); no reference into `p` is held here.
        unsafe { (*self.shared.p.get()).is_some() }
    }

    /// The processor, inside the runtime.
    #[inline]
    pub(crate) fn p(&self) -> &P {
        // SAFETY: the machine is inside (invariant 1), and stays so while the reference is used:
        // it changes in `take_p` and `set_p` only, whose callers hold none.
        unsafe { (*self.shared.p.get()).as_deref() }.expect("the machine has a processor")
    }

    pub(crate) fn take_p(&self) -> Option<Box<P>> {
        self.shared.processor.store(0, Ordering::Relaxed);
        // SAFETY: see `p`.
        unsafe { (*self.shared.p.get()).take() }
    }

    pub(crate) fn set_p(&self, p: Box<P>) {
        self.turn.set(clock::now());
        let index = p.shared.index + 1;
        // SAFETY: see `p`.
        unsafe { *self.shared.p.get() = Some(p) };
        self.shared.processor.store(index, Ordering::Relaxed);
    }

    /// A goroutine's code calls into the runtime. True if the machine has its processor: then the
    /// caller may use it until [`leave`](Self::leave). If not, the caller does what a plain thread
    /// would. `Current::attend` follows either.
    #[inline(always)]
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        match self.shared.handshake.enter() {
            Entry::Keeps => {}
            Entry::Yields => {
                self.attention.set(true);
                // It may have passed its processor on by itself since sysmon looked.
                if self.has_p() {
                    self.p().end_slice();
                }
            }
            Entry::Lost => self.attention.set(true),
        }
        self.has_p()
    }

    /// [`enter`](Self::enter), with the processor, if it is there. Not to be kept over `leave`.
    #[inline(always)]
    pub(crate) fn enter_with_p(&self) -> Option<&P> {
        if self.enter() { Some(self.p()) } else { None }
    }

    /// The runtime gives way to a goroutine's code.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.shared.handshake.leave();
    }

    /// Whether the goroutine has to see to something at the end of a call: see `Current::attend`.
    #[inline(always)]
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.get()
    }

    /// Inside, without a processor: takes one that is idle, if there is one.
    pub(crate) fn regain_p(&self) -> bool {
        if self.sched.idle.reserve().is_none() {
            return false;
        }
        self.sched.note_busy();
        self.set_p(self.sched.lot.take_reserved());
        // A new time slice.
        self.p().next_tick();
        self.attention.set(false);
        // The reservation has counted it as a searcher, which it is not: it has its goroutine.
        if self.sched.idle.found_work() {
            self.sched.wake_for_rest();
        }
        true
    }

    /// The running goroutine begins a call that will block the thread. Inside.
    ///
    /// If work waits and such calls took long lately, the processor goes elsewhere at once, which
    /// is what Go does for calls that it knows; else sysmon takes it if the call turns out to.
    pub(crate) fn begin_blocking(&self) {
        let now = clock::now().max(1);
        self.shared.blocking.store(now, Ordering::Relaxed);
        self.sched.blocking_begins();
        if self.sched.blocks_long() && self.has_p() && self.sched.work_waits() {
            self.part_with_p();
            self.attention.set(true);
        }
    }

    /// It has come back, on the same machine, or has parked meanwhile.
    pub(crate) fn end_blocking(&self) {
        // A call that has parked says nothing.
        if let Some(since) = self.shared.blocking_since() {
            let took = clock::now().saturating_sub(since);
            self.sched.note_blocking(took);
        }
        self.sched.blocking_ends();
        self.stop_blocking();
    }

    /// Whatever runs here now is not in a `blocking` region.
    #[inline]
    fn stop_blocking(&self) {
        if self.shared.blocking.load(Ordering::Relaxed) != 0 {
            self.shared.blocking.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_searching(&self) -> bool {
        self.searching.get()
    }

    /// F1 to F3.
    #[cold]
    #[inline(never)]
    pub(crate) fn stop_searching(&self) {
        self.searching.set(false);
        if self.sched.idle.found_work() {
            self.sched.wake_for_rest();
        }
    }

    pub(crate) fn set_searching(&self) {
        self.searching.set(true);
    }

    /// A random number from the processor's generator. Inside.
    #[inline]
    pub(crate) fn random(&self) -> u32 {
        self.p().random.next_u32()
    }

    /// Runs one goroutine until it parks, yields or ends.
    #[inline]
    fn execute(&self, r: Runnable) {
        let r = match r.bear(self) {
            Ok(r) => r,
            Err((r, error)) => return self.postpone(r, &error),
        };
        self.attention.set(false);
        let ended = if self.unusual {
            self.run_unusually(r)
        } else {
            r.run::<false>(self)
        };
        if let Some((slot, class)) = ended {
            if self.residents.get() != 0 {
                self.resident_ended();
            }
            if self.has_p() {
                self.p().give_stack(slot, class);
            } else {
                drop(slot);
                arena::unpromise(class, 1);
                self.sched.count_ended_outside();
            }
        }
        self.stop_blocking();
    }

    /// There is no memory for the stack of a newborn goroutine, though there was address space when it
    /// was spawned. It tries again later: others may end until then, and leave it theirs.
    #[cold]
    #[inline(never)]
    fn postpone(&self, r: Runnable, error: &io::Error) {
        tracing::error!(%error, "no memory for the stack of a goroutine; it begins later");
        self.sched.inject(r);
        std::thread::yield_now();
    }

    #[inline(never)]
    fn run_unusually(&self, r: Runnable) -> Option<(Slot, StackClass)> {
        if self.sched.pinned {
            self.adopt(&r);
        }
        self.attention.set(self.chaos && self.chaos_yields());
        r.run::<true>(self)
    }

    /// A goroutine has become runnable, by the doing of one that runs here: it runs next. Inside,
    /// with a processor.
    ///
    /// Waking another machine is lazy. One goroutine that will run here as soon as the current one
    /// stops is no reason to wake anybody; a backlog is.
    #[inline(always)]
    pub(crate) fn ready(&self, r: Runnable) {
        let bound = r.home().is_some();
        self.ready_on::<false>(self.p(), r, bound);
    }

    /// The same, for a caller that has the processor in hand and knows whether the goroutine is bound; if
    /// `AFTER`, it runs next only if no other does.
    #[inline(always)]
    pub(crate) fn ready_on<const AFTER: bool>(&self, p: &P, r: Runnable, bound: bool) {
        if self.chaos | bound {
            return self.ready_unusually(r);
        }
        let backlog = if AFTER {
            p.put_after_next(r)
        } else {
            p.put_next(r)
        };
        if backlog || p.is_worth_a_thief() {
            self.sched.wake_for_backlog();
        }
    }

    #[inline(never)]
    fn ready_unusually(&self, r: Runnable) {
        if r.home().is_some() {
            self.ready_at_home(r);
        } else {
            self.chaos_ready(r);
        }
    }

    /// Whether a few goroutines wait here that take a short time: the same as a thief leaves alone.
    #[inline(always)]
    pub(crate) fn few_wait(&self) -> bool {
        let few = self.enter() && self.p().shared.is_nearly_done(FEW, SOON);
        self.leave();
        few
    }

    /// The current goroutine goes to the end of the queue. No reason to wake anybody: the machine
    /// takes one from the queue for the one it puts in.
    #[inline(always)]
    pub(crate) fn yielded(&self, r: Runnable) {
        if r.home().is_none() && self.has_p() {
            self.p().give_way(r);
        } else {
            self.yielded_unusually(r);
        }
    }

    #[inline(never)]
    fn yielded_unusually(&self, r: Runnable) {
        if r.home().is_some() {
            self.gave_way.set(self.locked.get() > 0);
            self.ready_at_home(r);
        } else {
            self.requeued(r);
        }
    }

    /// The current goroutine queues up for a processor: its machine has none.
    pub(crate) fn requeued(&self, r: Runnable) {
        r.mark_spent();
        self.sched.inject(r);
    }

    /// Adds a timer for a goroutine that parks here.
    pub(crate) fn add_timer(&self, deadline: u64, ticket: Ticket, on_key: impl FnOnce(TimerKey)) {
        let shared = if self.has_p() {
            &self.p().shared
        } else {
            // Any will do: others look after the timers of a processor that has no time for them.
            &self.sched.processors.all()[0]
        };
        let earliest = shared.timers.add(shared.index, deadline, ticket, on_key);
        if earliest && self.sched.idle.timer_added(deadline) {
            self.sched.source.interrupt();
        }
    }

    /// Fires the timers of `owner` that are due, for this processor. True if it readied any.
    pub(crate) fn fire_timers(&self, owner: &crate::timers::Timers, now: u64) -> bool {
        if owner.next() > now {
            return false;
        }
        let mut ready = self.ready.borrow_mut();
        owner.fire_due(now, &mut ready);
        self.queue_ready(&mut ready)
    }

    /// Collects events without waiting. True if it readied any goroutine of this runtime.
    pub(crate) fn poll_now(&self, now: u64) -> bool {
        self.sched.last_poll.store(now, Ordering::Relaxed);
        let mut ready = self.ready.borrow_mut();
        self.poll(Wait::Now, &mut ready);
        self.queue_ready(&mut ready)
    }

    pub(crate) fn poll(&self, wait: Wait, ready: &mut ReadyList) {
        if let Err(error) = self.sched.source.poll(wait, ready) {
            tracing::error!(%error, "polling for events failed");
            // Not to spin on an error that stays: the next attempt is some scheduling rounds away.
            if wait != Wait::Now {
                std::thread::yield_now();
            }
        }
    }

    /// Queues what an event source or a timer has readied, in order.
    pub(crate) fn queue_ready(&self, ready: &mut ReadyList) -> bool {
        let mut mine = 0;
        let first = &ready.goroutines()[..ready.len().min(FETCHED)];
        prefetch_parked(first);
        for parked in ready.drain() {
            // SAFETY: `ReadyList` holds goroutines, and a `Parked` is the right to one.
            let r = unsafe { Runnable::from_g(parked.into_header().cast()) };
            if std::ptr::eq(r.sched(), &*self.sched) && r.home().is_none() {
                self.p().push(r);
                mine += 1;
            } else {
                // Bound to a machine, or of another runtime and waiting on an object of this one.
                // SAFETY: its scheduler is alive while it is.
                unsafe { &*r.sched() }.inject(r);
            }
        }
        if mine > 1 {
            self.sched.wake_for_backlog();
        }
        mine > 0
    }
}
