//! Every form that `select!` and `select_biased!` accept.

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{LONG, SHORT, everywhere};
use marmot_channel::{
    Receiver, RecvError, SendError, Sender, after, bounded, never, select, select_biased, tick,
    unbounded,
};

/// A receiver with one value in it.
fn with<T>(value: T) -> Receiver<T> {
    let (tx, rx) = bounded(1);
    tx.try_send(value).ok().unwrap();
    rx
}

/// Bodies: blocks and expressions, with and without commas, of any type.
#[test]
fn bodies() {
    everywhere(|_| {
        let rx = with(1);
        let never = never::<i32>();
        select! { recv(rx) -> _ => {} }
        select! { recv(rx) -> _ => {}, }
        select! { recv(rx) -> _ => () }
        select! { recv(rx) -> _ => (), }
        let rx = with(1);
        let n: i32 = select! {
            recv(never) -> _ => unreachable!(),
            recv(rx) -> n => n.unwrap() + 1,
        };
        assert_eq!(n, 2);
        // A block without a comma before another case; a `match` and an `if` as the body.
        let rx = with(2);
        let n = select! {
            recv(never) -> _ => { 0 }
            recv(rx) -> n => match n { Ok(n) => n, Err(e) => panic!("{e}") },
            default => if rx.is_empty() { 3 } else { 4 }
        };
        assert_eq!(n, 2);
        // In the middle of an expression, and as the value of a function.
        fn half(rx: &Receiver<i32>) -> Result<i32, RecvError> {
            select! { recv(rx) -> n => n.map(|n| n / 2), default(LONG) => Err(RecvError) }
        }
        assert_eq!(1 + half(&with(8)).unwrap(), 5);
        assert_eq!(
            [
                select! { recv(with(1)) -> n => n },
                select! { default => Ok(2) }
            ],
            [Ok(1), Ok(2)]
        );
        // A body of the type `!`.
        let n = loop {
            select! {
                recv(with(5)) -> n => break n,
                default => continue,
            }
        };
        assert_eq!(n, Ok(5));
    });
}

/// Channels: places, references, temporaries, any expression; evaluated once, in order.
#[test]
fn channels() {
    struct Both {
        tx: Sender<i32>,
        rx: Receiver<i32>,
        list: Vec<Receiver<i32>>,
    }
    everywhere(|_| {
        let (tx, rx) = unbounded();
        let mut both = Both {
            tx: tx.clone(),
            list: vec![never(), rx.clone()],
            rx,
        };
        select! { send(both.tx, 1) -> sent => sent.unwrap() }
        select! { recv(both.rx) -> n => assert_eq!(n, Ok(1)) }
        select! { send(&both.tx, 2) -> sent => sent.unwrap(), default => unreachable!() }
        select! {
            recv(both.list[0]) -> _ => unreachable!(),
            recv(&both.list[1]) -> n => assert_eq!(n, Ok(2)),
        }
        let boxed = Box::new(both.tx.clone());
        select! { send(*boxed, 3) -> sent => sent.unwrap() }
        let shared = std::sync::Arc::new(both.rx.clone());
        select! { recv(*shared) -> n => assert_eq!(n, Ok(3)), default => unreachable!() }
        // `&mut` works where `&` does.
        let list = &mut both.list;
        select! { recv(&mut list[1]) -> _ => unreachable!(), default => list.clear() }
        // Temporaries live until the end.
        select! { recv(after(Duration::ZERO)) -> due => assert!(due.is_ok()) }
        select! {
            recv(tick(SHORT)) -> due => assert!(due.unwrap() <= Instant::now()),
            recv(never::<()>()) -> _ => unreachable!(),
        }
        let calls = Cell::new(0);
        let call = |n: i32, rx: &Receiver<i32>| {
            assert_eq!(calls.replace(n + 1), n);
            rx.clone()
        };
        select! {
            recv(call(0, &both.rx)) -> _ => unreachable!(),
            recv({ let n = 1; call(n, &both.rx) }) -> _ => unreachable!(),
            recv(if calls.get() == 2 { call(2, &both.rx) } else { never() },) -> _ => unreachable!(),
            default(SHORT) => {}
        }
        assert_eq!(calls.get(), 3);
        let rx: Option<Receiver<i32>> = std::hint::black_box(None);
        select! { recv(rx.unwrap_or_else(never)) -> _ => unreachable!(), default() => {} }
    });
}

