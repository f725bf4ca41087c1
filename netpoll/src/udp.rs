//! The UDP socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::{each_address, ip_address};
use crate::socket::{self, Shared};
use crate::sys;

/// A UDP socket, with the interface of [`std::net::UdpSocket`].
///
/// Receiving parks the goroutine, or blocks the thread if the caller is none; so does sending while
/// the socket's own buffer is full. Any number of tasks may send and receive at once, through
/// `&UdpSocket` or through clones, which share one descriptor; each datagram reaches one of them.
///
/// ```
/// use marmot_netpoll::UdpSocket;
///
/// let one = UdpSocket::bind("127.0.0.1:0")?;
/// let two = UdpSocket::bind("127.0.0.1:0")?;
/// one.send_to(b"ping", two.local_addr()?)?;
/// let mut buf = [0; 16];
/// let (n, from) = two.recv_from(&mut buf)?;
/// assert_eq!((&buf[..n], from), (&b"ping"[..], one.local_addr()?));
/// # std::io::Result::Ok(())
/// ```
pub struct UdpSocket(Shared);

impl UdpSocket {
    /// A socket bound to the first of the addresses that can be had. Does not wait, but for the
    /// look-up of a name, which blocks the thread.
    ///
    /// # Errors
    /// The last address's: `AddrInUse`, `PermissionDenied` ...; `InvalidInput` if there is none.
    ///
    /// ```
    /// let socket = marmot_netpoll::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        each_address(addr, |addr| {
            let kind = Type::DGRAM.nonblocking().cloexec();
            let socket = Socket::new_raw(Domain::for_address(addr), kind, None)?;
            socket.bind(&addr.into())?;
            Ok(UdpSocket(socket::adopt_nonblocking(socket)))
        })
    }

    fn std(&self) -> socket::View<'_, std::net::UdpSocket> {
        socket::view(&self.0)
    }

    fn receive(&self, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        self.0
            .read_with(|socket| sys::recv(socket.as_fd(), buf, flags))
    }

    fn receive_from(&self, buf: &mut [u8], flags: libc::c_int) -> io::Result<(usize, SocketAddr)> {
        let (n, address) = self
            .0
            .read_with(|socket| sys::recv_from(socket.as_fd(), buf, flags))?;
        Ok((n, ip_address(&address)?))
    }

    /// Waits for a datagram and gives its length and its sender. What does not fit into `buf` is
    /// lost.
    ///
    /// # Errors
    /// `TimedOut` when the read deadline has passed, `WouldBlock` when the read timeout has;
    /// `ConnectionRefused` if an earlier datagram of a connected socket found nobody.
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// let mut buf = [0; 2];
    /// assert_eq!(socket.recv_from(&mut buf)?, (2, socket.local_addr()?));
    /// assert_eq!(&buf, b"to");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, 0)
    }

    /// `recv_from` without taking the datagram out.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"x", socket.local_addr()?)?;
    /// assert_eq!(socket.peek_from(&mut [0; 8])?.0, 1);
    /// assert_eq!(socket.recv_from(&mut [0; 8])?.0, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, libc::MSG_PEEK)
    }

    /// Sends a datagram to the first of the addresses. Waits while the socket's own buffer is full;
    /// looking up a name blocks the thread.
    ///
    /// # Errors
    /// `InvalidInput` if there is no address, or it is of the other family; those of the network.
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// assert_eq!(one.send_to(b"hello", two.local_addr()?)?, 5);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let addresses = marmot_scheduler::blocking(|| addr.to_socket_addrs());
        let first = addresses?.next().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to")
        })?;
        let address = SockAddr::from(first);
        self.0
            .write_with(|socket| sys::send_to(socket.as_fd(), buf, &address))
    }

    /// Names the only partner: `send` goes there, and nothing else is received. Does not wait, but
    /// for the look-up of a name.
    ///
    /// # Errors
    /// The last address's; `InvalidInput` if there is none.
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// one.connect(two.local_addr()?)?;
    /// assert_eq!(one.peer_addr()?, two.local_addr()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_address(addr, |addr| self.std().connect(addr))
    }

    /// Sends a datagram to the partner. Waits while the socket's own buffer is full.
    ///
    /// # Errors
    /// `NotConnected`-like ones of the operating system without a partner; `ConnectionRefused` if an
    /// earlier datagram found nobody; as `recv`, with the limits of writing.
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// one.connect(two.local_addr()?)?;
    /// assert_eq!(one.send(b"hello")?, 5);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.write_with(|socket| sys::send(socket.as_fd(), buf))
    }

    /// Waits for a datagram. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// one.send_to(b"hello", two.local_addr()?)?;
    /// assert_eq!(two.recv(&mut [0; 16])?, 5);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, 0)
    }

    /// `recv` without taking the datagram out.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    ///
    /// ```
    /// # use marmot_netpoll::UdpSocket;
    /// # let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"x", socket.local_addr()?)?;
    /// assert_eq!(socket.peek(&mut [0; 8])?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, libc::MSG_PEEK)
    }

    /// The address of the partner. Does not wait.
    ///
    /// # Errors
    /// `NotConnected`.
    ///
    /// ```
    /// let socket = marmot_netpoll::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(socket.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.std().peer_addr()
    }

    /// The address it is bound to. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// let socket = marmot_netpoll::UdpSocket::bind("127.0.0.1:0")?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.std().local_addr()
    }

    /// Joins a group (`IP_ADD_MEMBERSHIP`) on the interface of that address; unspecified leaves the
    /// choice to the system.
    ///
    /// # Errors
    /// Those of the operating system: no such interface, no group.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// let socket = marmot_netpoll::UdpSocket::bind("127.0.0.1:0")?;
    /// let no_group = Ipv4Addr::new(10, 0, 0, 1);
    /// assert!(socket.join_multicast_v4(&no_group, &Ipv4Addr::LOCALHOST).is_err());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.std().join_multicast_v4(group, interface)
    }

    /// Joins a group (`IPV6_ADD_MEMBERSHIP`) on the interface of that index; 0 leaves the choice to
    /// the system.
    ///
    /// # Errors
    /// Those of the operating system: no such interface, no group.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.std().join_multicast_v6(group, interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// Those of the operating system: the socket is no member.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.std().leave_multicast_v4(group, interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// Those of the operating system: the socket is no member.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.std().leave_multicast_v6(group, interface)
    }

    socket::common_methods!(
        UdpSocket,
        "let socket = marmot_netpoll::UdpSocket::bind(\"127.0.0.1:0\")?;"
    );
    socket::timeout_methods!("let socket = marmot_netpoll::UdpSocket::bind(\"127.0.0.1:0\")?;");
    socket::deadline_methods!("let socket = marmot_netpoll::UdpSocket::bind(\"127.0.0.1:0\")?;");
}

