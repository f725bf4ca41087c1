//! Workloads of tasks that wait: what they cost, and how they are woken.
//!
//! They wait for a message on one channel of kanal's that never has any, and are woken by closing
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kanal::{AsyncSender, bounded_async};
use marmot_peer::{Job, Memory, Outcome, Stopwatch, Switches, Value};
use tokio::sync::Notify;
use tokio::task::{spawn, yield_now};
use tokio::time::sleep;

use crate::run::run;

/// Tasks that wait, and how many began and ended to.
struct Waiting {
    channel: AsyncSender<()>,
    count: Arc<Count>,
    tasks: u64,
}

/// Counted up by the tasks: once each when they begin to wait, once each when they end.
struct Count {
    began: AtomicU64,
    ended: AtomicU64,
    all: Notify,
}

impl Waiting {
    /// Spawns `tasks` tasks and returns when all of them wait.
    async fn start(tasks: u64) -> Self {
        let (channel, receiver) = bounded_async::<()>(0);
        let count = Arc::new(Count {
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            all: Notify::new(),
        });
        let shared = Arc::new((receiver, count.clone()));
        for _ in 0..tasks {
            let shared = shared.clone();
            spawn(async move {
                let (receiver, count) = &*shared;
                count.one_more(&count.began, tasks);
                receiver.recv().await.expect_err("nothing is ever sent");
                count.one_more(&count.ended, tasks);
            });
        }
        count.all.notified().await;
        // The last to be counted may be about to enlist still.
        yield_now().await;
        Self {
            channel,
            count,
            tasks,
        }
    }

    /// Closes the channel, and returns when all have ended, how many that is.
    async fn end(self) -> u64 {
        self.channel.close().expect("the channel is open");
        self.count.all.notified().await;
        assert_eq!(self.count.began.load(Relaxed), self.tasks);
        self.count.ended.load(Relaxed)
    }
}

impl Count {
    fn one_more(&self, count: &AtomicU64, tasks: u64) {
        if count.fetch_add(1, Relaxed) + 1 == tasks {
            self.all.notify_one();
        }
    }
}

pub(crate) fn parked(job: &Job) -> Outcome {
    let tasks = job.size.tasks;
    run(job.procs, async move {
        let memory = Memory::start();
        let stopwatch = Stopwatch::start();
        let waiting = Waiting::start(tasks).await;
        let start = stopwatch.report(0);
        let bytes_each = memory.growth() / tasks;
        let closing = Instant::now();
        let stopwatch = Stopwatch::start();
        let ended = waiting.end().await;
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
    run(job.procs, async move {
        let waiting = Waiting::start(size.tasks).await;
        sleep(Duration::from_millis(100)).await;
        let switches = Switches::start();
        let stopwatch = Stopwatch::start();
        sleep(Duration::from_secs(size.ops)).await;
        let mut report = stopwatch.report(0);
        let switches = switches.count();
        report.answer = waiting.end().await;
        Ok(report.with("switches", Value::Count(switches)))
    })
}
