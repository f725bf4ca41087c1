//! What all sockets share: coming from a plain descriptor, and leaving as one.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use socket2::Socket;

use crate::pollable::Pollable;
use crate::sys;

/// A socket and its clones. Clones share the descriptor: one registration serves them all, and
/// timeouts, deadlines and the non-blocking mode are common as they are in std.
///
/// Rejected: a duplicate descriptor per clone, as std has it. It would be registered a second time,
/// and each event would come twice.
pub(crate) type Shared = Arc<Pollable<Socket>>;

/// A socket that was made non-blocking.
pub(crate) fn adopt_nonblocking(socket: Socket) -> Shared {
    Arc::new(Pollable::from_nonblocking(socket))
}

/// A socket from outside: its mode and its timeouts become ours.
///
/// What cannot be read is taken to be unset, and a descriptor that is no socket at all fails at its
/// first use, as in std.
pub(crate) fn adopt(socket: Socket) -> Shared {
    let nonblocking = socket.nonblocking().unwrap_or(false);
    let read = socket.read_timeout().unwrap_or(None);
    let write = socket.write_timeout().unwrap_or(None);
    let _ = sys::set_nonblocking(socket.as_fd(), true);
    let shared = adopt_nonblocking(socket);
    shared.set_nonblocking(nonblocking);
    // The kernel has no timeout of zero.
    let _ = shared.set_read_timeout(read);
    let _ = shared.set_write_timeout(write);
    shared
}

/// The descriptor for somebody outside: blocking again, unless the user had set it non-blocking, and
/// with the timeouts as the kernel knows them. Deadlines stay behind.
///
/// If there are clones, the descriptor is duplicated.
///
/// # Panics
/// If that fails, for want of descriptors.
pub(crate) fn release(shared: Shared) -> OwnedFd {
    let nonblocking = shared.nonblocking();
    let (read, write) = (shared.read_timeout(), shared.write_timeout());
    let socket = match Arc::try_unwrap(shared) {
        Ok(alone) => alone.into_inner(),
        Err(shared) => {
            shared.set_left();
            shared.get().try_clone().unwrap_or_else(|error| {
                panic!("no descriptor is left for a socket that leaves its clones: {error}")
            })
        }
    };
    // These fail only for what is no socket.
    let _ = socket.set_read_timeout(read);
    let _ = socket.set_write_timeout(write);
    let _ = socket.set_nonblocking(nonblocking);
    socket.into()
}

/// `Debug` as std prints its sockets.
pub(crate) fn debug(
    name: &str,
    shared: &Shared,
    with_peer: bool,
    f: &mut std::fmt::Formatter<'_>,
) -> std::fmt::Result {
    let socket = shared.get();
    let mut out = f.debug_struct(name);
    if let Some(addr) = socket.local_addr().ok().and_then(|a| a.as_socket()) {
        out.field("addr", &addr);
    }
    if with_peer && let Some(peer) = socket.peer_addr().ok().and_then(|a| a.as_socket()) {
        out.field("peer", &peer);
    }
    out.field("fd", &socket.as_raw_fd()).finish()
}

/// Everything that turns a socket type into descriptors and std's type and back.
macro_rules! conversions {
    ($name:ident, $std:ty) => {
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.get().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.get().as_raw_fd()
            }
        }

        impl From<$std> for $name {
            /// Makes the socket non-blocking, for the kernel and so for its duplicates outside;
            /// its own mode and timeouts are kept.
            fn from(socket: $std) -> Self {
                Self(socket::adopt(socket.into()))
            }
        }

        impl From<$name> for $std {
            /// The socket is blocking again, unless it was set non-blocking.
            ///
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(socket: $name) -> Self {
                socket::release(socket.0).into()
            }
        }

        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> Self {
                Self(socket::adopt(fd.into()))
            }
        }

        impl From<$name> for OwnedFd {
            /// The socket is blocking again, unless it was set non-blocking.
            ///
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(socket: $name) -> Self {
                socket::release(socket.0)
            }
        }

        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller's promise: an open descriptor that is given away.
                Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}
pub(crate) use conversions;
