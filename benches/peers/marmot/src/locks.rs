//! Locks that many goroutines share.

use marmot::scope;
use marmot::sync::{Mutex, RwLock};
use marmot_peer::share;

/// Reads for each write.
const READS: u64 = 100;

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
                    let (mut done, mut highest) = (0, 0);
                    for n in 0..share(ops, tasks, i) {
                        if n % (READS + 1) == READS {
                            *value.write().unwrap() += 1;
                        } else {
                            let now = *value.read().unwrap();
                            assert!(now >= highest, "an older value");
                            highest = now;
                        }
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum()
    })
}
