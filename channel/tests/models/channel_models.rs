//! The models.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::err::{RecvTimeoutError, SendTimeoutError};
use crate::lock::{Gauge, Lock};
use crate::turns::Turns;
use crate::{Receiver, Select, Sender, bounded, unbounded};

/// A deadline that the clock does not reach, so that only the model's timeout counts.
const SOME_TIME: Duration = Duration::from_secs(3600);

/// A value that loom watches: whoever reads it must have it from its writer by way of the channel.
struct Watched(UnsafeCell<u32>);

impl Watched {
    fn new(n: u32) -> Box<Self> {
        let watched = Box::new(Watched(UnsafeCell::new(0)));
        watched.0.with_mut(|place| {
            // SAFETY: not shared yet.
            unsafe { *place = n };
        });
        watched
    }

    fn get(&self) -> u32 {
        // SAFETY: loom panics unless the write is ordered before.
        self.0.with(|place| unsafe { *place })
    }
}

/// All schedules with at most two preemptions (a switch where the thread could go on); switches at
/// a wait are free.
pub(super) fn model(f: impl Fn() + Send + Sync + 'static) {
    explore(2, f);
}

/// The same with one preemption, for models of three threads.
pub(super) fn large_model(f: impl Fn() + Send + Sync + 'static) {
    explore(1, f);
}

fn explore(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(move || {
        crate::sync::forget_ranks();
        f();
    });
}

#[test]
fn the_lock_excludes_and_orders() {
    model(|| {
        let shared = Arc::new((Lock::new(), UnsafeCell::new(0)));
        let step = |(lock, cell): &(Lock, UnsafeCell<u32>)| {
            lock.lock_at_once();
            // SAFETY: under the lock, which is what loom checks.
            cell.with_mut(|n| unsafe { *n += 1 });
            // SAFETY: locked above.
            unsafe { lock.unlock() };
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || step(&shared)
        });
        step(&shared);
        other.join().unwrap();
        shared.0.lock_at_once();
        // SAFETY: as above.
        assert_eq!(shared.1.with(|n| unsafe { *n }), 2);
    });
}

/// What a lock guards, the count of values among it.
struct Guarded {
    lock: Lock,
    turns: Turns,
    sent: AtomicU32,
    cell: UnsafeCell<u32>,
}

impl Gauge for Guarded {
    fn is_for_turns(&self) -> bool {
        true
    }

    fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    fn left(&self) -> usize {
        0
    }
}

/// With turns, be they just found to be better or taken all the time, and with one who does not wait.
#[test]
fn the_lock_excludes_and_orders_those_who_take_turns() {
    for taken in [false, true] {
        model(move || {
            let shared = Arc::new(Guarded {
                lock: Lock::new(),
                turns: Turns::new(),
                sent: AtomicU32::new(0),
                cell: UnsafeCell::new(0),
            });
            if taken {
                // Many values without turns: now they are tried.
                for (now, sent) in [(0, 0), (200_000, 1), (400_000, 10_000)] {
                    // SAFETY: nobody else has it yet.
                    unsafe { shared.turns.note(|| now, sent) };
                }
                assert_ne!(shared.turns.until(), 0);
            }
            let step = |shared: &Guarded, at_once: bool| {
                let tenant = if at_once {
                    shared.lock.lock_at_once();
                    None
                } else {
                    Some(shared.lock.lock(&shared.turns, shared))
                };
                // SAFETY: under the lock, which is what loom checks.
                shared.cell.with_mut(|n| unsafe { *n += 1 });
                let sent = shared.sent() + 1;
                shared.sent.store(sent, Ordering::Relaxed);
                match tenant {
                    // SAFETY: locked above, by this thread.
                    Some(tenant) => unsafe { shared.lock.unlock_by(tenant) },
                    // SAFETY: locked above.
                    None => unsafe { shared.lock.unlock() },
                }
            };
            let other = thread::spawn({
                let shared = shared.clone();
                move || {
                    step(&shared, false);
                    step(&shared, true);
                }
            });
            step(&shared, false);
            step(&shared, false);
            other.join().unwrap();
            shared.lock.lock_at_once();
            // SAFETY: as above.
            assert_eq!(shared.cell.with(|n| unsafe { *n }), 4);
        });
    }
}

/// Sends from a frame that the next call uses again: a value read too late is another one.
#[inline(never)]
fn send_from_own_frame(tx: &Sender<Box<Watched>>, n: u32) {
    tx.send(Watched::new(n)).ok().unwrap();
}

/// Both ends of a channel.
type Ends = (Sender<Box<Watched>>, Receiver<Box<Watched>>);

fn hand_over(make: fn() -> Ends) {
    model(move || {
        let (tx, rx) = make();
        let sender = thread::spawn(move || {
            for n in 1..=2 {
                send_from_own_frame(&tx, n);
            }
        });
        assert_eq!(rx.recv().unwrap().get(), 1);
        assert_eq!(rx.recv().unwrap().get(), 2);
        assert!(rx.recv().is_err());
        sender.join().unwrap();
    });
}

#[test]
fn values_are_handed_over() {
    hand_over(|| bounded(0));
}

#[test]
fn values_go_through_a_buffer() {
    hand_over(|| bounded(1));
}

#[test]
fn values_go_through_a_chain() {
    hand_over(unbounded);
}

