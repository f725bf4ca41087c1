//! Every value is dropped exactly once, wherever its way ends.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Counted, Random, SHORT, everywhere};
use marmot_channel::{Select, bounded, select, unbounded};

fn alive() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

#[test]
fn what_is_left_goes_with_the_last_receiver() {
    for (tx, rx) in [bounded(100), unbounded()] {
        let alive = alive();
        for n in 0..100 {
            tx.send(Counted::new(n, &alive)).unwrap();
        }
        drop(rx.recv());
        assert_eq!(alive.load(Ordering::Relaxed), 99);
        drop(rx);
        assert_eq!(
            alive.load(Ordering::Relaxed),
            0,
            "the sender is still there"
        );
        drop(tx.send(Counted::new(0, &alive)));
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn losing_and_failing_operations_lose_no_value() {
    everywhere(|tasks| {
        let alive = alive();
        let (tx, rx) = bounded(0);
        drop(tx.try_send(Counted::new(0, &alive)));
        drop(tx.send_timeout(Counted::new(1, &alive), SHORT));
        let (full, _rest) = bounded(0);
        let receiver = tasks.spawn(move || rx.iter().map(|c: Counted| c.0).sum::<u64>());
        for n in 0..100 {
            select! {
                send(tx, Counted::new(n, &alive)) -> sent => sent.unwrap(),
                send(full, Counted::new(n, &alive)) -> _ => unreachable!(),
            }
        }
        drop(tx);
        assert_eq!(receiver.join(), 4950);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_panicking_destructor_leaves_the_channel_in_order() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("planted");
        }
    }
    for (tx, rx) in [bounded(3), unbounded()] {
        tx.send(Bomb).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
        assert!(tx.is_closed());
        let failed = tx.send(Bomb);
        std::mem::forget(failed);
    }
}

#[test]
fn an_operation_that_is_not_completed() {
    let alive = alive();
    let (tx, rx) = bounded(1);
    tx.send(Counted::new(0, &alive)).unwrap();
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let mut sel = Select::new();
        sel.recv(&rx);
        drop(sel.select());
    }));
    assert!(dropped.is_err());
    assert_eq!(alive.load(Ordering::Relaxed), 0);
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let mut sel = Select::new();
        sel.send(&tx);
        drop(sel.select());
    }));
    assert!(dropped.is_err());
    assert!(!tx.is_full());
}

#[test]
fn large_values_through_a_select() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(0);
        let (_never, other) = bounded::<u8>(0);
        let sender = tasks.spawn(move || {
            for n in 0..50_u64 {
                tx.send([n; 100]).unwrap();
            }
        });
        for n in 0..50 {
            select! {
                recv(rx) -> got => assert_eq!(got, Ok([n; 100])),
                recv(other) -> _ => unreachable!(),
            }
        }
        sender.join();
    });
}

/// What nobody receives is dropped in the order in which it was sent, by whoever drops the last
/// receiver; what could not be sent, by its sender.
#[test]
fn the_order_of_drops() {
    struct Noted(u32, marmot_channel::Sender<u32>);
    impl Drop for Noted {
        fn drop(&mut self) {
            // A destructor may use channels, this one even, which is in order by now.
            self.1.send(self.0).unwrap();
        }
    }
    everywhere(|_| {
        for (tx, rx) in [bounded(200), unbounded()] {
            let (note, notes) = unbounded();
            (0..150).for_each(|n| drop(tx.send(Noted(n, note.clone()))));
            drop((rx.recv(), rx.try_recv()));
            let rx2 = rx.clone();
            drop(rx);
            assert_eq!(notes.len(), 2, "there is a receiver left");
            tx.close();
            drop(tx.send(Noted(1000, note.clone())));
            drop(rx2);
            drop(tx.send(Noted(1001, note)));
            let order: Vec<_> = notes.try_iter().collect();
            let expected = (0..2).chain([1000]).chain(2..150).chain([1001]);
            assert!(order.iter().copied().eq(expected), "{order:?}");
        }
    });
}

