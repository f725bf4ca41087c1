//! `Sched`, one scheduler: its processors, its global queue, and its beginning and end.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crossbeam_deque::Injector;

use crate::arena::StackClass;
use crate::barrier;
use crate::clock;
use crate::config::Config;
use crate::deadlock::{self, Runs};
use crate::event::EventSource;
use crate::flags::{CHAOS, Flags, STOPPING, SURPLUS, WANTED};
use crate::g::{Current, Runnable};
use crate::idle::{FOREVER, Idle};
use crate::machine::{M, MShared};
use crate::machines::Machines;
use crate::overflow;
use crate::park_lot::{ParkLot, Sleeper};
use crate::processor::{P, PShared};
use crate::procs::Processors;
use crate::resize::Size;
use crate::sysmon::Sysmon;
use crate::timers::TimerKey;
use crate::wait::WaitHeader;

/// How long the end of a scheduler waits for machines that are busy with a goroutine, which stop
/// at its next scheduling point. The idle ones stop at once.
const STOP_GRACE: Duration = Duration::from_millis(100);
/// How long no thread is asked for after one was refused, in nanoseconds.
const START_RETRY: u64 = 10_000_000;
/// How long a goroutine may be in a `blocking` region before its processor goes elsewhere, in
/// nanoseconds. Shorter calls are not worth a hand-off.
pub(crate) const BLOCKING_SLICE: u64 = 20_000;
/// The most that the score of long `blocking` regions can be.
const LONG_CALLS: u32 = 8;
/// How often `drain` looks at the number of goroutines.
const DRAIN_CHECK: Duration = Duration::from_millis(1);

/// One scheduler. Alive as long as a handle, a machine or a goroutine of it is.
pub(crate) struct Sched {
    pub(crate) config: Config,
    /// The size class of ordinary goroutines, and of those that `run` starts.
    pub(crate) class: StackClass,
    pub(crate) main_class: StackClass,
    /// Whether a goroutine stays on the machine that has begun it.
    pub(crate) pinned: bool,
    pub(crate) processors: Processors,
    /// How many of the processors are in use, and how many are to be.
    pub(crate) size: Size,
    pub(crate) flags: Flags,
    pub(crate) idle: Idle,
    pub(crate) lot: ParkLot,
    /// Goroutines readied from outside, first in first out.
    global: Arc<Injector<Runnable>>,
    pub(crate) source: Arc<dyn EventSource>,
    /// When events were collected last, on the runtime's clock.
    pub(crate) last_poll: AtomicU64,
    /// When a machine was last woken, and timers were due. Written by whoever has the poll word.
    pub(crate) last_timed: AtomicU64,
    /// When somebody looked last for processors that stand still, on the runtime's clock.
    pub(crate) last_relief: AtomicU64,
    /// Apart, for those who announce the end of their thread when they have let the scheduler go.
    pub(crate) machines: Arc<Machines>,
    pub(crate) sysmon: Sysmon,
    pub(crate) runs: Runs,
    /// Goroutines spawned from outside; those spawned on a processor are counted there.
    spawned_outside: AtomicU64,
    ended_outside: AtomicU64,
    /// Processors that sysmon has taken away, and threads that were refused: for reports.
    pub(crate) taken: AtomicU64,
    refused: AtomicU64,
    /// When a thread could not be started last, on the runtime's clock; 0 if that never was.
    start_failed: AtomicU64,
    /// How many goroutines are in a `blocking` region.
    blocking: AtomicU32,
    /// Rises with each `blocking` region that was long, and falls with each that was not.
    long_calls: AtomicU32,
    /// Itself, once it has stopped with goroutines left, which name it. Let go when the last of them
    /// has ended.
    leaked: Mutex<Option<Arc<Sched>>>,
    me: Weak<Sched>,
}

// No user code runs while the scheduler's state is in between.
impl std::panic::RefUnwindSafe for Sched {}

