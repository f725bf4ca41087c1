//! `M`, the machine: an OS thread that runs goroutines while it has a processor.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::event::{ReadyList, Wait};
use crate::g::Runnable;
use crate::idle::FOREVER;
use crate::overflow;
use crate::park_lot::{Sleeper, Woken};
use crate::processor::P;
use crate::sched::Sched;
use crate::timers::TimerKey;
use crate::wait::Ticket;

/// The stack of a machine's thread, in bytes. No user code runs on it.
const MACHINE_STACK: usize = 512 * 1024;

/// The half of a machine that belongs to its thread: its scheduling loop, and the goroutine that
/// it runs, use it by turns. Neither `Send` nor `Sync`.
pub(crate) struct M {
    pub(crate) sched: Arc<Sched>,
    sleeper: Arc<Sleeper>,
    /// The processor it has. Changed by the scheduling loop only, between goroutines.
    p: UnsafeCell<Option<Box<P>>>,
    /// Whether it is counted as a searcher.
    searching: Cell<bool>,
    /// Reused from poll to poll.
    ready: RefCell<ReadyList>,
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
                    p: UnsafeCell::new(p),
                    ready: RefCell::new(ReadyList::new()),
                };
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
        if !self.has_p() {
            self.sched.lot.enlist(self.sleeper.clone(), None);
        }
        loop {
            if !self.has_p() && !self.sleep() {
                break;
            }
            while let Some(r) = self.find_runnable() {
                self.execute(r);
            }
            if self.sched.stopping() {
                break;
            }
        }
        if let Some(p) = self.take_p() {
            self.sched.lot.put_back(p);
        }
        let sched = self.sched.clone();
        // Everything of this machine is gone before its end is announced.
        drop(self);
        sched.machines.ended();
    }

    fn has_p(&self) -> bool {
        // SAFETY: only this thread touches `p`; no reference into it is held here.
        unsafe { (*self.p.get()).is_some() }
    }

    /// The processor. The machine has one whenever a goroutine runs on it.
    #[inline]
    pub(crate) fn p(&self) -> &P {
        // SAFETY: only this thread touches `p`, and it changes only in `take_p` and `set_p`, which
        // the scheduling loop calls when it holds no reference from here.
        unsafe { (*self.p.get()).as_deref() }.expect("a machine that runs has a processor")
    }

    fn take_p(&self) -> Option<Box<P>> {
        // SAFETY: see `p`.
        unsafe { (*self.p.get()).take() }
    }

    fn set_p(&self, p: Box<P>) {
        // SAFETY: see `p`.
        unsafe { *self.p.get() = Some(p) };
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

    /// A random number from the processor's generator.
    #[inline]
    pub(crate) fn random(&self) -> u32 {
        self.p().random.next_u32()
    }

    /// Runs one goroutine until it parks, yields or ends.
    #[inline]
    fn execute(&self, r: Runnable) {
        if let Some((slot, class)) = r.run(self) {
            self.p().give_stack(slot, class);
        }
    }

    /// A goroutine has become runnable, by the doing of one that runs here: it runs next.
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
        self.p().push(r);
    }

    /// Adds a timer for a goroutine that parks here.
    pub(crate) fn add_timer(&self, deadline: u64, ticket: Ticket, on_key: impl FnOnce(TimerKey)) {
        let shared = &self.p().shared;
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
        self.sched.lot.enlist(self.sleeper.clone(), p);
        self.sched.idle.release(self.searching.replace(false));
    }

    /// R4 to R7, until there is a processor again. The machine is on the list of sleepers. False
    /// when the scheduler stops.
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
            self.sleeper.sleep_on_futex();
            match sched.lot.delist(&self.sleeper) {
                Woken::With(p) => {
                    self.set_p(p);
                    self.set_searching();
                    return true;
                }
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
