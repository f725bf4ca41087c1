//! The threads of a scheduler: how many there are, and where sysmon finds them.
//!
//! # Locks
//!
//! `count` and `all` each guard themselves. Under `all`, sysmon takes processors.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::machine::MShared;

/// Counts the threads of a scheduler.
#[derive(Default)]
pub(crate) struct Machines {
    count: Mutex<usize>,
    changed: Condvar,
    /// Those whose thread runs, for sysmon. Under the lock, sysmon takes processors.
    all: Mutex<Vec<Arc<MShared>>>,
}

impl Machines {
    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The machines, for sysmon.
    pub(crate) fn all(&self) -> std::sync::MutexGuard<'_, Vec<Arc<MShared>>> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn register(&self, machine: Arc<MShared>) {
        self.all().push(machine);
    }

    pub(crate) fn unregister(&self, machine: &Arc<MShared>) {
        self.all().retain(|other| !Arc::ptr_eq(other, machine));
    }

    pub(crate) fn started(&self) {
        *self.lock() += 1;
    }

    pub(crate) fn ended(&self) {
        *self.lock() -= 1;
        self.changed.notify_all();
    }

    /// How many threads there are, sysmon's included.
    pub(crate) fn count(&self) -> usize {
        *self.lock()
    }

    /// Waits until at most `left` machines are there, or until `deadline`.
    pub(crate) fn wait_for_end(&self, left: usize, deadline: Instant) {
        let mut count = self.lock();
        while *count > left {
            let Some(wait) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            count = self
                .changed
                .wait_timeout(count, wait)
                .unwrap_or_else(|e| e.into_inner())
                .0;
        }
    }
}
