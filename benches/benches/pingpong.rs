//! Two goroutines that hand a number back and forth over two unbuffered channels. Time per round
//! trip, which is two hand-offs.
//!
//! ```text
//! cargo bench --bench pingpong
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::channel::bounded;
use marmot::go;

fn round_trips(count: u64) {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let partner = go(move || {
        for n in pinged {
            pong.send(n + 1).unwrap();
        }
    });
    let mut n = 0_u64;
    for _ in 0..count {
        ping.send(n).unwrap();
        n = ponged.recv().unwrap();
    }
    drop(ping);
    partner.join().unwrap();
    assert_eq!(n, count);
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "ping-pong, two unbuffered channels", round_trips);
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
