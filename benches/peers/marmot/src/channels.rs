//! Channels: hand-offs, buffers, and selects.

use std::array;

use marmot::channel::{Receiver, Sender, bounded};
use marmot::{go, select};
use marmot_peer::share;

/// A number goes to a partner and comes back one greater.
pub(crate) fn ping_pong(_tasks: u64, ops: u64) -> u64 {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let partner = go(move || {
        for n in pinged {
            pong.send(n + 1).unwrap();
        }
    });
    let mut n = 0_u64;
    for _ in 0..ops {
        ping.send(n).unwrap();
        n = ponged.recv().unwrap();
    }
    drop(ping);
    partner.join().unwrap();
    n
}

/// Sends `ops` numbers from `senders` to `receivers` over one channel; the sum of what came.
fn transfer(ops: u64, senders: u64, receivers: u64, capacity: usize) -> u64 {
    let (sender, receiver) = bounded(capacity);
    let sums: Vec<_> = (0..receivers)
        .map(|_| {
            let receiver = receiver.clone();
            go(move || receiver.iter().fold(0_u64, u64::wrapping_add))
        })
        .collect();
    drop(receiver);
    for i in 0..senders {
        let sender = sender.clone();
        go(move || (0..share(ops, senders, i)).for_each(|m| sender.send(m).unwrap()));
    }
    drop(sender);
    sums.into_iter()
        .map(|sum| sum.join().unwrap())
        .fold(0, u64::wrapping_add)
}

/// One sender and one receiver, capacity 128.
pub(crate) fn spsc(_tasks: u64, ops: u64) -> u64 {
    transfer(ops, 1, 1, 128)
}

/// Half of the tasks send and half receive, capacity 128.
pub(crate) fn mpmc(tasks: u64, ops: u64) -> u64 {
    transfer(ops, tasks / 2, tasks / 2, 128)
}

/// The same over an unbuffered channel.
pub(crate) fn mpmc_unbuffered(tasks: u64, ops: u64) -> u64 {
    transfer(ops, tasks / 2, tasks / 2, 0)
}

/// Many senders and one receiver, capacity 1024.
pub(crate) fn fan_in(tasks: u64, ops: u64) -> u64 {
    transfer(ops, tasks, 1, 1024)
}

/// `WIDTH` senders with a channel each. Their own ends are kept open by the second part: a closed
/// channel is always ready.
fn senders<const WIDTH: usize>(
    capacity: usize,
    ops: u64,
) -> ([Receiver<u64>; WIDTH], Vec<Sender<u64>>) {
    let mut open = Vec::new();
    let receivers = array::from_fn(|i| {
        let (sender, receiver) = bounded(capacity);
        open.push(sender.clone());
        go(move || (0..share(ops, WIDTH as u64, i as u64)).for_each(|m| sender.send(m).unwrap()));
        receiver
    });
    (receivers, open)
}

pub(crate) fn select_two(_tasks: u64, ops: u64) -> u64 {
    over_two(0, ops)
}

pub(crate) fn select_eight(_tasks: u64, ops: u64) -> u64 {
    over_eight(0, ops)
}

pub(crate) fn select_two_buffered(_tasks: u64, ops: u64) -> u64 {
    over_two(128, ops)
}

pub(crate) fn select_eight_buffered(_tasks: u64, ops: u64) -> u64 {
    over_eight(128, ops)
}

/// A select over two channels that each have a sender.
fn over_two(capacity: usize, ops: u64) -> u64 {
    let ([a, b], _open) = senders(capacity, ops);
    let mut sum = 0_u64;
    for _ in 0..ops {
        sum = sum.wrapping_add(select! {
            recv(a) -> m => m.unwrap(),
            recv(b) -> m => m.unwrap(),
        });
    }
    sum
}

/// A select over eight channels that each have a sender.
fn over_eight(capacity: usize, ops: u64) -> u64 {
    let ([a, b, c, d, e, f, g, h], _open) = senders(capacity, ops);
    let mut sum = 0_u64;
    for _ in 0..ops {
        sum = sum.wrapping_add(select! {
            recv(a) -> m => m.unwrap(),
            recv(b) -> m => m.unwrap(),
            recv(c) -> m => m.unwrap(),
            recv(d) -> m => m.unwrap(),
            recv(e) -> m => m.unwrap(),
            recv(f) -> m => m.unwrap(),
            recv(g) -> m => m.unwrap(),
            recv(h) -> m => m.unwrap(),
        });
    }
    sum
}

/// A select over two channels that never have anything, with a default.
pub(crate) fn select_default(_tasks: u64, ops: u64) -> u64 {
    let (_a, a) = bounded::<u64>(1);
    let (_b, b) = bounded::<u64>(1);
    let mut defaults = 0;
    for _ in 0..ops {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
            default => defaults += 1,
        }
    }
    defaults
}
