//! Yielding among a thousand goroutines. Time per yield.
//!
//! ```text
//! cargo bench --bench yield
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::{scope, yield_now};
use marmot_benches::share;

const GOROUTINES: u64 = 1000;

fn yields(count: u64) {
    let done = AtomicU64::new(0);
    scope(|s| {
        for i in 0..GOROUTINES {
            let done = &done;
            s.go(move || {
                let mine = share(count, GOROUTINES, i);
                for _ in 0..mine {
                    yield_now();
                }
                done.fetch_add(mine, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.into_inner(), count);
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "yield, 1000 goroutines", yields);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