/// Messages: moved into one of the cases, made only if chosen.
#[test]
fn messages() {
    everywhere(|_| {
        let (tx, rx) = bounded::<String>(1);
        let (full, _rest) = bounded::<String>(0);
        let message = String::from("moved");
        let mut made = 0;
        select! {
            send(full, message) -> _ => unreachable!(),
            send(tx, { made += 1; message }) -> sent => assert_eq!(sent, Ok(())),
        }
        assert_eq!((made, rx.recv().unwrap().as_str()), (1, "moved"));
        // What comes back can be used.
        let message = String::from("back");
        tx.close();
        let back = select! { send(tx, message) -> sent => sent.unwrap_err().into_inner() };
        assert_eq!(back, "back");
        let back = select! {
            send(tx, back,) -> sent => sent,
            default(LONG) => Ok(()),
        };
        assert_eq!(back, Err(SendError("back".to_owned())));
        // Moved into the default instead.
        let message = String::from("kept");
        let kept = select! { send(full, message) -> _ => String::new(), default => message };
        assert_eq!(kept, "kept");
    });
}

/// Senders and receivers moved into the bodies, and variables borrowed mutably by several.
#[test]
fn moves_and_borrows_in_bodies() {
    everywhere(|tasks| {
        let (tx, rx) = unbounded::<u32>();
        let (tx2, rx2) = unbounded::<u32>();
        let mut log = Vec::new();
        let mut count = 0;
        let worker = select! {
            recv(rx) -> n => { log.push(n); tasks.spawn(move || drop(rx)) }
            send(tx, 1) -> sent => {
                log.push(sent.map(|()| 0).map_err(|_| RecvError));
                count += 1;
                tasks.spawn(move || drop(tx))
            }
            recv(rx2) -> n => { log.push(n); count += 1; tasks.spawn(move || drop(rx2)) }
        };
        worker.join();
        assert_eq!((log.len(), count), (1, 1));
        // The default moves one of the cases' channels as well.
        select! { recv(never::<u32>()) -> _ => drop(tx2), default => drop(tx2) }
    });
}

/// Patterns: bindings, `mut`, `_`, alternatives, destructuring.
#[test]
fn patterns() {
    everywhere(|_| {
        select! { recv(with(1)) -> mut n => { n = n.map(|n| n + 1); assert_eq!(n, Ok(2)) } }
        select! { recv(with(1)) -> (Ok(_) | Err(RecvError)) => {} }
        select! { recv(with(1)) -> (Ok(_) | Err(_)) => {}, default => unreachable!() }
        select! { recv(with((1, "a"))) -> ref pair => assert_eq!(*pair, Ok((1, "a"))) }
        select! { recv(with(1)) -> n @ (Ok(_) | Err(_)) => assert_eq!(n, Ok(1)) }
        let (tx, _rx) = bounded(2);
        select! { send(tx, 1) -> mut sent => { sent.as_mut().unwrap(); } }
        select! { send(tx, 1) -> _sent => {}, recv(never::<()>()) -> _ => {} }
    });
}

