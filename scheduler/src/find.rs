//! Finding work: the order in which a machine looks for the next goroutine.
//!
//! Go's `findRunnable`, with these departures: the clock is read every few rounds and not in each,
//! unless they are long; events are waited for, not asked for, when nothing else is found; a machine is
//! woken for what is put in `runnext` only where rounds are long; one that is busy relieves one that
//! stands still; goroutines with short rounds are left together for a while;
//! `runnext` is stolen only from a processor that has not moved on during a short back-off, however
//! often its slot is refilled; and the last look at the queues (R6) is made by every machine that
//! gives up a processor, not only by searchers.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use crate::clock;
use crate::flags::{CHAOS, HURRY, STOPPING, SURPLUS, WANTED};
use crate::g::Runnable;
use crate::idle::FOREVER;
use crate::machine::M;
use crate::processor::P;

/// Every so many rounds the global queue comes first, so that nobody starves there (Go's number).
const GLOBAL_TICKS: u32 = 61;
/// Every so many rounds the clock is read if there are timers or events to look after: for those that
/// are due, and for the age of the last poll. In each round, while rounds are long.
pub(crate) const CLOCK_TICKS: u32 = 8;
/// Every so many rounds it is read in any case, to know how long rounds are.
const MEASURE_TICKS: u32 = 32;
/// Rounds that take longer than this, in nanoseconds, are worth a thief: what is readied is offered to
/// others at once. It costs about 2 us to wake one, and its search.
const ROUND_FOR_THIEF: u32 = 10_000;
/// Rounds that take longer than this are worth a watch: who finds work has another machine look for
/// more, and wait for events.
const ROUND_FOR_WATCH: u32 = 50_000;
/// Events older than this are collected between goroutines, in nanoseconds.
const POLL_AGE: u64 = 200_000;
/// Who has come to no round for this long stands still, in nanoseconds.
const STANDS: u64 = 200_000;
/// Rounds over all processors before a search is given up; the last one takes `runnext` too.
const STEAL_PASSES: u32 = 4;
/// So many goroutines at most, which will all have had their turn within so many nanoseconds, are not
/// worth moving: they hand something to each other, and apart they wait for each other's cache lines.
pub(crate) const FEW: usize = 8;
pub(crate) const SOON: u64 = 2_000;
/// Rounds shorter than this, in nanoseconds, are not worth moving either, however many there are: it takes
/// as long for the lines of a goroutine to come to another processor.
const SHORT_ROUND: u32 = 150;
/// How often a thief that has found nothing else looks again before it takes them, some 20 us in all; how
/// often before that the only thief looks at those of which both is true; and the spin loops between two looks.
const LOOKS: u32 = 20;
const LONE_LOOKS: u32 = 200;
const LOOK_PAUSE: u32 = 64;
/// What has come to no round in so many looks is not nearly done.
const STILL_LOOKS: u32 = 5;
/// How long a thief watches a processor before it takes its `runnext`, in spin loops (about 3 us).
const NEXT_BACK_OFF: u32 = 200;

impl P {
    /// Whether what is readied here may have to wait for long if no other machine takes it.
    #[inline]
    pub(crate) fn is_worth_a_thief(&self) -> bool {
        self.rounds_take(ROUND_FOR_THIEF)
    }
}

impl M {
    /// The next goroutine to run; `None` when the processor was given up or the scheduler stops.
    #[inline]
    pub(crate) fn find_runnable(&self) -> Option<Runnable> {
        let flags = self.sched.flags.get();
        if flags != 0 && !self.heed(flags) {
            return None;
        }
        let p = self.p();
        let tick = p.next_tick();
        if p.is_clock_tick(tick) {
            self.look_at_clock(tick);
        }
        if self.residents.get() != 0
            && let ControlFlow::Break(found) = self.look_at_home(tick)
        {
            return found;
        }
        if tick.is_multiple_of(GLOBAL_TICKS)
            && !self.sched.global_is_empty()
            && let Some(r) = p.queue().take_global(1)
        {
            return Some(self.found(r));
        }
        if let Some(r) = p.pop() {
            return Some(self.found(r));
        }
        self.find_elsewhere()
    }

