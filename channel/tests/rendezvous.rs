//! Channels without a buffer: a send and a receive meet, or neither is done.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{SHORT, everywhere};
use marmot_channel::{Select, TryRecvError, TrySendError, bounded, select};
use marmot_scheduler::go;

#[test]
fn nothing_is_sent_unless_somebody_receives() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(0);
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert!(tx.is_full() && tx.is_empty());
        let sent = Arc::new(AtomicBool::new(false));
        let sender = tasks.spawn({
            let sent = sent.clone();
            move || {
                tx.send(7).unwrap();
                sent.store(true, Ordering::SeqCst);
            }
        });
        assert!(!sent.load(Ordering::SeqCst));
        assert_eq!(rx.recv(), Ok(7));
        sender.join();
        assert!(sent.load(Ordering::SeqCst));
    });
}

#[test]
fn ping_pong() {
    everywhere(|tasks| {
        let (ping, pings) = bounded(0);
        let (pong, pongs) = bounded(0);
        let partner = tasks.spawn(move || {
            for n in pings {
                pong.send(n + 1).unwrap();
            }
        });
        for n in 0..2000 {
            ping.send(n).unwrap();
            assert_eq!(pongs.recv(), Ok(n + 1));
        }
        drop(ping);
        partner.join();
    });
}

/// The message of a select is made only when a receiver has come; the receiver waits for it.
#[test]
fn a_receiver_waits_for_a_promised_message() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<String>(0);
        let (go, gone) = bounded::<()>(0);
        let receiver = tasks.spawn(move || rx.recv());
        select! {
            send(tx, {
                // Another task runs while the receiver is committed to us.
                let helper = tasks.spawn(move || gone.recv());
                go.send(()).unwrap();
                helper.join().unwrap();
                "made late".to_string()
            }) -> sent => sent.unwrap(),
        }
        assert_eq!(receiver.join().unwrap(), "made late");
    });
}

/// Two selects that each offer to send and to receive: whichever way they meet, both know it.
#[test]
fn selects_meet_selects() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<u64>(0);
        let (other_tx, other_rx) = bounded::<u64>(0);
        let partner = tasks.spawn(move || {
            let mut sum = 0;
            for n in 0..500 {
                let mut sel = Select::new();
                sel.send(&tx);
                sel.recv(&other_rx);
                let oper = sel.select();
                match oper.index() {
                    0 => oper.send(&tx, n).unwrap(),
                    _ => assert_eq!(oper.recv(&other_rx), Ok(n)),
                }
                sum += n;
            }
            sum
        });
        let mut sum = 0;
        for n in 0..500 {
            select! {
                recv(rx) -> got => assert_eq!(got, Ok(n)),
                send(other_tx, n) -> sent => assert_eq!(sent, Ok(())),
            }
            sum += n;
        }
        assert_eq!(partner.join(), sum);
    });
}

/// A message that cannot be made.
fn broken(n: u32) -> u32 {
    panic!("planted, {n}")
}

/// A promise whose message panics is taken back, and the receiver waits on.
#[test]
fn a_broken_promise_harms_nobody() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<u32>(0);
        let receiver = tasks.spawn(move || rx.recv());
        for n in 0..3 {
            let tx = tx.clone();
            let broken = tasks.spawn(move || {
                select! {
                    send(tx, broken(n)) -> _ => unreachable!(),
                }
            });
            assert!(broken.result().is_err());
        }
        tx.send(5).unwrap();
        assert_eq!(receiver.join(), Ok(5));
        let (tx, rx) = bounded::<u32>(1);
        let broken = tasks.spawn({
            let tx = tx.clone();
            move || {
                select! {
                    send(tx, broken(3)) -> _ => unreachable!(),
                }
            }
        });
        assert!(broken.result().is_err());
        assert!(!tx.is_full(), "the place is free again");
        tx.send(6).unwrap();
        assert_eq!(rx.recv(), Ok(6));
    });
}

#[test]
fn a_timed_out_waiter_is_not_served() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<u32>(0);
        assert!(rx.recv_timeout(SHORT).is_err());
        assert!(tx.send_timeout(1, SHORT).is_err());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
        let receiver = tasks.spawn(move || rx.recv());
        tx.send(3).unwrap();
        assert_eq!(receiver.join(), Ok(3));
    });
}

/// A receiver lets a waiting sender go, and has given what it had before to the next one: that one comes
/// first. So a pipeline works off what it has before it takes on more.
#[test]
fn a_pipeline_does_not_run_ahead_of_its_end() {
    const STAGES: u64 = 100;
    const VALUES: u64 = 2000;
    if std::env::var("MARMOT_DEBUG").is_ok_and(|v| v.contains("chaos")) {
        // There the order is any.
        return;
    }
    let passes = |n: u64, stage: u64| !n.is_multiple_of(stage + 1);
    let (last, messages) = common::scheduler(1).handle().run(|| {
        let messages = Arc::new(AtomicU64::new(0));
        let (first, mut upstream) = bounded(0);
        go(move || (1..).take_while(|&n| first.send(n).is_ok()).for_each(drop));
        for stage in 1..=STAGES {
            let (pass, passed) = bounded(0);
            let values = std::mem::replace(&mut upstream, passed);
            let messages = messages.clone();
            go(move || {
                for n in values {
                    messages.fetch_add(1, Ordering::Relaxed);
                    if passes(n, stage) && pass.send(n).is_err() {
                        break;
                    }
                }
            });
        }
        let last = upstream.into_iter().find(|&n| n >= VALUES).unwrap();
        (last, messages.load(Ordering::Relaxed))
    });
    // How many stages a number comes to.
    let stages = |n| {
        let stopped_by = (1..STAGES).find(|&stage| !passes(n, stage));
        stopped_by.unwrap_or(STAGES)
    };
    let needed: u64 = (1..=last).map(stages).sum();
    // It may have its time slice spent, and be sent to the end of the line, at any point. In another order
    // there are 6 in a hundred more.
    assert!(
        messages <= needed + needed / 50,
        "{messages} messages, {needed} needed"
    );
}