impl Sched {
    /// Makes a scheduler with its first machine, so that at least one thread is there.
    pub(crate) fn start(
        config: Config,
        source: Arc<dyn EventSource>,
        pinned: bool,
    ) -> io::Result<Arc<Sched>> {
        overflow::install_handler()?;
        barrier::init();
        let class = StackClass::for_size(config.stack_size)
            .ok_or_else(|| io::Error::other("the stack size is out of range"))?;
        let main_class = StackClass::for_size(config.main_stack_size)
            .ok_or_else(|| io::Error::other("the main stack size is out of range"))?;
        let count = config.max_procs as u32;
        let global = Arc::new(Injector::new());
        let (owned, processors) = (0..count)
            .map(|index| P::new(index, class, config.seed_of(index), global.clone()))
            .unzip();
        let size = Size::new(count, !config.max_procs_is_set);
        let flags = Flags::default();
        if config.debug.chaos.is_some() {
            flags.set(CHAOS);
        }
        let sched = Arc::new_cyclic(|me| Sched {
            config,
            class,
            main_class,
            pinned,
            processors: Processors::new(processors),
            size,
            flags,
            idle: Idle::new(count),
            lot: ParkLot::new(owned),
            global,
            source,
            last_poll: AtomicU64::new(0),
            last_timed: AtomicU64::new(0),
            last_relief: AtomicU64::new(0),
            machines: Arc::default(),
            sysmon: Sysmon::default(),
            runs: Runs::default(),
            spawned_outside: AtomicU64::new(0),
            ended_outside: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            start_failed: AtomicU64::new(0),
            blocking: AtomicU32::new(0),
            long_calls: AtomicU32::new(0),
            leaked: Mutex::new(None),
            me: me.clone(),
        });
        let explain = |error: io::Error| {
            let message = format!("cannot start a thread to run goroutines: {error}");
            io::Error::new(error.kind(), message)
        };
        M::start(&sched, None).map_err(|(error, _)| explain(error))?;
        if let Err(error) = Sysmon::start(&sched) {
            sched.stop();
            return Err(explain(error));
        }
        deadlock::register(Arc::downgrade(&sched));
        Ok(sched)
    }

    /// A processor that is not in the table yet.
    pub(crate) fn new_p(&self, index: u32) -> (Box<P>, Arc<PShared>) {
        let seed = self.config.seed_of(index);
        P::new(index, self.class, seed, self.global.clone())
    }

    /// Whether its machines differ from the usual in any way.
    pub(crate) fn is_unusual(&self) -> bool {
        self.pinned || self.config.debug.chaos.is_some() || self.config.hooks.is_some()
    }

    /// How many processors there are in use at this moment.
    #[inline]
    pub(crate) fn alive(&self) -> u32 {
        self.size.alive()
    }

    #[inline]
    pub(crate) fn stopping(&self) -> bool {
        self.flags.has(STOPPING)
    }

    pub(crate) fn last_poll(&self) -> u64 {
        self.last_poll.load(Ordering::Relaxed)
    }

    /// Makes a goroutine runnable from outside: a plain thread, or another scheduler.
    #[inline(never)]
    pub(crate) fn inject(&self, r: Runnable) {
        // Once it is queued it may run and end, and with it what keeps the scheduler alive for a
        // caller who has no handle.
        let _alive = self.me.upgrade();
        if let Some(home) = r.home() {
            // SAFETY: a machine outlives the goroutines at home on it.
            return self.go_home(r, unsafe { home.as_ref() });
        }
        // S1.
        self.global.push(r);
        if self.idle.submitted().is_some() {
            self.wake_machine();
        } else if self.blocking.load(Ordering::Relaxed) > 0 {
            self.sysmon.hurry();
        }
    }

    /// H1 to H6: makes a goroutine runnable that may run on one machine only.
    #[inline(never)]
    pub(crate) fn go_home(&self, r: Runnable, home: &MShared) {
        // H1.
        home.inbox.push(r);
        if home.sleeper.rest.must_be_called() {
            self.call_home(&home.sleeper);
        }
    }

