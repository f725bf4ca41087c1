//! Whoever keeps a processor busy by calls into the runtime starves nobody, nor a timer.
//!
//! The one processor is busy all the time, so time is measured as the process gets it: what the machine
//! gives to others meanwhile is nobody's fault here.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{process_time, scheduler};
use marmot_scheduler::goroutine::{Goroutine, park, sleep, yield_now};
use marmot_scheduler::{JoinHandle, go};

/// The tests measure, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How long each busy goroutine is measured against the others, in time of the process.
const TIME: Duration = Duration::from_millis(500);

/// The ticker's period.
const TICK: Duration = Duration::from_millis(1);

/// Computes for about `time` without a call into the runtime.
fn compute(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        black_box(0);
    }
}

/// Two goroutines that ready each other by turns, each computing for `work` before it does.
fn ping_pong_pair(stop: &Arc<AtomicBool>, work: Duration) -> [JoinHandle<()>; 2] {
    let turn = |stop: &Arc<AtomicBool>, other: Arc<Mutex<Option<Goroutine>>>| {
        let stop = stop.clone();
        move || {
            while !stop.load(Ordering::Relaxed) {
                compute(work);
                let other = other.lock().unwrap().clone();
                if let Some(other) = other {
                    other.unpark();
                    park();
                } else {
                    yield_now();
                }
            }
            // The other may be waiting for its turn.
            if let Some(other) = other.lock().unwrap().clone() {
                other.unpark();
            }
        }
    };
    let (first, second) = (Arc::default(), Arc::default());
    let one = go(turn(stop, Arc::clone(&second)));
    let two = go(turn(stop, Arc::clone(&first)));
    *first.lock().unwrap() = Some(one.goroutine().clone());
    *second.lock().unwrap() = Some(two.goroutine().clone());
    [one, two]
}

/// Runs a 1 ms ticker and a yielding goroutine beside what `busy` starts, on one processor. How late
/// the ticks were (sorted), and how often the yielding one had its turn.
fn beside(
    busy: impl FnOnce(&Arc<AtomicBool>) -> Vec<JoinHandle<()>> + Send,
) -> (Vec<Duration>, u64) {
    let s = scheduler(1);
    s.handle().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicU64::new(0));
        let handles = busy(&stop);
        let other = go({
            let (stop, turns) = (stop.clone(), turns.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            }
        });
        let begin = process_time();
        let mut now = begin;
        let mut late = Vec::new();
        while now - begin < TIME {
            let before = now;
            sleep(TICK);
            now = process_time();
            late.push((now - before).saturating_sub(TICK));
        }
        stop.store(true, Ordering::Relaxed);
        other.join().unwrap();
        for handle in handles {
            handle.join().unwrap();
        }
        late.sort_unstable();
        (late, turns.load(Ordering::Relaxed))
    })
}

#[track_caller]
fn assert_fair(what: &str, (late, turns): (Vec<Duration>, u64)) {
    let median = late[late.len() / 2];
    let p99 = late[late.len() * 99 / 100];
    println!(
        "{what}: {} ticks, late by {median:?} (median), {p99:?} (p99); the yielding one had {turns} turns",
        late.len()
    );
    assert!(median < Duration::from_millis(20), "{median:?}");
    assert!(turns > 20, "{turns} turns");
}

#[test]
fn a_yielder_in_a_loop() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let result = beside(|stop| {
        let stop = stop.clone();
        let busy = move || {
            while !stop.load(Ordering::Relaxed) {
                yield_now();
            }
        };
        vec![go(busy)]
    });
    assert_fair("yielder", result);
}

#[test]
fn a_spawner_in_a_loop() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let result = beside(|stop| {
        let stop = stop.clone();
        let busy = move || {
            while !stop.load(Ordering::Relaxed) {
                go(|| ()).join().unwrap();
            }
        };
        vec![go(busy)]
    });
    assert_fair("spawner that joins", result);
}

#[test]
fn a_ping_pong_pair() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let result = beside(|stop| ping_pong_pair(stop, Duration::ZERO).into());
    assert_fair("ping-pong", result);
}

/// Each turn is short of a time slice, and sixty-four of them, which `runnext` may have in a row, are
/// a third of a second: the slice ends the row.
#[test]
fn a_ping_pong_pair_that_computes() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let result = beside(|stop| ping_pong_pair(stop, Duration::from_millis(5)).into());
    let (late, turns) = &result;
    println!(
        "ping-pong of 5 ms each: {} ticks, late by {:?} (median), {:?} (max); {turns} turns",
        late.len(),
        late[late.len() / 2],
        late[late.len() - 1]
    );
    // A slice is 10 ms, and a turn that has begun is not cut short: 25 ms from turn to turn, if the
    // machine has nothing else to do. Without the end of the slice it is 320.
    assert!(*turns >= 6, "{turns} turns in {TIME:?}");
    let median = late[late.len() / 2];
    assert!(median < Duration::from_millis(60), "{median:?}");
}

#[test]
fn many_pairs_share() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let result = beside(|stop| {
        let pairs = (0..10).map(|_| ping_pong_pair(stop, Duration::from_micros(10)));
        pairs.flatten().collect()
    });
    assert_fair("ten pairs", result);
}
