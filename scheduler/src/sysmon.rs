//! Sysmon, the watchman: a thread without a processor that looks after those that stand still.
//!
//! A goroutine that computes for long, or blocks its thread, keeps its processor from looking at
//! anything. Sysmon sees that the processor's tick does not advance. First it has others do what it
//! should: take what waits in its `runnext` and its queue, fire its timers, collect events. After a
//! time slice of 10 ms (in a `blocking` region after 20 us), if there is anything to do that nobody
//! else can, it takes the processor away and gives it to another machine (`handshake.rs`; Go's
//! `retake` and `handoffp`, but Go can also stop the goroutine by a signal, which Rust cannot). The
//! goroutine that has lost it goes on, on its own thread, under the time slices of the kernel.
//!
//! It also sees to it that somebody watches for events: the machine that was waiting for them may
//! be busy with the first one for long, while another sleeps.
//!
//! It looks every 20 us when it took a processor away lately, or when told to hurry; else ever less
//! often, down to every 4 ms (Go's to 10 ms; ours asks less of the machines, so it has to look more),
//! and once more after one when nobody watched. Each look costs some 20 us, and the thread that it
//! interrupts more: at every millisecond that was a twentieth of what a busy server could do.
//! When all processors have been idle for a while it sleeps until one is busy again: steps Y1 to Y3
//! and W1, W2 of `idle.rs`. What else it does is in `chores.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::chores::Chores;
use crate::clock;
use crate::event::{ReadyList, Wait};
use crate::flags::HURRY;
use crate::idle::FOREVER;
use crate::sched::{BLOCKING_SLICE, Sched};
use crate::sys;

/// The shortest time between two looks, and the longest.
const MIN_DELAY: Duration = Duration::from_micros(20);
const MAX_DELAY: Duration = Duration::from_millis(4);
/// The longest time to the next look when nobody was seen to watch for events.
const SECOND_LOOK: Duration = Duration::from_millis(1);
/// Looks without anything to do before the delay begins to double.
const PATIENCE: u32 = 50;
/// Looks in a row, all of them at nothing but idle processors, before it lies down: not too few, or
/// a program with an event now and then has to wake it for each.
const IDLE_LOOKS: u32 = 10;
/// Events, timers and goroutines in the global queue that have waited for this long are to be seen to
/// by the next machine that comes to a scheduling round, in nanoseconds.
const SOON_LATE: u64 = 1_000_000;
/// Events and timers that have waited for this long are seen to by sysmon itself.
const LATE: u64 = 10_000_000;
/// How long a goroutine may keep its processor while others wait, in nanoseconds.
pub(crate) const TIME_SLICE: u64 = 10_000_000;
/// Time between two reports of refused threads, in nanoseconds.
const REPORT_PAUSE: u64 = 1_000_000_000;
/// The stack of the thread, in bytes.
const STACK: usize = 128 * 1024;

/// What the scheduler knows of its sysmon: the futex that it sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Sysmon {
    /// Changes whenever it is woken.
    wakes: AtomicU32,
    /// 1 while the time to its next look is long.
    slow: AtomicU32,
}

impl Sysmon {
    /// Starts the thread.
    pub(crate) fn start(sched: &Arc<Sched>) -> std::io::Result<()> {
        let theirs = sched.clone();
        sched.machines.started();
        let made = std::thread::Builder::new()
            .name("marmot-sysmon".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                sys::exact_timers();
                watch(&theirs);
                let machines = theirs.machines.clone();
                drop(theirs);
                machines.ended();
            });
        if made.is_err() {
            sched.machines.ended();
        }
        made.map(drop)
    }

    /// There is something for it to see soon.
    pub(crate) fn hurry(&self) {
        if self.slow.load(Ordering::Relaxed) == 1 && self.slow.swap(0, Ordering::Relaxed) == 1 {
            self.wake();
        }
    }

    /// Wakes it, from a long sleep or a short one.
    pub(crate) fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::Release);
        sys::futex_wake(&self.wakes, 1);
    }
}

/// What was seen of one processor at the last look.
#[derive(Clone, Copy, Default)]
struct Seen {
    tick: u32,
    /// When the tick was seen to change last.
    since: u64,
    slice: u32,
    /// When the time slice was seen to change last.
    slice_since: u64,
}

fn watch(sched: &Sched) {
    let mut view = View {
        seen: Vec::new(),
        global_since: clock::now(),
        unwatched: false,
        reported: 0,
        ready: ReadyList::new(),
    };
    let mut chores = Chores::new(sched);
    let mut delay = MAX_DELAY;
    let mut quiet = 0;
    let mut idle = 0;
    while !sched.stopping() {
        let wakes = sched.sysmon.wakes.load(Ordering::Acquire);
        // Work may wait though all processors are idle: if no thread could be made for it.
        let lies_down =
            idle >= IDLE_LOOKS && !sched.work_waits() && sched.idle.sysmon_lies_down(sched.alive());
        let timeout = if lies_down {
            chores.at_rest(sched)
        } else {
            Some(if view.unwatched {
                delay.min(SECOND_LOOK)
            } else {
                delay
            })
        };
        if lies_down || delay > MIN_DELAY {
            sched.sysmon.slow.store(1, Ordering::Relaxed);
        }
        if !sched.stopping() {
            sys::futex_wait(&sched.sysmon.wakes, wakes, timeout);
        }
        let hurried = sched.sysmon.slow.swap(0, Ordering::Relaxed) == 0 && delay > MIN_DELAY;
        if lies_down && sched.idle.sysmon_gets_up() {
            // Nobody has woken it, so all is as it was.
            continue;
        }
        if sched.idle.counts().idle() == sched.alive() {
            idle += 1;
        } else {
            idle = 0;
        }
        chores.look(sched);
        if view.look(sched) || hurried {
            delay = MIN_DELAY;
            quiet = 0;
        } else {
            quiet += 1;
            if quiet >= PATIENCE {
                delay = (delay * 2).min(MAX_DELAY);
            }
        }
    }
}

