//! Connections do what std's do, on threads and on goroutines.

mod common;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use common::{everywhere, pair, spawn, within_a_minute};
use marmot_netpoll::{TcpListener, TcpStream};

#[test]
fn a_message_and_its_echo() {
    within_a_minute(|| {
        everywhere(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let server = spawn(move || {
                let (mut stream, peer) = listener.accept().unwrap();
                assert_eq!(stream.peer_addr().unwrap(), peer);
                let mut buf = [0; 64];
                loop {
                    match stream.read(&mut buf).unwrap() {
                        0 => return,
                        n => stream.write_all(&buf[..n]).unwrap(),
                    }
                }
            });
            let mut client = TcpStream::connect(addr).unwrap();
            for i in 0..200u32 {
                let message = i.to_be_bytes();
                client.write_all(&message).unwrap();
                let mut echo = [0; 4];
                client.read_exact(&mut echo).unwrap();
                assert_eq!(echo, message);
            }
            drop(client);
            server.join();
        });
    });
}

#[test]
fn both_directions_at_once_through_one_object() {
    const LEN: usize = 4 << 20;
    fn pattern(seed: usize) -> impl Iterator<Item = u8> {
        (0..LEN).map(move |i| (i * 31 + i / 251 + seed) as u8)
    }
    fn exchange(stream: TcpStream, mine: usize, theirs: usize) {
        let stream = std::sync::Arc::new(stream);
        let writer = stream.clone();
        let writing = spawn(move || {
            let data: Vec<u8> = pattern(mine).collect();
            (&*writer).write_all(&data).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut data = Vec::new();
        (&*stream).read_to_end(&mut data).unwrap();
        assert!(data.iter().copied().eq(pattern(theirs)));
        writing.join();
    }
    within_a_minute(|| {
        everywhere(|| {
            let (a, b) = pair();
            let other = spawn(move || exchange(b, 2, 1));
            exchange(a, 1, 2);
            other.join();
        });
    });
}

#[test]
fn vectored_and_peeked() {
    everywhere(|| {
        let (mut a, mut b) = pair();
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(a.write_vectored(&parts).unwrap(), 5);
        a.flush().unwrap();
        let mut buf = [0; 8];
        assert_eq!(b.peek(&mut buf).unwrap(), 5);
        let (mut x, mut y) = ([0; 3], [0; 8]);
        let mut parts = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)];
        assert_eq!(b.read_vectored(&mut parts).unwrap(), 5);
        assert_eq!((&x, &y[..2]), (b"abc", &b"de"[..]));
    });
}

#[test]
fn shutdown_ends_a_read_that_waits() {
    within_a_minute(|| {
        everywhere(|| {
            let (a, _b) = pair();
            let mut reader = a.try_clone().unwrap();
            let reading = spawn(move || reader.read(&mut [0; 8]).unwrap());
            a.shutdown(Shutdown::Both).unwrap();
            assert_eq!(reading.join(), 0);
        });
    });
}

