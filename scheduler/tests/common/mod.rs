//! What the behaviour tests share.

use std::sync::Arc;
use std::time::Duration;

use marmot_scheduler::event::NoEvents;
use marmot_scheduler::{Config, Scheduler};

/// A scheduler with `max_procs` processors and no events.
pub(crate) fn scheduler(max_procs: usize) -> Scheduler {
    let config = Config::from_env()
        .and_then(|config| config.max_procs(max_procs))
        .expect("the settings are in range");
    // SAFETY: the tests use no thread-local on both sides of a wait.
    unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) }
        .expect("a thread can be started")
}

/// A scheduler that schedules unusually.
#[allow(dead_code)] // not every test file asks for disorder
pub(crate) fn chaotic(max_procs: usize, seed: u64) -> Scheduler {
    let config = Config::from_env()
        .and_then(|config| config.max_procs(max_procs))
        .expect("the settings are in range")
        .chaos(seed);
    // SAFETY: the tests use no thread-local on both sides of a wait.
    unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) }
        .expect("a thread can be started")
}

/// A pinned scheduler with `max_procs` processors and no events.
#[allow(dead_code)] // not every test file pins
pub(crate) fn pinned(max_procs: usize) -> Scheduler {
    let config = Config::from_env()
        .and_then(|config| config.max_procs(max_procs))
        .expect("the settings are in range");
    Scheduler::start_pinned(config, Arc::new(NoEvents::new())).expect("a thread can be started")
}

/// Runs a test at several numbers of processors, more than this machine has cores among them.
#[allow(dead_code)] // not every test file sweeps
pub(crate) fn at_each_width(test: impl Fn(&Scheduler)) {
    for max_procs in [1, 2, 4, 8] {
        let scheduler = scheduler(max_procs);
        test(&scheduler);
    }
}

/// The processor time of this process so far. Where a test keeps its processors busy, it passes as
/// time does, but stands still while the machine has something else to do.
#[allow(dead_code)] // not each test measures
pub(crate) fn process_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes where it is told to.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0);
    let seconds = u64::try_from(time.tv_sec).unwrap();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap())
}