/// What sysmon remembers from look to look.
struct View {
    /// By the index of the processor.
    seen: Vec<Seen>,
    /// When the global queue was seen empty last, on the runtime's clock.
    global_since: u64,
    /// Whether nobody watched for events and timers, while a processor was idle.
    unwatched: bool,
    /// When refused threads were reported last, on the runtime's clock.
    reported: u64,
    /// Reused from look to look.
    ready: ReadyList,
}

impl View {
    /// Looks at everything once; whether it had to take a processor away.
    fn look(&mut self, sched: &Sched) -> bool {
        let now = clock::now();
        let all = sched.processors.all();
        self.seen.resize(all.len(), Seen::default());
        for (p, seen) in all.iter().zip(&mut self.seen) {
            let slice = p.slice();
            if slice != seen.slice {
                seen.slice = slice;
                seen.slice_since = now;
            }
            let tick = p.tick();
            if tick != seen.tick {
                seen.tick = tick;
                seen.since = now;
                continue;
            }
            if p.queue.has_next() || !p.queue.is_empty() {
                let stood = now.saturating_sub(seen.since);
                p.round_takes(u32::try_from(stood).unwrap_or(u32::MAX));
                sched.wake_searcher();
            }
            // One that sleeps until its earliest timer is on time by itself.
            if p.timers.next() < now.saturating_sub(LATE) {
                p.timers.fire_due(now, &mut self.ready);
            }
        }
        // No thread could be made for it when it was queued.
        if !sched.global_is_empty() {
            sched.wake_searcher();
        }
        self.hurry_if_late(sched, now);
        let taken = retake(sched, &self.seen, now);
        self.keep_watch(sched);
        self.report_refusals(sched, now);
        if sched.source.has_waiters()
            && !sched.idle.is_polling()
            && sched.last_poll() < now.saturating_sub(LATE)
        {
            sched.last_poll.store(now, Ordering::Relaxed);
            if let Err(error) = sched.source.poll(Wait::Now, &mut self.ready) {
                tracing::error!(%error, "polling for events failed");
            }
        }
        for parked in self.ready.drain() {
            parked.ready();
        }
        taken
    }

    /// Has a machine catch up at its next round, if timers, events or the global queue wait.
    fn hurry_if_late(&mut self, sched: &Sched, now: u64) {
        if sched.global_is_empty() {
            self.global_since = now;
        }
        let before = now.saturating_sub(SOON_LATE);
        let late = self.global_since < before
            || sched.next_deadline() < before
            || (sched.source.has_waiters()
                && !sched.idle.is_polling()
                && sched.last_poll() < before);
        if late && !sched.flags.has(HURRY) {
            sched.flags.set(HURRY);
        }
    }

    /// Says so if threads were refused, once a second at most.
    fn report_refusals(&mut self, sched: &Sched, now: u64) {
        let failed = sched.start_failed();
        if failed > self.reported && now.saturating_sub(self.reported) > REPORT_PAUSE {
            self.reported = now;
            tracing::warn!(
                max_machines = sched.config.max_machines,
                "no further thread can be had; goroutines wait until one comes back"
            );
        }
    }

    /// If nobody has watched for events and timers since the last look, though a processor is idle,
    /// wakes a machine: it will find nothing, and watch.
    fn keep_watch(&mut self, sched: &Sched) {
        let unwatched = sched.idle.counts().idle() > 0
            && !sched.idle.is_polling()
            && (sched.source.has_waiters() || sched.next_deadline() != FOREVER);
        let before = std::mem::replace(&mut self.unwatched, unwatched);
        if unwatched && before {
            sched.wake_searcher();
        }
    }
}

/// Takes processors away from goroutines that keep them for too long, as many as are missed.
fn retake(sched: &Sched, seen: &[Seen], now: u64) -> bool {
    // An idle processor can do whatever there is to do: a searcher steals even from `runnext`.
    if sched.idle.counts().idle() > 0 || !sched.work_waits() {
        return false;
    }
    let mut missed = sched.missing_processors();
    let mut taken = Vec::new();
    let all = sched.processors.all();
    for machine in sched.machines.all().iter() {
        if missed == 0 {
            break;
        }
        let Some(index) = machine.processor() else {
            continue;
        };
        // One that was made since the look at all of them.
        let Some(seen) = seen.get(index) else {
            continue;
        };
        let blocks = machine
            .blocking_since()
            .is_some_and(|since| now.saturating_sub(since) >= BLOCKING_SLICE);
        let stands = seen.tick == all[index].tick() && now.saturating_sub(seen.since) >= TIME_SLICE;
        let slice_is_spent =
            seen.slice == all[index].slice() && now.saturating_sub(seen.slice_since) >= TIME_SLICE;
        if blocks || stands {
            match machine.take_from_outside() {
                Some(p) => {
                    missed -= 1;
                    taken.push(p);
                }
                None if stands => machine.handshake.ask_to_yield(),
                None => {}
            }
        } else if slice_is_spent {
            // It comes to its scheduling points, but goes from one `runnext` to the next.
            machine.handshake.ask_to_yield();
        }
    }
    let helped = !taken.is_empty();
    sched.taken.fetch_add(taken.len() as u64, Ordering::Relaxed);
    for p in taken {
        sched.handoff_p(p);
    }
    helped
}
