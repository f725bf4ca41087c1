//! Many tasks wait for one direction of one descriptor.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{everywhere, pair, runtime, spawn, within_a_minute};
use marmot_netpoll::{TcpListener, TcpStream};
use marmot_scheduler::event::EventSource;

#[test]
fn each_connection_is_accepted_by_one() {
    const TASKS: usize = 16;
    const EACH: usize = 8;
    within_a_minute(|| {
        everywhere(|| {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let addr = listener.local_addr().unwrap();
            let accepting: Vec<_> = (0..TASKS)
                .map(|_| {
                    let listener = listener.clone();
                    spawn(move || {
                        for _ in 0..EACH {
                            let (mut stream, _) = listener.accept().unwrap();
                            stream.write_all(b"!").unwrap();
                        }
                    })
                })
                .collect();
            // All at once, so that one event stands for several connections.
            let open: Vec<_> = (0..TASKS * EACH)
                .map(|_| TcpStream::connect(addr).unwrap())
                .collect();
            for mut stream in open {
                stream.read_exact(&mut [0; 1]).unwrap();
            }
            accepting.into_iter().for_each(|task| task.join());
        });
    });
}

#[test]
fn each_byte_is_read_by_one() {
    const TASKS: usize = 8;
    const EACH: usize = 500;
    within_a_minute(|| {
        everywhere(|| {
            let (a, mut b) = pair();
            let a = Arc::new(a);
            let sum = Arc::new(AtomicUsize::new(0));
            let reading: Vec<_> = (0..TASKS)
                .map(|_| {
                    let (a, sum) = (a.clone(), sum.clone());
                    spawn(move || {
                        for _ in 0..EACH {
                            let mut byte = [0; 1];
                            (&*a).read_exact(&mut byte).unwrap();
                            sum.fetch_add(usize::from(byte[0]), Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            let mut expected = 0;
            let data: Vec<u8> = (0..TASKS * EACH).map(|i| (i % 251) as u8).collect();
            for chunk in data.chunks(13) {
                expected += chunk.iter().copied().map(usize::from).sum::<usize>();
                b.write_all(chunk).unwrap();
            }
            reading.into_iter().for_each(|task| task.join());
            assert_eq!(sum.load(Ordering::Relaxed), expected);
        });
    });
}

#[test]
fn those_who_time_out_take_nothing_along() {
    const TASKS: usize = 8;
    within_a_minute(|| {
        everywhere(|| {
            let (a, mut b) = pair();
            a.set_read_timeout(Some(Duration::from_micros(300)))
                .unwrap();
            let a = Arc::new(a);
            let count = Arc::new(AtomicUsize::new(0));
            let reading: Vec<_> = (0..TASKS)
                .map(|_| {
                    let (a, count) = (a.clone(), count.clone());
                    spawn(move || {
                        loop {
                            match (&*a).read(&mut [0; 1]) {
                                Ok(0) => return,
                                Ok(n) => drop(count.fetch_add(n, Ordering::Relaxed)),
                                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..200 {
                b.write_all(&[0; 7]).unwrap();
                let enough = Instant::now() + Duration::from_micros(200);
                while Instant::now() < enough {
                    std::hint::spin_loop();
                }
            }
            drop(b);
            reading.into_iter().for_each(|task| task.join());
            assert_eq!(count.load(Ordering::Relaxed), 1400);
        });
    });
}

#[test]
fn the_end_of_the_peer_reaches_all() {
    within_a_minute(|| {
        let (scheduler, poller) = runtime(2);
        let (a, b) = pair();
        let a = Arc::new(a);
        let reading: Vec<_> = (0..32)
            .map(|_| {
                let a = a.clone();
                scheduler
                    .handle()
                    .go(move || (&*a).read(&mut [0; 1]).unwrap())
            })
            .collect();
        common::until_someone_waits(&poller);
        drop(b);
        for task in reading {
            assert_eq!(task.join().unwrap(), 0);
        }
        assert!(!poller.has_waiters());
    });
}
