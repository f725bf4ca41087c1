//! Buffered channels: order, capacity, blocking when full or empty.

mod common;

use common::{LONG, everywhere, until};
use marmot_channel::{TryRecvError, TrySendError, bounded};

#[test]
fn values_come_in_order() {
    everywhere(|tasks| {
        for cap in [1, 2, 7, 128] {
            let (tx, rx) = bounded(cap);
            let sender = tasks.spawn(move || (0..1000).for_each(|n| tx.send(n).unwrap()));
            assert!(rx.iter().eq(0..1000));
            sender.join();
        }
    });
}

#[test]
fn a_full_channel_makes_senders_wait_in_line() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(1);
        tx.send(0).unwrap();
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)));
        assert!(tx.is_full() && tx.len() == 1);
        let (order, turns) = bounded(10);
        let senders: Vec<_> = (1..=5)
            .map(|n| {
                let (tx, order) = (tx.clone(), order.clone());
                let sender = tasks.spawn(move || {
                    order.send(()).unwrap();
                    tx.send(n).unwrap();
                });
                turns.recv().unwrap();
                // The order of arrival is not to be seen from outside; give each its time.
                let _ =
                    marmot_channel::never::<()>().recv_timeout(std::time::Duration::from_millis(5));
                sender
            })
            .collect();
        let got: Vec<i32> = (0..6).map(|_| rx.recv_timeout(LONG).unwrap()).collect();
        assert_eq!(got, [0, 1, 2, 3, 4, 5], "first come, first served");
        senders.into_iter().for_each(common::Task::join);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_value_is_handed_to_one_who_waits() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<u32>(4);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let rx = rx.clone();
                tasks.spawn(move || rx.recv().unwrap())
            })
            .collect();
        for n in 0..4 {
            tx.send(1 << n).unwrap();
        }
        let sum: u32 = receivers.into_iter().map(common::Task::join).sum();
        assert_eq!(sum, 0b1111);
        assert!(rx.is_empty());
    });
}

#[test]
fn large_and_empty_values() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(0);
        let sender = tasks.spawn(move || {
            for n in 0..10_u8 {
                tx.send([n; 4000]).unwrap();
            }
        });
        for n in 0..10 {
            assert_eq!(rx.recv().unwrap(), [n; 4000]);
        }
        sender.join();
        let (tx, rx) = bounded(3);
        let sender = tasks.spawn(move || (0..100).for_each(|_| tx.send(()).unwrap()));
        assert_eq!(rx.iter().count(), 100);
        sender.join();
    });
}

#[test]
fn len_counts_and_is_seen_without_receiving() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(3);
        let sender = tasks.spawn(move || {
            for n in 0..4 {
                tx.send(n).unwrap();
            }
        });
        until(|| rx.len() == 3);
        assert!(rx.is_full() && !rx.is_empty());
        assert_eq!(rx.capacity(), Some(3));
        assert_eq!(rx.iter().count(), 4);
        sender.join();
    });
}

#[test]
fn the_default_traits() {
    fn is<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + std::fmt::Debug>() {
    }
    is::<marmot_channel::Sender<std::cell::Cell<i32>>>();
    is::<marmot_channel::Receiver<std::cell::Cell<i32>>>();
    let (tx, rx) = bounded::<i32>(0);
    assert_eq!(format!("{tx:?} {rx:?}"), "Sender { .. } Receiver { .. }");
}
