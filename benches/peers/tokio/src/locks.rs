//! Workloads of locks.
//!
//! What is held for a moment, and not across an await, an expert guards by a lock of threads, as
//! tokio's own guide says: parking_lot's, whose mutex takes half the time of std's where two
//! workers contend. Those of the variants `mutex=tokio` and `rwlock=tokio` may be held across an
//! await. With the former nothing in these tasks awaits, so each runs from begin to end on its
//! worker, and only the tasks on different workers contend.

use std::sync::Arc;

use marmot_peer::{Size, read_rounds, share};
use parking_lot::{Mutex, RwLock};
use tokio::sync;
use tokio::task::spawn;

use crate::tasks::sum;

pub(crate) async fn mutex(size: Size) -> u64 {
    let number = Arc::new(Mutex::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        spawn(async move {
            for _ in 0..share(size.ops, size.tasks, i) {
                *number.lock() += 1;
            }
            0
        })
    });
    sum(tasks.collect()).await;
    *number.lock()
}

pub(crate) async fn mutex_tokio(size: Size) -> u64 {
    let number = Arc::new(sync::Mutex::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        spawn(async move {
            for _ in 0..share(size.ops, size.tasks, i) {
                *number.lock().await += 1;
            }
            0
        })
    });
    sum(tasks.collect()).await;
    *number.lock().await
}

pub(crate) async fn rwlock(size: Size) -> u64 {
    let number = Arc::new(RwLock::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        spawn(async move {
            let operations = share(size.ops, size.tasks, i);
            let mut seen = 0;
            for (reads, writes) in read_rounds(operations) {
                for _ in 0..reads {
                    let now = *number.read();
                    assert!(now >= seen, "the number fell");
                    seen = now;
                }
                if writes {
                    *number.write() += 1;
                }
            }
            operations
        })
    });
    sum(tasks.collect()).await
}

pub(crate) async fn rwlock_tokio(size: Size) -> u64 {
    let number = Arc::new(sync::RwLock::new(0_u64));
    let tasks = (0..size.tasks).map(|i| {
        let number = number.clone();
        spawn(async move {
            let operations = share(size.ops, size.tasks, i);
            let mut seen = 0;
            for (reads, writes) in read_rounds(operations) {
                for _ in 0..reads {
                    let now = *number.read().await;
                    assert!(now >= seen, "the number fell");
                    seen = now;
                }
                if writes {
                    *number.write().await += 1;
                }
            }
            operations
        })
    });
    sum(tasks.collect()).await
}
