//! The hot paths, one at a time: does a number of operations of one of them, on one processor,
//! checks the result and prints nothing. `benches/tests/instructions.rs` counts what that executes.
//!
//! ```text
//! cargo build --release -p marmot-benches --no-default-features --bin hot_paths
//! target/release/hot_paths                   # the names
//! target/release/hot_paths select 100000
//! ```
//!
//! What a path does before and after its operations must not grow with their number: two runs that
//! differ in nothing else are subtracted from each other.

use std::process::ExitCode;
use std::time::Duration;
use std::{env, hint};

use marmot::channel::{Receiver, Sender, bounded};
use marmot::goroutine::{self, Goroutine};
use marmot::sync::{Mutex, RwLock};
use marmot::time::Timer;
use marmot::{Runtime, blocking, go, scope, select, yield_now};
use marmot_benches::share;

/// Does a number of operations, inside a goroutine.
type Work = fn(u64);

/// Each path.
const PATHS: [(&str, Work); 13] = [
    ("spawn", spawn),
    ("chain", chain),
    ("yield", yields),
    ("unbuffered", unbuffered),
    ("buffered", buffered),
    ("select", select_over_two),
    ("select8", select_over_eight),
    ("default", select_with_default),
    ("mutex", mutex),
    ("rwlock", rwlock),
    ("timer", timer),
    ("park", park),
    ("blocking", blocking_calls),
];

/// Goroutines that are started, then joined.
const BATCH: u64 = 1000;
/// Goroutines that yield to each other.
const YIELDING: u64 = 100;
const HOUR: Duration = Duration::from_secs(3600);