    /// Heeds the flags at the head of a round. False if the machine has no processor after it, or
    /// the scheduler stops.
    #[cold]
    #[inline(never)]
    fn heed(&self, flags: u32) -> bool {
        if flags & STOPPING != 0 {
            return false;
        }
        if flags & SURPLUS != 0 && self.retire_p() {
            return false;
        }
        if flags & WANTED != 0 && self.turn_is_over() {
            self.give_way();
            return false;
        }
        if flags & HURRY != 0 {
            self.sched.flags.clear(HURRY);
            self.catch_up();
        }
        if flags & CHAOS != 0 {
            self.chaos_steals();
        }
        true
    }

    /// Sees to timers, events and the global queue out of turn. Rounds are counted, not timed, and
    /// some goroutines have long ones.
    fn catch_up(&self) {
        let now = clock::now();
        for p in self.sched.processors.all() {
            self.fire_timers(&p.timers, now);
        }
        if self.sched.source.has_waiters() && now.saturating_sub(self.sched.last_poll()) > POLL_AGE
        {
            self.poll_now(now);
        }
        // The first of them runs next, the rest when the queue gets to it.
        if let Some(r) = self.sched.take_global_batch(self.p())
            && self.p().put_next(r)
        {
            self.sched.wake_for_backlog();
        }
    }

    /// Whether events that come now may have to wait for long if no other machine waits for them.
    pub(crate) fn is_worth_a_watch(&self) -> bool {
        self.p().rounds_take(ROUND_FOR_WATCH)
    }

    /// A searcher that finds work stops being one (F1 to F3).
    #[inline]
    pub(crate) fn found(&self, r: Runnable) -> Runnable {
        if self.is_searching() {
            self.stop_searching();
            if self.is_worth_a_watch() {
                self.sched.wake_searcher();
            }
        }
        r
    }

    /// Fires due timers and collects events, if the last look is some time ago.
    #[inline]
    fn look_at_clock(&self, tick: u32) {
        let timers = &self.p().shared.timers;
        let waiters = self.sched.source.has_waiters();
        // The timers of processors that were put away are looked after by all others.
        let all = self.sched.processors.all();
        let orphans = all.len() > self.sched.alive() as usize;
        let nothing = timers.next() == FOREVER && !waiters && !orphans;
        if nothing && !tick.is_multiple_of(MEASURE_TICKS) {
            return;
        }
        let now = clock::now();
        let long = self.p().note_time(now, tick) > ROUND_FOR_WATCH;
        self.p()
            .read_clock_every(if long { 1 } else { CLOCK_TICKS });
        // What waits there came before the events that wait now.
        self.relieve(now);
        if nothing {
            return;
        }
        self.fire_timers(timers, now);
        if orphans {
            for p in all {
                self.fire_timers(&p.timers, now);
            }
        }
        if waiters && now.saturating_sub(self.sched.last_poll()) > POLL_AGE {
            self.poll_now(now);
        }
    }

    /// Takes over half of what waits behind a machine that has not moved on since somebody looked
    /// last, some time ago, and fires its timers that are due: its goroutine computes, or its thread
    /// was descheduled. A machine that always has something in its own queue, by polling, say, would
    /// never come to steal that.
    fn relieve(&self, now: u64) {
        let all = self.sched.processors.all();
        if all.len() == 1
            || now.saturating_sub(self.sched.last_relief.load(Ordering::Relaxed)) < STANDS
        {
            return;
        }
        self.sched.last_relief.store(now, Ordering::Relaxed);
        let p = self.p();
        for other in all {
            if other.index == p.shared.index || !other.stands_still() {
                continue;
            }
            self.fire_timers(&other.timers, now);
            // It has stood for long enough for its `runnext` to be no longer its own, too.
            let next = other.queue.steal_stuck_next(0);
            for r in [next, other.queue.steal_half(p.queue())]
                .into_iter()
                .flatten()
            {
                p.push(r);
            }
        }
    }

