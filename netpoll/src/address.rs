//! Addresses: from the kernel's form to std's and back, and names that have to be looked up.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use socket2::SockAddr;

/// The address of an Internet socket.
pub(crate) fn ip_address(address: &SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an Internet address"))
}

/// The address of a Unix socket. What is no such address is unnamed, as is the other side of a
/// socket that was never bound.
pub(crate) fn unix_address(address: &SockAddr) -> io::Result<UnixAddr> {
    if let Some(path) = address.as_pathname() {
        UnixAddr::from_pathname(path)
    } else if let Some(name) = address.as_abstract_namespace() {
        UnixAddr::from_abstract_name(name)
    } else {
        UnixAddr::from_pathname("")
    }
}

/// The kernel's form of a Unix address.
pub(crate) fn raw_unix_address(address: &UnixAddr) -> io::Result<SockAddr> {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        (None, Some(name)) => {
            let name: Vec<u8> = [0].iter().chain(name).copied().collect();
            SockAddr::unix(Path::new(OsStr::from_bytes(&name)))
        }
        (None, None) => SockAddr::unix(""),
    }
}

/// Does `f` with each address in turn, until one succeeds; else gives the last error.
pub(crate) fn each_address<A, R>(
    addr: A,
    mut f: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R>
where
    A: ToSocketAddrs,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_survive_the_round_trip() {
        let path = UnixAddr::from_pathname("/tmp/a socket").unwrap();
        let name = UnixAddr::from_abstract_name(b"a\0name").unwrap();
        let none = UnixAddr::from_pathname("").unwrap();
        assert!(none.is_unnamed());
        for address in [path, name, none] {
            let back = unix_address(&raw_unix_address(&address).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{address:?}"));
        }
    }
}
