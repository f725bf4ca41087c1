//! Workloads of channels.
//!
//! Whoever wants speed takes the channel that fits, and these were the fastest of tokio's own,
//! kanal, flume, async-channel and crossfire, with one worker and with two. One to one it is
//! crossfire's `spsc`; all others are kanal's. Next to kanal's come crossfire's `mpmc` and `mpsc`,
//! at about one and a half times the cost, and without a buffer, which only kanal and flume have,
//! flume's, at two to five times. Tokio's own, made for fairness, costs several times as much when
//! it is often full.

use crossfire::spsc;
use kanal::{AsyncReceiver, AsyncSender, bounded_async};
use marmot_peer::{Size, share};
use tokio::task::spawn;

use crate::tasks::sum;

pub(crate) async fn ping_pong(size: Size) -> u64 {
    let (ping, pings) = bounded_async::<u64>(0);
    let (pong, pongs) = bounded_async::<u64>(0);
    let echo = spawn(async move {
        while let Ok(number) = pings.recv().await {
            pong.send(number + 1).await.expect("the other side waits");
        }
    });
    let player = spawn(async move {
        let mut number = 0;
        for _ in 0..size.ops {
            ping.send(number).await.expect("the other side waits");
            number = pongs.recv().await.expect("the other side answers");
        }
        number
    });
    let number = player.await.expect("a task returns");
    echo.await.expect("a task returns");
    number
}

pub(crate) async fn spsc(size: Size) -> u64 {
    // As crossfire asks its users to do, so that it does not spin on a single processor.
    crossfire::detect_backoff_cfg();
    let (sender, receiver) = spsc::bounded_async::<u64>(128);
    let receiver = spawn(async move {
        let mut sum = 0_u64;
        while let Ok(number) = receiver.recv().await {
            sum = sum.wrapping_add(number);
        }
        sum
    });
    spawn(async move {
        for number in 0..size.ops {
            sender.send(number).await.expect("a receiver is there");
        }
    });
    receiver.await.expect("a task returns")
}

/// Sends 0 .. `count`, then closes.
async fn send(sender: AsyncSender<u64>, count: u64) {
    for number in 0..count {
        sender.send(number).await.expect("a receiver is there");
    }
}

/// Adds up what comes until the channel is closed.
async fn receive(receiver: AsyncReceiver<u64>) -> u64 {
    let mut sum = 0_u64;
    while let Ok(number) = receiver.recv().await {
        sum = sum.wrapping_add(number);
    }
    sum
}

pub(crate) async fn mpmc(size: Size) -> u64 {
    four_to_four(size.ops, 128).await
}

pub(crate) async fn mpmc_unbuffered(size: Size) -> u64 {
    four_to_four(size.ops, 0).await
}

async fn four_to_four(ops: u64, capacity: usize) -> u64 {
    let (sender, receiver) = bounded_async(capacity);
    let receivers = (0..4).map(|_| spawn(receive(receiver.clone()))).collect();
    for i in 0..4 {
        spawn(send(sender.clone(), share(ops, 4, i)));
    }
    drop((sender, receiver));
    sum(receivers).await
}

pub(crate) async fn fan_in(size: Size) -> u64 {
    let (sender, receiver) = bounded_async(1024);
    for i in 0..size.tasks {
        spawn(send(sender.clone(), share(size.ops, size.tasks, i)));
    }
    drop(sender);
    spawn(receive(receiver)).await.expect("a task returns")
}

pub(crate) async fn sieve(size: Size) -> u64 {
    let (first, mut numbers) = bounded_async::<u64>(0);
    spawn(async move {
        let mut number = 2;
        // Ends when the filter after it has.
        while first.send(number).await.is_ok() {
            number += 1;
        }
    });
    for _ in 1..size.ops {
        let prime = numbers.recv().await.expect("numbers do not end");
        let (sender, next) = bounded_async::<u64>(0);
        spawn(filter(prime, numbers, sender));
        numbers = next;
    }
    numbers.recv().await.expect("numbers do not end")
}

async fn filter(prime: u64, numbers: AsyncReceiver<u64>, next: AsyncSender<u64>) {
    while let Ok(number) = numbers.recv().await {
        if number % prime != 0 && next.send(number).await.is_err() {
            break;
        }
    }
}

/// The task that passes on the last hop tells the body; then the ring is closed, link by link.
pub(crate) async fn ring(size: Size) -> u64 {
    let (last, answer) = bounded_async::<u64>(1);
    let (first, mut previous) = bounded_async::<u64>(0);
    for _ in 1..size.tasks {
        let (sender, receiver) = bounded_async(0);
        spawn(hop(previous, sender, size.ops, last.clone()));
        previous = receiver;
    }
    spawn(hop(previous, first.clone(), size.ops, last));
    first.send(0).await.expect("the ring is there");
    let hops = answer.recv().await.expect("the last hop tells");
    first.close().expect("the ring is open");
    hops
}

async fn hop(
    receiver: AsyncReceiver<u64>,
    next: AsyncSender<u64>,
    hops: u64,
    last: AsyncSender<u64>,
) {
    while let Ok(number) = receiver.recv().await {
        let number = number + 1;
        if number == hops {
            last.send(number).await.expect("the body waits");
        } else if next.send(number).await.is_err() {
            break;
        }
    }
}