/// If a destructor panics, that panic comes out of the drop of the receiver; those after it are
/// leaked, none is dropped twice.
#[test]
fn a_panicking_destructor_leaks_the_rest() {
    struct Second(u32, Arc<AtomicUsize>);
    impl Drop for Second {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            if self.0 == 1 {
                std::panic::resume_unwind(Box::new("deliberate"));
            }
        }
    }
    everywhere(|_| {
        for (tx, rx) in [bounded(4), unbounded()] {
            let dropped = Arc::new(AtomicUsize::new(0));
            (0..4).for_each(|n| drop(tx.send(Second(n, dropped.clone()))));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(rx))).is_err());
            assert_eq!(dropped.load(Ordering::Relaxed), 2);
            assert!(tx.is_closed() && tx.is_empty());
            drop(tx);
            assert_eq!(dropped.load(Ordering::Relaxed), 2);
        }
    });
}

/// Tasks that wait to send give their values back when the receiver goes, while others are
/// received, buffered and dropped: each is dropped once.
#[test]
fn values_of_waiting_senders_come_back() {
    everywhere(|tasks| {
        for cap in [0, 2] {
            let alive = alive();
            let (tx, rx) = bounded(cap);
            let senders: Vec<_> = (0..10)
                .map(|n| {
                    let (tx, value) = (tx.clone(), Counted::new(n, &alive));
                    tasks.spawn(move || match n % 2 {
                        0 => tx.send(value).is_ok(),
                        _ => select! { send(tx, value) -> sent => sent.is_ok() },
                    })
                })
                .collect();
            drop(tx);
            for _ in 0..3 {
                drop(rx.recv().unwrap());
            }
            drop(rx);
            let sent = senders.into_iter().filter_map(|s| s.join().then_some(()));
            assert!(sent.count() >= 3);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        }
    });
}

/// Tasks do everything at random, some of it cut short; in the end nothing is alive, and what was
/// sent was received.
#[test]
fn nothing_leaks_under_stress() {
    everywhere(|tasks| {
        let mut random = Random::seeded();
        for cap in [Some(0), Some(1), Some(3), None] {
            let alive = alive();
            let sent = Arc::new(AtomicUsize::new(0));
            let received = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = cap.map_or_else(unbounded, bounded);
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let (tx, alive, sent) = (tx.clone(), alive.clone(), sent.clone());
                    let mut random = random.fork();
                    tasks.spawn(move || {
                        for _ in 0..500 {
                            let n = random.below(1000);
                            let value = || Counted::new(n, &alive);
                            let done = match random.below(4) {
                                0 => tx.send(value()).is_ok(),
                                1 => tx.try_send(value()).is_ok(),
                                2 => {
                                    let timeout =
                                        std::time::Duration::from_micros(random.below(50));
                                    tx.send_timeout(value(), timeout).is_ok()
                                }
                                _ => select! {
                                    send(tx, value()) -> sent => sent.is_ok(),
                                    send(tx, value()) -> sent => sent.is_ok(),
                                },
                            };
                            if done {
                                sent.fetch_add(n as usize, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            drop(tx);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let (rx, received) = (rx.clone(), received.clone());
                    let mut random = random.fork();
                    tasks.spawn(move || {
                        loop {
                            let timeout = std::time::Duration::from_micros(random.below(50));
                            let got = match random.below(4) {
                                0 => rx.recv().ok(),
                                1 => rx.try_recv().ok(),
                                2 => rx.recv_timeout(timeout).ok(),
                                _ => select! {
                                    recv(rx) -> got => got.ok(),
                                    recv(rx) -> got => got.ok(),
                                    default(timeout) => None,
                                },
                            };
                            match got {
                                Some(value) => {
                                    received.fetch_add(value.0 as usize, Ordering::Relaxed);
                                }
                                None if rx.is_closed() && rx.is_empty() => break,
                                None => {}
                            }
                        }
                    })
                })
                .collect();
            senders.into_iter().for_each(common::Task::join);
            receivers.into_iter().for_each(common::Task::join);
            let (sent, received) = (
                sent.load(Ordering::Relaxed),
                received.load(Ordering::Relaxed),
            );
            assert_eq!(sent, received);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        }
    });
}
