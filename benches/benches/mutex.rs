//! One mutex and a hundred goroutines, each with many short critical sections. Time per section.
//!
//! ```text
//! cargo bench --bench mutex
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::scope;
use marmot::sync::Mutex;
use marmot_benches::share;

const GOROUTINES: u64 = 100;

fn sections(count: u64) {
    let counter = Mutex::new(0);
    scope(|s| {
        for i in 0..GOROUTINES {
            let counter = &counter;
            s.go(move || {
                for _ in 0..share(count, GOROUTINES, i) {
                    *counter.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(counter.into_inner().unwrap(), count);
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "mutex, 100 goroutines", sections);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
