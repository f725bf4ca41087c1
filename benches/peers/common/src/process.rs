//! What the kernel knows of this process: processor time, context switches, memory.

use std::mem::MaybeUninit;

fn usage() -> libc::rusage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `getrusage` may write a whole `rusage` to the pointer, which is valid for one.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert_eq!(result, 0, "getrusage knows RUSAGE_SELF");
    // SAFETY: it was all zero, which is a valid `rusage`, before the kernel filled it in.
    unsafe { usage.assume_init() }
}

/// The processor time of all threads so far, user and system, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let usage = usage();
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The number of context switches of all threads, since a point in time.
#[derive(Debug, Clone, Copy)]
pub struct Switches {
    before: u64,
}

impl Switches {
    /// Counts from now on.
    pub fn start() -> Self {
        Self { before: switches() }
    }

    /// How many there were since, voluntary and not.
    pub fn count(&self) -> u64 {
        switches() - self.before
    }
}

fn switches() -> u64 {
    let usage = usage();
    (usage.ru_nvcsw + usage.ru_nivcsw).unsigned_abs()
}

/// The growth of this process's memory, since a point in time.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    before: u64,
}

impl Memory {
    /// Measures from now on.
    pub fn start() -> Self {
        Self { before: resident() }
    }

    /// By how many bytes `VmRSS` and `VmPTE` together grew since; 0 if they shrank.
    pub fn growth(&self) -> u64 {
        resident().saturating_sub(self.before)
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let kibibytes = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number
            .and_then(|n| n.parse().ok())
            .expect("/proc/self/status tells the memory")
    };
    (kibibytes("VmRSS:") + kibibytes("VmPTE:")) * 1024
}
