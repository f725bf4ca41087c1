//! Selects over so many channels that they let others run before they stand in line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use marmot_channel::{Receiver, Sender, bounded, select};
use marmot_scheduler::go;

use common::{SHORT, Tasks, everywhere, scheduler};

mod common;

const WIDTH: usize = 5;

/// What the senders of `senders` send altogether, each its own number of times.
const MESSAGES: u64 = 200;

/// What keeps the channels open, what they are received by, and those who send.
type Channels = (
    Vec<Sender<u64>>,
    [Receiver<u64>; WIDTH],
    Vec<common::Task<()>>,
);

/// A sender on each of the channels.
fn senders(tasks: Tasks) -> Channels {
    let channels: [_; WIDTH] = std::array::from_fn(|_| bounded(0));
    let open = channels.iter().map(|(tx, _)| tx.clone()).collect();
    let begun = channels.iter().map(|(tx, _)| {
        let tx = tx.clone();
        tasks.spawn(move || (0..MESSAGES).for_each(|n| tx.send(n).unwrap()))
    });
    let begun = begun.collect();
    (open, channels.map(|(_, rx)| rx), begun)
}

fn receive([a, b, c, d, e]: &[Receiver<u64>; WIDTH], timeout: Duration) -> Option<u64> {
    select! {
        recv(a) -> n => n.ok(),
        recv(b) -> n => n.ok(),
        recv(c) -> n => n.ok(),
        recv(d) -> n => n.ok(),
        recv(e) -> n => n.ok(),
        default(timeout) => None,
    }
}

#[test]
fn all_is_received() {
    everywhere(|tasks| {
        let (_open, receivers, begun) = senders(tasks);
        let messages = MESSAGES * WIDTH as u64;
        let sum: u64 = (0..messages)
            .map(|_| receive(&receivers, common::LONG).expect("a sender is there"))
            .sum();
        assert_eq!(sum, WIDTH as u64 * MESSAGES * (MESSAGES - 1) / 2);
        begun.into_iter().for_each(common::Task::join);
    });
}

/// Goroutines that yield to each other are few, and never have anything.
#[test]
fn a_timeout_comes_though_others_run() {
    for max_procs in [1, 2] {
        scheduler(max_procs).handle().run(|| {
            let (stop, stopped) = bounded::<()>(0);
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let stopped = stopped.clone();
                    go(move || {
                        while !stopped.is_closed() {
                            marmot_scheduler::goroutine::yield_now();
                        }
                    })
                })
                .collect();
            let channels: [_; WIDTH] = std::array::from_fn(|_| bounded(0));
            let (_open, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
            let receivers: [_; WIDTH] = receivers.try_into().unwrap();
            for timeout in [Duration::ZERO, SHORT] {
                let begun = Instant::now();
                assert_eq!(receive(&receivers, timeout), None);
                assert!(begun.elapsed() >= timeout);
            }
            drop(stop);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }
}

/// While it unwinds a goroutine stays on its thread, and lets nobody else run there (H5).
#[test]
fn one_that_unwinds_receives_and_is_seen_to_panic() {
    struct Receives([Receiver<u64>; WIDTH]);

    impl Drop for Receives {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            assert!(receive(&self.0, common::LONG).is_some());
            assert!(std::thread::panicking());
        }
    }

    scheduler(1).handle().run(|| {
        for _ in 0..20 {
            let (open, receivers, begun) = senders(Tasks::Goroutines);
            let ended = catch_unwind(AssertUnwindSafe(|| {
                let _receives = Receives(receivers);
                std::panic::resume_unwind(Box::new(()));
            }));
            assert!(ended.is_err() && !std::thread::panicking());
            // Nobody receives any more.
            drop(open);
            for sender in begun {
                assert!(sender.result().is_err());
            }
        }
    });
}
