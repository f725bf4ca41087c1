//! The TCP connection.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::{connect, ip_address};
use crate::address::each_address;
use crate::socket::{self, Shared};
use crate::sys;

/// A TCP connection, with the interface of [`std::net::TcpStream`].
///
/// Calls that would block park the goroutine, or block the thread if the caller is none. One
/// connection can be read and written at once, by any number of tasks, through `&TcpStream` or
/// through clones, which share one descriptor. Dropping the last one closes the connection.
///
/// ```
/// use marmot_netpoll::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
/// client.write_all(b"ping")?;
/// let mut buf = [0; 4];
/// server.read_exact(&mut buf)?;
/// assert_eq!(&buf, b"ping");
/// # std::io::Result::Ok(())
/// ```
pub struct TcpStream(Shared);

impl TcpStream {
    pub(super) fn new(shared: Shared) -> Self {
        TcpStream(shared)
    }

    /// Opens a connection, trying the addresses in turn until one answers. Waits for the answer.
    ///
    /// A name is looked up on the calling thread, which blocks it.
    ///
    /// # Errors
    /// The last address's: `ConnectionRefused`, for instance; `InvalidInput` if there is none.
    ///
    /// ```
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// let stream = marmot_netpoll::TcpStream::connect(addr)?;
    /// assert_eq!(stream.peer_addr()?, addr);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        each_address(addr, |addr| connect::connect(addr, None).map(TcpStream))
    }

    /// Opens a connection to one address, waiting for at most `timeout`.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` if the timeout is zero; those of [`connect`](Self::connect).
    ///
    /// ```
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// use std::time::Duration;
    /// let stream = marmot_netpoll::TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let deadline = Instant::now().checked_add(timeout);
        connect::connect(*addr, deadline).map(TcpStream)
    }

    /// The address of the other side. Does not wait.
    ///
    /// # Errors
    /// `NotConnected`, if the other side has reset the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.0.get().peer_addr()?)
    }

    /// The address of this side. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&self.0.get().local_addr()?)
    }

    /// Ends reading, writing or both, for all clones and for the other side to see. Calls that wait
    /// return. Does not wait itself.
    ///
    /// # Errors
    /// `NotConnected`.
    ///
    /// ```
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let mut stream = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;
    /// use std::io::Read;
    /// stream.shutdown(std::net::Shutdown::Read)?;
    /// assert_eq!(stream.read(&mut [0; 8])?, 0);
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
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let mut stream = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;
    /// use std::io::Write;
    /// let (mut other, _) = listener.accept()?;
    /// other.write_all(b"x")?;
    /// assert_eq!(stream.peek(&mut [0; 8])?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0
            .read_with(|socket| sys::recv(socket.as_fd(), buf, libc::MSG_PEEK))
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.get().tcp_nodelay()
    }

    /// Sends small writes at once, instead of gathering them (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.get().set_tcp_nodelay(nodelay)
    }

    /// The time to live of the packets sent (`IP_TTL`).
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// # let listener = marmot_netpoll::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_ttl(77)?;
    /// assert_eq!(stream.ttl()?, 77);
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

    #[inline]
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0
            .receive_with(buf.len(), |socket| sys::recv(socket.as_fd(), buf, 0))
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        // What the system call leaves aside of too many buffers would be a short read.
        let wanted = bufs.iter().take(sys::MAX_SLICES).map(|buf| buf.len()).sum();
        self.0.receive_with(wanted, |socket| {
            sys::recv_message(socket.as_fd(), bufs).map(|(n, _)| n)
        })
    }

    socket::common_methods!(
        TcpStream,
        "let listener = marmot_netpoll::TcpListener::bind(\"127.0.0.1:0\")?; \
         let socket = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;"
    );
    socket::timeout_methods!(
        "let listener = marmot_netpoll::TcpListener::bind(\"127.0.0.1:0\")?; \
         let socket = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;"
    );
    socket::deadline_methods!(
        "let listener = marmot_netpoll::TcpListener::bind(\"127.0.0.1:0\")?; \
         let socket = marmot_netpoll::TcpStream::connect(listener.local_addr()?)?;"
    );
}

socket::stream_io!(TcpStream, receive, receive_vectored);
socket::conversions!(TcpStream, std::net::TcpStream);
