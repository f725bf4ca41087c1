//! Several shards do what one does.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{pair, within_a_minute};
use marmot_netpoll::{Poller, TcpListener, TcpStream};
use marmot_scheduler::event::{EventSource, ReadyList, Wait};
use marmot_scheduler::{Config, Scheduler, go};

fn sharded(shards: usize) -> Arc<Poller> {
    Arc::new(Poller::with_shards(NonZeroUsize::new(shards).unwrap()).unwrap())
}

/// Runs the body on goroutines, with several numbers of shards and of processors.
fn everywhere(body: impl Fn() + Send + Sync) {
    for shards in [2, 3, 16] {
        for procs in [1, 2, 4] {
            let poller = sharded(shards);
            let config = Config::from_env().unwrap().max_procs(procs).unwrap();
            // SAFETY: the tests touch no thread-local on both sides of a wait.
            let scheduler = unsafe { Scheduler::start_migrating(config, poller.clone()) }.unwrap();
            scheduler.handle().run(&body);
            assert!(!poller.has_waiters(), "all waits have ended");
        }
    }
}

#[test]
fn connections_of_all_shards_are_served() {
    const CLIENTS: usize = 40;
    const EACH: usize = 50;
    within_a_minute(|| {
        everywhere(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let server = go(move || {
                let serving: Vec<_> = listener
                    .incoming()
                    .take(CLIENTS)
                    .map(|stream| {
                        let mut stream = stream.unwrap();
                        go(move || {
                            let mut buf = [0; 64];
                            while let n @ 1.. = stream.read(&mut buf).unwrap() {
                                stream.write_all(&buf[..n]).unwrap();
                            }
                        })
                    })
                    .collect();
                for task in serving {
                    task.join().unwrap();
                }
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    go(move || {
                        let mut stream = TcpStream::connect(addr).unwrap();
                        for i in 0..EACH {
                            let message = i.to_be_bytes();
                            stream.write_all(&message).unwrap();
                            let mut echo = [0; 8];
                            stream.read_exact(&mut echo).unwrap();
                            assert_eq!(echo, message);
                        }
                    })
                })
                .collect();
            for client in clients {
                client.join().unwrap();
            }
            server.join().unwrap();
        });
    });
}

#[test]
fn limits_end_waits() {
    within_a_minute(|| {
        everywhere(|| {
            let (mut a, _b) = pair();
            a.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
            let error = a.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            a.set_read_timeout(None).unwrap();
            let mut clone = a.try_clone().unwrap();
            let reading = go(move || clone.read(&mut [0; 8]).unwrap_err().kind());
            marmot_scheduler::goroutine::yield_now();
            a.set_deadline(Some(Instant::now())).unwrap();
            assert_eq!(reading.join().unwrap(), ErrorKind::TimedOut);
        });
    });
}

#[test]
fn an_interrupt_is_never_lost() {
    within_a_minute(|| {
        let poller = sharded(2);
        let mut ready = ReadyList::new();
        poller.interrupt();
        poller.interrupt();
        poller.poll(Wait::Now, &mut ready).unwrap();
        poller.poll(Wait::Forever, &mut ready).unwrap();
        let at = Instant::now() + Duration::from_millis(5);
        poller.poll(Wait::Until(at), &mut ready).unwrap();
        assert!(Instant::now() >= at, "one interrupt ends one wait");
        // One for each wait, while others poll without waiting.
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy = {
            let (poller, done) = (poller.clone(), done.clone());
            std::thread::spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    poller.poll(Wait::Now, &mut ReadyList::new()).unwrap();
                }
            })
        };
        let (ask, asked) = std::sync::mpsc::channel();
        let other = {
            let poller = poller.clone();
            std::thread::spawn(move || asked.into_iter().for_each(|()| poller.interrupt()))
        };
        for _ in 0..5000 {
            ask.send(()).unwrap();
            poller.poll(Wait::Forever, &mut ready).unwrap();
        }
        drop(ask);
        other.join().unwrap();
        done.store(true, std::sync::atomic::Ordering::Release);
        busy.join().unwrap();
    });
}

#[test]
fn timed_polls_end_in_time() {
    let poller = sharded(2);
    let mut late: Vec<Duration> = (0..200)
        .map(|_| {
            let at = Instant::now() + Duration::from_millis(1);
            poller.poll(Wait::Until(at), &mut ReadyList::new()).unwrap();
            let now = Instant::now();
            assert!(now >= at, "too early");
            now - at
        })
        .collect();
    late.sort();
    let median = late[late.len() / 2];
    println!("lateness of a poll of 1 ms: median {median:?}");
    assert!(median < Duration::from_millis(1), "{median:?}");
}
