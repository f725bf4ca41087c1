//! Timeouts and deadlines: what is possible at once is done, what is not ends in time.

mod common;

use std::time::{Duration, Instant};

use common::{LONG, SHORT, everywhere};
use marmot_channel::{
    RecvTimeoutError, Select, SendTimeoutError, after, at, bounded, never, select, tick, unbounded,
};

#[test]
fn waits_end_in_time() {
    everywhere(|_| {
        let (tx, rx) = bounded(0);
        let start = Instant::now();
        assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        assert_eq!(tx.send_timeout(1, SHORT), Err(SendTimeoutError::Timeout(1)));
        let end = Instant::now() + SHORT;
        assert_eq!(rx.recv_deadline(end), Err(RecvTimeoutError::Timeout));
        let end = Instant::now() + SHORT;
        assert_eq!(tx.send_deadline(1, end), Err(SendTimeoutError::Timeout(1)));
        assert!(start.elapsed() >= 4 * SHORT);
        assert!(start.elapsed() < LONG);
    });
}

#[test]
fn no_time_is_enough_for_what_is_ready() {
    let (tx, rx) = bounded(1);
    assert_eq!(tx.send_timeout(1, Duration::ZERO), Ok(()));
    assert_eq!(
        tx.send_timeout(2, Duration::ZERO),
        Err(SendTimeoutError::Timeout(2))
    );
    assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(1));
    assert_eq!(
        rx.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Timeout)
    );
    drop(tx);
    assert_eq!(
        rx.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Disconnected)
    );
}

#[test]
fn the_end_of_time_is_never() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(0);
        let receiver = tasks.spawn(move || rx.recv_timeout(Duration::MAX));
        tx.send_timeout(1, Duration::MAX).unwrap();
        assert_eq!(receiver.join(), Ok(1));
        assert!(after(Duration::MAX).same_channel(&never()));
        assert!(tick(Duration::MAX).same_channel(&never()));
    });
}

#[test]
fn a_value_ends_a_timed_wait() {
    everywhere(|tasks| {
        let (tx, rx) = unbounded();
        let receiver = tasks.spawn(move || rx.recv_timeout(LONG));
        tx.send(1).unwrap();
        assert_eq!(receiver.join(), Ok(1));
        let (tx, rx) = bounded(0);
        let sender = tasks.spawn(move || tx.send_timeout(2, LONG));
        assert_eq!(rx.recv(), Ok(2));
        assert_eq!(sender.join(), Ok(()));
    });
}

#[test]
fn select_with_a_timeout() {
    everywhere(|_| {
        let (tx, rx) = bounded::<i32>(0);
        let start = Instant::now();
        let timed_out = select! {
            recv(rx) -> _ => false,
            send(tx, 1) -> _ => false,
            default(SHORT) => true,
        };
        assert!(timed_out && start.elapsed() >= SHORT);
        let mut sel = Select::new();
        sel.recv(&rx);
        sel.send(&tx);
        assert!(sel.select_timeout(SHORT).is_err());
        assert!(sel.ready_timeout(SHORT).is_err());
        assert!(sel.select_deadline(Instant::now()).is_err());
        assert!(Select::new().select_timeout(SHORT).is_err());
        assert!(start.elapsed() >= 4 * SHORT);
    });
}

#[test]
fn the_clock_as_a_channel() {
    everywhere(|tasks| {
        let when = Instant::now() + SHORT;
        let timer = at(when);
        assert!(timer.is_empty() && timer.capacity() == Some(1));
        let others: Vec<_> = (0..4)
            .map(|_| {
                let timer = timer.clone();
                tasks.spawn(move || timer.recv_timeout(3 * SHORT).is_ok())
            })
            .collect();
        let got = others
            .into_iter()
            .filter_map(|t| t.join().then_some(()))
            .count();
        assert_eq!(got, 1, "one instant for all");
        assert!(Instant::now() >= when);
        let (_tx, rx) = bounded::<i32>(0);
        let ticker = tick(SHORT);
        let start = Instant::now();
        for _ in 0..3 {
            select! {
                recv(rx) -> _ => unreachable!(),
                recv(ticker) -> due => assert!(due.unwrap() <= Instant::now()),
            }
        }
        assert!(start.elapsed() >= 3 * SHORT);
    });
}
