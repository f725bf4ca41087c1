//! Workloads of time. May wakes sleepers in a thread of their own, and runs them there until they
//! next wait.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use marmot_peer::{Job, Outcome, Size, Unsupported};
use may::coroutine::{JoinHandle, sleep};
use may::go;

use crate::run::{can_have, measured_with_delays};
use crate::tasks::sum;

fn nanoseconds(late: Duration) -> u64 {
    u64::try_from(late.as_nanos()).expect("it is not that late")
}

pub(crate) fn sleepers(job: &Job) -> Outcome {
    can_have(job.size.tasks)?;
    measured_with_delays(job, all_sleep)
}

fn all_sleep(size: Size) -> (u64, Vec<u64>) {
    let sleepers: Vec<JoinHandle<Vec<u64>>> = (0..size.tasks)
        .map(|i| {
            let period = Duration::from_millis(1 + i % 100);
            go!(move || {
                let mut delays = Vec::with_capacity(size.ops as usize);
                for _ in 0..size.ops {
                    let begin = Instant::now();
                    sleep(period);
                    delays.push(nanoseconds(begin.elapsed().saturating_sub(period)));
                }
                delays
            })
        })
        .collect();
    let mut delays = Vec::with_capacity((size.tasks * size.ops) as usize);
    for sleeper in sleepers {
        delays.extend(sleeper.join().expect("a coroutine returns"));
    }
    (delays.len() as u64, delays)
}

pub(crate) fn timer(_job: &Job) -> Outcome {
    let why = "a timer in may is the time limit of a coroutine that waits; there is none to cancel";
    Err(Unsupported(why.to_string()))
}

/// The ticker goes on beside hogs on all workers because the thread that wakes it also runs it: an
/// extra processor, which no other runtime here has.
pub(crate) fn ticker_hogs(job: &Job) -> Outcome {
    measured_with_delays(job, |size| {
        let stop = Arc::new(AtomicBool::new(false));
        let hogs = (0..size.tasks).map(|_| {
            let stop = stop.clone();
            go!(move || hog(&stop))
        });
        let hogs = hogs.collect();
        let delays = ticker(size.ops);
        stop.store(true, Relaxed);
        sum(hogs);
        (delays.len() as u64, delays)
    })
}

/// Counts until it is told to stop, and calls nothing.
fn hog(stop: &AtomicBool) -> u64 {
    let mut count = 0_u64;
    while !stop.load(Relaxed) {
        count = black_box(count.wrapping_add(1));
    }
    count
}

/// Takes `ticks` ticks of a millisecond, each due that long after the one before was due, and notes
/// how late each was.
fn ticker(ticks: u64) -> Vec<u64> {
    const TICK: Duration = Duration::from_millis(1);
    let mut due = Instant::now();
    let one_tick = |_| {
        due += TICK;
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            sleep(wait);
        }
        nanoseconds(due.elapsed())
    };
    (0..ticks).map(one_tick).collect()
}

pub(crate) fn blocking(_job: &Job) -> Outcome {
    let why =
        "may has no means for calls that block: one stops its worker, and what is queued there";
    Err(Unsupported(why.to_string()))
}
