//! Futures and tasks wait for one descriptor, and each gets its own.

mod common;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use common::{everywhere, spawn, within_a_minute};
use marmot_netpoll::Pollable;
use marmot_scheduler::goroutine;

/// The simplest executor: parks the goroutine or thread until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(goroutine::Goroutine);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(goroutine::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => goroutine::park(),
        }
    }
}

fn pair() -> (Pollable<UnixStream>, Pollable<UnixStream>) {
    let (a, b) = UnixStream::pair().unwrap();
    (Pollable::new(a).unwrap(), Pollable::new(b).unwrap())
}

#[test]
fn bytes_go_through() {
    const LEN: usize = 1 << 20;
    within_a_minute(|| {
        everywhere(|| {
            let (a, b) = pair();
            let writing = spawn(move || {
                let data = vec![7; LEN];
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let n = block_on(b.write_async(|mut s| s.write(rest))).unwrap();
                    rest = &rest[n..];
                }
            });
            let (mut sum, mut buf) = (0, vec![0; 4096]);
            loop {
                match block_on(a.read_async(|mut s| s.read(&mut buf))).unwrap() {
                    0 => break,
                    n => sum += n,
                }
            }
            writing.join();
            assert_eq!(sum, LEN);
        });
    });
}

#[test]
fn tasks_and_futures_share_a_descriptor() {
    const TASKS: usize = 6;
    const EACH: usize = 200;
    within_a_minute(|| {
        everywhere(|| {
            let (a, b) = pair();
            let a = Arc::new(a);
            let reading: Vec<_> = (0..TASKS)
                .map(|task| {
                    let a = a.clone();
                    spawn(move || {
                        for i in 0..EACH {
                            let mut byte = [0; 1];
                            let n = match (task + i) % 2 {
                                0 => a.read_with(|mut s| s.read(&mut byte)),
                                _ => block_on(a.read_async(|mut s| s.read(&mut byte))),
                            };
                            assert_eq!(n.unwrap(), 1);
                        }
                    })
                })
                .collect();
            for chunk in vec![0; TASKS * EACH].chunks(7) {
                let n = b.write_with(|mut s| s.write(chunk)).unwrap();
                assert_eq!(n, chunk.len());
            }
            reading.into_iter().for_each(|task| task.join());
        });
    });
}

#[test]
fn those_who_are_dropped_take_nothing_along() {
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..100 {
                let (a, b) = pair();
                let a = Arc::new(a);
                let mut noop = Context::from_waker(Waker::noop());
                let mut bytes = [[0; 1]; 2];
                let [x, y] = &mut bytes;
                let mut first = Box::pin(a.read_async(|mut s| s.read(x)));
                assert!(first.as_mut().poll(&mut noop).is_pending());
                let reader = a.clone();
                let reading = spawn(move || {
                    let mut byte = [0; 1];
                    block_on(reader.read_async(|mut s| s.read(&mut byte))).unwrap()
                });
                b.write_with(|mut s| s.write(b"x")).unwrap();
                // It may have been woken in vain.
                drop(first);
                assert_eq!(reading.join(), 1);
                let mut third = pin!(a.read_async(|mut s| s.read(y)));
                assert!(third.as_mut().poll(&mut noop).is_pending());
                assert!(third.as_mut().poll(&mut noop).is_pending());
            }
        });
    });
}

#[test]
fn a_moved_deadline_wakes() {
    within_a_minute(|| {
        everywhere(|| {
            let (a, _b) = pair();
            let a = Arc::new(a);
            let reader = a.clone();
            let reading = spawn(move || {
                let result = block_on(reader.read_async(|mut s| s.read(&mut [0; 8])));
                result.unwrap_err().kind()
            });
            spawn(|| ()).join();
            a.set_read_deadline(Some(Instant::now()));
            assert_eq!(reading.join(), ErrorKind::TimedOut);
            // In non-blocking mode it does not wait either.
            a.set_read_deadline(None);
            a.set_nonblocking(true);
            let error = block_on(a.read_async(|mut s| s.read(&mut [0; 8]))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        });
    });
}
