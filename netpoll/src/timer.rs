//! The timer of a poll: a timerfd among the polled descriptors, for mio's own timeout is in
//! milliseconds, and epoll's subject to the thread's timer slack.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::sys;

/// See the module's documentation. Owned by the driver, so used by one thread at a time.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    /// What it will fire at; `None` when it has fired.
    armed: Option<Instant>,
}

impl Timer {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let fd = sys::timer()?;
        // Edge-triggered, as all: each expiry is one event, and nothing has to be read.
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { fd, armed: None })
    }

    /// Arranges for an event at `at`, and gives the timeout to poll with: zero if `at` has passed.
    ///
    /// A poll that ends early leaves the timer armed, so the next one for the same instant finds it
    /// so. One that waits for another instant sets it anew; one without deadline ignores its event.
    pub(crate) fn timeout(&mut self, at: Instant) -> io::Result<Option<Duration>> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Some(Duration::ZERO));
        }
        if self.armed != Some(at) {
            self.armed = None;
            sys::arm_timer(self.fd.as_fd(), left)?;
            self.armed = Some(at);
        }
        Ok(None)
    }

    /// The timer's event was received.
    pub(crate) fn fired(&mut self) {
        self.armed = None;
    }
}
