//! `MARMOT_DEBUG=schedtrace=MS`: a line on the scheduler's state every so many milliseconds, on
//! standard error, in the spirit of Go's.
//!
//! ```text
//! SCHED 1009ms: maxprocs=4 idleprocs=2 threads=7 searching=0 restingthreads=4 goroutines=103 globalqueue=0 [3 0 0 1]
//! ```
//!
//! The numbers in brackets are the lengths of the processors' queues, `runnext` included. With
//! `scheddetail` a line for each processor, machine and goroutine follows. All of it is a snapshot of
//! things in motion: the numbers need not agree with each other.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::debug::Debug;
use crate::idle::FOREVER;
use crate::processor::PShared;
use crate::report;
use crate::sched::Sched;
use crate::sys;

/// When to print next.
#[derive(Debug)]
pub(crate) struct Trace {
    pause: u64,
    detail: bool,
    begin: Option<u64>,
    next: u64,
}

impl Trace {
    /// `None` if none is asked for.
    pub(crate) fn new(debug: &Debug) -> Option<Trace> {
        let pause = u64::from(debug.trace?) * 1_000_000;
        Some(Trace {
            pause,
            detail: debug.detail,
            begin: None,
            next: 0,
        })
    }

    /// Prints if it is time to; the time to the next line.
    pub(crate) fn look(&mut self, sched: &Sched, now: u64) -> Duration {
        let begin = *self.begin.get_or_insert(now);
        if now >= self.next {
            self.next = now + self.pause;
            let since = Duration::from_nanos(now - begin);
            let mut text = line(sched, since);
            if self.detail {
                // Writing to a string does not fail.
                let _ = detail(sched, now, &mut text);
            }
            let _ = sys::Stderr.write_all(text.as_bytes());
        }
        Duration::from_nanos(self.next - now)
    }
}

fn queued(p: &PShared) -> usize {
    p.queue.len() + usize::from(p.queue.has_next())
}

fn line(sched: &Sched, since: Duration) -> String {
    let counts = sched.idle.counts();
    let metrics = sched.metrics();
    let queues: Vec<String> = sched
        .processors
        .all()
        .iter()
        .map(|p| queued(p).to_string())
        .collect();
    format!(
        "SCHED {}ms: maxprocs={} idleprocs={} threads={} searching={} restingthreads={} \
         goroutines={} globalqueue={} [{}]\n",
        since.as_millis(),
        sched.max_procs(),
        counts.idle(),
        metrics.machines + 1,
        counts.searching(),
        metrics.resting_machines,
        sched.num_goroutines(),
        sched.global_len(),
        queues.join(" ")
    )
}

fn detail(sched: &Sched, now: u64, out: &mut String) -> std::fmt::Result {
    for p in sched.processors.all() {
        write!(
            out,
            "  P{}: rounds={} queue={} spawned={} ended={}",
            p.index,
            p.tick(),
            queued(p),
            p.spawned(),
            p.ended()
        )?;
        match p.timers.next() {
            FOREVER => writeln!(out, " timer=none")?,
            at => writeln!(out, " timer={}us", at.saturating_sub(now) / 1000)?,
        }
    }
    for (n, machine) in sched.machines.all().iter().enumerate() {
        write!(out, "  M{n}: ")?;
        match machine.processor() {
            Some(index) => write!(out, "p={index}")?,
            None => write!(out, "p=none")?,
        }
        if let Some(since) = machine.blocking_since() {
            write!(out, " blocking={}us", now.saturating_sub(since) / 1000)?;
        }
        writeln!(out, " home={}", machine.inbox.len())?;
    }
    for sight in report::goroutines(Some(sched)) {
        writeln!(out, "  {sight}")?;
    }
    Ok(())
}
