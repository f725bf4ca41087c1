//! Threads that wait for a descriptor outside any poller: plain threads, and goroutines of a runtime
//! without one. They block in `poll(2)` on the descriptor itself, and on a bell of their own.
//!
//! # Invariants
//!
//! 1. A thread hangs its bell up before it reads the deadline that it will wait for; whoever moves a
//!    deadline does so before it rings. So the thread reads the new one, or is rung.
//! 2. A bell is in one list or in the pool, or in one thread's hands; in the pool it is silent.
//!
//! # Rejected
//!
//! Registering with some poller nevertheless: there may be none, or its runtime may end first.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::record::Direction;
use crate::sys;

/// Bells not in use. Guards the list alone.
static POOL: Mutex<Vec<Arc<OwnedFd>>> = Mutex::new(Vec::new());

/// So many are kept; a process that is short of descriptors gets the others back.
const KEPT: usize = 16;

/// How long a thread waits at a time if no bell is to be had (the process is out of descriptors).
const WITHOUT_BELL: Duration = Duration::from_millis(50);

/// The threads blocked on one descriptor.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// Guards the list; bells are rung under it, which does not wait.
    bells: Mutex<Vec<Arc<OwnedFd>>>,
}

impl Blocked {
    /// Ends the waits that are under way, and those whose thread has entered.
    pub(crate) fn ring(&self) {
        let bells = self.bells.lock().unwrap_or_else(|e| e.into_inner());
        for bell in bells.iter() {
            sys::signal_event(bell.as_fd());
        }
    }

    /// Counts the current thread among the blocked ones. To be called before the limits are read.
    pub(crate) fn enter(&self) -> Entered<'_> {
        let pooled = POOL.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let bell = pooled.or_else(|| sys::event().ok().map(Arc::new));
        if let Some(bell) = &bell {
            let mut bells = self.bells.lock().unwrap_or_else(|e| e.into_inner());
            bells.push(bell.clone());
        }
        Entered {
            blocked: self,
            bell,
        }
    }
}

/// A thread that is blocked, or about to be.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    blocked: &'a Blocked,
    bell: Option<Arc<OwnedFd>>,
}

impl Entered<'_> {
    /// Blocks the thread until the descriptor, if one is given, is ready in this direction, or the
    /// bell is rung, or the instant has passed; or returns early.
    pub(crate) fn wait(
        &self,
        fd: Option<BorrowedFd<'_>>,
        direction: Direction,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let events = match direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        };
        // The kernel passes over negative numbers.
        let ask = |fd: Option<BorrowedFd<'_>>, events| libc::pollfd {
            fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
            events,
            revents: 0,
        };
        match &self.bell {
            Some(bell) => {
                let mut fds = [ask(fd, events), ask(Some(bell.as_fd()), libc::POLLIN)];
                sys::poll(&mut fds, left)?;
                if fds[1].revents != 0 {
                    sys::drain_event(bell.as_fd());
                }
                Ok(())
            }
            None => {
                let slice = left.map_or(WITHOUT_BELL, |left| left.min(WITHOUT_BELL));
                sys::poll(&mut [ask(fd, events)], Some(slice))
            }
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let Some(bell) = self.bell.take() else { return };
        let mut bells = self.blocked.bells.lock().unwrap_or_else(|e| e.into_inner());
        bells.retain(|other| !Arc::ptr_eq(other, &bell));
        drop(bells);
        // Nobody can ring it any more; it may have been rung since it was last looked at.
        sys::drain_event(bell.as_fd());
        let mut pool = POOL.lock().unwrap_or_else(|e| e.into_inner());
        if pool.len() < KEPT {
            pool.push(bell);
        }
    }
}
