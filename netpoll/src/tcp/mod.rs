//! TCP sockets: `std::net`'s types, whose calls park the goroutine instead of the thread.

mod connect;
mod listener;
mod stream;

pub use listener::{Incoming, IntoIncoming, TcpListener};
pub use stream::TcpStream;

use crate::address::ip_address;