    /// H4 to H6: the machine wants a processor.
    pub(crate) fn call_home(&self, sleeper: &Arc<Sleeper>) {
        if !self.lot.call(sleeper, &self.flags) {
            return;
        }
        // H5 and H6.
        if self.idle.called().is_some() {
            self.wake_machine();
        } else if self.blocking.load(Ordering::Relaxed) > 0 {
            self.sysmon.hurry();
        }
    }

    /// S1, for a caller that sees to the rest itself.
    pub(crate) fn push_global(&self, r: Runnable) {
        self.global.push(r);
    }

    /// S2 to S4, after a goroutine was queued on a busy processor behind another.
    #[inline]
    pub(crate) fn wake_for_backlog(&self) {
        // With one processor, which is busy with the caller, there is nobody to wake.
        if self.alive() > 1 {
            if self.idle.submitted().is_some() {
                self.wake_machine();
            } else if self.blocking.load(Ordering::Relaxed) > 0 {
                self.sysmon.hurry();
            }
        }
    }

    /// A processor that was taken from its machine goes to another, or lies idle if there is
    /// nothing to do.
    pub(crate) fn handoff_p(&self, p: Box<P>) {
        let Some(p) = self.retire_surplus(p) else {
            return;
        };
        if !self.work_waits() {
            self.lot.put_back(p);
            self.idle.release(false);
            if self.flags.has(SURPLUS) {
                self.shed();
            }
            // R6, on behalf of the machine that has lost it.
            if self.work_waits() {
                self.wake_searcher();
            }
            return;
        }
        // Whoever gets it will search.
        self.idle.begin_search();
        self.give_to_machine(p);
    }

    /// F3: after the last searcher has found work.
    pub(crate) fn wake_for_rest(&self) {
        if self.work_visible() && self.idle.wake_one().is_some() {
            self.wake_machine();
        }
    }

