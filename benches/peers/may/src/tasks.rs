//! Workloads of tasks: spawning, joining, yielding.

use marmot_peer::{Job, Outcome, Size, share};
use may::coroutine::{Builder, JoinHandle, yield_now};
use may::go;
use may::sync::{mpsc, spsc};

use crate::run::{can_have, measured};

pub(crate) fn spawn_join(size: Size) -> u64 {
    let mut handles: Vec<JoinHandle<u64>> = Vec::with_capacity(size.tasks as usize);
    let mut sum = 0_u64;
    let mut left = size.ops;
    while left > 0 {
        let batch = left.min(size.tasks);
        handles.extend((0..batch).map(|number| go!(move || number)));
        for handle in handles.drain(..) {
            sum = sum.wrapping_add(handle.join().expect("a coroutine returns"));
        }
        left -= batch;
    }
    sum
}

pub(crate) fn spawn_chain(size: Size) -> u64 {
    let (last, answer) = spsc::channel();
    link(size.ops, size.ops, last);
    answer.recv().expect("the last coroutine tells")
}

/// Spawns the coroutine that has `left` to come, itself included.
///
/// On one worker, of which an id is a choice: otherwise may gives what is spawned to the workers in
/// turn, and each has to wake the other for the next.
fn link(left: u64, ops: u64, last: spsc::Sender<u64>) {
    let task = move || {
        if left > 1 {
            link(left - 1, ops, last);
        } else {
            last.send(ops - left + 1).expect("the body waits");
        }
    };
    go!(Builder::new().id(0), task).expect("a coroutine starts");
}

pub(crate) fn yields(size: Size) -> u64 {
    let tasks = (0..size.tasks).map(|i| {
        let yields = share(size.ops, size.tasks, i);
        go!(move || {
            for _ in 0..yields {
                yield_now();
            }
            yields
        })
    });
    sum(tasks.collect())
}

/// Adds up what coroutines return.
pub(crate) fn sum(tasks: Vec<JoinHandle<u64>>) -> u64 {
    tasks.into_iter().fold(0, |sum, task| {
        sum.wrapping_add(task.join().expect("a coroutine returns"))
    })
}

/// May runs what is spawned first first, so that the tree is there level by level, and nearly all
/// leaves at once.
pub(crate) fn skynet(job: &Job) -> Outcome {
    can_have(job.size.ops)?;
    measured(job, |size| {
        let (parent, root) = mpsc::channel();
        node(0, size.ops, parent);
        root.recv().expect("the root tells")
    })
}

/// Spawns the coroutine over `leaves` leaves, the first of which has the number `first`.
fn node(first: u64, leaves: u64, parent: mpsc::Sender<u64>) {
    go!(move || {
        let value = if leaves <= 1 {
            first
        } else {
            let (child, children) = mpsc::channel();
            let each = leaves / 10;
            for i in 0..10 {
                node(first + i * each, each, child.clone());
            }
            (0..10).fold(0_u64, |sum, _| {
                sum.wrapping_add(children.recv().expect("a child tells"))
            })
        };
        parent.send(value).expect("the parent waits");
    });
}

/// Up to this, fib is computed without spawning.
const CUTOFF: u64 = 12;

pub(crate) fn fork_join(size: Size) -> u64 {
    fib(size.ops)
}

fn fib(n: u64) -> u64 {
    if n <= CUTOFF {
        return plain_fib(n);
    }
    let spawned = go!(move || fib(n - 1));
    let own = fib(n - 2);
    own + spawned.join().expect("a coroutine returns")
}

fn plain_fib(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        plain_fib(n - 1) + plain_fib(n - 2)
    }
}
