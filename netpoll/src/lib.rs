//! Marmot's network poller and the sockets that wait in it.
mod blocked;
mod limits;
mod members;
mod pollable;
mod poller;
mod record;
mod slot;
mod socket;
mod sync;
mod sys;
mod tcp;
mod timer;

pub use pollable::Pollable;
pub use poller::Poller;
pub use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
pub use tcp::{Incoming, IntoIncoming, TcpListener, TcpStream};
