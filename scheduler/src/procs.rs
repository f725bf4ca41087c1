//! The table of all processors that were ever made, which grows and never shrinks.
//!
//! A processor keeps its place in the table for the life of the scheduler: timers are named by it.
//! When there are to be fewer, some are retired (`resize.rs`), and come back when there are to be
//! more. Retired ones stay in the table, with an empty queue.
//!
//! # Invariants
//!
//! 1. A table, once published, is not changed and not freed before the whole. So whoever has read
//!    it may go on with it, though it may be out of date by then.
//! 2. Each table begins with all of the one before.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

use crate::processor::PShared;

/// See the module's documentation.
pub(crate) struct Processors {
    /// The newest table. Written under the lock of `tables`, read by anyone.
    current: AtomicPtr<Table>,
    /// All tables, to be freed at the end. Nothing else is done under its lock.
    tables: Mutex<Vec<NonNull<Table>>>,
}

struct Table(Box<[Arc<PShared>]>);

// SAFETY: tables are immutable (invariant 1), and what they hold is `Send` and `Sync`.
unsafe impl Send for Processors {}
// SAFETY: as above.
unsafe impl Sync for Processors {}

impl Processors {
    pub(crate) fn new(first: Vec<Arc<PShared>>) -> Self {
        let processors = Processors {
            current: AtomicPtr::new(std::ptr::null_mut()),
            tables: Mutex::new(Vec::new()),
        };
        processors.publish(first);
        processors
    }

    fn publish(&self, all: Vec<Arc<PShared>>) {
        let table = NonNull::from(Box::leak(Box::new(Table(all.into()))));
        let mut tables = self.tables.lock().unwrap_or_else(|e| e.into_inner());
        tables.push(table);
        // Release: whoever reads the pointer sees the table.
        self.current.store(table.as_ptr(), Ordering::Release);
    }

    /// All processors, by index.
    #[inline]
    pub(crate) fn all(&self) -> &[Arc<PShared>] {
        // Acquire: pairs with `publish`.
        let table = self.current.load(Ordering::Acquire);
        // SAFETY: published by `new`, and not freed before `self` (invariant 1).
        unsafe { &(*table).0 }
    }

    /// How many were ever made.
    pub(crate) fn made(&self) -> u32 {
        self.all().len() as u32
    }

    /// Adds processors. One thread at a time does that.
    pub(crate) fn add(&self, more: Vec<Arc<PShared>>) {
        self.publish(self.all().iter().cloned().chain(more).collect());
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        for table in self.tables.get_mut().unwrap_or_else(|e| e.into_inner()) {
            // SAFETY: from `Box::leak` in `publish`; nobody refers to the table any more.
            drop(unsafe { Box::from_raw(table.as_ptr()) });
        }
    }
}
