//! Accepting: what the listeners of all kinds have in common.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockAddr;

use crate::pollable::Manner;
use crate::socket::{self, Shared};
use crate::sys;

/// Connections that the kernel may keep for a listener; it takes the smaller of this and
/// `net.core.somaxconn`, whose usual value this is. std asks for 128, which a storm overflows.
pub(crate) const BACKLOG: i32 = 4096;

/// When the process or the machine is out of descriptors or memory, there is no event for its end.
const ACCEPT: Manner = Manner {
    pauses: is_exhaustion,
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(100),
    ..Manner::READ
};

/// Waits for a connection, as the listeners' `accept` says.
pub(crate) fn accept(listener: &Shared) -> io::Result<(Shared, SockAddr)> {
    let (socket, address) = listener.do_with(ACCEPT, |socket| {
        // A listener that may have become a blocking one is asked first. Should another task take
        // the connection in between, this blocks the thread until the next one.
        if listener.has_left() && !sys::is_readable(socket.as_fd())? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match sys::accept(socket.as_fd()) {
            Err(error) if was_given_up(&error) => Err(io::ErrorKind::Interrupted.into()),
            done => done,
        }
    })?;
    Ok((socket::adopt_nonblocking(socket), address))
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
