//! The poller as the scheduler uses it.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{pair, runtime, until_someone_waits, within_a_minute};
use marmot_netpoll::{Poller, TcpListener, TcpStream};
use marmot_scheduler::event::{EventSource, ReadyList, Wait};

#[test]
fn an_interrupt_is_never_lost() {
    within_a_minute(|| {
        let poller = Arc::new(Poller::new().unwrap());
        let mut ready = ReadyList::new();
        poller.interrupt();
        poller.interrupt();
        // Polls that do not wait leave it to the one that does.
        poller.poll(Wait::Now, &mut ready).unwrap();
        poller.poll(Wait::Now, &mut ready).unwrap();
        poller.poll(Wait::Forever, &mut ready).unwrap();
        // And many, from another thread, one for each wait.
        let (ask, asked) = std::sync::mpsc::channel();
        let other = {
            let poller = poller.clone();
            std::thread::spawn(move || {
                for () in asked {
                    poller.interrupt();
                }
            })
        };
        for _ in 0..5000 {
            ask.send(()).unwrap();
            poller.poll(Wait::Now, &mut ready).unwrap();
            poller.poll(Wait::Forever, &mut ready).unwrap();
        }
        drop(ask);
        other.join().unwrap();
    });
}

#[test]
fn one_interrupt_ends_one_wait() {
    let poller = Poller::new().unwrap();
    let mut ready = ReadyList::new();
    poller.interrupt();
    poller.poll(Wait::Forever, &mut ready).unwrap();
    let at = Instant::now() + Duration::from_millis(5);
    poller.poll(Wait::Until(at), &mut ready).unwrap();
    // The waker's event may still have been on its way, but not twice.
    poller.poll(Wait::Until(at), &mut ready).unwrap();
    assert!(Instant::now() >= at);
}

#[test]
fn a_poll_that_does_not_wait_is_not_held_up_by_one_that_does() {
    within_a_minute(|| {
        let poller = Arc::new(Poller::new().unwrap());
        let waiting = {
            let poller = poller.clone();
            std::thread::spawn(move || poller.poll(Wait::Forever, &mut ReadyList::new()).unwrap())
        };
        for _ in 0..10_000 {
            poller.poll(Wait::Now, &mut ReadyList::new()).unwrap();
        }
        poller.interrupt();
        waiting.join().unwrap();
    });
}

/// Run with `--nocapture` for the figures.
#[test]
fn timed_polls_end_in_time() {
    let poller = Poller::new().unwrap();
    let mut late: Vec<Duration> = (0..400)
        .map(|_| {
            let at = Instant::now() + Duration::from_millis(1);
            poller.poll(Wait::Until(at), &mut ReadyList::new()).unwrap();
            let now = Instant::now();
            assert!(now >= at, "too early");
            now - at
        })
        .collect();
    late.sort();
    let (median, p99) = (late[late.len() / 2], late[late.len() * 99 / 100]);
    println!("lateness of a poll of 1 ms: median {median:?}, p99 {p99:?}");
    // Under test the machine is busy; idle, the median is a tenth of this.
    assert!(median < Duration::from_millis(1), "{median:?}");
}

#[test]
fn a_timer_of_an_earlier_wait_does_not_end_a_later_one() {
    within_a_minute(|| {
        let poller = Arc::new(Poller::new().unwrap());
        let mut ready = ReadyList::new();
        let soon = Instant::now() + Duration::from_millis(20);
        poller.interrupt();
        poller.poll(Wait::Until(soon), &mut ready).unwrap();
        let later = soon + Duration::from_millis(20);
        while Instant::now() < later {
            poller.poll(Wait::Until(later), &mut ready).unwrap();
        }
        poller.interrupt();
        poller.poll(Wait::Forever, &mut ready).unwrap();
    });
}

#[test]
fn events_of_a_closed_descriptor_reach_nobody() {
    // Descriptors are closed and opened while their events are on the way. The numbers, and the
    // records, are used again at once; each connection must see its own bytes and no error.
    within_a_minute(|| {
        let (scheduler, poller) = runtime(2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        scheduler.handle().scope(|s| {
            s.spawn(|| {
                for stream in listener.incoming().take(2000) {
                    let mut stream = stream.unwrap();
                    marmot_scheduler::go(move || {
                        let mut buf = [0; 8];
                        // The client may be gone already, with its bytes unread.
                        while let Ok(n @ 1..) = stream.read(&mut buf) {
                            if stream.write_all(&buf[..n]).is_err() {
                                break;
                            }
                        }
                    });
                }
            });
            for task in 0..4u8 {
                s.spawn(move || {
                    for i in 0..500 {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        stream.write_all(&[task]).unwrap();
                        if i % 3 != 0 {
                            let mut byte = [0; 1];
                            stream.read_exact(&mut byte).unwrap();
                            assert_eq!(byte[0], task);
                        }
                    }
                });
            }
        });
        drop(scheduler);
        drop(poller);
    });
}

#[test]
fn waiters_are_counted() {
    within_a_minute(|| {
        let (scheduler, poller) = runtime(1);
        assert!(!poller.has_waiters());
        let (mut a, mut b) = pair();
        let reading = scheduler.handle().go(move || a.read(&mut [0; 8]).unwrap());
        until_someone_waits(&poller);
        b.write_all(b"x").unwrap();
        assert_eq!(reading.join().unwrap(), 1);
        assert!(!poller.has_waiters());
    });
}
