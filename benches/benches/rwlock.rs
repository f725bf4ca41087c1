//! One reader-writer lock and a hundred goroutines, each of which writes once in a hundred and one
//! times. Time per read or write.
//!
//! ```text
//! cargo bench --bench rwlock
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::scope;
use marmot::sync::RwLock;
use marmot_benches::share;

const GOROUTINES: u64 = 100;
/// Reads for each write.
const READS: u64 = 100;

fn reads_and_writes(count: u64) {
    let value = RwLock::new(0_u64);
    let (writes, seen) = (AtomicU64::new(0), AtomicU64::new(0));
    scope(|s| {
        for i in 0..GOROUTINES {
            let (value, writes, seen) = (&value, &writes, &seen);
            s.go(move || {
                let (mut mine, mut highest) = (0, 0);
                for n in 0..share(count, GOROUTINES, i) {
                    if n % (READS + 1) == READS {
                        *value.write().unwrap() += 1;
                        mine += 1;
                    } else {
                        let now = *value.read().unwrap();
                        assert!(now >= highest, "an older value");
                        highest = now;
                    }
                }
                writes.fetch_add(mine, Ordering::Relaxed);
                seen.fetch_max(highest, Ordering::Relaxed);
            });
        }
    });
    let writes = writes.into_inner();
    assert_eq!(value.into_inner().unwrap(), writes);
    assert!(seen.into_inner() <= writes);
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "rwlock, 1 write : 100 reads", reads_and_writes);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
