//! What all sockets share: coming from a plain descriptor, and leaving as one; and the loan of std's
//! own type for all that never waits.

mod conversions;
mod methods;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

pub(crate) use conversions::conversions;
pub(crate) use methods::{common_methods, deadline_methods, stream_io, timeout_methods};

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

/// A socket on loan as std's type `S`: for addresses and options, which do not wait. So they are
/// std's to the last error, and `Debug` has std's form.
pub(crate) struct View<'a, S> {
    /// Never dropped, for that would close the descriptor.
    socket: ManuallyDrop<S>,
    lender: PhantomData<&'a Socket>,
}

/// Lends a socket. `S` is one of the socket types of std.
pub(crate) fn view<S: FromRawFd>(shared: &Shared) -> View<'_, S> {
    let fd = shared.get().as_raw_fd();
    View {
        // SAFETY: the descriptor is open as long as `shared` is borrowed, and so is the loan; it is
        // not closed at its end, so in effect nothing is given away.
        socket: ManuallyDrop::new(unsafe { S::from_raw_fd(fd) }),
        lender: PhantomData,
    }
}

impl<S> Deref for View<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.socket
    }
}
