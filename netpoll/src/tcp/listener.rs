//! The TCP listener.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use marmot_scheduler::wait::{Publish, Reason, Wait, Why};
use socket2::{Domain, Socket, Type};

use super::{TcpStream, each_address, ip_address};
use crate::socket::{self, Shared};
use crate::sys;

/// Connections that the kernel may keep for a listener; it takes the smaller of this and
/// `net.core.somaxconn`, whose usual value this is. std asks for 128, which a storm overflows.
const BACKLOG: i32 = 4096;

/// The first pause of `accept` when the process or the machine is out of descriptors or memory.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

    /// Another handle to the same listener, on the same descriptor. Clones share the deadline and
    /// the non-blocking mode.
    ///
    /// # Errors
    /// None today; the signature is std's.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener(self.0.clone()))
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
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = self.0.read_with(|socket| match self.0.has_left() {
                false => sys::accept(socket.as_fd()),
                true => sys::accept_if_ready(socket.as_fd()),
            });
            match accepted {
                Ok((socket, addr)) => {
                    let stream = TcpStream::new(socket::adopt_nonblocking(socket));
                    return Ok((stream, addr));
                }
                Err(error) if was_given_up(&error) => {}
                Err(error) if is_exhaustion(&error) && !self.0.nonblocking() => {
                    self.pause(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a while, but not past the deadline.
    #[cold]
    fn pause(&self, pause: Duration) {
        let mut until = Instant::now() + pause;
        if let Some(deadline) = self.0.read_deadline() {
            until = until.min(deadline);
        }
        let why = Why::on(Reason::NetRead, self);
        Wait::new().park(why, Some(until), || Publish::Published);
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
    /// notice it a second late.
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

    /// Takes the pending error of the socket (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of asking for it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.get().take_error()
    }

    /// Makes later calls of `accept` fail with `WouldBlock` instead of waiting, or wait again. For
    /// all clones; accepted connections are in blocking mode in either case.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// Errors of a connection that was never accepted; the man page lists them, and asks to go on.
fn was_given_up(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        socket::debug("TcpListener", &self.0, false, f)
    }
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
