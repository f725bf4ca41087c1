//! Every method of `Sender` and `Receiver`, and every free function, on each kind of channel.

mod common;

use std::time::{Duration, Instant};

use common::{LONG, SHORT, everywhere};
use marmot_channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, after, at, bounded, never, tick, unbounded,
};

/// A channel of each kind, with its capacity.
fn kinds() -> [(Sender<u32>, Receiver<u32>, Option<usize>); 4] {
    [Some(0), Some(1), Some(3), None].map(|cap| {
        let (tx, rx) = cap.map_or_else(unbounded, bounded);
        (tx, rx, cap)
    })
}

#[test]
fn gauges() {
    everywhere(|_| {
        for (tx, rx, cap) in kinds() {
            assert_eq!((tx.capacity(), rx.capacity()), (cap, cap));
            let room = cap.unwrap_or(5);
            for n in 0..room {
                assert_eq!((tx.len(), rx.len()), (n, n));
                assert_eq!((tx.is_empty(), rx.is_empty()), (n == 0, n == 0));
                assert!(!tx.is_full() && !rx.is_full());
                assert_eq!(tx.try_send(7), Ok(()));
            }
            assert_eq!((tx.len(), rx.len()), (room, room));
            assert_eq!((tx.is_full(), rx.is_full()), (cap.is_some(), cap.is_some()));
            assert_eq!(rx.try_iter().count(), room);
            assert!(tx.is_empty() && rx.is_empty());
        }
    });
}

#[test]
fn sends() {
    everywhere(|tasks| {
        for (tx, rx, cap) in kinds() {
            let receiver = tasks.spawn(move || rx.iter().collect::<Vec<_>>());
            assert_eq!(tx.send(1), Ok(()));
            assert_eq!(tx.send_timeout(2, LONG), Ok(()));
            assert_eq!(tx.send_deadline(3, Instant::now() + LONG), Ok(()));
            let mut msg = 4;
            // A rendezvous takes a moment until the receiver is back.
            common::until(|| match tx.try_send(msg) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => false,
                Err(TrySendError::Disconnected(_)) => unreachable!("{cap:?}"),
            });
            msg += 1;
            drop(tx.clone());
            assert_eq!(tx.send(msg), Ok(()));
            drop(tx);
            assert_eq!(receiver.join(), [1, 2, 3, 4, 5]);
        }
    });
}

#[test]
fn sends_that_fail() {
    everywhere(|_| {
        for (tx, rx, cap) in kinds() {
            for _ in 0..cap.unwrap_or(0) {
                tx.send(0).unwrap();
            }
            if cap.is_some() {
                assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
                assert_eq!(tx.send_timeout(1, SHORT), Err(SendTimeoutError::Timeout(1)));
                let now = Instant::now();
                assert_eq!(tx.send_deadline(1, now), Err(SendTimeoutError::Timeout(1)));
            }
            drop(rx);
            assert_eq!(tx.send(1), Err(SendError(1)));
            assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
            assert_eq!(
                tx.send_timeout(3, LONG),
                Err(SendTimeoutError::Disconnected(3))
            );
            assert_eq!(
                tx.send_deadline(4, Instant::now() + LONG),
                Err(SendTimeoutError::Disconnected(4))
            );
        }
    });
}

#[test]
fn receives() {
    everywhere(|tasks| {
        for (tx, rx, _) in kinds() {
            let sender = tasks.spawn(move || (1..=9).for_each(|n| tx.send(n).unwrap()));
            assert_eq!(rx.recv(), Ok(1));
            assert_eq!(rx.recv_timeout(LONG), Ok(2));
            assert_eq!(rx.recv_deadline(Instant::now() + LONG), Ok(3));
            let got = std::cell::Cell::new(None);
            common::until(|| {
                got.set(rx.try_recv().ok());
                got.get().is_some()
            });
            assert_eq!(got.get(), Some(4));
            assert_eq!(rx.clone().iter().next(), Some(5));
            assert_eq!((&rx).into_iter().next(), Some(6));
            let mut many = rx.iter();
            assert_eq!(many.by_ref().take(2).collect::<Vec<_>>(), [7, 8]);
            let mut rest = rx.into_iter();
            assert_eq!(
                (rest.next(), rest.next(), rest.next()),
                (Some(9), None, None)
            );
            sender.join();
        }
    });
}

