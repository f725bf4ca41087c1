//! The TCP listener.

use std::io;
use std::iter::FusedIterator;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use super::{TcpStream, ip_address};
use crate::accept::{self, BACKLOG};
use crate::address::each_address;
use crate::socket::{self, Shared};

/// A TCP listener, with the interface of [`std::net::TcpListener`].
///
/// [`accept`](Self::accept) parks the goroutine, or blocks the thread if the caller is none. Any
/// number of tasks may accept from one listener; each connection wakes one of them.
///
/// ```
/// use marmot_netpoll::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, peer) = listener.accept()?;
/// assert_eq!(peer, client.local_addr()?);
/// # std::io::Result::Ok(())
/// ```
pub struct TcpListener(Shared);

impl TcpListener {
    /// Listens at the first of the addresses that can be had. Does not wait, but for the look-up of
    /// a name, which blocks the thread.
    ///
    /// # Errors
    /// The last address's: `AddrInUse`, `PermissionDenied` ...; `InvalidInput` if there is none.
    ///
    /// ```
    /// let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        each_address(addr, |addr| {
            let kind = Type::STREAM.nonblocking().cloexec();
            let socket = Socket::new_raw(Domain::for_address(addr), kind, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener(socket::adopt_nonblocking(socket)))
        })
    }

    /// The address it listens at. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.0.get().local_addr()?)
    }

    /// Waits for a connection.
    ///
    /// When the process or the machine is out of descriptors, buffers or memory, this waits a while
    /// and goes on: connections stay with the kernel until there is room. A connection that was
    /// given up before it could be accepted is passed over.
    ///
    /// # Errors
    /// `TimedOut` when the deadline has passed; `WouldBlock` in non-blocking mode, in which want of
    /// descriptors is an error, too.
    ///
    /// ```
    /// # use marmot_netpoll::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// let client = std::thread::spawn(move || TcpStream::connect(addr));
    /// let (stream, _) = listener.accept()?;
    /// assert_eq!(stream.local_addr()?, addr);
    /// # client.join().unwrap()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = accept::accept(&self.0)?;
        Ok((TcpStream::new(socket), ip_address(&address)?))
    }

    /// An iterator over the connections that come in: [`accept`](Self::accept), without end.
    ///
    /// ```
    /// # use marmot_netpoll::{TcpListener, TcpStream};
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// for stream in listener.incoming().take(1) {
    ///     assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The same, owning the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
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
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// use std::time::{Duration, Instant};
    /// listener.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_deadline(&self, at: Option<Instant>) -> io::Result<()> {
        self.0.set_read_deadline(at);
        Ok(())
    }

    /// The time to live of the packets sent (`IP_TTL`).
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_ttl(77)?;
    /// assert_eq!(listener.ttl()?, 77);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.get().ttl_v4()
    }

    /// Sets the time to live of the packets sent (`IP_TTL`).
    ///
    /// # Errors
    /// `InvalidInput` unless it is 1 ..= 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.get().set_ttl_v4(ttl)
    }

    /// Whether the listener takes IPv6 alone (`IPV6_V6ONLY`).
    ///
    /// # Errors
    /// Those of the operating system: it is no IPv6 socket.
    #[deprecated(note = "as in std: it can be set only before the socket is bound")]
    pub fn only_v6(&self) -> io::Result<bool> {
        self.0.get().only_v6()
    }

    /// Asks to take IPv6 alone, or IPv4 as well.
    ///
    /// # Errors
    /// `InvalidInput`: the socket is bound already.
    #[deprecated(note = "as in std: it can be set only before the socket is bound")]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        self.0.get().set_only_v6(only_v6)
    }

    socket::common_methods!(
        TcpListener,
        "let socket = marmot_netpoll::TcpListener::bind(\"127.0.0.1:0\")?;"
    );
}

socket::conversions!(TcpListener, std::net::TcpListener);

/// The connections that come in at a listener; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

/// The connections that come in at a listener of its own; see [`TcpListener::into_incoming`].
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
impl FusedIterator for IntoIncoming {}
