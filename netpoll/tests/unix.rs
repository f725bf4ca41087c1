//! Unix sockets, in what is theirs alone; the rest is in `mirror.rs`.

mod common;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{everywhere, spawn, within_a_minute};
use marmot_netpoll::UdpSocket;
use marmot_netpoll::unix::{UnixDatagram, UnixStream};

/// Sends `data` together with a descriptor.
fn send_with_descriptor(stream: &UnixStream, data: &[u8]) {
    let carried = std::fs::File::open("/dev/null").unwrap();
    // Aligned, and large enough for a header and a descriptor.
    let mut control = [0u64; 8];
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut data = [IoSlice::new(data)];
    message.msg_iov = data.as_mut_ptr().cast();
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: a computation.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
    // SAFETY: the header was set up above, with room for one entry.
    let entry = unsafe { libc::CMSG_FIRSTHDR(&message) };
    let header = libc::cmsghdr {
        // SAFETY: a computation.
        cmsg_len: unsafe { libc::CMSG_LEN(4) } as usize,
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_RIGHTS,
    };
    // SAFETY: the entry lies in `control`, which is aligned for it.
    unsafe { entry.write(header) };
    // SAFETY: the entry has room for four bytes.
    let place = unsafe { libc::CMSG_DATA(entry) };
    // SAFETY: as above; the alignment is not relied on.
    unsafe { place.cast::<i32>().write_unaligned(carried.as_raw_fd()) };
    // SAFETY: all that the header names is valid for the call.
    let n = unsafe { libc::sendmsg(stream.as_raw_fd(), &message, 0) };
    assert!(n > 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_read_that_stops_at_a_descriptor_does_not_hold_up_what_follows() {
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..20 {
                let (mut a, b) = UnixStream::pair().unwrap();
                let reading = spawn(move || {
                    let mut all = Vec::new();
                    let mut buf = [0; 64];
                    while all.len() < 12 {
                        let n = a.read(&mut buf).unwrap();
                        all.extend_from_slice(&buf[..n]);
                    }
                    all
                });
                (&b).write_all(b"one").unwrap();
                send_with_descriptor(&b, b"two");
                (&b).write_all(b"three").unwrap();
                (&b).write_all(b"!").unwrap();
                assert_eq!(reading.join(), b"onetwothree!");
            }
        });
    });
}