#[test]
fn receives_that_fail() {
    everywhere(|_| {
        for (tx, rx, cap) in kinds() {
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(rx.try_iter().next(), None);
            assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
            let now = Instant::now();
            assert_eq!(rx.recv_deadline(now), Err(RecvTimeoutError::Timeout));
            let left = cap.unwrap_or(2);
            (0..left).for_each(|_| tx.send(5).unwrap());
            drop(tx);
            // What is there comes first, for each way to receive.
            for n in 0..left {
                match n {
                    0 => assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(5)),
                    1 => assert_eq!(rx.recv_deadline(now), Ok(5)),
                    _ => assert_eq!(rx.recv(), Ok(5)),
                }
            }
            assert_eq!(rx.recv(), Err(RecvError));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(rx.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
            let late = Instant::now() + LONG;
            assert_eq!(rx.recv_deadline(late), Err(RecvTimeoutError::Disconnected));
            assert_eq!(rx.iter().next(), None);
            assert_eq!(rx.try_iter().next(), None);
        }
    });
}

#[test]
fn the_same_channel() {
    for (tx, rx, _) in kinds() {
        assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
        for (tx2, rx2, _) in kinds() {
            assert!(!tx.same_channel(&tx2) && !rx.same_channel(&rx2));
        }
    }
    let day = Duration::from_secs(86_400);
    let clocks = [after(day), at(Instant::now() + day), tick(day), never()];
    for (n, a) in clocks.iter().enumerate() {
        assert!(a.same_channel(&a.clone()));
        for (m, b) in clocks.iter().enumerate() {
            assert_eq!(a.same_channel(b), n == m);
        }
    }
    // Each call makes a channel of its own, but for `never`.
    assert!(!after(day).same_channel(&after(day)) && !tick(day).same_channel(&tick(day)));
    static NEVER: Receiver<u32> = never();
    assert!(NEVER.same_channel(&never()));
}

#[test]
fn the_clock_channels() {
    everywhere(|_| {
        let never = never::<u32>();
        assert_eq!(never.capacity(), Some(0));
        assert!(never.is_empty() && never.is_full());
        assert_eq!(never.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(never.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        let now = Instant::now();
        let day = Duration::from_secs(86_400);
        for clock in [after(day), at(now + day), tick(day)] {
            assert!(clock.is_empty() && clock.try_recv().is_err());
            assert!(clock.recv_timeout(Duration::from_micros(1)).is_err());
            assert!(clock.recv_deadline(now).is_err());
        }
        let begin = [after(SHORT), at(now + SHORT), tick(SHORT)];
        for clock in &begin {
            assert_eq!(clock.capacity(), Some(1));
            assert!(clock.recv().unwrap() >= now + SHORT);
        }
        for clock in [after(Duration::ZERO), at(now)] {
            assert!(clock.len() == 1 && clock.is_full() && !clock.is_empty());
            assert_eq!(clock.clone().try_iter().count(), 1);
            assert_eq!(
                (clock.len(), clock.is_full(), clock.is_empty()),
                (0, false, true)
            );
            assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
        }
        let ticker = tick(Duration::from_millis(1));
        let ticks: Vec<_> = ticker.iter().take(4).collect();
        assert!(
            ticks
                .windows(2)
                .all(|t| t[1] - t[0] >= Duration::from_millis(1))
        );
    });
}

#[test]
fn debug() {
    for (tx, rx, _) in kinds() {
        assert_eq!(format!("{tx:?}"), "Sender { .. }");
        assert_eq!(format!("{rx:?}"), "Receiver { .. }");
        assert_eq!(format!("{:?}", rx.iter()), "Iter { .. }");
        assert_eq!(format!("{:?}", rx.try_iter()), "TryIter { .. }");
        assert_eq!(format!("{:?}", rx.into_iter()), "IntoIter { .. }");
    }
}

#[test]
fn bounds() {
    use std::iter::FusedIterator;
    fn is<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    fn fused<T: FusedIterator>() {}
    // `Send` is enough of the value.
    is::<Sender<std::cell::RefCell<u8>>>();
    is::<Receiver<std::cell::RefCell<u8>>>();
    fused::<marmot_channel::Iter<'_, u8>>();
    fused::<marmot_channel::IntoIter<u8>>();
    fn send<T: Send>() {}
    send::<marmot_channel::IntoIter<u8>>();
}