    /// With nothing in its own queue. Events come last: if no other machine waits for them, this one
    /// does so when it lies down, and that takes them without waiting if there are any. So there is one
    /// system call, and it finds more at once; and what others have in their queues is older.
    #[inline(never)]
    fn find_elsewhere(&self) -> Option<Runnable> {
        let sched = &*self.sched;
        let p = self.p();
        loop {
            if sched.stopping() {
                return None;
            }
            if let Some(r) = sched.take_global_batch(p) {
                return Some(self.found(r));
            }
            let now = clock::now();
            if self.fire_timers(&p.shared.timers, now)
                && let Some(r) = p.pop()
            {
                return Some(self.found(r));
            }
            if sched.processors.made() > 1
                && (self.is_searching() || self.start_searching())
                && let Some(r) = self.steal(now)
            {
                return Some(self.found(r));
            }
            if !sched.global_is_empty() {
                continue;
            }
            if self.residents.get() != 0
                && let Some(r) = self.take_at_home(0)
            {
                return Some(self.found(r));
            }
            self.release_p();
            return None;
        }
    }

    fn start_searching(&self) -> bool {
        let may = self.sched.idle.try_search(self.sched.alive());
        if may {
            self.set_searching();
        }
        may
    }

    /// Steals half of some processor's queue, or on the last pass its timers' goroutines or its
    /// `runnext`. Starts at a random processor each time.
    ///
    /// What is nearly done where it is, or has rounds that are shorter than the move, is left there for some
    /// 20 us, and then it is taken, too. If both is true, and this machine is the only one that searches, it
    /// is left there for some 200 us, as long as it moves on. All that time the machine counts as a searcher,
    /// and takes what else it finds, so nobody relies on it in vain.
    pub(crate) fn steal(&self, now: u64) -> Option<Runnable> {
        let p = self.p();
        let all = self.sched.processors.all();
        let mut looks = LOOKS;
        let mut lone_looks = match self.sched.idle.counts().searching() {
            1 => LONE_LOOKS,
            _ => 0,
        };
        let (mut seen, mut still) = (0, 0);
        let mut pass = 0;
        while pass < STEAL_PASSES {
            let last = pass + 1 == STEAL_PASSES;
            let (mut left, mut left_alone) = (false, false);
            // The sum of theirs: it changes if any of them moves on.
            let mut ticks = 0_u32;
            let start = self.random() as usize % all.len();
            for victim in all[start..].iter().chain(&all[..start]) {
                if victim.index == p.shared.index {
                    continue;
                }
                let near = victim.is_nearly_done(FEW, SOON);
                let short = victim.has_short_rounds(SHORT_ROUND);
                if near && short && lone_looks > 0 {
                    left_alone = true;
                    ticks = ticks.wrapping_add(victim.tick());
                    continue;
                }
                if (near || short) && looks > 0 {
                    left = true;
                    continue;
                }
                if let Some(r) = victim.queue.steal_half(p.queue()) {
                    return Some(r);
                }
                if last {
                    if self.fire_timers(&victim.timers, now)
                        && let Some(r) = p.pop()
                    {
                        return Some(r);
                    }
                    if let Some(r) = victim.queue.steal_stuck_next(NEXT_BACK_OFF) {
                        return Some(r);
                    }
                }
            }
            if let Some(r) = self.sched.take_global_batch(p) {
                return Some(r);
            }
            if left_alone {
                still = if ticks == seen { still + 1 } else { 0 };
                seen = ticks;
                lone_looks -= 1;
                if still == STILL_LOOKS {
                    (lone_looks, looks) = (0, 0);
                }
            }
            looks = looks.saturating_sub(u32::from(left));
            if left || left_alone {
                for _ in 0..LOOK_PAUSE {
                    std::hint::spin_loop();
                }
            } else {
                pass += 1;
                std::hint::spin_loop();
            }
        }
        None
    }
}