#[test]
fn the_end_of_the_peer_ends_reads_and_writes() {
    within_a_minute(|| {
        everywhere(|| {
            let (mut a, b) = pair();
            let mut reader = a.try_clone().unwrap();
            let reading = spawn(move || reader.read(&mut [0; 8]));
            let writing = spawn(move || {
                let block = vec![0; 1 << 16];
                loop {
                    if let Err(error) = a.write_all(&block) {
                        return error.kind();
                    }
                }
            });
            // Something unread at the close makes it a reset.
            b.peek(&mut [0; 1]).unwrap();
            drop(b);
            let kind = writing.join();
            assert!(
                matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                "{kind:?}"
            );
            if let Err(error) = reading.join() {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        });
    });
}

#[test]
fn nonblocking_mode_is_common_to_clones() {
    everywhere(|| {
        let (a, mut b) = pair();
        let mut clone = a.try_clone().unwrap();
        a.set_nonblocking(true).unwrap();
        let error = clone.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        a.set_nonblocking(false).unwrap();
        b.write_all(b"x").unwrap();
        assert_eq!(clone.read(&mut [0; 8]).unwrap(), 1);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let error = listener.accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn options() {
    let (a, _b) = pair();
    a.set_nodelay(true).unwrap();
    assert!(a.nodelay().unwrap());
    a.set_ttl(77).unwrap();
    assert_eq!(a.ttl().unwrap(), 77);
    assert!(a.take_error().unwrap().is_none());
    let text = format!("{a:?}");
    assert!(text.starts_with("TcpStream { addr: 127.0.0.1:"), "{text}");
    assert!(text.contains("peer: 127.0.0.1:"), "{text}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_ttl(78).unwrap();
    assert_eq!(listener.ttl().unwrap(), 78);
    assert!(listener.take_error().unwrap().is_none());
    let text = format!("{listener:?}");
    assert!(text.starts_with("TcpListener { addr: 127.0.0.1:"), "{text}");
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: F_GETFL has no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

#[test]
fn what_leaves_is_blocking_again() {
    everywhere(|| {
        let (a, mut b) = pair();
        assert!(is_nonblocking(&a));
        let timeout = Some(Duration::from_secs(3));
        a.set_read_timeout(timeout).unwrap();
        let fd = a.as_raw_fd();
        let mut a = std::net::TcpStream::from(a);
        assert_eq!(
            a.as_raw_fd(),
            fd,
            "without clones it is the same descriptor"
        );
        assert!(!is_nonblocking(&a));
        assert_eq!(a.read_timeout().unwrap(), timeout);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);

        let a = TcpStream::from(a);
        assert!(is_nonblocking(&a));
        assert_eq!(a.read_timeout().unwrap(), timeout);
        a.set_nonblocking(true).unwrap();
        let a = std::net::TcpStream::from(a);
        assert!(is_nonblocking(&a), "the user's own mode is kept");
        let a = TcpStream::from(OwnedFd::from(a));
        // SAFETY: the descriptor was just given away, and is taken back.
        let mut a = unsafe { TcpStream::from_raw_fd(a.into_raw_fd()) };
        let error = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_clone_stays_usable_when_the_other_leaves() {
    within_a_minute(|| {
        everywhere(|| {
            let (a, mut b) = pair();
            let mut clone = a.try_clone().unwrap();
            let mut left = std::net::TcpStream::from(a);
            assert_ne!(left.as_raw_fd(), clone.as_raw_fd());
            assert!(!is_nonblocking(&left));
            let reading = spawn(move || {
                let mut buf = [0; 1];
                clone.read_exact(&mut buf).unwrap();
                buf[0]
            });
            b.write_all(b"x").unwrap();
            assert_eq!(reading.join(), b'x');
            b.write_all(b"y").unwrap();
            assert_eq!(left.read(&mut [0; 8]).unwrap(), 1);
        });
    });
}

#[test]
fn a_clone_of_a_listener_that_has_left_still_parks() {
    within_a_minute(|| {
        everywhere(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let clone = listener.try_clone().unwrap();
            let left = std::net::TcpListener::from(listener);
            assert!(!is_nonblocking(&left));
            // Were it to block its thread, with one processor nobody would connect.
            let accepting = spawn(move || clone.accept().unwrap().1);
            marmot_scheduler::goroutine::yield_now();
            let client = TcpStream::connect(addr).unwrap();
            assert_eq!(accepting.join(), client.local_addr().unwrap());
        });
    });
}

#[test]
fn std_types_come_in() {
    everywhere(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::from(listener);
        let client = spawn(move || TcpStream::from(std::net::TcpStream::connect(addr).unwrap()));
        let (mut server, _) = listener.accept().unwrap();
        let mut client = client.join();
        client.write_all(b"x").unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        let listener = std::net::TcpListener::from(listener);
        assert!(!is_nonblocking(&listener));
    });
}

#[test]
fn into_incoming_owns_its_listener() {
    everywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || listener.into_incoming().take(3).map(Result::unwrap).count());
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
        assert_eq!(server.join(), clients.len());
    });
}

#[test]
fn traits() {
    fn all<T: Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    all::<TcpStream>();
    all::<TcpListener>();
}

#[test]
fn urgent_data_does_not_hold_up_what_follows() {
    // A read stops at the urgent mark, though more has arrived: no proof that all was taken.
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..50 {
                let (mut a, mut b) = pair();
                b.set_nodelay(true).unwrap();
                let reading = spawn(move || {
                    let mut all = Vec::new();
                    let mut buf = [0; 64];
                    while all.len() < 10 {
                        let n = a.read(&mut buf).unwrap();
                        all.extend_from_slice(&buf[..n]);
                    }
                    all
                });
                b.write_all(b"before").unwrap();
                let n = socket2::SockRef::from(&b).send_out_of_band(b"!").unwrap();
                assert_eq!(n, 1);
                b.write_all(b"after").unwrap();
                assert!(reading.join().starts_with(b"before"));
            }
        });
    });
}

#[test]
fn the_end_may_come_with_the_last_data() {
    within_a_minute(|| {
        everywhere(|| {
            for i in 0..200 {
                let (mut a, mut b) = pair();
                let reading = spawn(move || {
                    let mut text = String::new();
                    a.read_to_string(&mut text).unwrap();
                    text
                });
                b.write_all(b"the ").unwrap();
                if i % 2 == 0 {
                    marmot_scheduler::goroutine::yield_now();
                }
                b.write_all(b"end").unwrap();
                drop(b);
                assert_eq!(reading.join(), "the end");
            }
        });
    });
}