/// 0 + 1 + ... + (n - 1).
fn below(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

/// Starts a thousand, joins a thousand, and so on. An operation is a goroutine.
fn spawn(tasks: u64) {
    let (mut sum, mut begun) = (0, 0);
    let mut handles = Vec::with_capacity(BATCH as usize);
    while begun < tasks {
        let end = tasks.min(begun + BATCH);
        handles.extend((begun..end).map(|n| go(move || n)));
        sum += handles
            .drain(..)
            .map(|handle| handle.join().unwrap())
            .sum::<u64>();
        begun = end;
    }
    assert_eq!(sum, below(tasks));
}

/// Each goroutine starts the next one; the last one says so. An operation is a goroutine.
fn chain(tasks: u64) {
    fn link(left: u64, length: u64, done: Sender<u64>) {
        match left {
            0 => done.send(length).unwrap(),
            _ => drop(go(move || link(left - 1, length + 1, done))),
        }
    }
    let (done, length) = bounded(1);
    link(tasks, 0, done);
    assert_eq!(length.recv(), Ok(tasks));
}

/// A hundred goroutines take turns. An operation is a turn.
fn yields(turns: u64) {
    let mut taken = [0; YIELDING as usize];
    scope(|s| {
        for (i, taken) in (0..).zip(&mut taken) {
            s.go(move || {
                for _ in 0..share(turns, YIELDING, i) {
                    yield_now();
                    *taken += 1;
                }
            });
        }
    });
    assert_eq!(taken.iter().sum::<u64>(), turns);
}

/// A number goes to a partner and comes back greater. An operation is a round trip: two hand-offs.
fn unbuffered(trips: u64) {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let partner = go(move || {
        for n in pinged {
            pong.send(n + 1).unwrap();
        }
    });
    let mut n = 0_u64;
    for _ in 0..trips {
        ping.send(n).unwrap();
        n = ponged.recv().unwrap();
    }
    drop(ping);
    partner.join().unwrap();
    assert_eq!(n, trips);
}

/// One sender, one receiver, and room for 128 between them. An operation is a message.
fn buffered(messages: u64) {
    let (sender, receiver) = bounded(128);
    go(move || (0..messages).for_each(|m| sender.send(m).unwrap()));
    assert_eq!(receiver.iter().sum::<u64>(), below(messages));
}

/// Unbuffered channels, each with a sender of its share. What they send on is kept: a closed channel is
/// always ready.
fn senders<const WIDTH: u64>(messages: u64) -> (Vec<Sender<u64>>, Vec<Receiver<u64>>, u64) {
    let mut sum = 0;
    let channels = (0..WIDTH).map(|i| {
        let (sender, receiver) = bounded(0);
        let open = sender.clone();
        let count = share(messages, WIDTH, i);
        sum += below(count);
        go(move || (0..count).for_each(|m| sender.send(m).unwrap()));
        (open, receiver)
    });
    let (open, receivers) = channels.unzip();
    (open, receivers, sum)
}

/// Two unbuffered channels, each with a sender that waits. An operation is a message.
fn select_over_two(messages: u64) {
    let (_open, receivers, expected) = senders::<2>(messages);
    let [a, b] = &receivers[..] else {
        unreachable!("two were asked for")
    };
    let mut sum = 0;
    for _ in 0..messages {
        sum += select! {
            recv(a) -> m => m.unwrap(),
            recv(b) -> m => m.unwrap(),
        };
    }
    assert_eq!(sum, expected);
}

/// The same with eight.
fn select_over_eight(messages: u64) {
    let (_open, receivers, expected) = senders::<8>(messages);
    let [a, b, c, d, e, f, g, h] = &receivers[..] else {
        unreachable!("eight were asked for")
    };
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

/// Two channels of which none is ever ready. An operation is a select.
fn select_with_default(selects: u64) {
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

/// A lock that nobody else wants. An operation locks and unlocks.
fn mutex(sections: u64) {
    let counter = Mutex::new(0);
    for _ in 0..sections {
        *counter.lock().unwrap() += 1;
    }
    assert_eq!(counter.into_inner().unwrap(), sections);
}

/// A lock that nobody writes. An operation locks for reading and unlocks.
fn rwlock(reads: u64) {
    let one = RwLock::new(1);
    let mut sum = 0;
    for _ in 0..reads {
        sum += *one.read().unwrap();
    }
    assert_eq!(sum, reads);
}

/// A timer that is stopped long before it is due. An operation makes one and stops it.
fn timer(timers: u64) {
    let mut stopped = 0;
    for _ in 0..timers {
        stopped += u64::from(Timer::new(HOUR).stop());
    }
    assert_eq!(stopped, timers);
}

/// Two goroutines wake each other. An operation is a round trip: two parks and two unparks.
fn park(trips: u64) {
    fn wake_and_wait(other: &Goroutine, trips: u64) {
        for _ in 0..trips {
            other.unpark();
            goroutine::park();
        }
    }
    let me = goroutine::current();
    let partner = go(move || {
        wake_and_wait(&me, trips);
        me.unpark();
    });
    // The partner's first unpark, then one for each of its rounds.
    goroutine::park();
    wake_and_wait(partner.goroutine(), trips);
    partner.join().unwrap();
}

/// Calls that are said to block, and do not. An operation is a call.
fn blocking_calls(calls: u64) {
    let mut sum = 0;
    for n in 0..calls {
        sum += blocking(|| hint::black_box(n));
    }
    assert_eq!(sum, below(calls));
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() {
        PATHS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let [name, operations] = &arguments[..] else {
        eprintln!("usage: hot_paths [PATH OPERATIONS]");
        return ExitCode::from(2);
    };
    let path = PATHS.iter().find(|(known, _)| known == name);
    let (Some((_, work)), Ok(operations)) = (path, operations.parse()) else {
        eprintln!("hot_paths: no path {name}, or {operations} is not a number of operations");
        return ExitCode::from(2);
    };
    // SAFETY: the paths use channels, locks and numbers, and no thread-local.
    let rt =
        unsafe { Runtime::builder().max_procs(1).build_migrating() }.expect("a runtime starts");
    rt.run(|| work(operations));
    ExitCode::SUCCESS
}
