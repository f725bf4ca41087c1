//! Clocks of the operating system, in nanoseconds, and a timer that wakes a poll.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

fn read(clock: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * SECOND + time.tv_nsec as u64)
}

/// The monotonic clock. Unlike an `Instant` it is a plain number, which a [`Timer`] understands.
#[inline]
pub(crate) fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC).expect("there is a monotonic clock")
}

/// The processor time that the calling thread has had.
pub(crate) fn thread_cpu() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID).expect("threads have clocks")
}

/// The processor time that a process has had, with that of its threads that have ended.
pub(crate) fn process_cpu(pid: u32) -> io::Result<u64> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for the answer.
    let error = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    read(clock)
}

/// A timer for an edge-triggered poll, which is finer than the poll's own milliseconds.
#[derive(Debug)]
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made, and nobody else has it.
        Ok(Timer(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the timer wake its poll once, at `at`, instead of whenever it would have. Setting it
    /// clears what was not read, so nobody has to read it.
    pub(crate) fn set(&self, at: u64) -> io::Result<()> {
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: (at / SECOND) as libc::time_t,
                tv_nsec: (at % SECOND) as libc::c_long,
            },
        };
        // SAFETY: the descriptor is a timer's, `value` outlives the call, and the old value may be
        // unwanted.
        let error = unsafe {
            libc::timerfd_settime(
                self.0.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &value,
                std::ptr::null_mut(),
            )
        };
        if error != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_clock_counts_threads_that_have_ended() {
        let before = process_cpu(std::process::id()).unwrap();
        let spent = std::thread::spawn(|| {
            while thread_cpu() < SECOND / 50 {}
            thread_cpu()
        });
        let spent = spent.join().unwrap();
        let after = process_cpu(std::process::id()).unwrap();
        assert!(after - before >= spent, "{before} {after} {spent}");
    }

    #[test]
    fn no_process_has_no_clock() {
        assert!(process_cpu(0x7fff_fff0).is_err());
    }
}
