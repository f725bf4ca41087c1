//! Goroutines that compute without end stop nobody else.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{process_time, scheduler};
use marmot_scheduler::go;
use marmot_scheduler::goroutine::sleep;

/// The tests measure, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Computes until told to stop, without a call into the runtime.
fn spin(stop: &AtomicBool) -> u64 {
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n = black_box(n.wrapping_add(1));
    }
    n
}

#[test]
fn a_ticker_beside_four_hogs_is_on_time() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // They are busy all the time, so this is how time passes for the process, whatever else the
    // machine does meanwhile.
    const PROCESSORS: u32 = 2;
    const TICK: Duration = Duration::from_millis(1);
    let s = scheduler(PROCESSORS as usize);
    let mut late: Vec<Duration> = s.handle().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let hogs: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                go(move || spin(&stop))
            })
            .collect();
        let begin = process_time();
        let mut now = begin;
        let mut late = Vec::new();
        while now - begin < PROCESSORS * Duration::from_secs(2) {
            let before = now;
            sleep(TICK);
            now = process_time();
            late.push(((now - before) / PROCESSORS).saturating_sub(TICK));
        }
        stop.store(true, Ordering::Relaxed);
        for hog in hogs {
            assert!(hog.join().unwrap() > 0, "every hog has run");
        }
        late
    });
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    println!(
        "1 ms ticker beside 4 hogs at max_procs=2: {} ticks, late by {:?} (median), {p99:?} (p99), {:?} (max)",
        late.len(),
        late[late.len() / 2],
        late[late.len() - 1]
    );
    assert!(p99 < Duration::from_millis(20), "p99 {p99:?}");
}

#[test]
fn a_goroutine_that_only_spawns_starves_nobody_and_waits_for_them() {
    only_spawns(Duration::ZERO);
}

/// It is mostly outside the runtime when its slice ends, and loses its processor.
#[test]
fn a_goroutine_that_spawns_now_and_then_starves_nobody_and_waits_for_them() {
    only_spawns(Duration::from_micros(20));
}

/// A goroutine spawns, with a pause of its own code each time.
fn only_spawns(pause: Duration) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(1);
    s.handle().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let children = Arc::new(AtomicUsize::new(0));
        let spawner = go({
            let (stop, children) = (stop.clone(), children.clone());
            move || {
                // What was started, and the most of it that had not ended when a turn began.
                let (mut started, mut turns, mut most) = (0, 0, 0);
                let mut ended = 0;
                while !stop.load(Ordering::Relaxed) {
                    let children_of_one = children.clone();
                    go(move || children_of_one.fetch_add(1, Ordering::Relaxed));
                    started += 1;
                    let now = children.load(Ordering::Relaxed);
                    if now != ended {
                        // Others have run on its processor: it was given another turn.
                        turns += 1;
                        ended = now;
                        most = most.max(started - ended);
                    }
                    let begin = Instant::now();
                    while begin.elapsed() < pause {
                        std::hint::spin_loop();
                    }
                }
                (started, turns, most)
            }
        });
        sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let (started, turns, most) = spawner.join().unwrap();
        println!("{started} started in {turns} turns, {most} at most had not ended by the next");
        assert!(children.load(Ordering::Relaxed) > 0 && turns > 3);
        let usual = started / (turns + 1);
        assert!(most <= 2 * usual, "they pile up: {most}, {usual} a turn");
    });
}
