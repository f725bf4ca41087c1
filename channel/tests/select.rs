//! Select: the macro's forms, the choice, and that losing cases have no effect.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Random, everywhere};
use marmot_channel::{
    Receiver, RecvError, Select, bounded, never, select, select_biased, unbounded,
};

#[test]
fn the_forms_of_the_macro() {
    let (tx, rx) = unbounded();
    let boxed = Box::new(rx.clone());
    let list = [rx.clone()];
    tx.send(1).unwrap();
    // A block, an expression, with and without comma; by value, by reference, by expression.
    let n = select! {
        recv(rx) -> n => { n.unwrap() }
        recv(&never::<i32>()) -> _ => 2,
    };
    assert_eq!(n, 1);
    let n: i32 = select! { default => 3 };
    assert_eq!(n, 3);
    select! { recv(list[0],) -> _ => unreachable!(), default => () }
    select! {
        recv(boxed) -> _ => unreachable!(),
        recv({ &list[0] }) -> _ => unreachable!(),
        default() => {},
    };
    tx.send(4).unwrap();
    let optional = std::hint::black_box(Some(&rx));
    for _ in 0..2 {
        select! {
            recv(optional.unwrap_or(&never())) -> (Ok(_) | Err(RecvError)) => {}
            default => break,
        }
    }
}

#[test]
fn control_flow_leaves_the_bodies() {
    fn first(rx: &Receiver<i32>) -> Option<i32> {
        loop {
            select! {
                recv(rx) -> n => match n {
                    Ok(0) => continue,
                    Ok(n) => return Some(n),
                    Err(_) => break,
                },
                recv(never::<i32>()) -> _ => unreachable!(),
            }
        }
        None
    }
    let (tx, rx) = unbounded();
    [0, 0, 7].into_iter().for_each(|n| tx.send(n).unwrap());
    drop(tx);
    assert_eq!(first(&rx), Some(7));
    assert_eq!(first(&rx), None);
}

/// The message of a case that must lose.
fn not_chosen() -> String {
    panic!("evaluated without being chosen")
}

#[test]
fn the_message_is_made_only_when_it_is_sent() {
    let (tx, rx) = bounded(0);
    let (tx2, rx2) = bounded(1);
    let message = String::from("moved into one of the cases");
    select! {
        send(tx, message) -> _ => unreachable!(),
        send(tx2, message) -> sent => sent.unwrap(),
    }
    assert_eq!(rx2.len(), 1);
    select! {
        send(tx, not_chosen()) -> _ => {}
        recv(rx2) -> _ => {}
    }
    select! {
        send(tx, not_chosen()) -> _ => {}
        default => {}
    }
    drop(rx);
}

#[test]
fn channels_can_be_moved_in_the_body() {
    let (tx, rx) = unbounded::<i32>();
    tx.send(1).unwrap();
    select! {
        recv(rx) -> _ => drop(rx),
        send(tx, 2) -> _ => drop(tx),
    }
}

#[test]
fn the_choice_is_random_or_biased() {
    everywhere(|_| {
        let (tx, rx) = unbounded();
        (0..3000).for_each(|_| tx.send(()).unwrap());
        let (_tx2, closed) = bounded::<()>(0);
        let mut hits = [0; 4];
        for _ in 0..1000 {
            select! {
                recv(rx) -> _ => hits[0] += 1,
                recv(closed) -> _ => unreachable!(),
                recv(rx) -> _ => hits[1] += 1,
                send(tx, ()) -> _ => hits[2] += 1,
            }
            select_biased! {
                recv(closed) -> _ => unreachable!(),
                send(tx, ()) -> _ => hits[3] += 1,
                recv(rx) -> _ => unreachable!(),
            }
        }
        assert_eq!(hits[3], 1000);
        assert!(hits[..3].iter().all(|&n| n > 200), "{hits:?}");
    });
}

/// Each of the ready cases has the same chance, wherever it stands and however many there are.
#[test]
fn the_choice_is_even() {
    const ROUNDS: usize = 20_000;
    for (cases, ready) in [
        (3, vec![0, 2]),
        (64, vec![0, 1, 31, 63]),
        (65, vec![63, 64]),
        (200, vec![5, 64, 65, 66, 199]),
    ] {
        let channels: Vec<_> = (0..cases).map(|_| unbounded::<()>()).collect();
        for &position in &ready {
            channels[position].0.send(()).unwrap();
        }
        let mut sel = Select::new();
        for (_, receiver) in &channels {
            sel.recv(receiver);
        }
        let mut chosen = vec![0; cases];
        for _ in 0..ROUNDS {
            chosen[sel.ready()] += 1;
        }
        let share = ROUNDS / ready.len();
        for &position in &ready {
            // Ten standard deviations at least.
            let (least, most) = (share * 4 / 5, share * 6 / 5);
            assert!(
                (least..=most).contains(&chosen[position]),
                "case {position} of {cases}: {}, not {share}",
                chosen[position],
            );
        }
        assert_eq!(chosen.iter().sum::<usize>(), ROUNDS);
        let ready_ones: usize = ready.iter().map(|&position| chosen[position]).sum();
        assert_eq!(ready_ones, ROUNDS, "only what is ready is chosen");
    }
}

