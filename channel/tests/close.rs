//! Closing: by `close`, by dropping a side, with and without waiters and values.

mod common;

use common::{everywhere, until};
use marmot_channel::{
    RecvError, SendError, TryRecvError, TrySendError, after, bounded, never, select, tick,
    unbounded,
};

#[test]
fn what_is_buffered_can_be_received() {
    for (tx, rx) in [bounded(4), unbounded()] {
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert!(!tx.is_closed() && !rx.is_closed());
        assert!(rx.close());
        assert!(!rx.close() && !tx.close());
        assert!(tx.is_closed() && rx.is_closed());
        assert_eq!(tx.send(3), Err(SendError(3)));
        assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
        assert_eq!(rx.recv(), Ok(1));
        assert_eq!(rx.try_recv(), Ok(2));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(rx.recv(), Err(RecvError));
    }
}

#[test]
fn dropping_a_side_closes() {
    let (tx, rx) = bounded::<i32>(1);
    let tx2 = tx.clone();
    drop(tx);
    assert!(!rx.is_closed());
    drop(tx2);
    assert!(rx.is_closed() && !rx.close());
    let (tx, rx) = bounded::<i32>(1);
    drop(rx.clone());
    assert!(!tx.is_closed());
    drop(rx);
    assert!(tx.is_closed() && !tx.close());
    assert_eq!(tx.send(1), Err(SendError(1)));
}

#[test]
fn waiting_receivers_are_woken() {
    everywhere(|tasks| {
        for drop_it in [false, true] {
            let (tx, rx) = bounded::<i32>(1);
            let receivers: Vec<_> = (0..100)
                .map(|n| {
                    let rx = rx.clone();
                    tasks.spawn(move || match n % 3 {
                        0 => rx.recv(),
                        1 => rx.recv_timeout(common::LONG).map_err(|_| RecvError),
                        _ => select! {
                            recv(rx) -> got => got,
                            recv(never::<i32>()) -> got => got,
                        },
                    })
                })
                .collect();
            if drop_it {
                drop(tx);
            } else {
                assert!(tx.close());
            }
            for receiver in receivers {
                assert_eq!(receiver.join(), Err(RecvError));
            }
        }
    });
}

#[test]
fn waiting_senders_get_their_value_back() {
    everywhere(|tasks| {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            if cap == 1 {
                tx.send(1000).unwrap();
            }
            let senders: Vec<_> = (0..50)
                .map(|n| {
                    let tx = tx.clone();
                    tasks.spawn(move || {
                        if n % 2 == 0 {
                            tx.send(n)
                        } else {
                            select! { send(tx, n) -> sent => sent }
                        }
                    })
                })
                .collect();
            assert!(tx.close());
            for (n, sender) in (0..).zip(senders) {
                assert_eq!(sender.join(), Err(SendError(n)));
            }
            assert_eq!(rx.iter().count(), cap);
        }
    });
}

#[test]
fn one_of_many_closers_is_told() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<()>(0);
        let closers: Vec<_> = (0..20)
            .map(|n| {
                let (tx, rx) = (tx.clone(), rx.clone());
                tasks.spawn(move || if n % 2 == 0 { tx.close() } else { rx.close() })
            })
            .collect();
        let told = closers
            .into_iter()
            .filter_map(|c| c.join().then_some(()))
            .count();
        assert_eq!(told, 1);
    });
}

/// A select that has chosen to send holds a place; closing takes it, and the value comes back.
#[test]
fn closing_between_the_two_steps_of_a_select() {
    everywhere(|_| {
        let (tx, rx) = bounded::<i32>(1);
        let result = select! {
            send(tx, { assert!(rx.close()); 1 }) -> sent => sent,
        };
        assert_eq!(result, Err(SendError(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn clock_channels_cannot_be_closed() {
    let day = std::time::Duration::from_secs(86_400);
    assert!(!after(day).close() && !tick(day).close() && !never::<i32>().close());
    assert!(!after(day).is_closed() && !tick(day).is_closed() && !never::<i32>().is_closed());
}

#[test]
fn is_closed_is_seen_by_others() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<i32>(1);
        let watcher = tasks.spawn(move || until(|| tx.is_closed()));
        drop(rx);
        watcher.join();
    });
}
