//! Starting goroutines and giving way.

use marmot::channel::{Sender, bounded};
use marmot::{go, scope, yield_now};
use marmot_peer::share;

/// Batches of `tasks` goroutines, each joined for the number that it returns.
pub(crate) fn join(tasks: u64, ops: u64) -> u64 {
    let (mut sum, mut begun) = (0_u64, 0);
    let mut handles = Vec::with_capacity(tasks as usize);
    while begun < ops {
        let batch = tasks.min(ops - begun);
        handles.extend((0..batch).map(|n| go(move || n)));
        for handle in handles.drain(..) {
            sum = sum.wrapping_add(handle.join().unwrap());
        }
        begun += batch;
    }
    sum
}

/// Each goroutine starts the next one; the last one says so.
pub(crate) fn chain(_tasks: u64, ops: u64) -> u64 {
    fn link(left: u64, length: u64, done: Sender<u64>) {
        match left {
            0 => done.send(length).unwrap(),
            _ => drop(go(move || link(left - 1, length + 1, done))),
        }
    }
    let (done, length) = bounded(1);
    link(ops, 0, done);
    length.recv().unwrap()
}

/// Goroutines that do nothing but yield.
pub(crate) fn yields(tasks: u64, ops: u64) -> u64 {
    scope(|s| {
        let handles: Vec<_> = (0..tasks)
            .map(|i| {
                s.go(move || {
                    let mine = share(ops, tasks, i);
                    for _ in 0..mine {
                        yield_now();
                    }
                    mine
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum()
    })
}