    /// After a reservation: a machine that sleeps, or a new one, gets the processor.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake_machine(&self) -> bool {
        self.note_busy();
        self.give_to_machine(self.lot.take_reserved())
    }

    /// A machine that sleeps, or a new one, gets the processor, as a searcher that is counted. False
    /// if there is none and none can be made: then the processor lies idle until a machine comes
    /// back, and the work on it waits.
    pub(crate) fn give_to_machine(&self, p: Box<P>) -> bool {
        let p = match self.lot.assign(p, &self.flags) {
            Ok(sleeper) => {
                sleeper.signal(&*self.source);
                return true;
            }
            Err(p) => p,
        };
        let refused = match self.start_machine(p) {
            Ok(()) => return true,
            Err(refused) => refused,
        };
        // All machines that exist are awake, or one would have been on the list. Whichever comes
        // back first takes the processor (`regain_p`, or R6), so what is on it has to be visible.
        if let Some(p) = refused {
            p.expose_next();
            self.lot.put_back(p);
        }
        self.idle.release(true);
        if self.flags.has(SURPLUS) {
            self.shed();
        }
        // R6, on behalf of a machine that has lain down meanwhile, or is in line, and saw no idle
        // processor.
        if (self.flags.has(WANTED) || self.lot.has_spares_beyond(0)) && self.work_waits() {
            return self.wake_searcher();
        }
        false
    }

    /// A new machine for a processor, which is given back if there are too many or none can be made.
    fn start_machine(&self, p: Box<P>) -> Result<(), Option<Box<P>>> {
        let now = clock::now();
        let failed = self.start_failed.load(Ordering::Relaxed);
        if failed != 0 && now.saturating_sub(failed) < START_RETRY {
            return Err(Some(p));
        }
        let full = self.machines.count() > self.config.max_machines;
        let Some(me) = self.me.upgrade().filter(|_| !full) else {
            self.thread_refused(now);
            return Err(Some(p));
        };
        // No report from here: this may run in the middle of a goroutine's call into the runtime,
        // where foreign code, which may call in as well, has no business. Sysmon reports.
        M::start(&me, Some(p)).map_err(|(_, p)| {
            self.thread_refused(now);
            p
        })
    }

    fn thread_refused(&self, now: u64) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.start_failed.store(now.max(1), Ordering::Relaxed);
    }

    /// How many threads were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// When a thread was refused last, on the runtime's clock; 0 if that never was.
    pub(crate) fn start_failed(&self) -> u64 {
        self.start_failed.load(Ordering::Relaxed)
    }

    /// For sysmon: has a machine search, if one may. Whether it was woken.
    pub(crate) fn wake_searcher(&self) -> bool {
        self.idle.submitted().is_some() && self.wake_machine()
    }

    /// W1 and W2, after a reservation.
    pub(crate) fn note_busy(&self) {
        if self.idle.must_wake_sysmon() {
            self.sysmon.wake();
        }
    }

    /// R6: whether there is work that anybody may take. A goroutine in `runnext` is not: its own
    /// processor runs it next.
    pub(crate) fn work_visible(&self) -> bool {
        !self.global.is_empty()
            || self.flags.has(WANTED)
            || self.processors.all().iter().any(|p| !p.queue.is_empty())
    }

    /// R6: the earliest deadline of all timers, or `FOREVER`.
    pub(crate) fn next_deadline(&self) -> u64 {
        let deadlines = self.processors.all().iter().map(|p| p.timers.next());
        deadlines.min().unwrap_or(FOREVER)
    }

    pub(crate) fn global_len(&self) -> usize {
        self.global.len()
    }

    pub(crate) fn global_is_empty(&self) -> bool {
        self.global.is_empty()
    }

    /// One goroutine from the global queue, and a fair share of the rest into `p`'s queue.
    pub(crate) fn take_global_batch(&self, p: &P) -> Option<Runnable> {
        if self.global.is_empty() {
            return None;
        }
        let share = self.global.len() / self.alive() as usize + 1;
        p.queue().take_global(share.min(64))
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        self.processors.all()[key.processor as usize]
            .timers
            .cancel(key);
    }

    pub(crate) fn count_spawned_outside(&self) {
        self.spawned_outside.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_ended_outside(&self) {
        self.ended_outside.fetch_add(1, Ordering::Relaxed);
    }

    /// A goroutine is about to block its thread. If there is something its processor should be
    /// doing meanwhile, sysmon must not sleep over it.
    pub(crate) fn blocking_begins(&self) {
        self.blocking.fetch_add(1, Ordering::Relaxed);
        // Partner: S2 of whoever submits while we are blocking.
        fence(Ordering::SeqCst);
        if self.work_waits() {
            self.sysmon.hurry();
        }
    }

    pub(crate) fn blocking_ends(&self) {
        self.blocking.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the next `blocking` region is likely to be a long one.
    pub(crate) fn blocks_long(&self) -> bool {
        self.long_calls.load(Ordering::Relaxed) >= LONG_CALLS / 2
    }

    /// How long a `blocking` region has taken, in nanoseconds. Load and store: what is lost in a
    /// race is one of many.
    pub(crate) fn note_blocking(&self, took: u64) {
        let score = self.long_calls.load(Ordering::Relaxed);
        let next = if took >= BLOCKING_SLICE {
            (score + 1).min(LONG_CALLS)
        } else {
            score.saturating_sub(1)
        };
        if next != score {
            self.long_calls.store(next, Ordering::Relaxed);
        }
    }

    /// Whether anything waits for a processor, `runnext` included, or for somebody to watch over
    /// timers and events. For the decision to take a processor away.
    pub(crate) fn work_waits(&self) -> bool {
        self.work_visible()
            || self.processors.all().iter().any(|p| p.queue.has_next())
            || (!self.idle.is_polling()
                && (self.source.has_waiters() || self.next_deadline() != FOREVER))
    }

    /// How many processors more could be put to use: for the decision how many to take away. At least
    /// one when `work_waits`.
    pub(crate) fn missing_processors(&self) -> usize {
        let all = self.processors.all();
        let queued: usize = all.iter().map(|p| p.queue.len()).sum();
        let next = all.iter().filter(|p| p.queue.has_next()).count();
        (queued + next + self.global.len() + self.lot.in_line()).max(1)
    }

    /// Goroutines that have begun, ever.
    pub(crate) fn spawned(&self) -> u64 {
        let all = self.processors.all();
        let inside: u64 = all.iter().map(|p| p.spawned()).sum();
        inside + self.spawned_outside.load(Ordering::Relaxed)
    }

    /// Goroutines that have begun and not ended: exact when nothing runs, else a close guess.
    pub(crate) fn num_goroutines(&self) -> usize {
        // Ended first: a goroutine is counted as begun before it can end.
        let all = self.processors.all();
        let ended: u64 = all.iter().map(|p| p.ended()).sum();
        let ended = ended + self.ended_outside.load(Ordering::Relaxed);
        self.spawned().saturating_sub(ended) as usize
    }

    /// Waits until no goroutine is left, or until `deadline`.
    pub(crate) fn drain(&self, deadline: Instant) {
        // Looking is enough: an end need not pay for telling us.
        while self.num_goroutines() > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            std::thread::sleep(left.min(DRAIN_CHECK));
        }
    }

    /// Ends the scheduler: every machine stops at its next scheduling point. What is parked or
    /// queued is leaked, not unwound (H7). Returns when the machines have ended, but does not wait
    /// long for one whose goroutine goes on without a scheduling point.
    pub(crate) fn stop(self: &Arc<Self>) {
        if self.flags.set(STOPPING) & STOPPING != 0 {
            return;
        }
        deadlock::unregister(self);
        // A machine that enlists later sees the flag: the list's lock orders the two.
        for sleeper in self.lot.drain_sleepers() {
            sleeper.signal(&*self.source);
        }
        self.sysmon.wake();
        // From a goroutine of this scheduler one cannot wait for its own machine.
        let own = Current::get().is_some_and(|g| std::ptr::eq(g.sched(), &**self));
        self.machines
            .wait_for_end(usize::from(own), Instant::now() + STOP_GRACE);
        if self.num_goroutines() > 0 {
            // They name the scheduler: it must outlive whoever may still ready them.
            *self.leaked() = Some(self.clone());
            self.let_go_if_empty();
        }
    }

    fn leaked(&self) -> std::sync::MutexGuard<'_, Option<Arc<Sched>>> {
        self.leaked.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A machine of a stopped scheduler ends: the goroutine that it ran may have been the last.
    pub(crate) fn let_go_if_empty(&self) {
        // The lock orders this after `stop`, or `stop` after the end of the goroutine. Dropped by the
        // caller's machine, which holds the scheduler itself.
        let mut leaked = self.leaked();
        if self.num_goroutines() == 0 {
            drop(leaked.take());
        }
    }
}

