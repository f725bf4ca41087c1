//! What the server's process has used, from its processor clock and `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;

use crate::ServerUse;
use crate::clock::{SECOND, process_cpu};

/// A process at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Processor time in nanoseconds. The clock is that of the whole process, so threads that have
    /// ended are in it, and it does not move in ticks.
    cpu: u64,
    /// User and system time, in ticks.
    ticks: [u64; 2],
    /// Context switches of each thread, voluntary and not.
    switches: HashMap<u32, [u64; 2]>,
    /// Resident memory in bytes, and the most there ever was.
    memory: [u64; 2],
}

impl Sample {
    pub(crate) fn of(pid: u32) -> io::Result<Sample> {
        // The clock comes first: reading the rest takes a while.
        let cpu = process_cpu(pid)?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Sample {
            cpu,
            ticks: ticks(&stat).ok_or(io::ErrorKind::InvalidData)?,
            switches: switches(pid)?,
            memory: [
                field(&status, "VmRSS:") << 10,
                field(&status, "VmHWM:") << 10,
            ],
        })
    }

    /// What was used from `self` to `end`, for so many requests.
    pub(crate) fn until(&self, end: &Sample, requests: u64) -> ServerUse {
        let cpu = end.cpu.saturating_sub(self.cpu);
        let seconds = |i: usize| {
            let ticks = end.ticks[i].saturating_sub(self.ticks[i]);
            ticks as f64 / ticks_per_second()
        };
        let mut switches = [0; 2];
        for (thread, now) in &end.switches {
            let before = self.switches.get(thread).copied().unwrap_or_default();
            for i in 0..2 {
                switches[i] += now[i].saturating_sub(before[i]);
            }
        }
        let gone = |thread: &&u32| !end.switches.contains_key(thread);
        ServerUse {
            cpu_seconds: cpu as f64 / SECOND as f64,
            user_seconds: seconds(0),
            system_seconds: seconds(1),
            cpu_ns_per_request: (requests > 0).then(|| cpu as f64 / requests as f64),
            rss_bytes: end.memory[0],
            peak_rss_bytes: end.memory[1],
            threads: end.switches.len() as u64,
            ended_threads: self.switches.keys().filter(gone).count() as u64,
            voluntary_switches: switches[0],
            involuntary_switches: switches[1],
        }
    }
}

fn ticks_per_second() -> f64 {
    // SAFETY: the call takes no pointers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks.max(1) as f64
}

/// User and system time of a `stat`. The name before them may hold anything, brackets too.
fn ticks(stat: &str) -> Option<[u64; 2]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?])
}

/// A number of a `status`; 0 if it is not there.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn switches(pid: u32) -> io::Result<HashMap<u32, [u64; 2]>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        // A thread may end at any time.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let Some(thread) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let voluntary = field(&status, "voluntary_ctxt_switches:");
        let involuntary = field(&status, "nonvoluntary_ctxt_switches:");
        all.insert(thread, [voluntary, involuntary]);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 31 41 0";
        assert_eq!(ticks(stat), Some([31, 41]));
    }

    #[test]
    fn this_process_can_be_watched() {
        let before = Sample::of(std::process::id()).unwrap();
        let begun = crate::clock::thread_cpu();
        while crate::clock::thread_cpu() - begun < SECOND / 50 {}
        std::thread::spawn(std::thread::yield_now).join().unwrap();
        let after = Sample::of(std::process::id()).unwrap();
        let used = before.until(&after, 10);
        assert!(used.cpu_seconds >= 0.02, "{used:?}");
        assert!(used.cpu_ns_per_request.unwrap() >= 2e6, "{used:?}");
        assert!(used.rss_bytes > 0 && used.peak_rss_bytes >= used.rss_bytes);
        assert!(used.threads >= 1);
    }
}
