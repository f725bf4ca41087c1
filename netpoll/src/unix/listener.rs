//! The Unix listener.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::UnixStream;
use crate::accept::{self, BACKLOG};
use crate::address::{raw_unix_address, unix_address};
use crate::socket::{self, Shared};

/// A listening Unix socket, with the interface of [`std::os::unix::net::UnixListener`].
///
/// [`accept`](Self::accept) parks the goroutine, or blocks the thread if the caller is none. Any
/// number of tasks may accept from one listener; each connection wakes one of them. The file that
/// `bind` makes stays when the listener is dropped, as in std.
///
/// ```
/// use marmot_netpoll::unix::{SocketAddr, SocketAddrExt, UnixListener, UnixStream};
///
/// let addr = SocketAddr::from_abstract_name(format!("marmot example {}", std::process::id()))?;
/// let listener = UnixListener::bind_addr(&addr)?;
/// let client = UnixStream::connect_addr(&addr)?;
/// let (server, peer) = listener.accept()?;
/// assert!(peer.is_unnamed());
/// # std::io::Result::Ok(())
/// ```
pub struct UnixListener(Shared);

impl UnixListener {
    /// Listens at a path, where a file is made. Does not wait.
    ///
    /// # Errors
    /// `AddrInUse` if there is something; `InvalidInput` if the path is too long, or holds a zero;
    /// others of the operating system.
    ///
    /// ```
    /// let path = std::env::temp_dir().join(format!("marmot-doc-{}", std::process::id()));
    /// let listener = marmot_netpoll::unix::UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
    /// std::fs::remove_file(path)?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address, of a file or an abstract one. Does not wait.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::UNIX, kind, None)?;
        socket.bind(&raw_unix_address(socket_addr)?)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener(socket::adopt_nonblocking(socket)))
    }

    /// Waits for a connection.
    ///
    /// When the process or the machine is out of descriptors, buffers or memory, this waits a while
    /// and goes on: connections stay with the kernel until there is room.
    ///
    /// # Errors
    /// `TimedOut` when the deadline has passed; `WouldBlock` in non-blocking mode, in which want of
    /// descriptors is an error, too.
    ///
    /// ```
    /// # use marmot_netpoll::unix::{SocketAddr, SocketAddrExt, UnixListener, UnixStream};
    /// # let addr = SocketAddr::from_abstract_name(format!("marmot accept {}", std::process::id()))?;
    /// # let listener = UnixListener::bind_addr(&addr)?;
    /// let client = std::thread::spawn(move || UnixStream::connect_addr(&addr));
    /// let (stream, _) = listener.accept()?;
    /// assert!(stream.peer_addr()?.is_unnamed());
    /// # client.join().unwrap()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, address) = accept::accept(&self.0)?;
        Ok((UnixStream::new(socket), unix_address(&address)?))
    }

    /// The address it listens at. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        socket::view::<std::os::unix::net::UnixListener>(&self.0).local_addr()
    }

    /// An iterator over the connections that come in: [`accept`](Self::accept), without end.
    ///
    /// ```
    /// # use marmot_netpoll::unix::{SocketAddr, SocketAddrExt, UnixListener, UnixStream};
    /// # let addr = SocketAddr::from_abstract_name(format!("marmot incoming {}", std::process::id()))?;
    /// # let listener = UnixListener::bind_addr(&addr)?;
    /// let client = UnixStream::connect_addr(&addr)?;
    /// for stream in listener.incoming().take(1) {
    ///     assert!(stream?.peer_addr()?.is_unnamed());
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Moves the deadline of `accept`; `None` takes it away. For all clones.
    ///
    /// From that instant on `accept` fails with `TimedOut`, even if connections wait. Calls that
    /// wait now go by the new deadline at once; only one that pauses for want of descriptors may
    /// notice it 100 ms late.
    ///
    /// # Errors
    /// None today.
    ///
    /// ```
    /// # use marmot_netpoll::unix::{SocketAddr, SocketAddrExt, UnixListener};
    /// # let addr = SocketAddr::from_abstract_name(format!("marmot deadline {}", std::process::id()))?;
    /// # let listener = UnixListener::bind_addr(&addr)?;
    /// use std::time::{Duration, Instant};
    /// listener.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_deadline(&self, at: Option<Instant>) -> io::Result<()> {
        self.0.set_read_deadline(at);
        Ok(())
    }

    socket::common_methods!(
        UnixListener,
        "use marmot_netpoll::unix::{SocketAddr, SocketAddrExt, UnixListener}; \
         let name = format!(\"{} {:?}\", std::process::id(), std::time::Instant::now()); \
         let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;"
    );
}

socket::conversions!(UnixListener, std::os::unix::net::UnixListener);

/// The connections that come in at a listener; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
