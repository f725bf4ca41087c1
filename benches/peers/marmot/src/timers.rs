//! Timers, sleepers, and a ticker beside what would hold up others.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marmot::goroutine::sleep_until;
use marmot::time::Timer;
use marmot::{blocking, go, sleep};

/// Delays in nanoseconds.
pub(crate) type Late = Vec<u64>;

const HOUR: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(1);

fn nanoseconds_after(due: Instant) -> u64 {
    u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Timers that are made and stopped.
pub(crate) fn create_and_cancel(_tasks: u64, ops: u64) -> u64 {
    (0..ops).map(|_| u64::from(Timer::new(HOUR).stop())).sum()
}

/// Goroutines that sleep, and how late they woke.
pub(crate) fn sleepers(tasks: u64, ops: u64) -> (u64, Late) {
    let handles: Vec<_> = (0..tasks)
        .map(|i| {
            go(move || {
                let time = Duration::from_millis(1 + i % 100);
                let late = |_| {
                    let due = Instant::now() + time;
                    sleep(time);
                    nanoseconds_after(due)
                };
                (0..ops).map(late).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut late = Late::with_capacity((tasks * ops) as usize);
    for handle in handles {
        late.extend(handle.join().unwrap());
    }
    (late.len() as u64, late)
}

/// A tick each millisecond, until `more` says no; how late each was.
fn ticks(mut more: impl FnMut(usize) -> bool) -> Late {
    let mut late = Late::new();
    let mut due = Instant::now();
    while more(late.len()) {
        due += TICK;
        sleep_until(due);
        late.push(nanoseconds_after(due));
    }
    late
}

/// A ticker beside goroutines that only compute.
pub(crate) fn ticker_beside_hogs(tasks: u64, ops: u64) -> (u64, Late) {
    ticker_beside(tasks, ops, |stop| hog(&stop))
}

/// The same with goroutines that say that they will keep their threads.
pub(crate) fn ticker_beside_blocking_hogs(tasks: u64, ops: u64) -> (u64, Late) {
    ticker_beside(tasks, ops, |stop| blocking(|| hog(&stop)))
}

/// Counts in a register until it is told to stop.
fn hog(stop: &AtomicBool) -> u64 {
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n = black_box(n + 1);
    }
    n
}

fn ticker_beside(tasks: u64, ops: u64, work: fn(Arc<AtomicBool>) -> u64) -> (u64, Late) {
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..tasks)
        .map(|_| {
            let stop = Arc::clone(&stop);
            go(move || work(stop))
        })
        .collect();
    let late = ticks(|taken| (taken as u64) < ops);
    stop.store(true, Ordering::Relaxed);
    for hog in hogs {
        hog.join().unwrap();
    }
    (late.len() as u64, late)
}

/// Goroutines that block their threads, and a ticker.
pub(crate) fn blocked(tasks: u64, ops: u64) -> (u64, Late) {
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let ticker = go(move || ticks(|_| !over.load(Ordering::Relaxed)));
    let sleepers: Vec<_> = (0..tasks)
        .map(|_| {
            go(move || {
                let sleep = |_| blocking(|| std::thread::sleep(Duration::from_millis(10)));
                (0..ops).map(sleep).count() as u64
            })
        })
        .collect();
    let slept = sleepers.into_iter().map(|s| s.join().unwrap()).sum();
    done.store(true, Ordering::Relaxed);
    (slept, ticker.join().unwrap())
}
