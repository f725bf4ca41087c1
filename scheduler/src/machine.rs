//! `M`, the machine: an OS thread that runs goroutines while it has a processor.
//!
//! # Invariants
//!
//! 1. `MShared::p` is touched by the machine's thread while it is *inside* the runtime, or by
//!    sysmon between the two halves of taking it (`handshake.rs`). The scheduling loop is inside
//!    all the time; a goroutine's code is outside, but for its calls into the runtime.
//! 2. A machine that has lost its processor goes on with its goroutine until that parks, or calls
//!    in: then it wins a processor back, or the goroutine goes to the global queue.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::event::{ReadyList, Wait};
use crate::g::Runnable;
use crate::handshake::{Entry, Handshake};
use crate::idle::FOREVER;
use crate::overflow;
use crate::park_lot::{Sleeper, Woken};
use crate::processor::P;
use crate::sched::Sched;
use crate::timers::TimerKey;
use crate::wait::Ticket;

/// The stack of a machine's thread, in bytes. No user code runs on it.
const MACHINE_STACK: usize = 512 * 1024;

/// Sleeping machines that are kept for the next goroutines that block their threads.
const SPARES: usize = 32;
/// How long one beyond those sleeps before it ends.
const SPARE_TIME: Duration = Duration::from_secs(5);

/// The half of a machine that belongs to its thread: its scheduling loop, and the goroutine that
/// it runs, use it by turns. Neither `Send` nor `Sync`.
pub(crate) struct M {
    pub(crate) sched: Arc<Sched>,
    sleeper: Arc<Sleeper>,
    shared: Arc<MShared>,
    /// Whether it is counted as a searcher.
    searching: Cell<bool>,
    /// Whether it is on the list of sleepers, having given its processor up.
    enlisted: Cell<bool>,
    /// Whether the running goroutine's next call in has something to do at its end: it has lost its
    /// processor, or had its time slice.
    attention: Cell<bool>,
    /// Reused from poll to poll.
    ready: RefCell<ReadyList>,
}

