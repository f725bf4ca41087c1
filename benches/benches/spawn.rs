//! Starting goroutines: in batches that are joined, and in a chain. Time per goroutine.
//!
//! ```text
//! cargo bench --bench spawn
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::channel::{Sender, bounded};
use marmot::go;

const BATCH: u64 = 1000;

/// Starts a thousand, joins a thousand, and so on.
fn batches(tasks: u64) {
    let mut sum = 0;
    let mut begun = 0;
    let mut handles = Vec::with_capacity(BATCH as usize);
    while begun < tasks {
        let end = tasks.min(begun + BATCH);
        handles.extend((begun..end).map(|n| go(move || n)));
        sum += handles
            .drain(..)
            .map(|handle| handle.join().unwrap())
            .sum::<u64>();
        begun = end;
    }
    assert_eq!(sum, tasks * (tasks - 1) / 2);
}

/// Each goroutine starts the next one; the last one says so.
fn chain(tasks: u64) {
    fn link(left: u64, length: u64, done: Sender<u64>) {
        match left {
            0 => done.send(length).unwrap(),
            _ => drop(go(move || link(left - 1, length + 1, done))),
        }
    }
    let (done, length) = bounded(1);
    link(tasks, 0, done);
    assert_eq!(length.recv(), Ok(tasks));
}

fn spawn(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "spawn and join, batches of 1000", batches);
    marmot_benches::measure(criterion, "spawn chain", chain);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = spawn
}
criterion_main!(benches);
