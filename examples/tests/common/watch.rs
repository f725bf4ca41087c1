//! What a process uses, as the system tells it.

use std::fs;
use std::time::{Duration, Instant};

/// What a process has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Resident memory.
    pub(crate) kilobytes: usize,
}

/// What process `pid` has now.
pub(crate) fn usage(pid: u32) -> Usage {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let field = |name: &str| -> usize {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        let number = line.and_then(|l| l.split_whitespace().next());
        number.expect("a known field").parse().expect("a number")
    };
    Usage {
        descriptors,
        threads: field("Threads:"),
        kilobytes: field("VmRSS:"),
    }
}

/// What process `pid` has, without what it opens for a moment only: a runtime that comes to rest looks
/// into `/proc`.
pub(crate) fn steady(pid: u32) -> Usage {
    let readings = (0..10).map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        usage(pid)
    });
    let fewest = readings.min_by_key(|usage| usage.descriptors);
    fewest.expect("ten readings")
}

/// Waits until what process `pid` has is `enough`; panics with what it has after `limit`.
pub(crate) fn settle(pid: u32, limit: Duration, enough: impl Fn(Usage) -> bool) -> Usage {
    let end = Instant::now() + limit;
    loop {
        let now = usage(pid);
        if enough(now) {
            return now;
        }
        if Instant::now() >= end {
            let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
            let names: Vec<_> = links.flatten().map(|l| fs::read_link(l.path())).collect();
            panic!("after {limit:?} it has {now:?}: {names:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: no memory is concerned.
    let code = unsafe { libc::kill(pid as libc::pid_t, signal) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
}

/// The letter of the state of process `pid`: `T` if it is stopped.
pub(crate) fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
    rest.chars().next().expect("a state")
}