#[test]
fn a_stream_in_both_directions_at_once() {
    const LEN: usize = 1 << 20;
    within_a_minute(|| {
        everywhere(|| {
            let (a, b) = UnixStream::pair().unwrap();
            let exchange = |stream: UnixStream| {
                let writer = stream.try_clone().unwrap();
                let writing = spawn(move || {
                    (&writer).write_all(&vec![7; LEN]).unwrap();
                    writer.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut all = Vec::new();
                (&stream).read_to_end(&mut all).unwrap();
                writing.join();
                all.len()
            };
            let other = spawn(move || exchange(b));
            assert_eq!(exchange(a), LEN);
            assert_eq!(other.join(), LEN);
        });
    });
}

#[test]
fn short_messages_back_and_forth() {
    within_a_minute(|| {
        everywhere(|| {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            let echo = spawn(move || {
                let mut buf = [0; 64];
                loop {
                    match b.read(&mut buf).unwrap() {
                        0 => return,
                        n => b.write_all(&buf[..n]).unwrap(),
                    }
                }
            });
            for i in 0..500u32 {
                a.write_all(&i.to_be_bytes()).unwrap();
                let mut answer = [0; 4];
                a.read_exact(&mut answer).unwrap();
                assert_eq!(u32::from_be_bytes(answer), i);
            }
            drop(a);
            echo.join();
        });
    });
}

#[test]
fn deadlines_are_moved_from_elsewhere() {
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..20 {
                let (a, _b) = UnixStream::pair().unwrap();
                let (c, _d) = UnixDatagram::pair().unwrap();
                let u = UdpSocket::bind("127.0.0.1:0").unwrap();
                let (x, y, z) = (
                    a.try_clone().unwrap(),
                    c.try_clone().unwrap(),
                    u.try_clone().unwrap(),
                );
                let tasks = [
                    spawn(move || (&x).read(&mut [0; 8]).unwrap_err().kind()),
                    spawn(move || y.recv(&mut [0; 8]).unwrap_err().kind()),
                    spawn(move || z.recv_from(&mut [0; 8]).unwrap_err().kind()),
                ];
                // Far away first.
                let far = Some(Instant::now() + Duration::from_secs(3600));
                a.set_deadline(far).unwrap();
                c.set_read_deadline(far).unwrap();
                u.set_deadline(far).unwrap();
                spawn(|| ()).join();
                let now = Some(Instant::now());
                a.set_read_deadline(now).unwrap();
                c.set_deadline(now).unwrap();
                u.set_read_deadline(now).unwrap();
                for task in tasks {
                    assert_eq!(task.join(), ErrorKind::TimedOut);
                }
                // Also when data waits, and not any more when it is taken back.
                u.send_to(b"x", u.local_addr().unwrap()).unwrap();
                assert_eq!(u.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
                u.set_deadline(None).unwrap();
                assert_eq!(u.recv(&mut [0; 8]).unwrap(), 1);
                u.set_write_deadline(now).unwrap();
                let error = u.send_to(b"x", u.local_addr().unwrap()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
        });
    });
}

#[test]
fn shutting_a_datagram_socket_ends_its_wait() {
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..20 {
                let (a, b) = UnixDatagram::pair().unwrap();
                let clone = a.try_clone().unwrap();
                let receiving = spawn(move || {
                    // Twice: the end stays, and is found without an event.
                    let first = clone.recv(&mut [0; 8]).unwrap();
                    let (second, from) = clone.recv_from(&mut [0; 8]).unwrap();
                    assert!(from.is_unnamed());
                    first + second
                });
                spawn(|| ()).join();
                a.shutdown(std::net::Shutdown::Read).unwrap();
                assert_eq!(receiving.join(), 0);
                assert!(b.send(b"x").is_err());
                a.set_nonblocking(true).unwrap();
                let error = a.recv(&mut [0; 8]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "as std's");
            }
        });
    });
}

#[test]
fn what_leaves_is_blocking_again() {
    fn is_nonblocking(fd: &impl AsRawFd) -> bool {
        // SAFETY: F_GETFL has no argument.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
    }
    everywhere(|| {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(is_nonblocking(&a));
        let timeout = Some(Duration::from_secs(3));
        a.set_read_timeout(timeout).unwrap();
        let a = std::os::unix::net::UnixStream::from(a);
        assert!(!is_nonblocking(&a));
        assert_eq!(a.read_timeout().unwrap(), timeout);
        let a = UnixStream::from(a);
        assert!(is_nonblocking(&a));
        assert_eq!(a.read_timeout().unwrap(), timeout);
        a.set_nonblocking(true).unwrap();
        assert!(is_nonblocking(&OwnedFd::from(a)), "the user's own mode");
        drop(b);
        let (c, _d) = UnixDatagram::pair().unwrap();
        let c = std::os::unix::net::UnixDatagram::from(c);
        assert!(!is_nonblocking(&c));
        let u = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clone = u.try_clone().unwrap();
        let u = std::net::UdpSocket::from(u);
        assert_ne!(u.as_raw_fd(), clone.as_raw_fd());
        assert!(!is_nonblocking(&u));
        // The clone still waits in its own way.
        let to = u.local_addr().unwrap();
        let receiving = spawn(move || clone.recv(&mut [0; 8]).unwrap());
        spawn(|| ()).join();
        u.send_to(b"xyz", to).unwrap();
        assert_eq!(receiving.join(), 3);
    });
}
