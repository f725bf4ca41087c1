//! `Timer`: it delivers once and in time, and what is stopped or reset is not delivered.

mod tasks;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::channel::{Select, TryRecvError, bounded, never, unbounded};
use marmot::select;
use marmot::time::Timer;
use tasks::{LONG, SHORT, everywhere, runtime, until};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn traits_and_gauges() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + std::fmt::Debug>() {}
    is::<Timer>();
    let timer = Timer::new(HOUR);
    let rx = timer.receiver();
    assert!(rx.is_empty() && !rx.is_full());
    assert_eq!(rx.capacity(), Some(1));
    assert!(!rx.is_closed() && !rx.close());
    assert!(rx.same_channel(&rx.clone()));
    assert!(!rx.same_channel(Timer::new(HOUR).receiver()));
    timer.reset(Duration::ZERO);
    assert!(rx.is_full() && rx.len() == 1);
    assert_eq!(rx.try_iter().count(), 1);
}

#[test]
fn the_time_is_delivered_once_and_not_early() {
    everywhere(|_| {
        let begin = Instant::now();
        let timer = Timer::new(SHORT);
        assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
        let due = timer.receiver().recv().unwrap();
        assert!(due >= begin + SHORT && due <= Instant::now());
        assert_eq!(timer.receiver().try_recv(), Err(TryRecvError::Empty));
        assert!(timer.receiver().recv_timeout(SHORT).is_err());
    });
}

#[test]
fn stop_says_whether_it_was_pending() {
    let timer = Timer::new(HOUR);
    assert!(timer.stop());
    assert!(!timer.stop());
    let timer = Timer::new(Duration::ZERO);
    timer.receiver().recv().unwrap();
    assert!(!timer.stop(), "received");
    // Due, but not received: it is taken back.
    let timer = Timer::new(Duration::ZERO);
    assert_eq!(timer.receiver().len(), 1);
    assert!(timer.stop());
    assert!(timer.receiver().is_empty());
    assert!(timer.receiver().try_recv().is_err());
    let timer = Timer::new(Duration::MAX);
    assert!(timer.receiver().try_recv().is_err());
    assert!(timer.stop());
}

#[test]
fn reset_says_whether_it_was_pending() {
    let timer = Timer::new(HOUR);
    assert!(timer.reset(Duration::ZERO));
    assert!(timer.reset(HOUR), "due, but not received");
    assert!(timer.receiver().try_recv().is_err());
    assert!(timer.reset(Duration::MAX));
    assert!(timer.stop());
    assert!(!timer.reset(Duration::ZERO), "stopped");
    assert!(timer.receiver().recv().is_ok());
    assert!(!timer.reset(Duration::ZERO), "received");
    assert!(timer.receiver().recv().is_ok());
}

/// Who waits for a far time, or for none, gets the near one that is set.
#[test]
fn a_reset_wakes_who_waits() {
    everywhere(|tasks| {
        for stopped in [false, true] {
            for way in 0..4 {
                let timer = Timer::new(HOUR);
                if stopped {
                    timer.stop();
                }
                let rx = timer.receiver().clone();
                let begin = Instant::now();
                let waiter = tasks.spawn(move || match way {
                    0 => rx.recv().is_ok(),
                    1 => rx.recv_timeout(LONG).is_ok(),
                    2 => select! {
                        recv(never::<()>()) -> _ => false,
                        recv(rx) -> due => due.is_ok(),
                    },
                    _ => {
                        let (_tx, other) = bounded::<u8>(0);
                        let mut sel = Select::new();
                        sel.recv(&other);
                        let time = sel.recv(&rx);
                        sel.ready() == time && rx.try_recv().is_ok()
                    }
                });
                marmot::yield_now();
                if way % 2 == 0 {
                    marmot::sleep(Duration::from_millis(1));
                }
                timer.reset(Duration::from_micros(100));
                assert!(waiter.join());
                assert!(begin.elapsed() < LONG);
            }
        }
    });
}

/// Who waits for a near time waits on if it is moved or stopped.
#[test]
fn a_reset_or_stop_delays_who_waits() {
    everywhere(|tasks| {
        let timer = Timer::new(2 * SHORT);
        let rx = timer.receiver().clone();
        let waiter = tasks.spawn(move || (rx.recv().unwrap(), Instant::now()));
        let moved = Instant::now();
        if timer.reset(6 * SHORT) {
            let (due, received) = waiter.join();
            assert!(due >= moved + 6 * SHORT && received >= due);
        } // else the machine was slow, and it was received before
        let timer = Timer::new(SHORT);
        let rx = timer.receiver().clone();
        let (done, is_done) = bounded(1);
        let waiter = tasks.spawn(move || {
            rx.recv().unwrap();
            done.send(()).unwrap();
        });
        if timer.stop() {
            assert!(is_done.recv_timeout(3 * SHORT).is_err());
            timer.reset(Duration::ZERO);
        }
        waiter.join();
    });
}

