//! What all servers do alike: listen, say where, end at SIGTERM.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// The length of the queue of connections that wait to be accepted.
pub const BACKLOG: i32 = 4096;

/// The size of a connection's buffers, in bytes.
pub const BUFFER: usize = 4096;

/// A socket that listens, and does not block.
///
/// # Errors
///
/// The address is taken or is not one of this machine.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Says where the server listens: the first line on standard output.
///
/// # Errors
///
/// Standard output is closed.
pub fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {addr}")?;
    out.flush()
}

extern "C" fn exit(_signal: libc::c_int) {
    // SAFETY: `_exit` may be called in a signal handler.
    unsafe { libc::_exit(0) }
}

/// Ends the process with status 0 at SIGTERM. What is in flight is dropped, which the contract
/// allows, and no runtime has to carry a signal through its poller.
pub(crate) fn exit_at_sigterm() {
    let handler: extern "C" fn(libc::c_int) = exit;
    // SAFETY: the handler only calls what is allowed in one.
    let previous = unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
    assert_ne!(previous, libc::SIG_ERR, "SIGTERM can be handled");
}

/// What a client sent is not in the protocol; its connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What was received on a connection and is not answered yet.
#[derive(Debug)]
pub struct Input {
    buffer: Vec<u8>,
    filled: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            filled: 0,
        }
    }
}

impl Input {
    /// Room to receive into, never empty: the buffer grows for what is longer than it.
    pub fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// What there is, with the `received` bytes that now are in [`space`](Self::space).
    pub fn received(&mut self, received: usize) -> &[u8] {
        self.filled += received;
        &self.buffer[..self.filled]
    }

    /// Forgets the first `used` bytes.
    pub fn consume(&mut self, used: usize) {
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
    }
}

/// Serves a connection that blocks its task: reads, appends the answers to all that is whole, and
/// writes them together, until the client is gone or sends what is malformed.
pub fn converse(
    mut stream: impl Read + Write,
    answer: impl Fn(&[u8], &mut Vec<u8>) -> Result<usize, Malformed>,
) {
    let mut input = Input::default();
    let mut out = Vec::with_capacity(BUFFER);
    while let Ok(received @ 1..) = stream.read(input.space()) {
        let Ok(used) = answer(input.received(received), &mut out) else {
            break;
        };
        input.consume(used);
        if !out.is_empty() && stream.write_all(&out).is_err() {
            break;
        }
        out.clear();
    }
}