/// The half of a machine that sysmon sees.
pub(crate) struct MShared {
    pub(crate) handshake: Handshake,
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
                    sched: sched_of_m,
                    sleeper: Arc::new(Sleeper::new()),
                    searching: Cell::new(p.is_some()),
                    shared: Arc::new(MShared::new(p)),
                    enlisted: Cell::new(false),
                    attention: Cell::new(false),
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
        loop {
            if !self.has_p() {
                if !self.enlisted.replace(false) {
                    // It never had a processor, or it was taken.
                    self.sched.lot.enlist(self.sleeper.clone(), None);
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

    fn take_p(&self) -> Option<Box<P>> {
        self.shared.processor.store(0, Ordering::Relaxed);
        // SAFETY: see `p`.
        unsafe { (*self.shared.p.get()).take() }
    }

    fn set_p(&self, p: Box<P>) {
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
            Entry::Yields | Entry::Lost => self.attention.set(true),
        }
        self.has_p()
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
        self.attention.set(false);
        // The reservation has counted it as a searcher, which it is not: it has its goroutine.
        if self.sched.idle.found_work() {
            self.sched.wake_for_rest();
        }
        true
    }

    /// The running goroutine begins a call that will block the thread. Inside.
    pub(crate) fn begin_blocking(&self) {
        self.shared
            .blocking
            .store(clock::now().max(1), Ordering::Relaxed);
        self.sched.blocking_begins();
    }

    /// It has come back, on the same machine, or has parked meanwhile.
    pub(crate) fn end_blocking(&self) {
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
        self.attention.set(false);
        if let Some((slot, class)) = r.run(self) {
            if self.has_p() {
                self.p().give_stack(slot, class);
            } else {
                drop(slot);
                self.sched.count_ended_outside();
            }
        }
        self.stop_blocking();
    }

    /// A goroutine has become runnable, by the doing of one that runs here: it runs next. Inside,
    /// with a processor.
    ///
    /// Waking another machine is lazy. One goroutine that will run here as soon as the current one
    /// stops is no reason to wake anybody; a backlog is.
    #[inline]
    pub(crate) fn ready(&self, r: Runnable) {
        if self.p().put_next(r) {
            self.sched.wake_for_backlog();
        }
    }

    /// The current goroutine goes to the end of the queue. No reason to wake anybody: the machine
    /// takes one from the queue for the one it puts in.
    pub(crate) fn yielded(&self, r: Runnable) {
        if self.has_p() {
            self.p().push(r);
        } else {
            self.sched.inject(r);
        }
    }

    /// The current goroutine goes to the global queue: its machine has no processor.
    pub(crate) fn requeued(&self, r: Runnable) {
        self.sched.inject(r);
    }

    /// Adds a timer for a goroutine that parks here.
    pub(crate) fn add_timer(&self, deadline: u64, ticket: Ticket, on_key: impl FnOnce(TimerKey)) {
        let shared = if self.has_p() {
            &self.p().shared
        } else {
            // Any will do: others look after the timers of a processor that has no time for them.
            &self.sched.processors[0]
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

    fn poll(&self, wait: Wait, ready: &mut ReadyList) {
        if let Err(error) = self.sched.source.poll(wait, ready) {
            tracing::error!(%error, "polling for events failed");
            // Not to spin on an error that stays: the next attempt is some scheduling rounds away.
            if wait != Wait::Now {
                std::thread::yield_now();
            }
        }
    }

    /// Queues what an event source or a timer has readied, in order.
    fn queue_ready(&self, ready: &mut ReadyList) -> bool {
        let mut mine = 0;
        for parked in ready.drain() {
            // SAFETY: `ReadyList` holds goroutines, and a `Parked` is the right to one.
            let r = unsafe { Runnable::from_g(parked.into_header().cast()) };
            if std::ptr::eq(r.sched(), &*self.sched) {
                self.p().push(r);
                mine += 1;
            } else {
                // A goroutine of another runtime, waiting on an object of this one.
                // SAFETY: its scheduler is alive while it is.
                unsafe { &*r.sched() }.inject(r);
            }
        }
        if mine > 1 {
            self.sched.wake_for_backlog();
        }
        mine > 0
    }

    /// R1 to R3: gives the processor up, having found nothing. [`sleep`](Self::sleep) follows.
    pub(crate) fn release_p(&self) {
        let p = self.take_p();
        self.enlisted.set(true);
        self.sched.lot.enlist(self.sleeper.clone(), p);
        self.sched.idle.release(self.searching.replace(false));
    }

    /// R4 to R7, until there is a processor again. The machine is on the list of sleepers. False
    /// when the machine is to end: the scheduler stops, or there are too many spare ones.
    fn sleep(&self) -> bool {
        let sched = &*self.sched;
        // Only a machine that has just given up a processor needs to watch for events: one that
        // has none to run them with leaves that to those that do.
        let mut may_poll = self.sched.idle.counts().idle() > 0;
        loop {
            let polling = may_poll && sched.idle.try_poll();
            if sched.stopping() {
                if polling {
                    sched.idle.leave_poll();
                }
                if let Woken::With(p) = sched.lot.delist(&self.sleeper) {
                    sched.lot.put_back(p);
                }
                return false;
            }
            // R6.
            let next = sched.next_deadline();
            if sched.work_visible() || next <= clock::now() {
                let reserved = if polling {
                    sched.idle.leave_poll_without_p()
                } else {
                    sched.idle.reserve()
                };
                if reserved.is_some() {
                    sched.note_busy();
                    match sched.lot.delist(&self.sleeper) {
                        Woken::Without => self.set_p(sched.lot.take_reserved()),
                        Woken::With(p) => {
                            // A waker was faster. The one reserved stays idle after all, and the
                            // search that now begins looks after its work.
                            sched.idle.release(true);
                            self.set_p(p);
                        }
                    }
                    self.set_searching();
                    return true;
                }
                // No processor is idle: those that run see the work.
                may_poll = false;
            } else if polling {
                if self.sleep_in_poll(next) {
                    return true;
                }
                may_poll = false;
                continue;
            }
            let spare = sched.lot.has_spares_beyond(SPARES);
            self.sleeper.sleep_on_futex(spare.then_some(SPARE_TIME));
            match sched.lot.delist(&self.sleeper) {
                Woken::With(p) => {
                    self.set_p(p);
                    self.set_searching();
                    return true;
                }
                // It has slept for long, or was signalled late; there are enough without it.
                Woken::Without if spare && sched.lot.has_spares_beyond(SPARES) => return false,
                // The scheduler stops, or a signal came late: its waker's processor had been found
                // on the list by an earlier look.
                Woken::Without => sched.lot.enlist(self.sleeper.clone(), None),
            }
        }
    }

    /// R7 with the poll word: waits for events until `next`. True if there is a processor after it;
    /// if not, the machine is on the list of sleepers again.
    fn sleep_in_poll(&self, next: u64) -> bool {
        let sched = &*self.sched;
        let mut ready = self.ready.borrow_mut();
        sched.idle.poll_until(next);
        self.sleeper.sleep_in_poll(|| {
            let wait = match next {
                FOREVER => Wait::Forever,
                at => Wait::Until(clock::instant_of(at)),
            };
            self.poll(wait, &mut ready);
        });
        sched.last_poll.store(clock::now(), Ordering::Relaxed);
        let p = match sched.lot.delist(&self.sleeper) {
            Woken::With(p) => {
                sched.idle.leave_poll();
                p
            }
            Woken::Without => match sched.idle.leave_poll_without_p() {
                Some(_reserved) => {
                    sched.note_busy();
                    sched.lot.take_reserved()
                }
                None => {
                    // All processors are busy: whoever gets to it first takes the events.
                    for parked in ready.drain() {
                        parked.ready();
                    }
                    drop(ready);
                    sched.lot.enlist(self.sleeper.clone(), None);
                    return false;
                }
            },
        };
        self.set_p(p);
        self.set_searching();
        self.queue_ready(&mut ready);
        true
    }
}