#[test]
fn a_select_does_not_meet_itself() {
    everywhere(|tasks| {
        let (tx, rx) = bounded::<i32>(0);
        let met = select! {
            send(tx, 1) -> _ => true,
            recv(rx) -> _ => true,
            default(common::SHORT) => false,
        };
        assert!(!met);
        // Two of the same kind do meet, one way or the other.
        let both = {
            let (tx, rx) = (tx.clone(), rx.clone());
            tasks.spawn(move || {
                select! {
                    send(tx, 1) -> _ => 1,
                    recv(rx) -> n => -n.unwrap(),
                }
            })
        };
        let mine = select! {
            recv(rx) -> n => -n.unwrap(),
            send(tx, 1) -> _ => 1,
        };
        assert_eq!(mine + both.join(), 0);
    });
}

/// A waiting select takes one value and no more, though all its channels get one.
#[test]
fn losing_cases_have_no_effect() {
    everywhere(|tasks| {
        for _ in 0..50 {
            let channels: Vec<_> = (0..4).map(|_| bounded::<usize>(1)).collect();
            let receivers: Vec<_> = channels.iter().map(|(_, rx)| rx.clone()).collect();
            let chooser = tasks.spawn(move || {
                let mut sel = Select::new();
                for rx in &receivers {
                    sel.recv(rx);
                }
                let oper = sel.select();
                let index = oper.index();
                assert_eq!(oper.recv(&receivers[index]), Ok(index));
                index
            });
            let senders: Vec<_> = channels
                .iter()
                .enumerate()
                .map(|(n, (tx, _))| {
                    let tx = tx.clone();
                    tasks.spawn(move || tx.send(n).unwrap())
                })
                .collect();
            senders.into_iter().for_each(common::Task::join);
            let chosen = chooser.join();
            for (n, (_, rx)) in channels.iter().enumerate() {
                assert_eq!(rx.len(), usize::from(n != chosen));
            }
        }
    });
}

#[test]
fn many_cases_and_many_of_one_channel() {
    everywhere(|tasks| {
        let channels: Vec<_> = (0..40).map(|_| bounded::<usize>(0)).collect();
        let senders: Vec<_> = channels
            .iter()
            .enumerate()
            .map(|(n, (tx, _))| {
                let tx = tx.clone();
                tasks.spawn(move || tx.send(n).unwrap())
            })
            .collect();
        let mut sel = Select::new();
        for _ in 0..2 {
            for (_, rx) in &channels {
                sel.recv(rx);
            }
        }
        let mut sum = 0;
        for _ in 0..40 {
            let oper = sel.select();
            let n = oper.index() % 40;
            sum += oper.recv(&channels[n].1).unwrap();
        }
        assert_eq!(sum, 780);
        assert!(sel.try_select().is_err());
        senders.into_iter().for_each(common::Task::join);
    });
}

#[test]
fn ready_names_a_case_and_takes_nothing() {
    everywhere(|tasks| {
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            let sender = tasks.spawn(move || tx.send(5).unwrap());
            let mut sel = Select::new();
            sel.recv(&rx);
            assert_eq!(sel.ready(), 0);
            common::until(|| rx.try_recv() == Ok(5));
            sender.join();
            let (tx, rx) = bounded(cap);
            tx.try_send(0).ok();
            let receiver = tasks.spawn(move || rx.iter().filter(|&n| n != 0).sum::<i32>());
            let mut sel = Select::new();
            sel.send(&tx);
            assert_eq!(sel.ready(), 0);
            common::until(|| tx.try_send(6).is_ok());
            drop(tx);
            assert_eq!(receiver.join(), 6);
        }
    });
}

/// Many selects over a few channels, each with both sides: what was sent was received.
#[test]
fn sums_agree_under_stress() {
    everywhere(|tasks| {
        let mut random = Random::seeded();
        for caps in [[0, 0, 0], [1, 1, 1], [0, 1, 2]] {
            let channels: Arc<Vec<_>> = Arc::new(caps.map(bounded::<usize>).into());
            let sent = Arc::new(AtomicUsize::new(0));
            let received = Arc::new(AtomicUsize::new(0));
            let workers: Vec<_> = (0..6)
                .map(|_| {
                    let (channels, sent, received) =
                        (channels.clone(), sent.clone(), received.clone());
                    let mut random = random.fork();
                    tasks.spawn(move || {
                        for _ in 0..300 {
                            let n = random.below(1000) as usize;
                            let a = &channels[random.below(3) as usize];
                            let b = &channels[random.below(3) as usize];
                            let timeout = std::time::Duration::from_micros(random.below(100));
                            select! {
                                send(a.0, n) -> done => {
                                    done.unwrap();
                                    sent.fetch_add(n, Ordering::Relaxed);
                                }
                                recv(b.1) -> n => {
                                    received.fetch_add(n.unwrap(), Ordering::Relaxed);
                                }
                                default(timeout) => {}
                            }
                        }
                    })
                })
                .collect();
            workers.into_iter().for_each(common::Task::join);
            let rest: usize = channels.iter().flat_map(|(_, rx)| rx.try_iter()).sum();
            let received = received.load(Ordering::Relaxed) + rest;
            assert_eq!(sent.load(Ordering::Relaxed), received);
        }
    });
}
