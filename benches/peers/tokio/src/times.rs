//! Workloads of time: sleeping, timers, tickers.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use marmot_peer::{Job, Outcome, Size, Unsupported};
use tokio::task::coop::unconstrained;
use tokio::task::{JoinHandle, spawn, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::run::measured_with_delays;
use crate::tasks::sum;

const TICK: Duration = Duration::from_millis(1);

fn nanoseconds(late: Duration) -> u64 {
    u64::try_from(late.as_nanos()).expect("it is not that late")
}

pub(crate) async fn sleepers(size: Size) -> (u64, Vec<u64>) {
    let sleepers: Vec<JoinHandle<Vec<u64>>> = (0..size.tasks)
        .map(|i| {
            let period = Duration::from_millis(1 + i % 100);
            spawn(async move {
                let mut delays = Vec::with_capacity(size.ops as usize);
                for _ in 0..size.ops {
                    let begin = Instant::now();
                    sleep(period).await;
                    delays.push(nanoseconds(begin.elapsed().saturating_sub(period)));
                }
                delays
            })
        })
        .collect();
    let mut delays = Vec::with_capacity((size.tasks * size.ops) as usize);
    for sleeper in sleepers {
        delays.extend(sleeper.await.expect("a task returns"));
    }
    (delays.len() as u64, delays)
}

/// A `Sleep` is entered in the timer wheel when it is first polled. Unconstrained, because a task
/// that has used up its budget is told `Pending` without having been entered.
///
/// Another timer is pending and due sooner, as in most programs there is one: without it, each
/// timer is the next to be due, and with one worker is a write to wake the poller.
pub(crate) async fn timer(size: Size) -> u64 {
    const HOUR: Duration = Duration::from_secs(3600);
    let sooner = spawn(sleep(HOUR / 2));
    // Once waited, the driver knows of it.
    sleep(TICK).await;
    let create_and_cancel = async {
        let mut pending = 0;
        for _ in 0..size.ops {
            let mut timer = pin!(sleep(HOUR));
            poll_fn(|context| {
                pending += u64::from(timer.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        pending
    };
    let pending = unconstrained(create_and_cancel).await;
    sooner.abort();
    pending
}

/// Takes `ticks` ticks, or as many as come until `stop`, and notes how late each was.
async fn ticker(ticks: u64, stop: Option<Arc<AtomicBool>>) -> Vec<u64> {
    let mut delays = Vec::with_capacity(ticks.min(1 << 20) as usize);
    let mut interval = interval_at(Instant::now() + TICK, TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..ticks {
        let due = interval.tick().await;
        delays.push(nanoseconds(due.elapsed()));
        if stop.as_ref().is_some_and(|stop| stop.load(Relaxed)) {
            break;
        }
    }
    delays
}

/// Counts until it is told to stop, and calls nothing.
fn hog(stop: &AtomicBool) -> u64 {
    let mut count = 0_u64;
    while !stop.load(Relaxed) {
        count = black_box(count.wrapping_add(1));
    }
    count
}

/// As tasks, hogs keep their workers until they end: with a worker for each and one more there is a
/// comparison, with fewer the ticker would never run.
pub(crate) fn ticker_hogs(job: &Job) -> Outcome {
    if job.procs as u64 <= job.size.tasks {
        return Err(Unsupported(format!(
            "a task that never awaits keeps its worker, and {} keep all {}, the ticker's too",
            job.size.tasks, job.procs,
        )));
    }
    measured_with_delays(job, |size| {
        ticker_beside(size, |stop| spawn(async move { hog(&stop) }))
    })
}

/// Where tokio wants what computes for long: on the threads for blocking calls.
pub(crate) async fn ticker_and_blocking_hogs(size: Size) -> (u64, Vec<u64>) {
    ticker_beside(size, |stop| spawn_blocking(move || hog(&stop))).await
}

async fn ticker_beside(
    size: Size,
    spawn_hog: fn(Arc<AtomicBool>) -> JoinHandle<u64>,
) -> (u64, Vec<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let hogs = (0..size.tasks).map(|_| spawn_hog(stop.clone())).collect();
    let delays = ticker(size.ops, None).await;
    stop.store(true, Relaxed);
    sum(hogs).await;
    (delays.len() as u64, delays)
}

pub(crate) async fn blocking(size: Size) -> (u64, Vec<u64>) {
    const BLOCK: Duration = Duration::from_millis(10);
    let stop = Arc::new(AtomicBool::new(false));
    let ticking = spawn(ticker(u64::MAX, Some(stop.clone())));
    let sleepers = (0..size.tasks).map(|_| {
        spawn(async move {
            for _ in 0..size.ops {
                spawn_blocking(|| std::thread::sleep(BLOCK))
                    .await
                    .expect("a sleep returns");
            }
            size.ops
        })
    });
    let slept = sum(sleepers.collect()).await;
    stop.store(true, Relaxed);
    (slept, ticking.await.expect("a task returns"))
}
