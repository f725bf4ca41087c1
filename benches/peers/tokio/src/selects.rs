//! Workloads of `tokio::select!`, which begins at a random branch: that is how it is fair.
//!
//! Unbuffered channels are kanal's; its futures may lose a message if they are dropped while one is
//! under way. So each is kept until it has come, and only then made anew, as tokio's guide shows for
//! what cannot be cancelled; that also saves enlisting in all channels for each message. Of buffered
//! channels there are two ways: the same, and tokio's own, whose receives may be dropped, so that
//! each `select!` makes them anew.

use std::pin::pin;

use kanal::{AsyncReceiver, AsyncSender, bounded_async};
use marmot_peer::{Size, share};
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::spawn;

/// `WIDTH` senders with a channel each. What they send on stays open until the body has all.
fn senders<const WIDTH: usize>(
    capacity: usize,
    ops: u64,
) -> ([AsyncSender<u64>; WIDTH], [AsyncReceiver<u64>; WIDTH]) {
    let channels: [_; WIDTH] = std::array::from_fn(|_| bounded_async::<u64>(capacity));
    let senders = std::array::from_fn(|i| {
        let sender = channels[i].0.clone();
        spawn(async move {
            for number in 0..share(ops, WIDTH as u64, i as u64) {
                sender.send(number).await.expect("the body receives");
            }
        });
        channels[i].0.clone()
    });
    (senders, channels.map(|channel| channel.1))
}

/// Receives `$ops` messages, by receives that are kept.
macro_rules! receive {
    ($ops:expr, $($future:ident = $receiver:expr),+) => {{
        $(let mut $future = pin!($receiver.recv());)+
        let mut sum = 0_u64;
        for _ in 0..$ops {
            let number = select! {
                $(number = &mut $future => { $future.set($receiver.recv()); number })+
            };
            sum = sum.wrapping_add(number.expect("the senders are there"));
        }
        sum
    }};
}

pub(crate) async fn select2(size: Size) -> u64 {
    over_two(0, size.ops).await
}

pub(crate) async fn select8(size: Size) -> u64 {
    over_eight(0, size.ops).await
}

pub(crate) async fn select2_buffered_kept(size: Size) -> u64 {
    over_two(128, size.ops).await
}

pub(crate) async fn select8_buffered_kept(size: Size) -> u64 {
    over_eight(128, size.ops).await
}

async fn over_two(capacity: usize, ops: u64) -> u64 {
    let (_open, r) = senders::<2>(capacity, ops);
    receive!(ops, a = r[0], b = r[1])
}

async fn over_eight(capacity: usize, ops: u64) -> u64 {
    let (_open, r) = senders::<8>(capacity, ops);
    receive!(
        ops,
        a = r[0],
        b = r[1],
        c = r[2],
        d = r[3],
        e = r[4],
        f = r[5],
        g = r[6],
        h = r[7]
    )
}

/// [`senders`] on tokio's channels.
fn tokio_senders<const WIDTH: usize>(
    ops: u64,
) -> ([mpsc::Sender<u64>; WIDTH], [mpsc::Receiver<u64>; WIDTH]) {
    let mut open = Vec::new();
    let receivers = std::array::from_fn(|i| {
        let (sender, receiver) = mpsc::channel(128);
        open.push(sender.clone());
        spawn(async move {
            for number in 0..share(ops, WIDTH as u64, i as u64) {
                sender.send(number).await.expect("the body receives");
            }
        });
        receiver
    });
    (open.try_into().expect("one for each"), receivers)
}

pub(crate) async fn select2_buffered(size: Size) -> u64 {
    let (_open, [mut a, mut b]) = tokio_senders(size.ops);
    let mut sum = 0_u64;
    for _ in 0..size.ops {
        let number = select! {
            number = a.recv() => number,
            number = b.recv() => number,
        };
        sum = sum.wrapping_add(number.expect("the senders are there"));
    }
    sum
}

pub(crate) async fn select8_buffered(size: Size) -> u64 {
    let (_open, receivers) = tokio_senders(size.ops);
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = receivers;
    let mut sum = 0_u64;
    for _ in 0..size.ops {
        let number = select! {
            number = a.recv() => number,
            number = b.recv() => number,
            number = c.recv() => number,
            number = d.recv() => number,
            number = e.recv() => number,
            number = f.recv() => number,
            number = g.recv() => number,
            number = h.recv() => number,
        };
        sum = sum.wrapping_add(number.expect("the senders are there"));
    }
    sum
}

/// There is no default in `select!`, and what asks without waiting asks with `try_recv`.
pub(crate) async fn select_default(size: Size) -> u64 {
    let (_a, mut a) = mpsc::channel::<u64>(1);
    let (_b, mut b) = mpsc::channel::<u64>(1);
    let mut defaults = 0;
    for _ in 0..size.ops {
        if a.try_recv().is_err() && b.try_recv().is_err() {
            defaults += 1;
        }
    }
    defaults
}

/// The macro, with a branch that is always ready as the last.
pub(crate) async fn select_default_macro(size: Size) -> u64 {
    let (_a, mut a) = mpsc::channel::<u64>(1);
    let (_b, mut b) = mpsc::channel::<u64>(1);
    let mut defaults = 0;
    for _ in 0..size.ops {
        select! {
            biased;
            _ = a.recv() => {}
            _ = b.recv() => {}
            () = std::future::ready(()) => defaults += 1,
        }
    }
    defaults
}
