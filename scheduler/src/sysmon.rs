//! Sysmon, the watchman: a thread without a processor that looks after those that stand still.
//!
//! A goroutine that computes for long keeps its processor from looking at anything. Sysmon sees
//! that the processor's tick does not advance, and has others do what it should: take what waits
//! in its `runnext` and its queue, fire its timers, collect events.
//!
//! It looks often while there was something to do lately (every 20 us, as Go's does) and rarely
//! when there was not (every 10 ms). While all processors are idle it sleeps, until one is busy
//! again: steps Y1 to Y3 and W1, W2 of `idle.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock;
use crate::event::{ReadyList, Wait};
use crate::idle::FOREVER;
use crate::sched::Sched;
use crate::sys;

/// The shortest time between two looks, and the longest.
const MIN_DELAY: Duration = Duration::from_micros(20);
const MAX_DELAY: Duration = Duration::from_millis(10);
/// Looks without anything to do before the delay begins to double.
const PATIENCE: u32 = 50;
/// Events and timers that wait longer than this are late, in nanoseconds.
const LATE: u64 = 10_000_000;
/// The stack of the thread, in bytes.
const STACK: usize = 128 * 1024;

/// What the scheduler knows of its sysmon: the futex that it sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Sysmon {
    /// Changes whenever it is woken.
    wakes: AtomicU32,
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
                watch(&theirs);
                theirs.machines.ended();
            });
        if made.is_err() {
            sched.machines.ended();
        }
        made.map(drop)
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
}

fn watch(sched: &Sched) {
    let mut seen = vec![Seen::default(); sched.processors.len()];
    let mut ready = ReadyList::new();
    let mut delay = MIN_DELAY;
    let mut quiet = 0;
    while !sched.stopping() {
        let wakes = sched.sysmon.wakes.load(Ordering::Acquire);
        // Only after a long quiet time, so that a program with an event now and then does not have
        // to wake us for each.
        if delay == MAX_DELAY && sched.idle.sysmon_lies_down(sched.max_procs()) {
            if !sched.stopping() {
                sys::futex_wait(&sched.sysmon.wakes, wakes, None);
            }
            sched.idle.sysmon_gets_up();
            delay = MIN_DELAY;
            quiet = 0;
            continue;
        }
        sys::futex_wait(&sched.sysmon.wakes, wakes, Some(delay));
        if look(sched, &mut seen, &mut ready) {
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

/// Looks at everything once; whether there was something to do.
fn look(sched: &Sched, seen: &mut [Seen], ready: &mut ReadyList) -> bool {
    let now = clock::now();
    let mut helped = false;
    for (p, seen) in sched.processors.iter().zip(seen) {
        let tick = p.tick();
        let stands_still = tick == seen.tick;
        seen.tick = tick;
        if !stands_still {
            continue;
        }
        if !(p.run_next.is_empty() && p.stealer.is_empty()) && sched.wake_searcher() {
            helped = true;
        }
        // One that sleeps until its earliest timer is on time by itself.
        if p.timers.next() != FOREVER && p.timers.next() < now.saturating_sub(LATE) {
            p.timers.fire_due(now, ready);
        }
    }
    if sched.source.has_waiters()
        && !sched.idle.is_polling()
        && sched.last_poll() < now.saturating_sub(LATE)
    {
        sched.last_poll.store(now, Ordering::Relaxed);
        if let Err(error) = sched.source.poll(Wait::Now, ready) {
            tracing::error!(%error, "polling for events failed");
        }
    }
    helped |= !ready.is_empty();
    for parked in ready.drain() {
        parked.ready();
    }
    helped
}