#[test]
fn a_timed_out_receiver_loses_no_value() {
    model(|| {
        let (tx, rx) = bounded(0);
        let receiver = thread::spawn(move || match rx.recv_timeout(SOME_TIME) {
            Ok(value) => {
                let value: Box<Watched> = value;
                assert_eq!(value.get(), 7);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => panic!("the sender is there"),
        });
        let sent = match tx.send_timeout(Watched::new(7), SOME_TIME) {
            Ok(()) => true,
            Err(SendTimeoutError::Timeout(value) | SendTimeoutError::Disconnected(value)) => {
                assert_eq!(value.get(), 7);
                false
            }
        };
        assert_eq!(receiver.join().unwrap(), sent);
    });
}

/// The value passes over a receiver that has timed out, and reaches the one behind it.
#[test]
fn a_dead_waiter_is_passed_over() {
    large_model(|| {
        let (tx, rx) = bounded(0);
        let impatient = thread::spawn({
            let rx = rx.clone();
            move || {
                rx.recv_timeout(SOME_TIME)
                    .map(|v: Box<Watched>| v.get())
                    .ok()
            }
        });
        let patient = thread::spawn(move || rx.recv().map(|v| v.get()).ok());
        tx.send(Watched::new(3)).ok().unwrap();
        drop(tx);
        let got = [impatient.join().unwrap(), patient.join().unwrap()];
        assert_eq!(got.into_iter().flatten().collect::<Vec<_>>(), [3]);
    });
}

#[test]
fn closing_wakes_both_sides() {
    model(|| {
        let (tx, rx) = bounded::<u32>(0);
        let receiver = thread::spawn(move || rx.recv().is_err());
        assert!(tx.close());
        assert!(receiver.join().unwrap());
    });
    model(|| {
        let (tx, rx) = bounded(0);
        let sender = thread::spawn(move || tx.send(Watched::new(1)).unwrap_err().0.get());
        drop(rx);
        assert_eq!(sender.join().unwrap(), 1);
    });
}

/// A full buffer: the receiver takes the head and moves the waiting sender's value in.
#[test]
fn a_waiting_sender_gets_the_place() {
    model(|| {
        let (tx, rx) = bounded(1);
        tx.send(Watched::new(1)).ok().unwrap();
        let sender = thread::spawn({
            let tx = tx.clone();
            move || tx.send_timeout(Watched::new(2), SOME_TIME).is_ok()
        });
        assert_eq!(rx.recv().unwrap().get(), 1);
        let sent = sender.join().unwrap();
        let rest: Vec<u32> = rx.try_iter().map(|value| value.get()).collect();
        assert_eq!(rest, if sent { vec![2] } else { vec![] });
        drop(tx);
    });
}

/// Two senders meet one select: one is served, the other takes its value back.
#[test]
fn a_select_commits_once() {
    large_model(|| {
        let (tx1, rx1) = bounded(0);
        let (tx2, rx2) = bounded(0);
        let senders = [tx1, tx2].map(|tx| {
            thread::spawn(move || match tx.send_timeout(Watched::new(5), SOME_TIME) {
                Ok(()) => 1,
                Err(error) => {
                    assert_eq!(error.into_inner().get(), 5);
                    0
                }
            })
        });
        let mut sel = Select::new();
        sel.recv(&rx1);
        sel.recv(&rx2);
        let oper = sel.select();
        let rx = [&rx1, &rx2][oper.index()];
        let got = oper.recv(rx);
        // An error says that this sender has timed out and left.
        let got = u32::from(got.is_ok_and(|value| value.get() == 5));
        let sent: u32 = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(sent, got);
    });
}

/// A select that sends meets a receiver, whoever comes first; also with both sides of a channel.
#[test]
fn a_promise_is_kept() {
    model(|| {
        let (tx, rx) = bounded::<Box<Watched>>(0);
        let receiver = thread::spawn({
            let rx = rx.clone();
            move || rx.recv().unwrap().get()
        });
        let mut sel = Select::new();
        let send = sel.send(&tx);
        sel.recv(&rx);
        let oper = sel.select();
        assert_eq!(oper.index(), send);
        oper.send(&tx, Watched::new(9)).ok().unwrap();
        assert_eq!(receiver.join().unwrap(), 9);
    });
}

/// Two selects on two channels, in opposite order: no deadlock of locks, and one of two meetings.
#[test]
fn selects_meet() {
    model(|| {
        let (tx1, rx1) = bounded::<Box<Watched>>(0);
        let (tx2, rx2) = bounded::<Box<Watched>>(0);
        let other = thread::spawn({
            let (tx2, rx1) = (tx2.clone(), rx1.clone());
            move || {
                let mut sel = Select::new();
                sel.send(&tx2);
                sel.recv(&rx1);
                let oper = sel.select();
                match oper.index() {
                    0 => oper.send(&tx2, Watched::new(2)).ok().map(|()| 2),
                    _ => oper.recv(&rx1).ok().map(|value| value.get()),
                }
            }
        });
        let mut sel = Select::new();
        sel.send(&tx1);
        sel.recv(&rx2);
        let oper = sel.select();
        let mine = match oper.index() {
            0 => oper.send(&tx1, Watched::new(1)).ok().map(|()| 1),
            _ => oper.recv(&rx2).ok().map(|value| value.get()),
        };
        assert!(mine.is_some());
        assert_eq!(mine, other.join().unwrap());
    });
}
