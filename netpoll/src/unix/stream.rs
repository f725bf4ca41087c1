//! The Unix connection.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use marmot_scheduler::goroutine::sleep;
use socket2::{Domain, Socket, Type};

use crate::address::raw_unix_address;
use crate::socket::{self, Shared};
use crate::sys;

/// The first pause of `connect` at a listener whose queue is full. The kernel has no event for it.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A Unix connection, with the interface of [`std::os::unix::net::UnixStream`].
///
/// Calls that would block park the goroutine, or block the thread if the caller is none. One
/// connection can be read and written at once, by any number of tasks, through `&UnixStream` or
/// through clones, which share one descriptor. Dropping the last one closes the connection.
///
/// ```
/// use marmot_netpoll::unix::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut one, mut two) = UnixStream::pair()?;
/// one.write_all(b"ping")?;
/// let mut buf = [0; 4];
/// two.read_exact(&mut buf)?;
/// assert_eq!(&buf, b"ping");
/// # std::io::Result::Ok(())
/// ```
pub struct UnixStream(Shared);

impl UnixStream {
    pub(super) fn new(shared: Shared) -> Self {
        UnixStream(shared)
    }

    /// Opens a connection to the socket at a path. If the listener's queue is full, this waits until
    /// there is room, looking again after pauses of up to 20 ms.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` and others of the operating system; `InvalidInput` if the
    /// path is too long, or holds a zero.
    ///
    /// ```
    /// let error = marmot_netpoll::unix::UnixStream::connect("/nowhere/at/all").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Opens a connection to an address, of a file or an abstract one. Waits as
    /// [`connect`](Self::connect) does.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::UNIX, kind, None)?;
        let address = raw_unix_address(socket_addr)?;
        let mut pause = FIRST_PAUSE;
        loop {
            match socket.connect(&address) {
                Ok(()) => return Ok(UnixStream(socket::adopt_nonblocking(socket))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Nobody else knows this socket: there is no deadline to be moved.
                    sleep(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Two sockets that are connected to each other. Does not wait.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    ///
    /// ```
    /// let (one, two) = marmot_netpoll::unix::UnixStream::pair()?;
    /// assert!(one.peer_addr()?.is_unnamed());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let (one, two) = Socket::pair_raw(Domain::UNIX, kind, None)?;
        let stream = |socket| UnixStream(socket::adopt_nonblocking(socket));
        Ok((stream(one), stream(two)))
    }

    fn std(&self) -> socket::View<'_, std::os::unix::net::UnixStream> {
        socket::view(&self.0)
    }

    /// The address of this side. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.std().local_addr()
    }

    /// The address of the other side. Does not wait.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.std().peer_addr()
    }

    /// Ends reading, writing or both, for all clones and for the other side to see. Calls that wait
    /// return. Does not wait itself.
    ///
    /// # Errors
    /// `NotConnected`.
    ///
    /// ```
    /// # let (mut one, two) = marmot_netpoll::unix::UnixStream::pair()?;
    /// use std::io::Read;
    /// two.shutdown(std::net::Shutdown::Write)?;
    /// assert_eq!(one.read(&mut [0; 8])?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.get().shutdown(how)
    }

    /// Reads without taking out: the next read gives the same. Waits for data.
    ///
    /// # Errors
    /// As `read`.
    ///
    /// ```
    /// # let (mut one, two) = marmot_netpoll::unix::UnixStream::pair()?;
    /// use std::io::Write;
    /// one.write_all(b"x")?;
    /// assert_eq!(two.peek(&mut [0; 8])?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0
            .read_with(|socket| sys::recv(socket.as_fd(), buf, libc::MSG_PEEK))
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive_vectored(&mut [IoSliceMut::new(buf)])
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = bufs.iter().take(sys::MAX_SLICES).map(|buf| buf.len()).sum();
        self.0.drain_with(wanted, |socket| {
            // A read stops behind a message that came with descriptors or credentials, though there
            // may be more: then a short one proves nothing.
            let (n, left_out) = sys::recv_message(socket.as_fd(), bufs)?;
            Ok((n, !left_out))
        })
    }

    socket::common_methods!(
        UnixStream,
        "let (socket, _other) = marmot_netpoll::unix::UnixStream::pair()?;"
    );
    socket::timeout_methods!("let (socket, _other) = marmot_netpoll::unix::UnixStream::pair()?;");
    socket::deadline_methods!("let (socket, _other) = marmot_netpoll::unix::UnixStream::pair()?;");
}

socket::stream_io!(UnixStream, receive, receive_vectored);
socket::conversions!(UnixStream, std::os::unix::net::UnixStream);
