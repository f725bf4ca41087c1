//! The deadlock report: all goroutines are asleep, and nothing is left that could wake one.
//!
//! Sysmon asks when it is about to lie down, since all processors have been idle for a while. The
//! answer has to be certain: a program that is told so is ended. So all of this must hold, of all
//! runtimes in the process:
//!
//! - a `run` is in progress somewhere: somebody waits for the result;
//! - every processor is idle, every machine sleeps, every queue is empty;
//! - no timer is set, and nobody waits for an event from outside: socket, pipe, signal or child;
//! - the process has no thread but the runtimes' own and those that wait inside `run`. Any other may
//!   hold a `Sender` or a handle to unpark.
//!
//! Each of these could change while the others are looked at, but only by somebody who runs. So the
//! runtimes are looked at twice, the threads in between. If all was at rest both times, and no
//! processor went through a scheduling round and no goroutine was spawned from one look to the other,
//! then it was at rest in between as well, when the threads were counted; and nobody was there who
//! could have put an end to it.
//!
//! A thread inside `run` is counted from before it spawns its goroutine until that goroutine's closure
//! has returned, on the goroutine: after that it is on its way back to code that may do anything.
//!
//! A foreign thread that ends later is not noticed, since nothing in a runtime at rest wakes up.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, Weak};

use crate::idle::FOREVER;
use crate::report;
use crate::sched::Sched;
use crate::sys;

/// The exit code, which is Go's.
const EXIT_CODE: i32 = 2;

/// All schedulers that have not stopped.
static ALL: Mutex<Vec<Weak<Sched>>> = Mutex::new(Vec::new());

/// Adds a scheduler to those that are looked at.
pub(crate) fn register(sched: Weak<Sched>) {
    let mut all = ALL.lock().unwrap_or_else(|e| e.into_inner());
    all.retain(|other| other.strong_count() > 0);
    all.push(sched);
}

/// Takes one off, since it stops.
pub(crate) fn unregister(sched: &Sched) {
    let mut all = ALL.lock().unwrap_or_else(|e| e.into_inner());
    all.retain(|other| !std::ptr::eq(other.as_ptr(), sched) && other.strong_count() > 0);
}

/// The `run`s in progress on one scheduler.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    all: AtomicU32,
    /// Those whose caller is a plain thread.
    from_threads: AtomicU32,
}

/// One `run` in progress, until its goroutine's closure is over.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    runs: &'a Runs,
    from_thread: bool,
}

impl Runs {
    pub(crate) fn begin(&self, from_thread: bool) -> Run<'_> {
        self.all.fetch_add(1, Ordering::SeqCst);
        if from_thread {
            self.from_threads.fetch_add(1, Ordering::SeqCst);
        }
        Run {
            runs: self,
            from_thread,
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.from_thread {
            self.runs.from_threads.fetch_sub(1, Ordering::SeqCst);
        }
        self.runs.all.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is known of a scheduler, or of all of them, at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    /// `run`s in progress.
    runs: u32,
    /// Threads that will not do anything by themselves.
    threads: usize,
    /// Changes whenever a goroutine is spawned, or looked for.
    stamp: u64,
}

impl Sched {
    /// `None` if it is not at rest.
    fn at_rest(&self) -> Option<Rest> {
        let counts = self.idle.counts();
        // Sysmon is one of the threads.
        let machines = self.machines.count().saturating_sub(1);
        let rests = counts.idle() == self.alive()
            && counts.searching() == 0
            && self.lot.resting() == machines
            && !self.work_visible()
            && self.next_deadline() == FOREVER
            && !self.source.has_waiters();
        let all = self.processors.all();
        if !rests || all.iter().any(|p| p.queue.has_next()) {
            return None;
        }
        let ticks: u64 = all.iter().map(|p| u64::from(p.tick())).sum();
        Some(Rest {
            runs: self.runs.all.load(Ordering::SeqCst),
            threads: machines + 1 + self.runs.from_threads.load(Ordering::SeqCst) as usize,
            stamp: ticks.wrapping_add(self.spawned()),
        })
    }
}

/// All schedulers together.
fn all_at_rest(all: &[Weak<Sched>]) -> Option<Rest> {
    let mut sum = Rest::default();
    for sched in all.iter().filter_map(Weak::upgrade) {
        let rest = sched.at_rest()?;
        sum.runs += rest.runs;
        sum.threads += rest.threads;
        sum.stamp = sum.stamp.wrapping_add(rest.stamp);
    }
    Some(sum)
}

/// What sysmon is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Somebody may still do something, or nobody waits for it.
    Alive,
    /// Only a thread that is not known stands against it; it may be on its way out. Ask again.
    Unsure,
}

/// Ends the process with a report if nobody can ever do anything again.
pub(crate) fn check() -> Verdict {
    // Nobody begins or ends while we look.
    let Ok(all) = ALL.try_lock() else {
        return Verdict::Unsure;
    };
    let Some(before) = all_at_rest(&all) else {
        return Verdict::Alive;
    };
    if before.runs == 0 {
        return Verdict::Alive;
    }
    let Some(threads) = sys::threads() else {
        return Verdict::Alive;
    };
    if all_at_rest(&all) != Some(before) {
        return Verdict::Alive;
    }
    if threads > before.threads {
        return Verdict::Unsure;
    }
    // SAFETY: nothing runs, and nothing can begin to.
    unsafe { report_and_exit() }
}

/// # Safety
/// No goroutine runs.
unsafe fn report_and_exit() -> ! {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    if REPORTED.swap(true, Ordering::SeqCst) {
        // The sysmon of another runtime has seen it too.
        loop {
            std::thread::park();
        }
    }
    let mut text = String::from("fatal: all goroutines are asleep - deadlock!\n\n");
    // SAFETY: the caller's promise.
    let goroutines = unsafe { report::goroutines_at_rest(None) };
    // Writing to a string does not fail.
    let _ = report::list(&goroutines, &mut text);
    let _ = writeln!(
        text,
        "\n{} goroutines; nothing is left that could wake one of them",
        goroutines.len()
    );
    let _ = sys::Stderr.write_all(text.as_bytes());
    std::process::exit(EXIT_CODE)
}
