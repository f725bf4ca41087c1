//! Workloads of channels, on may's own, which are unbounded.
//!
//! Each is the narrowest that fits: `spsc` where one sends and one receives, `mpsc` and `mpmc`
//! where more do. In `ping-pong` and `ring` one message is under way at a time, so that a capacity
//! would never be reached.

use marmot_peer::{Size, share};
use may::coroutine::JoinHandle;
use may::go;
use may::sync::{mpmc, mpsc, spsc};

use crate::tasks::sum;

pub(crate) fn ping_pong(size: Size) -> u64 {
    let (ping, pings) = spsc::channel::<u64>();
    let (pong, pongs) = spsc::channel::<u64>();
    let echo = go!(move || {
        while let Ok(number) = pings.recv() {
            pong.send(number + 1).expect("the other side waits");
        }
    });
    let player = go!(move || {
        let mut number = 0;
        for _ in 0..size.ops {
            ping.send(number).expect("the other side waits");
            number = pongs.recv().expect("the other side answers");
        }
        number
    });
    let number = player.join().expect("a coroutine returns");
    echo.join().expect("a coroutine returns");
    number
}

pub(crate) fn spsc(size: Size) -> u64 {
    let (sender, receiver) = spsc::channel();
    let receiver: JoinHandle<u64> = go!(move || receiver.iter().fold(0, u64::wrapping_add));
    go!(move || {
        for number in 0..size.ops {
            sender.send(number).expect("a receiver is there");
        }
    });
    receiver.join().expect("a coroutine returns")
}

pub(crate) fn mpmc(size: Size) -> u64 {
    let (sender, receiver) = mpmc::channel();
    let receivers = (0..4)
        .map(|_| {
            let receiver = receiver.clone();
            go!(move || receiver.iter().fold(0, u64::wrapping_add))
        })
        .collect();
    for i in 0..4 {
        let sender = sender.clone();
        go!(move || {
            for number in 0..share(size.ops, 4, i) {
                sender.send(number).expect("a receiver is there");
            }
        });
    }
    drop((sender, receiver));
    sum(receivers)
}

pub(crate) fn fan_in(size: Size) -> u64 {
    let (sender, receiver) = mpsc::channel();
    for i in 0..size.tasks {
        let sender = sender.clone();
        go!(move || {
            for number in 0..share(size.ops, size.tasks, i) {
                sender.send(number).expect("a receiver is there");
            }
        });
    }
    drop(sender);
    let receiver: JoinHandle<u64> = go!(move || receiver.iter().fold(0, u64::wrapping_add));
    receiver.join().expect("a coroutine returns")
}

/// The coroutine that passes on the last hop tells the body and ends; so does the ring, link by
/// link.
pub(crate) fn ring(size: Size) -> u64 {
    let (last, answer) = mpsc::channel();
    let (first, mut previous) = spsc::channel();
    for _ in 1..size.tasks {
        let (sender, receiver) = spsc::channel();
        let last = last.clone();
        go!(move || hop(&previous, &sender, size.ops, &last));
        previous = receiver;
    }
    first.send(0).expect("the ring is there");
    go!(move || hop(&previous, &first, size.ops, &last));
    answer.recv().expect("the last hop tells")
}

fn hop(
    receiver: &spsc::Receiver<u64>,
    next: &spsc::Sender<u64>,
    hops: u64,
    last: &mpsc::Sender<u64>,
) {
    while let Ok(number) = receiver.recv() {
        let number = number + 1;
        if number == hops {
            last.send(number).expect("the body waits");
            break;
        }
        if next.send(number).is_err() {
            break;
        }
    }
}