/// A pair of methods that read and set an option of the socket.
macro_rules! options {
    ($($get:ident, $set:ident: $type:ty = $value:literal, $bind:literal, $what:literal;)*) => {
        impl UdpSocket {
            $(
                #[doc = concat!($what, ". Does not wait.")]
                ///
                /// # Errors
                /// Those of the operating system.
                pub fn $get(&self) -> io::Result<$type> {
                    self.std().$get()
                }

                #[doc = concat!("Sets: ", $what, ". Does not wait.")]
                ///
                /// # Errors
                /// Those of the operating system; `InvalidInput` for what is out of range.
                ///
                /// ```
                #[doc = concat!("let socket = marmot_netpoll::UdpSocket::bind(\"", $bind, "\")?;")]
                #[doc = concat!("socket.", stringify!($set), "(", stringify!($value), ")?;")]
                #[doc = concat!("assert_eq!(socket.", stringify!($get), "()?, ", stringify!($value), ");")]
                /// # std::io::Result::Ok(())
                /// ```
                pub fn $set(&self, value: $type) -> io::Result<()> {
                    self.std().$set(value)
                }
            )*
        }
    };
}

options! {
    broadcast, set_broadcast: bool = true, "127.0.0.1:0",
        "Whether datagrams may be sent to everybody (`SO_BROADCAST`)";
    multicast_loop_v4, set_multicast_loop_v4: bool = false, "127.0.0.1:0",
        "Whether what is sent to a group comes back to this machine (`IP_MULTICAST_LOOP`)";
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = 7, "127.0.0.1:0",
        "The time to live of what is sent to a group (`IP_MULTICAST_TTL`)";
    multicast_loop_v6, set_multicast_loop_v6: bool = false, "[::1]:0",
        "Whether what is sent to a group comes back to this machine (`IPV6_MULTICAST_LOOP`)";
    ttl, set_ttl: u32 = 77, "127.0.0.1:0",
        "The time to live of the packets sent (`IP_TTL`)";
}

socket::conversions!(UdpSocket, std::net::UdpSocket);
