//! Workloads of tasks that wait: what they cost, and how they are woken.
//!
//! They wait for a message on one `mpmc` channel that never has any, and are woken by dropping its
//! only sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use marmot_peer::{Job, Memory, Outcome, Stopwatch, Switches, Value};
use may::coroutine::{sleep, yield_now};
use may::go;
use may::sync::{Semphore, mpmc};

use crate::run::{can_have, run};

/// Coroutines that wait, and how many began and ended to.
struct Waiting {
    channel: mpmc::Sender<()>,
    count: Arc<Count>,
}

/// Counted up by the coroutines: once each when they begin to wait, once each when they end.
struct Count {
    began: AtomicU64,
    ended: AtomicU64,
    all: Semphore,
}

impl Waiting {
    /// Spawns `tasks` coroutines and returns when all of them wait.
    fn start(tasks: u64) -> Self {
        let (channel, receiver) = mpmc::channel::<()>();
        let count = Arc::new(Count {
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            all: Semphore::new(0),
        });
        for _ in 0..tasks {
            let (receiver, count) = (receiver.clone(), count.clone());
            go!(move || {
                count.one_more(&count.began, tasks);
                receiver.recv().expect_err("nothing is ever sent");
                count.one_more(&count.ended, tasks);
            });
        }
        count.all.wait();
        // The last to be counted may be about to enlist still.
        yield_now();
        Self { channel, count }
    }

    /// Closes the channel, and returns when all have ended, how many that is.
    fn end(self) -> u64 {
        drop(self.channel);
        self.count.all.wait();
        self.count.ended.load(Relaxed)
    }
}

impl Count {
    fn one_more(&self, count: &AtomicU64, tasks: u64) {
        if count.fetch_add(1, Relaxed) + 1 == tasks {
            self.all.post();
        }
    }
}

pub(crate) fn parked(job: &Job) -> Outcome {
    let tasks = job.size.tasks;
    can_have(tasks)?;
    run(job.procs, move || {
        let memory = Memory::start();
        let stopwatch = Stopwatch::start();
        let waiting = Waiting::start(tasks);
        let start = stopwatch.report(0);
        let bytes_each = memory.growth() / tasks;
        let closing = Instant::now();
        let stopwatch = Stopwatch::start();
        let ended = waiting.end();
        let wake_seconds = closing.elapsed().as_secs_f64();
        let mut report = stopwatch.report(ended);
        report.seconds = start.seconds + wake_seconds;
        report.cpu_seconds += start.cpu_seconds;
        Ok(report
            .with("start_seconds", Value::Seconds(start.seconds))
            .with("wake_seconds", Value::Seconds(wake_seconds))
            .with("bytes_each", Value::Count(bytes_each)))
    })
}

pub(crate) fn idle(job: &Job) -> Outcome {
    let size = job.size;
    can_have(size.tasks)?;
    run(job.procs, move || {
        let waiting = Waiting::start(size.tasks);
        sleep(Duration::from_millis(100));
        let switches = Switches::start();
        let stopwatch = Stopwatch::start();
        sleep(Duration::from_secs(size.ops));
        let mut report = stopwatch.report(0);
        let switches = switches.count();
        report.answer = waiting.end();
        Ok(report.with("switches", Value::Count(switches)))
    })
}
