//! Unix sockets: `std::os::unix::net`'s types, whose calls park the goroutine instead of the thread.

mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::linux::net::SocketAddrExt;
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
