//! Connecting: started without waiting, then a wait until the socket can be written or has failed.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use socket2::{Domain, Socket, Type};

use crate::socket::{self, Shared};

/// A socket connected to `addr`, or the reason why not; `TimedOut` when `deadline` passes first.
pub(super) fn connect(addr: SocketAddr, deadline: Option<Instant>) -> io::Result<Shared> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new_raw(Domain::for_address(addr), kind, None)?;
    let shared = socket::adopt_nonblocking(socket);
    shared.set_write_deadline(deadline);
    let mut started = false;
    shared.write_with(|socket| {
        if !started {
            started = true;
            start(socket, addr)
        } else {
            finish(socket)
        }
    })?;
    if deadline.is_some() {
        shared.set_write_deadline(None);
    }
    Ok(shared)
}

fn start(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    match socket.connect(&addr.into()) {
        // An interrupted attempt goes on by itself, too.
        Err(error)
            if error.raw_os_error() == Some(libc::EINPROGRESS)
                || error.kind() == io::ErrorKind::Interrupted =>
        {
            Err(io::ErrorKind::WouldBlock.into())
        }
        done => done,
    }
}

fn finish(socket: &Socket) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // No error may also mean that we were woken too early.
    match socket.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