/// Cases named like what the macro uses inside, and bodies that shadow.
#[test]
fn names_do_not_clash() {
    everywhere(|_| {
        let (cases, chosen) = unbounded();
        let (c0, c1) = unbounded();
        let result = 5;
        select! {
            send(cases, result) -> result => assert_eq!(result, Ok(())),
            recv(c1) -> chosen => { let _: Result<i32, _> = chosen; }
        }
        let channel = &chosen;
        select! { recv(channel) -> received => assert_eq!(received, Ok(5)) }
        select! {
            send(c0, result + 1) -> c0 => assert_eq!(c0, Ok(())),
            recv(chosen) -> _ => unreachable!(),
            default => unreachable!(),
        }
        assert_eq!(c1.recv(), Ok(6));
    });
}

#[test]
fn defaults() {
    everywhere(|_| {
        let never = never::<u32>();
        assert_eq!(select! { default => 1 }, 1);
        assert_eq!(select! { default() => 2, }, 2);
        let begin = Instant::now();
        assert_eq!(select! { default(SHORT) => 3 }, 3);
        assert_eq!(
            select! { recv(never) -> _ => 0, default(SHORT,) => { 4 } },
            4
        );
        assert_eq!(select! { default(SHORT) => 5, recv(never) -> _ => 0 }, 5);
        assert!(begin.elapsed() >= 3 * SHORT);
        // The time is evaluated once, whether it is needed or not, and may be any expression.
        let calls = Cell::new(0);
        let time = |d| {
            calls.set(calls.get() + 1);
            d
        };
        select! { recv(with(1)) -> _ => {}, default(time(LONG)) => unreachable!() }
        select! { recv(never) -> _ => {}, recv(never) -> _ => {}, default(time(Duration::ZERO)) => {} }
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn nested() {
    everywhere(|_| {
        let (tx, rx) = bounded(2);
        let n = select! {
            send(tx, select! { recv(with(3)) -> n => n.unwrap() }) -> sent => {
                sent.unwrap();
                select! {
                    recv(rx) -> n => select_biased! {
                        recv(never::<u32>()) -> _ => 0,
                        default => n.unwrap(),
                    },
                    default => 0,
                }
            }
        };
        assert_eq!(n, 3);
        // A channel from a select, a select in a closure in a select.
        select! {
            recv(select! { default => with(4) }) -> n => {
                let inner = || select! { recv(never::<u32>()) -> n => n, default => n };
                assert_eq!(inner(), Ok(4));
            }
        }
    });
}

/// `?`, `return`, `break` with a label and `continue` leave the bodies.
#[test]
fn control_flow() {
    fn sum(rx: &Receiver<u32>, end: &Receiver<()>) -> Result<u32, RecvError> {
        let mut sum = 0;
        'outer: loop {
            for _ in 0..2 {
                select_biased! {
                    recv(rx) -> n => {
                        match n? {
                            0 => continue 'outer,
                            99 => return Ok(sum),
                            n => sum += n,
                        }
                    }
                    recv(end) -> _ => break 'outer,
                }
            }
        }
        Ok(sum + 1000)
    }
    everywhere(|_| {
        let (tx, rx) = unbounded();
        [1, 2, 0, 3].into_iter().for_each(|n| tx.send(n).unwrap());
        assert_eq!(sum(&rx, &with(())), Ok(1006));
        [4, 99, 5].into_iter().for_each(|n| tx.send(n).unwrap());
        assert_eq!(sum(&rx, &never()), Ok(4));
        drop(tx);
        assert_eq!(sum(&rx, &never()), Err(RecvError));
    });
}

/// A panic in a body, in a message, in a channel's expression: the channels are as good as before.
#[test]
fn panics() {
    fn broken<T>() -> T {
        std::panic::resume_unwind(Box::new("deliberate"))
    }
    everywhere(|tasks| {
        let (tx, rx) = bounded(1);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            select! { send(tx, 1) -> _ => broken(), recv(rx) -> _ => {} }
        }));
        assert!(failed.is_err());
        assert_eq!(rx.len(), 1, "it was sent before the body");
        let failed = catch_unwind(AssertUnwindSafe(|| {
            select! { recv(rx) -> n => { assert_eq!(n, Ok(1)); broken() } default => {} }
        }));
        assert!(failed.is_err());
        assert_eq!(rx.len(), 0, "it was received before the body");
        let failed = catch_unwind(AssertUnwindSafe(|| {
            select! { send(tx, broken()) -> _ => {}, recv(never::<()>()) -> _ => {} }
        }));
        assert!(failed.is_err());
        assert!(!tx.is_full() && rx.is_empty());
        let failed = catch_unwind(AssertUnwindSafe(|| {
            select! { recv(rx) -> _ => {}, recv(broken::<Receiver<u8>>()) -> _ => {} }
        }));
        assert!(failed.is_err());
        let sender = tasks.spawn(move || tx.send(2));
        assert_eq!(rx.recv(), Ok(2));
        assert_eq!(sender.join(), Ok(()));
    });
}

