//! Workloads of tasks: spawning, joining, yielding.

use std::future::Future;
use std::pin::Pin;

use marmot_peer::{Size, share};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn, yield_now};

/// The handles are kept in one `Vec`. A `JoinSet`, which keeps lists of its own and wakes through
/// them, takes half as much time again.
pub(crate) async fn spawn_join(size: Size) -> u64 {
    let mut handles: Vec<JoinHandle<u64>> = Vec::with_capacity(size.tasks as usize);
    let mut sum = 0_u64;
    let mut left = size.ops;
    while left > 0 {
        let batch = left.min(size.tasks);
        handles.extend((0..batch).map(|number| spawn(async move { number })));
        for handle in handles.drain(..) {
            sum = sum.wrapping_add(handle.await.expect("a task returns"));
        }
        left -= batch;
    }
    sum
}

pub(crate) async fn spawn_chain(size: Size) -> u64 {
    let (last, answer) = oneshot::channel();
    link(size.ops, size.ops, last);
    answer.await.expect("the last task tells")
}

/// Spawns the task that has `left` to come, itself included.
fn link(left: u64, ops: u64, last: oneshot::Sender<u64>) {
    spawn(async move {
        if left > 1 {
            link(left - 1, ops, last);
        } else {
            last.send(ops - left + 1).expect("the body waits");
        }
    });
}

pub(crate) async fn yields(size: Size) -> u64 {
    let tasks = (0..size.tasks).map(|i| {
        let yields = share(size.ops, size.tasks, i);
        spawn(async move {
            for _ in 0..yields {
                yield_now().await;
            }
            yields
        })
    });
    sum(tasks.collect()).await
}

/// Adds up what tasks return.
pub(crate) async fn sum(tasks: Vec<JoinHandle<u64>>) -> u64 {
    let mut sum = 0_u64;
    for task in tasks {
        sum = sum.wrapping_add(task.await.expect("a task returns"));
    }
    sum
}

pub(crate) async fn skynet(size: Size) -> u64 {
    let (parent, root) = kanal::bounded_async(1);
    node(0, size.ops, parent);
    root.recv().await.expect("the root tells")
}

/// Spawns the task over `leaves` leaves, the first of which has the number `first`.
fn node(first: u64, leaves: u64, parent: kanal::AsyncSender<u64>) {
    spawn(async move {
        let value = if leaves <= 1 {
            first
        } else {
            let (child, children) = kanal::bounded_async(10);
            let each = leaves / 10;
            for i in 0..10 {
                node(first + i * each, each, child.clone());
            }
            drop(child);
            let mut sum = 0_u64;
            while let Ok(value) = children.recv().await {
                sum = sum.wrapping_add(value);
            }
            sum
        };
        parent.send(value).await.expect("the parent waits");
    });
}

/// Up to this, fib is computed without spawning.
const CUTOFF: u64 = 12;

pub(crate) async fn fork_join(size: Size) -> u64 {
    fib(size.ops).await
}

/// One allocation for the task, and one for the future of the caller's own part.
#[expect(
    clippy::manual_async_fn,
    reason = "it spawns itself, which takes the promise of `Send`"
)]
fn fib(n: u64) -> impl Future<Output = u64> + Send {
    async move {
        if n <= CUTOFF {
            return plain_fib(n);
        }
        let spawned = spawn(fib(n - 1));
        let own: Pin<Box<dyn Future<Output = u64> + Send>> = Box::pin(fib(n - 2));
        let own = own.await;
        own + spawned.await.expect("a task returns")
    }
}

fn plain_fib(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        plain_fib(n - 1) + plain_fib(n - 2)
    }
}
