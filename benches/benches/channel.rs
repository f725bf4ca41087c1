//! Channels, buffered and not, with one and with many at each end. Time per message.
//!
//! ```text
//! cargo bench --bench channel
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::channel::bounded;
use marmot::go;
use marmot_benches::share;

/// Sends 0, 1 ... from each of `senders` to `receivers`, over one channel: `messages` in all.
fn transfer(messages: u64, senders: u64, receivers: u64, capacity: usize) {
    let (sender, receiver) = bounded(capacity);
    let sums: Vec<_> = (0..receivers)
        .map(|_| {
            let receiver = receiver.clone();
            go(move || {
                receiver
                    .iter()
                    .fold((0, 0), |(n, sum), m: u64| (n + 1, sum + m))
            })
        })
        .collect();
    drop(receiver);
    let mut expected = 0;
    for i in 0..senders {
        let sender = sender.clone();
        let mine = share(messages, senders, i);
        expected += mine * mine.saturating_sub(1) / 2;
        go(move || (0..mine).for_each(|m| sender.send(m).unwrap()));
    }
    drop(sender);
    let (mut count, mut sum) = (0, 0);
    for handle in sums {
        let (n, s) = handle.join().unwrap();
        count += n;
        sum += s;
    }
    assert_eq!((count, sum), (messages, expected));
}

fn all(criterion: &mut Criterion) {
    let mut measure = |name, senders, receivers, capacity| {
        marmot_benches::measure(criterion, name, |n| {
            transfer(n, senders, receivers, capacity)
        });
    };
    measure("SPSC, capacity 128", 1, 1, 128);
    measure("MPMC 4x4, capacity 128", 4, 4, 128);
    measure("MPMC 4x4, unbuffered", 4, 4, 0);
    measure("fan-in 1000 to 1, capacity 1024", 1000, 1, 1024);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
