//! Workloads of locks.
//!
//! What is held for a moment, and while nothing waits, is guarded by a lock of threads, which is
//! many times faster than may's own: parking_lot's, whose mutex takes half the time of std's where
//! two workers contend. May's own are `mutex=may` and `rwlock=may`. With the former nothing in
//! these coroutines waits, so each runs from begin to end on its worker, and only those on
//! different workers contend.

use std::sync::Arc;

use marmot_peer::{Size, read_rounds, share};
use may::go;
use may::sync;
use parking_lot::{Mutex, RwLock};

use crate::tasks::sum;

pub(crate) fn mutex_may(size: Size) -> u64 {
    let number = Arc::new(sync::Mutex::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        go!(move || {
            for _ in 0..share(size.ops, size.tasks, i) {
                *number.lock().expect("nobody panicked") += 1;
            }
            0
        })
    });
    sum(tasks.collect());
    *number.lock().expect("nobody panicked")
}

pub(crate) fn mutex(size: Size) -> u64 {
    let number = Arc::new(Mutex::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        go!(move || {
            for _ in 0..share(size.ops, size.tasks, i) {
                *number.lock() += 1;
            }
            0
        })
    });
    sum(tasks.collect());
    *number.lock()
}

/// Reads a hundred times, writes once, and so on. A read checks that the number did not fall.
fn read_and_write(operations: u64, read: impl Fn() -> u64, write: impl Fn()) -> u64 {
    let mut seen = 0;
    for (reads, writes) in read_rounds(operations) {
        for _ in 0..reads {
            let now = read();
            assert!(now >= seen, "the number fell");
            seen = now;
        }
        if writes {
            write();
        }
    }
    operations
}

pub(crate) fn rwlock_may(size: Size) -> u64 {
    let number = Arc::new(sync::RwLock::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        go!(move || {
            read_and_write(
                share(size.ops, size.tasks, i),
                || *number.read().expect("nobody panicked"),
                || *number.write().expect("nobody panicked") += 1,
            )
        })
    });
    sum(tasks.collect())
}

pub(crate) fn rwlock(size: Size) -> u64 {
    let number = Arc::new(RwLock::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        go!(move || {
            let operations = share(size.ops, size.tasks, i);
            read_and_write(operations, || *number.read(), || *number.write() += 1)
        })
    });
    sum(tasks.collect())
}
