//! The Unix datagram socket.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::{raw_unix_address, unix_address};
use crate::pollable::Manner;
use crate::socket::{self, Shared};
use crate::sys;

/// Sending to somebody who is not the partner. While the queue there is full, the kernel says that
/// this socket can be written to, and has no event for the room that comes.
const SEND_TO: Manner = Manner {
    pauses: |error| error.kind() == io::ErrorKind::WouldBlock,
    first_pause: Duration::from_micros(50),
    longest_pause: Duration::from_millis(20),
    ..Manner::WRITE
};

/// A Unix datagram socket, with the interface of [`std::os::unix::net::UnixDatagram`].
///
/// Receiving parks the goroutine, or blocks the thread if the caller is none; so does sending while
/// the receiver's queue is full. Any number of tasks may send and receive at once, through
/// `&UnixDatagram` or through clones, which share one descriptor; each datagram reaches one of them.
///
/// ```
/// use marmot_netpoll::unix::UnixDatagram;
///
/// let (one, two) = UnixDatagram::pair()?;
/// one.send(b"ping")?;
/// let mut buf = [0; 16];
/// assert_eq!(two.recv(&mut buf)?, 4);
/// # std::io::Result::Ok(())
/// ```
pub struct UnixDatagram(Shared);

impl UnixDatagram {
    /// A socket bound to a path, where a file is made. Does not wait.
    ///
    /// # Errors
    /// `AddrInUse` if there is something; `InvalidInput` if the path is too long, or holds a zero;
    /// others of the operating system.
    ///
    /// ```
    /// let path = std::env::temp_dir().join(format!("marmot-dgram-{}", std::process::id()));
    /// let socket = marmot_netpoll::unix::UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.as_pathname(), Some(&*path));
    /// std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket bound to an address, of a file or an abstract one. Does not wait.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = Self::unbound()?;
        socket.0.get().bind(&raw_unix_address(socket_addr)?)?;
        Ok(socket)
    }

    /// A socket without an address.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    ///
    /// ```
    /// let socket = marmot_netpoll::unix::UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn unbound() -> io::Result<UnixDatagram> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::UNIX, kind, None)?;
        Ok(UnixDatagram(socket::adopt_nonblocking(socket)))
    }

    /// Two sockets that are connected to each other. Does not wait.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    ///
    /// ```
    /// let (one, two) = marmot_netpoll::unix::UnixDatagram::pair()?;
    /// two.send(b"x")?;
    /// assert_eq!(one.recv(&mut [0; 8])?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let (one, two) = Socket::pair_raw(Domain::UNIX, kind, None)?;
        let datagram = |socket| UnixDatagram(socket::adopt_nonblocking(socket));
        Ok((datagram(one), datagram(two)))
    }

    fn std(&self) -> socket::View<'_, std::os::unix::net::UnixDatagram> {
        socket::view(&self.0)
    }

    /// Names the partner: `send` goes there, and nothing else is received. Does not wait.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` and others of the operating system; `InvalidInput` if the
    /// path is too long, or holds a zero.
    ///
    /// ```
    /// let socket = marmot_netpoll::unix::UnixDatagram::unbound()?;
    /// let error = socket.connect("/nowhere/at/all").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.std().connect(path)
    }

    /// The same for an address, of a file or an abstract one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.std().connect_addr(socket_addr)
    }

    /// The address it is bound to. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.std().local_addr()
    }

    /// The address of the partner. Does not wait.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.std().peer_addr()
    }

    /// Waits for a datagram and gives its length and its sender. What does not fit into `buf` is
    /// lost.
    ///
    /// # Errors
    /// `TimedOut` when the read deadline has passed, `WouldBlock` when the read timeout has; others
    /// of the operating system.
    ///
    /// ```
    /// let (one, two) = marmot_netpoll::unix::UnixDatagram::pair()?;
    /// one.send(b"hello")?;
    /// let (n, from) = two.recv_from(&mut [0; 3])?;
    /// assert!(n == 3 && from.is_unnamed());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, 0)
    }

    fn receive_from(&self, buf: &mut [u8], flags: libc::c_int) -> io::Result<(usize, SocketAddr)> {
        let (n, address) = self.0.read_with(|socket| {
            let n = self.or_end(|| sys::recv_from(socket.as_fd(), buf, flags))?;
            n.map_or_else(|| Ok((0, SockAddr::unix("")?)), Ok)
        })?;
        Ok((n, unix_address(&address)?))
    }

    fn receive(&self, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        self.0.read_with(|socket| {
            let n = self.or_end(|| sys::recv(socket.as_fd(), buf, flags))?;
            Ok(n.unwrap_or(0))
        })
    }

    /// Does `receive`, and gives `None` at the end. A socket that was shut down says `WouldBlock`
    /// to a call that does not wait, and zero to one that does.
    fn or_end<R>(&self, mut receive: impl FnMut() -> io::Result<R>) -> io::Result<Option<R>> {
        let empty = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        match receive() {
            Err(error) if empty(&error) && !self.0.nonblocking() => {
                let events = sys::readiness(self.as_fd(), libc::POLLRDHUP)?;
                if events & libc::POLLRDHUP == 0 {
                    return Err(error);
                }
                // Something may have come before the end.
                match receive() {
                    Err(error) if empty(&error) => Ok(None),
                    done => done.map(Some),
                }
            }
            done => done.map(Some),
        }
    }

    /// Waits for a datagram. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, 0)
    }

    /// `recv` without taking the datagram out.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    ///
    /// ```
    /// let (one, two) = marmot_netpoll::unix::UnixDatagram::pair()?;
    /// one.send(b"x")?;
    /// assert_eq!(two.peek(&mut [0; 8])?, 1);
    /// assert_eq!(two.recv(&mut [0; 8])?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, libc::MSG_PEEK)
    }

    /// `recv_from` without taking the datagram out.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, libc::MSG_PEEK)
    }

    /// Sends a datagram to the socket at a path. If the queue there is full, this waits until there
    /// is room, looking again, and at the deadline, after pauses of up to 20 ms.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` and others of the operating system; `InvalidInput` if the
    /// path is too long, or holds a zero; as `recv_from`, with the limits of writing.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("marmot-send-to-{}", std::process::id()));
    /// use marmot_netpoll::unix::UnixDatagram;
    /// let receiver = UnixDatagram::bind(&path)?;
    /// UnixDatagram::unbound()?.send_to(b"hello", &path)?;
    /// assert_eq!(receiver.recv(&mut [0; 16])?, 5);
    /// # std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// The same for an address, of a file or an abstract one.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let address = raw_unix_address(socket_addr)?;
        self.0.do_with(SEND_TO, |socket| {
            sys::send_to(socket.as_fd(), buf, &address)
        })
    }

    /// Sends a datagram to the partner. Waits while the queue there is full.
    ///
    /// # Errors
    /// `NotConnected`; as `recv_from`, with the limits of writing.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.write_with(|socket| sys::send(socket.as_fd(), buf))
    }

    /// Ends receiving, sending or both, for all clones. Calls that wait return. Does not wait
    /// itself.
    ///
    /// # Errors
    /// `NotConnected`.
    ///
    /// ```
    /// let (one, _two) = marmot_netpoll::unix::UnixDatagram::pair()?;
    /// one.shutdown(std::net::Shutdown::Both)?;
    /// assert_eq!(one.recv(&mut [0; 8])?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get().shutdown(how)
    }

    socket::common_methods!(
        UnixDatagram,
        "let (socket, _other) = marmot_netpoll::unix::UnixDatagram::pair()?;"
    );
    socket::timeout_methods!("let (socket, _other) = marmot_netpoll::unix::UnixDatagram::pair()?;");
    socket::deadline_methods!(
        "let (socket, _other) = marmot_netpoll::unix::UnixDatagram::pair()?;"
    );
}

socket::conversions!(UnixDatagram, std::os::unix::net::UnixDatagram);
