//! Workloads of may's select, which is a queue of events with a coroutine for each event source.
//!
//! The queue is made once, as in `loop_select!`, and hands out what its coroutines received in the
//! order in which they did: a fair select. A coroutine goes on only when what it put into the queue
//! was polled.

use marmot_peer::{Size, share};
use may::sync::spsc;
use may::{cqueue, go};

/// The senders' channels are unbounded.
pub(crate) fn select<const WIDTH: usize>(size: Size) -> u64 {
    let receivers: [_; WIDTH] = std::array::from_fn(|i| {
        let (sender, receiver) = spsc::channel::<u64>();
        go!(move || {
            for number in 0..share(size.ops, WIDTH as u64, i as u64) {
                sender.send(number).expect("the body receives");
            }
        });
        receiver
    });
    cqueue::scope(|queue| {
        for (token, receiver) in receivers.into_iter().enumerate() {
            go!(queue, token, move |event| {
                while let Ok(number) = receiver.recv() {
                    event.send(number as usize);
                }
            });
        }
        poll_all(queue, size.ops)
    })
}

/// Unbuffered: a sender goes on when what it sent has been polled, which its coroutine acknowledges.
pub(crate) fn select_acknowledged<const WIDTH: usize>(size: Size) -> u64 {
    let receivers: [_; WIDTH] = std::array::from_fn(|i| {
        let (sender, receiver) = spsc::channel::<u64>();
        let (polled, acknowledged) = spsc::channel::<()>();
        go!(move || {
            for number in 0..share(size.ops, WIDTH as u64, i as u64) {
                sender.send(number).expect("the body receives");
                acknowledged.recv().expect("the body receives");
            }
        });
        (receiver, polled)
    });
    cqueue::scope(|queue| {
        for (token, (receiver, polled)) in receivers.into_iter().enumerate() {
            go!(queue, token, move |event| {
                while let Ok(number) = receiver.recv() {
                    event.send(number as usize);
                    // The sender may have ended after this number.
                    polled.send(()).ok();
                }
            });
        }
        poll_all(queue, size.ops)
    })
}

/// Adds up what `ops` events bring.
fn poll_all(queue: &cqueue::Cqueue, ops: u64) -> u64 {
    let mut sum = 0_u64;
    for _ in 0..ops {
        let event = queue.poll(None).expect("the senders are there");
        sum = sum.wrapping_add(event.extra as u64);
    }
    sum
}

/// May's select has no default; what asks without waiting asks with `try_recv`.
pub(crate) fn select_default(size: Size) -> u64 {
    let (_a, a) = spsc::channel::<u64>();
    let (_b, b) = spsc::channel::<u64>();
    let mut defaults = 0;
    for _ in 0..size.ops {
        if a.try_recv().is_err() && b.try_recv().is_err() {
            defaults += 1;
        }
    }
    defaults
}
