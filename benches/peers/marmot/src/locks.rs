//! Locks that many goroutines share.

use marmot::scope;
use marmot::sync::{Mutex, RwLock};
use marmot_peer::{read_rounds, share};

/// One lock, and many short sections.
pub(crate) fn mutex(tasks: u64, ops: u64) -> u64 {
    let counter = Mutex::new(0);
    scope(|s| {
        for i in 0..tasks {
            let counter = &counter;
            s.go(move || {
                for _ in 0..share(ops, tasks, i) {
                    *counter.lock().unwrap() += 1;
                }
            });
        }
    });
    counter.into_inner().unwrap()
}

/// One reader-writer lock: a hundred reads, a write, and so on.
pub(crate) fn rwlock(tasks: u64, ops: u64) -> u64 {
    let value = RwLock::new(0_u64);
    scope(|s| {
        let handles: Vec<_> = (0..tasks)
            .map(|i| {
                let value = &value;
                s.go(move || {
                    let (operations, mut highest) = (share(ops, tasks, i), 0);
                    for (reads, writes) in read_rounds(operations) {
                        for _ in 0..reads {
                            let now = *value.read().unwrap();
                            assert!(now >= highest, "an older value");
                            highest = now;
                        }
                        if writes {
                            *value.write().unwrap() += 1;
                        }
                    }
                    operations
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum()
    })
}
