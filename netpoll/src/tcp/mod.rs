//! TCP sockets: `std::net`'s types, whose calls park the goroutine instead of the thread.

mod connect;
mod listener;
mod stream;

pub use listener::{Incoming, IntoIncoming, TcpListener};
pub use stream::TcpStream;

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

/// The address of an Internet socket.
fn ip_address(address: &SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an Internet address"))
}

/// Does `f` with each address in turn, until one succeeds; else gives the last error.
fn each_address<A, R>(addr: A, mut f: impl FnMut(SocketAddr) -> io::Result<R>) -> io::Result<R>
where
    A: std::net::ToSocketAddrs,
{
    let mut last = None;
    // A look-up of a name waits for the network, in the C library: on the thread.
    let addresses = marmot_scheduler::blocking(|| addr.to_socket_addrs())?;
    for addr in addresses {
        match f(addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}
