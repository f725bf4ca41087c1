//! Sysmon's chores: what has to be done now and then, by somebody, and is no part of its watch.
//!
//! - the memory of stacks that lie idle is given back (`arena::scavenge`), those in the caches of idle
//!   processors included, but for a few;
//! - the number of processors follows what the process is allowed, while nobody has set it
//!   (`limits.rs`), looked up once a second while anything runs;
//! - a line on the state of the scheduler is printed, if `MARMOT_DEBUG` asks for it (`trace.rs`);
//! - when all is at rest, it is found out whether that is a deadlock (`deadlock.rs`).
//!
//! At rest, sysmon comes back only for what is not finished: stacks that have not lain idle for long
//! enough yet, a deadlock that is not certain yet, a trace that was asked for. That is over within some
//! seconds (but for the trace), and then nothing wakes up any more.

use std::time::Duration;

use crate::arena::{self, Slot};
use crate::clock;
use crate::deadlock::{self, Verdict};
use crate::limits::Limits;
use crate::processor::SURPLUS_STACKS;
use crate::sched::Sched;
use crate::trace::Trace;

/// Nanoseconds between two visits of the scavenger, and the longest one while something runs and
/// when all is at rest.
const SCAVENGE_PAUSE: u64 = 100_000_000;
const SCAVENGE_TIME: Duration = Duration::from_millis(1);
const SCAVENGE_TIME_AT_REST: Duration = Duration::from_millis(20);
/// Nanoseconds between two looks at the limits of the process.
const LIMITS_PAUSE: u64 = 1_000_000_000;
/// How often sysmon asks again about a deadlock that is not certain, and after how long at first: each
/// time twice as long.
const UNSURE_TIMES: u32 = 8;
const UNSURE_PAUSE: Duration = Duration::from_millis(10);

/// What sysmon remembers of its chores.
#[derive(Debug)]
pub(crate) struct Chores {
    /// When the next visit or look is due, on the runtime's clock.
    scavenge_at: u64,
    limits_at: u64,
    limits: Limits,
    trace: Option<Trace>,
    /// Stacks on their way out of a processor's cache.
    surplus: Vec<Slot>,
    /// How often in a row a deadlock was not certain.
    unsure: u32,
}

impl Chores {
    pub(crate) fn new(sched: &Sched) -> Self {
        let now = clock::now();
        Chores {
            scavenge_at: now + SCAVENGE_PAUSE,
            limits_at: now + LIMITS_PAUSE,
            limits: Limits::of_process(),
            trace: Trace::new(&sched.config.debug),
            surplus: Vec::with_capacity(SURPLUS_STACKS),
            unsure: 0,
        }
    }

    /// Does what is due.
    pub(crate) fn look(&mut self, sched: &Sched) {
        let now = clock::now();
        self.unsure = 0;
        self.scavenge(sched, now, SCAVENGE_TIME);
        if let Some(trace) = &mut self.trace {
            trace.look(sched, now);
        }
        if now >= self.limits_at {
            self.limits_at = now + LIMITS_PAUSE;
            if sched.max_procs_follows() {
                let allowed = self.limits.read() as u32;
                if allowed != sched.max_procs() {
                    tracing::info!(allowed, "the process may use another number of cores now");
                    sched.set_max_procs(allowed);
                }
            }
        }
    }

    fn scavenge(&mut self, sched: &Sched, now: u64, budget: Duration) {
        if now >= self.scavenge_at {
            self.scavenge_at = now + SCAVENGE_PAUSE;
            self.empty_caches(sched);
            if arena::wants_scavenging() {
                arena::scavenge(budget);
            }
        }
    }

    /// Has idle processors keep a few stacks each: the scavenger finds the others.
    fn empty_caches(&mut self, sched: &Sched) {
        let mut place = 0;
        // One at a time, for the list is locked, and what is taken is given back outside of that. If the
        // list changes in between, one may be missed, till the next time.
        while let Some(()) = sched.lot.with_idle(place, |p| {
            p.take_surplus_stacks(&mut self.surplus);
        }) {
            place += 1;
            if !self.surplus.is_empty() {
                arena::give_back(sched.class, self.surplus.drain(..));
            }
        }
    }

    /// The same when all is at rest. After how long to look again; `None`: not by itself.
    pub(crate) fn at_rest(&mut self, sched: &Sched) -> Option<Duration> {
        let now = clock::now();
        self.scavenge(sched, now, SCAVENGE_TIME_AT_REST);
        // Whether or not it was time for that: nobody may come back.
        self.empty_caches(sched);
        let mut again = arena::wants_scavenging().then_some(Duration::from_nanos(SCAVENGE_PAUSE));
        let mut sooner = |pause: Duration| {
            again = Some(again.map_or(pause, |other| other.min(pause)));
        };
        if let Some(trace) = &mut self.trace {
            sooner(trace.look(sched, now));
        }
        if self.unsure < UNSURE_TIMES && deadlock::check() == Verdict::Unsure {
            sooner(UNSURE_PAUSE * 2_u32.pow(self.unsure));
            self.unsure += 1;
        }
        again
    }
}
