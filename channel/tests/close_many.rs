//! A channel that 100,000 goroutines select on is closed: all of them learn it, and nobody else is held
//! up for as long as that takes. Prints how long it took, and how long others had to wait.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{LONG, scheduler, until};
use marmot_channel::{Receiver, RecvError, TryRecvError, bounded, select};
use marmot_scheduler::go;
use marmot_scheduler::goroutine::yield_now;

const COUNT: usize = 100_000;

/// Does `step` again and again until `end`; how long the longest took, and how many there were.
fn longest(end: &AtomicBool, step: impl Fn()) -> (Duration, usize) {
    let (mut longest, mut steps) = (Duration::ZERO, 0);
    while !end.load(Ordering::Relaxed) {
        let begin = Instant::now();
        step();
        longest = longest.max(begin.elapsed());
        steps += 1;
    }
    (longest, steps)
}

/// Tries to receive from the channel that is closed; nobody ever sends.
fn look(rx: &Receiver<u8>) {
    assert!(matches!(
        rx.try_recv(),
        Err(TryRecvError::Empty | TryRecvError::Disconnected)
    ));
}

#[test]
fn closing_holds_nobody_up() {
    for max_procs in [1, 2, 4] {
        let scheduler = scheduler(max_procs);
        scheduler.handle().run(|| {
            let (tx, rx) = bounded::<u8>(1);
            // All of them stand in this line as well, and have to leave it.
            let (_other_tx, other) = bounded::<u8>(1);
            let waiting = Arc::new(AtomicUsize::new(0));
            let (done, all_done) = bounded::<()>(0);
            for _ in 0..COUNT {
                let (rx, other, waiting) = (rx.clone(), other.clone(), waiting.clone());
                let done = done.clone();
                go(move || {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    select! {
                        recv(rx) -> got => assert_eq!(got, Err(RecvError)),
                        recv(other) -> _ => unreachable!(),
                    }
                    drop(done);
                });
            }
            drop(done);
            until(|| waiting.load(Ordering::Relaxed) == COUNT);
            let end = Arc::new(AtomicBool::new(false));
            // One on the same channel and one that has nothing to do with it, and a thread.
            let same = {
                let (rx, end) = (rx.clone(), end.clone());
                go(move || {
                    longest(&end, || {
                        look(&rx);
                        yield_now();
                    })
                })
            };
            let elsewhere = {
                let end = end.clone();
                go(move || longest(&end, yield_now))
            };
            let thread = {
                let (rx, end) = (rx.clone(), end.clone());
                std::thread::spawn(move || longest(&end, || look(&rx)))
            };
            let begin = Instant::now();
            assert!(tx.close());
            let closed = begin.elapsed();
            assert!(
                all_done
                    .recv_timeout(LONG)
                    .is_err_and(|e| e.is_disconnected())
            );
            let woken = begin.elapsed();
            end.store(true, Ordering::Relaxed);
            let (same, elsewhere) = (same.join().unwrap(), elsewhere.join().unwrap());
            let thread = thread.join().unwrap();
            println!(
                "P={max_procs}: closed in {closed:?}, all {COUNT} have left after {woken:?}; the \
                 longest of so many steps: {same:?} on the channel, {elsewhere:?} elsewhere, \
                 {thread:?} on a thread"
            );
        });
    }
}
