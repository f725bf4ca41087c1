//! Select over unbuffered channels, of which each has a sender; and select with a default. Time per
//! message, or per select.
//!
//! ```text
//! cargo bench --bench select
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::channel::{Receiver, Sender, bounded};
use marmot::{go, select};
use marmot_benches::share;

/// `WIDTH` goroutines that together send 0, 1, ... on a channel each, those channels, senders that keep
/// them open, and the sum of all.
fn senders<const WIDTH: usize>(messages: u64) -> ([Receiver<u64>; WIDTH], Vec<Sender<u64>>, u64) {
    let mut keep = Vec::new();
    let mut expected = 0;
    let receivers = std::array::from_fn(|i| {
        let (sender, receiver) = bounded(0);
        let mine = share(messages, WIDTH as u64, i as u64);
        expected += mine * mine.saturating_sub(1) / 2;
        // Not closed at the end: a closed channel is always ready.
        keep.push(sender.clone());
        go(move || (0..mine).for_each(|m| sender.send(m).unwrap()));
        receiver
    });
    (receivers, keep, expected)
}

fn over_two(messages: u64) {
    let ([a, b], _open, expected) = senders(messages);
    let mut sum = 0;
    for _ in 0..messages {
        sum += select! {
            recv(a) -> m => m.unwrap(),
            recv(b) -> m => m.unwrap(),
        };
    }
    assert_eq!(sum, expected);
}

fn over_eight(messages: u64) {
    let ([a, b, c, d, e, f, g, h], _open, expected) = senders(messages);
    let mut sum = 0;
    for _ in 0..messages {
        sum += select! {
            recv(a) -> m => m.unwrap(),
            recv(b) -> m => m.unwrap(),
            recv(c) -> m => m.unwrap(),
            recv(d) -> m => m.unwrap(),
            recv(e) -> m => m.unwrap(),
            recv(f) -> m => m.unwrap(),
            recv(g) -> m => m.unwrap(),
            recv(h) -> m => m.unwrap(),
        };
    }
    assert_eq!(sum, expected);
}

/// Over two channels of which none is ever ready.
fn with_default(selects: u64) {
    let (_a, a) = bounded::<u64>(1);
    let (_b, b) = bounded::<u64>(1);
    let mut defaults = 0;
    for _ in 0..selects {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
            default => defaults += 1,
        }
    }
    assert_eq!(defaults, selects);
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "select over 2", over_two);
    marmot_benches::measure(criterion, "select over 8", over_eight);
    marmot_benches::measure(criterion, "select with default", with_default);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
