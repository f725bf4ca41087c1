//! At the limit of threads goroutines wait, and nothing is lost; spare threads end by themselves.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::scheduler;
use marmot_scheduler::event::NoEvents;
use marmot_scheduler::{Config, Scheduler, blocking, scope};

/// The tests count threads, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn at_the_limit_work_waits() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config::from_env()
        .and_then(|config| config.max_procs(2))
        .and_then(|config| config.max_machines(4))
        .unwrap();
    // SAFETY: no thread-local is used on both sides of a wait.
    let s = unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) }.unwrap();
    let before = threads();
    let most = AtomicUsize::new(0);
    s.handle().run(|| {
        scope(|goroutines| {
            for _ in 0..40 {
                goroutines.spawn(|| {
                    blocking(|| std::thread::sleep(Duration::from_millis(5)));
                    most.fetch_max(threads(), Ordering::Relaxed);
                });
            }
        });
    });
    // The scheduler's first machine and sysmon were there before.
    let most = most.into_inner();
    assert!(most <= before + 3, "{most} threads, {before} before");
}

#[test]
fn spare_threads_end() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(2);
    let wave = || {
        s.handle().run(|| {
            scope(|goroutines| {
                for _ in 0..100 {
                    goroutines.spawn(|| blocking(|| std::thread::sleep(Duration::from_millis(30))));
                }
            });
        });
    };
    wave();
    let many = threads();
    let begin = Instant::now();
    while threads() > 45 && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!(
        "{many} threads after the wave, {} after {:?}",
        threads(),
        begin.elapsed()
    );
    assert!(threads() <= 45, "{} threads are left of {many}", threads());
    // Those that are left, and new ones, serve the next wave.
    wave();
}