/// However stop, reset and receives race: what stop did not stop was received, once.
#[test]
fn races_lose_and_double_nothing() {
    everywhere(|tasks| {
        for round in 0..100_u32 {
            let timer = Timer::new(Duration::from_micros(u64::from(round) * 2 % 60));
            let stopped = Arc::new(AtomicBool::new(false));
            let receivers: Vec<_> = (0..3)
                .map(|n| {
                    let (rx, stopped) = (timer.receiver().clone(), stopped.clone());
                    tasks.spawn(move || {
                        let patience = Duration::from_micros(40 * n);
                        let got = rx.recv_timeout(patience).is_ok();
                        if stopped.load(Ordering::SeqCst) {
                            assert!(rx.try_recv().is_err(), "a stale time");
                        }
                        usize::from(got)
                    })
                })
                .collect();
            marmot::sleep(Duration::from_micros(u64::from(round) % 50));
            let was_pending = timer.stop();
            stopped.store(true, Ordering::SeqCst);
            assert!(timer.receiver().try_recv().is_err(), "a stale time");
            let received: usize = receivers.into_iter().map(tasks::Task::join).sum();
            assert_eq!(received + usize::from(was_pending), 1);
        }
    });
}

/// After a reset no time from before it is received, though many receive all the while.
#[test]
fn resets_leave_nothing_stale() {
    everywhere(|tasks| {
        let timer = Timer::new(HOUR);
        let end = Arc::new(AtomicBool::new(false));
        let (tx, times) = unbounded();
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let (rx, end, tx) = (timer.receiver().clone(), end.clone(), tx.clone());
                tasks.spawn(move || {
                    while !end.load(Ordering::SeqCst) {
                        if let Ok(due) = rx.recv_timeout(Duration::from_millis(1)) {
                            tx.send(due).unwrap();
                        }
                    }
                })
            })
            .collect();
        drop(tx);
        let mut pending = 0;
        for n in 0..200 {
            pending += usize::from(!timer.reset(Duration::from_micros(n % 20)));
            marmot::sleep(Duration::from_micros(n % 30));
        }
        let last = usize::from(!timer.stop());
        end.store(true, Ordering::SeqCst);
        receivers.into_iter().for_each(tasks::Task::join);
        let times: Vec<_> = times.iter().collect();
        // Each time that was set was received, or the next call found it pending.
        assert_eq!(times.len(), pending + last);
    });
}

#[test]
fn a_function_is_called_in_a_task_of_its_own() {
    everywhere(|_| {
        let (tx, rx) = unbounded();
        let begin = Instant::now();
        let timer = Timer::after_func(SHORT, move || tx.send(Instant::now()).unwrap());
        assert!(timer.receiver().try_recv().is_err());
        assert!(rx.recv().unwrap() >= begin + SHORT);
        assert!(!timer.stop(), "it has been called");
        for _ in 0..3 {
            assert!(!timer.reset(Duration::ZERO));
            rx.recv().unwrap();
        }
        assert!(!timer.reset(HOUR));
        assert!(timer.reset(Duration::from_micros(10)));
        rx.recv().unwrap();
        timer.reset(HOUR);
        assert!(timer.stop());
        drop(timer);
        assert!(rx.recv().is_err(), "the function is gone with its task");
    });
}

#[test]
fn a_dropped_timer_still_fires() {
    everywhere(|_| {
        let rx = Timer::new(SHORT).receiver().clone();
        assert!(rx.recv().is_ok());
        let (tx, rx) = bounded(1);
        drop(Timer::after_func(SHORT, move || tx.send(()).unwrap()));
        assert!(rx.recv().is_ok());
        assert!(rx.recv().is_err(), "once");
    });
}

#[test]
fn calls_do_not_overlap() {
    everywhere(|_| {
        let (inside, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let timer = Timer::after_func(Duration::ZERO, {
            let (inside, calls) = (inside.clone(), calls.clone());
            move || {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                marmot::sleep(Duration::from_micros(300));
                inside.fetch_sub(1, Ordering::SeqCst);
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        for n in 1..=5 {
            until(|| calls.load(Ordering::SeqCst) >= n);
            timer.reset(Duration::ZERO);
            timer.reset(Duration::ZERO);
        }
        until(|| calls.load(Ordering::SeqCst) >= 6 && inside.load(Ordering::SeqCst) == 0);
    });
}

#[test]
fn a_panic_ends_the_timer() {
    everywhere(|_| {
        let (tx, rx) = bounded::<()>(1);
        let timer = Timer::after_func(Duration::ZERO, move || {
            let _tx = &tx;
            std::panic::resume_unwind(Box::new("deliberate"));
        });
        assert!(rx.recv().is_err(), "the task has ended");
        until(|| !timer.reset(Duration::ZERO) && !timer.stop());
    });
}

#[test]
fn no_goroutine_is_left() {
    let rt = runtime(2);
    rt.run(|| {
        let before = marmot::num_goroutines();
        for n in 0..100 {
            let timer = Timer::after_func(HOUR, || ());
            match n % 3 {
                0 => drop(timer.stop()),
                1 => drop(timer.reset(Duration::ZERO)),
                _ => drop(timer.stop() && timer.reset(Duration::ZERO)),
            }
        }
        until(|| marmot::num_goroutines() == before);
    });
}