/// Readies the goroutine whose wait was claimed: to run next, or if `AFTER` only if no other does.
///
/// # Safety
/// `header` starts a `G`, and the caller holds the only right to it.
#[inline(always)]
pub(crate) unsafe fn ready_header<const AFTER: bool>(
    header: NonNull<WaitHeader>,
    here: Option<Current>,
) {
    // SAFETY: the caller's promise.
    let r = unsafe { Runnable::from_g(header.cast()) };
    let (sched, bound) = r.place_of_begun();
    if let Some(here) = &here {
        let m = here.machine();
        if std::ptr::eq(&raw const *m.sched, sched)
            && let Some(p) = m.enter_with_p()
        {
            // It will run here, soon, and among thousands its stack is in no near cache.
            here.block().prefetch_readied(&r);
            m.ready_on::<AFTER>(p, r, bound);
            m.leave();
            return;
        }
    }
    // SAFETY: a scheduler outlives its goroutines.
    unsafe { &*sched }.inject(r);
}

/// Calls `f` with the event source of the runtime that the current goroutine belongs to; `None` on
/// a plain thread. `f` may park: a runtime and its event source outlive its goroutines.
pub fn with_event_source<T>(f: impl FnOnce(&Arc<dyn EventSource>) -> T) -> Option<T> {
    Current::get().map(|g| f(&g.sched().source))
}