#[test]
fn the_most_cases() {
    everywhere(|_| {
        let n = never::<u32>();
        let (tx, rx) = bounded(1);
        let last = select! {
            recv(n) -> _ => 0, recv(n) -> _ => 1, recv(n) -> _ => 2, recv(n) -> _ => 3,
            recv(n) -> _ => 4, recv(n) -> _ => 5, recv(n) -> _ => 6, recv(n) -> _ => 7,
            recv(n) -> _ => 8, recv(n) -> _ => 9, recv(n) -> _ => 10, recv(n) -> _ => 11,
            recv(n) -> _ => 12, recv(n) -> _ => 13, recv(n) -> _ => 14, recv(n) -> _ => 15,
            recv(n) -> _ => 16, recv(n) -> _ => 17, recv(n) -> _ => 18, recv(n) -> _ => 19,
            recv(n) -> _ => 20, recv(n) -> _ => 21, recv(n) -> _ => 22, recv(n) -> _ => 23,
            recv(n) -> _ => 24, recv(n) -> _ => 25, recv(n) -> _ => 26, recv(n) -> _ => 27,
            recv(n) -> _ => 28, recv(n) -> _ => 29, recv(rx) -> _ => 30,
            send(tx, 1) -> sent => { sent.unwrap(); 31 }
            default(LONG) => 32,
        };
        assert_eq!(last, 31);
        assert_eq!(rx.len(), 1);
    });
}

/// Each form of `select_biased!` takes the first that is ready.
#[test]
fn biased() {
    everywhere(|_| {
        let (tx, rx) = bounded(1);
        for _ in 0..20 {
            select_biased! {
                recv(rx) -> _ => unreachable!(),
                send(tx, 1) -> sent => sent.unwrap(),
                recv(after(Duration::ZERO)) -> _ => unreachable!(),
                default => unreachable!(),
            }
            select_biased! {
                recv(never::<u8>()) -> _ => unreachable!(),
                recv(rx) -> n => assert_eq!(n, Ok(1)),
                default(LONG) => unreachable!(),
            }
        }
        assert_eq!(select_biased! { default => 1 }, 1);
        assert_eq!(select_biased! { default(SHORT) => 2 }, 2);
        assert_eq!(select_biased! { recv(with(3)) -> n => n }, Ok(3));
    });
}

/// A body may do with its channels what it likes: the select is over.
#[test]
fn a_body_may_drop_its_channel() {
    let ((tx, rx), (other_tx, other)) = (bounded(1), bounded::<u8>(1));
    tx.send(1).unwrap();
    select! {
        recv(rx) -> n => {
            assert_eq!(n, Ok(1));
            drop(rx);
        }
        recv(other) -> _ => drop(other),
        default(SHORT) => unreachable!(),
    }
    assert!(tx.send(2).is_err());
    select! {
        send(other_tx, 1) -> sent => {
            assert_eq!(sent, Ok(()));
            drop(other_tx);
        }
        send(tx, 1) -> _ => drop(tx),
    }
}
