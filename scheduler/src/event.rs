//! The event source: what the scheduler asks when it has nothing to run.
//!
//! The scheduler owns the hook, the poller implements it. The scheduler names no descriptor; the
//! poller touches no run queue.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

pub use crate::sys::prefetch;
use crate::wait::{Kind, Parked};

/// How long a poll may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Now,
    /// Until something is ready, or [`EventSource::interrupt`], or the instant has passed.
    Until(Instant),
    /// Until something is ready, or [`EventSource::interrupt`].
    Forever,
}

/// A source of external events: it readies goroutines whose descriptors have become ready.
///
/// `poll` is called by at most one machine at a time with a wait other than [`Wait::Now`], and by
/// any number with `Now` meanwhile.
pub trait EventSource: Any + Send + Sync {
    /// Whether anything waits for an event. Cheap; `false` means that `poll(Now)` would find
    /// nothing.
    fn has_waiters(&self) -> bool;

    /// Collects what has become ready into `ready`, waiting as `wait` says if nothing has.
    ///
    /// # Errors
    /// An error of the operating system other than an interruption by a signal, which is an early
    /// return. The scheduler reports it and goes on.
    fn poll(&self, wait: Wait, ready: &mut ReadyList) -> io::Result<()>;

    /// Makes the poll that waits now, or else the next one that would, return at once.
    /// Idempotent; never lost.
    fn interrupt(&self);
}

/// The goroutines that a poll has found ready, as one list.
#[derive(Default)]
pub struct ReadyList {
    goroutines: Vec<Parked>,
}

impl ReadyList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task that has been claimed. A thread among them is woken at once, since no run queue
    /// is concerned.
    pub fn push(&mut self, parked: Parked) {
        match parked.kind() {
            Kind::Goroutine => self.goroutines.push(parked),
            Kind::Thread => parked.ready(),
        }
    }

    /// All goroutines, oldest first.
    pub(crate) fn goroutines(&self) -> &[Parked] {
        &self.goroutines
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.goroutines.is_empty()
    }

    /// How many goroutines it holds.
    pub fn len(&self) -> usize {
        self.goroutines.len()
    }

    /// Takes all goroutines out, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Parked> + '_ {
        self.goroutines.drain(..)
    }
}

impl fmt::Debug for ReadyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyList")
            .field("len", &self.len())
            .finish()
    }
}

impl Drop for ReadyList {
    fn drop(&mut self) {
        for parked in self.goroutines.drain(..) {
            parked.ready_first();
        }
    }
}

/// The event source without events: a runtime that only computes, and the scheduler's own tests.
#[derive(Debug, Default)]
pub struct NoEvents {
    /// Whether an interrupt is pending.
    interrupted: Mutex<bool>,
    changed: Condvar,
}

impl NoEvents {
    /// A new source.
    pub fn new() -> Self {
        Self::default()
    }
}

impl EventSource for NoEvents {
    fn has_waiters(&self) -> bool {
        false
    }

    fn poll(&self, wait: Wait, _ready: &mut ReadyList) -> io::Result<()> {
        if wait == Wait::Now {
            return Ok(());
        }
        let mut interrupted = self.interrupted.lock().unwrap_or_else(|e| e.into_inner());
        while !*interrupted {
            interrupted = match wait {
                Wait::Now => unreachable!("returned above"),
                Wait::Forever => self
                    .changed
                    .wait(interrupted)
                    .unwrap_or_else(|e| e.into_inner()),
                Wait::Until(at) => {
                    let Some(left) = at.checked_duration_since(Instant::now()) else {
                        break;
                    };
                    if left.is_zero() {
                        break;
                    }
                    self.changed
                        .wait_timeout(interrupted, left)
                        .unwrap_or_else(|e| e.into_inner())
                        .0
                }
            };
        }
        *interrupted = false;
        Ok(())
    }

    fn interrupt(&self) {
        *self.interrupted.lock().unwrap_or_else(|e| e.into_inner()) = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_interrupt_before_the_poll_is_not_lost() {
        let source = NoEvents::new();
        source.interrupt();
        source.interrupt();
        source.poll(Wait::Forever, &mut ReadyList::new()).unwrap();
    }

    #[test]
    fn a_poll_ends_at_its_deadline() {
        let source = NoEvents::new();
        let at = Instant::now() + Duration::from_millis(5);
        source.poll(Wait::Until(at), &mut ReadyList::new()).unwrap();
        assert!(Instant::now() >= at);
    }
}
