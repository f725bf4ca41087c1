//! The tests that std's socket types and ours have to pass alike.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::net::{TcpListener, TcpStream, UdpSocket};
use super::unix::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};
use super::{Task, everywhere, join, spawn};
use crate::common::within_a_minute;

const SHORT: Duration = Duration::from_millis(5);

fn go<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    spawn(f)
}

/// Runs the body wherever it has to run, with an eye on the clock.
fn check(body: impl Fn() + Send + Sync + 'static) {
    within_a_minute(|| everywhere(body));
}

fn unique() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "marmot-{}-{}-{n}",
        std::process::id(),
        module_path!().replace("::", "-")
    )
}

/// A path where nothing is; what comes to be there is taken away.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        Place(std::env::temp_dir().join(unique()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

fn udp_pair() -> (UdpSocket, UdpSocket) {
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let two = UdpSocket::bind("127.0.0.1:0").unwrap();
    one.connect(two.local_addr().unwrap()).unwrap();
    two.connect(one.local_addr().unwrap()).unwrap();
    (one, two)
}

#[test]
fn tcp_addresses_and_options() {
    check(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_ttl(66).unwrap();
        assert_eq!(listener.ttl().unwrap(), 66);
        assert_eq!(
            listener.set_ttl(1000).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert!(listener.take_error().unwrap().is_none());
        #[allow(deprecated)]
        {
            let six = TcpListener::bind("[::1]:0").unwrap();
            let only = six.only_v6().unwrap();
            assert_eq!(
                six.set_only_v6(!only).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            assert!(listener.only_v6().is_err() || addr.is_ipv6());
        }
        let client = TcpStream::connect(addr).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_ttl(77).unwrap();
        assert_eq!(client.ttl().unwrap(), 77);
        assert!(client.take_error().unwrap().is_none());
        let none: &[SocketAddr] = &[];
        for error in [
            TcpListener::bind(none).unwrap_err(),
            TcpStream::connect(none).unwrap_err(),
            UdpSocket::bind(none).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "could not resolve to any addresses");
        }
        let error = TcpListener::bind(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(TcpStream::connect("no such host.invalid:1").is_err());
    });
}

#[test]
fn tcp_connects() {
    check(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let error = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
        let stream = TcpStream::connect_timeout(&addr, Duration::MAX).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        assert!(listener.incoming().next().unwrap().is_ok());
        drop(listener);
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// The four kinds of read and write of a stream, peeking, and the end.
macro_rules! stream_body {
    ($pair:expr) => {
        check(|| {
            let (mut a, mut b) = $pair;
            let reading = go(move || {
                let mut all = Vec::new();
                b.read_to_end(&mut all).unwrap();
                // Half-closed: the other direction still works.
                b.write_all(b"goodbye").unwrap();
                (all, b)
            });
            let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
            assert_eq!((&a).write_vectored(&parts).unwrap(), 5);
            a.write_all(b"fg").unwrap();
            a.flush().unwrap();
            assert_eq!(a.write(b"").unwrap(), 0);
            a.shutdown(Shutdown::Write).unwrap();
            let (all, b) = join(reading);
            assert_eq!(all, b"abcdefg");
            let error = a.write(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_eq!(a.read(&mut []).unwrap(), 0);
            let (mut x, mut y) = ([0; 4], [0; 8]);
            let mut parts = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)];
            assert_eq!((&a).read_vectored(&mut parts).unwrap(), 7);
            assert_eq!((&x, &y[..3]), (b"good", &b"bye"[..]));
            drop(b);
            assert_eq!(a.read(&mut [0; 8]).unwrap(), 0);
            assert_eq!(a.read(&mut [0; 8]).unwrap(), 0, "the end stays");
        });
    };
}

#[test]
fn tcp_streams() {
    stream_body!(tcp_pair());
}

#[test]
fn unix_streams() {
    stream_body!(UnixStream::pair().unwrap());
}

#[test]
fn tcp_peeks() {
    check(|| {
        let (a, mut b) = tcp_pair();
        b.write_all(b"xy").unwrap();
        let mut buf = [0; 2];
        assert_eq!(a.peek(&mut buf[..1]).unwrap(), 1);
        assert_eq!(a.peek(&mut buf).unwrap(), 2);
        (&a).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"xy");
    });
}

/// Timeouts, for a pair of sockets with a call that reads and one that writes.
macro_rules! timeout_body {
    ($pair:expr, $read:expr, $write:expr) => {
        check(|| {
            let (a, _b) = $pair;
            assert_eq!(a.read_timeout().unwrap(), None);
            assert_eq!(a.write_timeout().unwrap(), None);
            for error in [
                a.set_read_timeout(Some(Duration::ZERO)).unwrap_err(),
                a.set_write_timeout(Some(Duration::ZERO)).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
            }
            // The kernel's own timeouts are in ticks; these are whole ones.
            let ticks = Duration::from_millis(20);
            a.set_read_timeout(Some(ticks)).unwrap();
            a.set_write_timeout(Some(ticks)).unwrap();
            let clone = a.try_clone().unwrap();
            assert_eq!(clone.read_timeout().unwrap(), Some(ticks));
            assert_eq!(clone.write_timeout().unwrap(), Some(ticks));
            let begin = Instant::now();
            let error = $read(&clone).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            // Some of the kernel's clocks are coarse.
            assert!(begin.elapsed() >= SHORT);
            let error = (0..10_000).find_map(|_| $write(&clone).err()).unwrap();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            a.set_read_timeout(None).unwrap();
            assert_eq!(clone.read_timeout().unwrap(), None);

            a.set_nonblocking(true).unwrap();
            let error = $read(&clone).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            // The kernel may have found room for some more.
            let error = (0..10_000).find_map(|_| $write(&clone).err()).unwrap();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            a.set_nonblocking(false).unwrap();
        });
    };
}

const BLOCK: [u8; 4096] = [7; 4096];

#[test]
fn tcp_timeouts() {
    timeout_body!(
        tcp_pair(),
        |mut s: &TcpStream| s.read(&mut [0; 8]),
        |mut s: &TcpStream| s.write(&BLOCK)
    );
}

#[test]
fn unix_timeouts() {
    timeout_body!(
        UnixStream::pair().unwrap(),
        |mut s: &UnixStream| s.read(&mut [0; 8]),
        |mut s: &UnixStream| s.write(&BLOCK)
    );
}

#[test]
fn datagram_timeouts() {
    timeout_body!(
        UnixDatagram::pair().unwrap(),
        |s: &UnixDatagram| s.recv(&mut [0; 8]),
        |s: &UnixDatagram| s.send(&BLOCK)
    );
}

#[test]
fn udp_timeouts() {
    check(|| {
        let (a, b) = udp_pair();
        assert_eq!(a.read_timeout().unwrap(), None);
        assert!(a.set_read_timeout(Some(Duration::ZERO)).is_err());
        assert!(a.set_write_timeout(Some(Duration::ZERO)).is_err());
        let ticks = Duration::from_millis(20);
        a.set_read_timeout(Some(ticks)).unwrap();
        a.set_write_timeout(Some(ticks)).unwrap();
        assert_eq!(a.write_timeout().unwrap(), Some(ticks));
        let clone = a.try_clone().unwrap();
        for error in [
            clone.recv(&mut [0; 8]).unwrap_err(),
            clone.recv_from(&mut [0; 8]).unwrap_err(),
            clone.peek(&mut [0; 8]).unwrap_err(),
            clone.peek_from(&mut [0; 8]).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        a.set_read_timeout(None).unwrap();
        a.set_nonblocking(true).unwrap();
        let error = clone.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        a.set_nonblocking(false).unwrap();
        let receiving = go(move || clone.recv(&mut [0; 8]).unwrap());
        b.send(b"xyz").unwrap();
        assert_eq!(join(receiving), 3);
    });
}

#[test]
fn udp_datagrams() {
    check(|| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        let b = UdpSocket::bind("localhost:0").unwrap();
        let (at, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let receiving = go(move || {
            let mut buf = [0; 4];
            assert_eq!(b.peek_from(&mut buf[..2]).unwrap(), (2, at));
            assert_eq!(
                b.recv_from(&mut buf).unwrap(),
                (4, at),
                "the rest is cut off"
            );
            assert_eq!(&buf, b"trun");
            assert_eq!(b.recv_from(&mut buf).unwrap(), (0, at), "empty ones arrive");
            b.connect(at).unwrap();
            assert_eq!(b.peek(&mut buf).unwrap(), 3);
            assert_eq!(b.recv(&mut buf).unwrap(), 3);
            assert_eq!(&buf[..3], b"end");
            b.send(b"answer").unwrap();
        });
        assert_eq!(a.send_to(b"truncated", to).unwrap(), 9);
        assert_eq!(a.send_to(b"", to).unwrap(), 0);
        a.connect(to).unwrap();
        assert_eq!(a.peer_addr().unwrap(), to);
        assert_eq!(a.send(b"end").unwrap(), 3);
        let mut buf = [0; 16];
        assert_eq!(a.recv(&mut buf).unwrap(), 6);
        join(receiving);
        let none: &[SocketAddr] = &[];
        let error = a.send_to(b"x", none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "no addresses to send data to");
        // Nobody is there any more, and the system says so.
        a.send(b"x").unwrap();
        let error = a.recv(&mut buf).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let too_long = vec![0; 70_000];
        assert_eq!(
            a.send(&too_long).unwrap_err().raw_os_error(),
            Some(libc::EMSGSIZE)
        );
    });
}

#[test]
fn udp_options() {
    check(|| {
        let a = UdpSocket::bind("0.0.0.0:0").unwrap();
        a.set_broadcast(true).unwrap();
        assert!(a.broadcast().unwrap());
        a.set_ttl(55).unwrap();
        assert_eq!(a.ttl().unwrap(), 55);
        a.set_multicast_ttl_v4(5).unwrap();
        assert_eq!(a.multicast_ttl_v4().unwrap(), 5);
        a.set_multicast_loop_v4(true).unwrap();
        assert!(a.multicast_loop_v4().unwrap());
        let group = Ipv4Addr::new(239, 1, 2, 3);
        if a.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
            a.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        }
        assert!(a.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err());
        let b = UdpSocket::bind("[::1]:0").unwrap();
        b.set_multicast_loop_v6(false).unwrap();
        assert!(!b.multicast_loop_v6().unwrap());
        let group = "ff01::1:2:3".parse::<Ipv6Addr>().unwrap();
        if b.join_multicast_v6(&group, 1).is_ok() {
            b.leave_multicast_v6(&group, 1).unwrap();
        }
        assert!(b.leave_multicast_v6(&group, 1).is_err());
        assert!(b.take_error().unwrap().is_none());
    });
}

#[test]
fn unix_listeners() {
    check(|| {
        let place = Place::new();
        let path = place.0.clone();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        assert_eq!(
            UnixListener::bind(&path).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let client = go(move || {
            let stream = UnixStream::connect(&path).unwrap();
            assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
            assert!(stream.local_addr().unwrap().is_unnamed());
            stream
        });
        let (server, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed());
        assert!(server.take_error().unwrap().is_none());
        assert!(listener.take_error().unwrap().is_none());
        drop(join(client));

        let name = UnixAddr::from_abstract_name(unique()).unwrap();
        let other = UnixListener::bind_addr(&name).unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let name = name.clone();
                go(move || UnixStream::connect_addr(&name).unwrap())
            })
            .collect();
        for stream in (&other).into_iter().take(2) {
            let addr = stream.unwrap().local_addr().unwrap();
            assert_eq!(addr.as_abstract_name(), name.as_abstract_name());
        }
        assert!(other.incoming().next().unwrap().is_ok());
        assert_eq!(other.incoming().size_hint(), (usize::MAX, None));
        clients.into_iter().for_each(|c| drop(join(c)));

        other.set_nonblocking(true).unwrap();
        let error = other.try_clone().unwrap().accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(other);
        let error = UnixStream::connect_addr(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = UnixStream::connect("/nowhere/at/all").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        for bad in ["x".repeat(200), "a\0b".to_owned()] {
            for error in [
                UnixStream::connect(&bad).unwrap_err(),
                UnixListener::bind(&bad).unwrap_err(),
                UnixDatagram::bind(&bad).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        }
    });
}

#[test]
fn unix_datagrams() {
    check(|| {
        let (here, there) = (Place::new(), Place::new());
        let a = UnixDatagram::bind(&here.0).unwrap();
        let b = UnixDatagram::bind(&there.0).unwrap();
        assert_eq!(a.local_addr().unwrap().as_pathname(), Some(&*here.0));
        assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(a.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        let path = here.0.clone();
        let receiving = go(move || {
            let mut buf = [0; 4];
            let (n, from) = b.recv_from(&mut buf).unwrap();
            assert_eq!((n, from.as_pathname()), (4, Some(&*path)));
            let (n, from) = b.recv_from(&mut buf).unwrap();
            assert!(n == 0 && from.is_unnamed());
            assert_eq!(b.recv(&mut buf).unwrap(), 4);
            b.connect(&path).unwrap();
            assert_eq!(b.peer_addr().unwrap().as_pathname(), Some(&*path));
            b.send(b"answer").unwrap();
            b
        });
        assert_eq!(a.send_to(b"truncated", &there.0).unwrap(), 9);
        let c = UnixDatagram::unbound().unwrap();
        assert_eq!(c.send_to(b"", &there.0).unwrap(), 0);
        let addr = UnixAddr::from_pathname(&there.0).unwrap();
        assert_eq!(c.send_to_addr(b"addr", &addr).unwrap(), 4);
        let mut buf = [0; 16];
        assert_eq!(a.recv(&mut buf).unwrap(), 6);
        let b = join(receiving);
        // `b` has a partner now, and hears nobody else.
        let error = c.connect_addr(&addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        drop(b);
        let error = a.send_to(b"x", &there.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

        let name = UnixAddr::from_abstract_name(unique()).unwrap();
        let d = UnixDatagram::bind_addr(&name).unwrap();
        c.connect_addr(&name).unwrap();
        assert_eq!(c.send(b"abstract").unwrap(), 8);
        assert_eq!(d.recv(&mut buf).unwrap(), 8);
        assert!(d.take_error().unwrap().is_none());
        let (e, f) = UnixDatagram::pair().unwrap();
        let waiting = go(move || f.recv(&mut [0; 8]).unwrap());
        e.try_clone().unwrap().send(b"xyz").unwrap();
        assert_eq!(join(waiting), 3);
        d.shutdown(Shutdown::Read).unwrap();
        assert_eq!(d.recv(&mut buf).unwrap(), 0);
    });
}

#[test]
fn shutdown_ends_reads_that_wait() {
    check(|| {
        let (a, _b) = tcp_pair();
        let clone = a.try_clone().unwrap();
        let one = go(move || (&clone).read(&mut [0; 8]).unwrap());
        a.shutdown(Shutdown::Both).unwrap();
        assert_eq!(join(one), 0);
        let (a, _b) = UnixStream::pair().unwrap();
        let clone = a.try_clone().unwrap();
        let two = go(move || (&clone).read(&mut [0; 8]).unwrap());
        a.shutdown(Shutdown::Read).unwrap();
        assert_eq!(join(two), 0);
        let error = TcpStream::from(OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()))
            .shutdown(Shutdown::Both)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn a_reset_is_an_error() {
    check(|| {
        let (a, mut b) = tcp_pair();
        // Closing with something unread resets the connection.
        (&a).write_all(b"unread").unwrap();
        b.peek_some();
        let reading = go(move || (&a).read(&mut [0; 8]).unwrap_err().kind());
        drop(b);
        assert_eq!(join(reading), ErrorKind::ConnectionReset);

        let (a, mut b) = UnixStream::pair().unwrap();
        (&a).write_all(b"unread").unwrap();
        b.flush().unwrap();
        let reading = go(move || (&a).read(&mut [0; 8]).unwrap_err().kind());
        drop(b);
        assert_eq!(join(reading), ErrorKind::ConnectionReset);
    });
}

trait PeekSome {
    fn peek_some(&mut self);
}

impl PeekSome for TcpStream {
    fn peek_some(&mut self) {
        assert!(self.peek(&mut [0; 1]).unwrap() > 0);
    }
}

#[test]
fn a_peer_that_never_reads_holds_the_writer_up() {
    check(|| {
        let (a, b) = tcp_pair();
        let writing = go(move || {
            let mut sum = 0;
            for _ in 0..4096 {
                (&a).write_all(&BLOCK).unwrap();
                sum += BLOCK.len();
            }
            sum
        });
        let mut sum = 0;
        let mut buf = vec![0; 1 << 16];
        loop {
            match (&b).read(&mut buf).unwrap() {
                0 => break,
                n => sum += n,
            }
        }
        assert_eq!(join(writing), sum);
    });
}

#[test]
fn debug_names_addresses_and_descriptors() {
    let (a, _b) = tcp_pair();
    let (local, peer) = (a.local_addr().unwrap(), a.peer_addr().unwrap());
    let fd = a.as_raw_fd();
    assert_eq!(
        format!("{a:?}"),
        format!("TcpStream {{ addr: {local}, peer: {peer}, fd: {fd} }}")
    );
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, fd) = (l.local_addr().unwrap(), l.as_raw_fd());
    assert_eq!(
        format!("{l:?}"),
        format!("TcpListener {{ addr: {addr}, fd: {fd} }}")
    );
    assert!(format!("{:?}", l.incoming()).starts_with("Incoming { listener: TcpListener {"));
    let u = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (addr, fd) = (u.local_addr().unwrap(), u.as_raw_fd());
    assert_eq!(
        format!("{u:?}"),
        format!("UdpSocket {{ addr: {addr}, fd: {fd} }}")
    );
    // Here std shows more of its descriptor than its number.
    let (s, _t) = UnixStream::pair().unwrap();
    let text = format!("{s:?}");
    assert!(text.starts_with("UnixStream { fd: "), "{text}");
    assert!(
        text.ends_with(", local: (unnamed), peer: (unnamed) }"),
        "{text}"
    );
    let d = UnixDatagram::unbound().unwrap();
    let text = format!("{d:?}");
    assert!(text.starts_with("UnixDatagram { fd: "), "{text}");
    assert!(text.ends_with(", local: (unnamed) }"), "{text}");
    let place = Place::new();
    let text = format!("{:?}", UnixListener::bind(&place.0).unwrap());
    let local = format!(", local: {:?} (pathname) }}", place.0);
    assert!(text.starts_with("UnixListener { fd: "), "{text}");
    assert!(text.ends_with(&local), "{text}");
}

/// Through the descriptor and back.
fn round_trip<T: AsFd + AsRawFd + IntoRawFd + FromRawFd + From<OwnedFd> + Into<OwnedFd>>(
    it: T,
) -> T {
    let fd = it.as_raw_fd();
    assert_eq!(it.as_fd().as_raw_fd(), fd);
    let owned: OwnedFd = it.into();
    assert_eq!(owned.as_raw_fd(), fd);
    let raw = T::from(owned).into_raw_fd();
    assert_eq!(raw, fd);
    // SAFETY: the descriptor was just given away, and is taken back.
    unsafe { T::from_raw_fd(raw) }
}

#[test]
fn descriptors_come_and_go() {
    check(|| {
        let (a, mut b) = tcp_pair();
        let mut a = round_trip(a);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
        let listener = round_trip(TcpListener::bind("127.0.0.1:0").unwrap());
        listener.local_addr().unwrap();
        let (a, b) = udp_pair();
        let a = round_trip(a);
        b.send(b"x").unwrap();
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 1);
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut a = round_trip(a);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
        let (a, b) = UnixDatagram::pair().unwrap();
        let a = round_trip(a);
        b.send(b"x").unwrap();
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 1);
        let place = Place::new();
        round_trip(UnixListener::bind(&place.0).unwrap())
            .local_addr()
            .unwrap();
    });
}

#[test]
fn traits() {
    fn all<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static>() {}
    all::<TcpStream>();
    all::<TcpListener>();
    all::<UdpSocket>();
    all::<UnixStream>();
    all::<UnixListener>();
    all::<UnixDatagram>();
    fn iterates<T: Iterator>(_: T) {}
    fn fused<T: std::iter::FusedIterator>(_: T) {}
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fused(listener.incoming());
    let place = Place::new();
    iterates(UnixListener::bind(&place.0).unwrap().incoming());
}
