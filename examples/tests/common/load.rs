//! A load of echo connections from plain threads, every byte of which is checked.
//!
//! Each connection sends messages of random sizes, one after the other, and compares what comes
//! back with what it sent. All take their bytes from one table of random bytes, each from a place
//! of its own, so a byte that is lost, doubled, altered, or sent to another connection is found.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A prime, so that no message size divides it.
const TABLE: usize = 1_048_573;
const CHUNK: usize = 16 * 1024;

/// xorshift64*: small, seeded, good enough to make up sizes and bytes.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Sizes of messages: mostly small, some larger than the buffers on the way.
    fn size(&mut self) -> u64 {
        let range = match self.next() % 10 {
            0..=4 => 64,
            5..=8 => 4096,
            _ => 65_536,
        };
        1 + self.next() % range
    }
}

/// `MARMOT_SEED`, or one of the moment; printed, for whoever wants the same again.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("MARMOT_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("MARMOT_SEED is {text:?}; it must be a number")),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        }
    };
    println!("MARMOT_SEED={seed}");
    seed
}

/// What a load has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) connections: usize,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Of the connection that got the least.
    pub(crate) fewest_messages: u64,
}

impl Report {
    pub(crate) fn plus(self, other: Report) -> Report {
        Report {
            connections: self.connections + other.connections,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            fewest_messages: self.fewest_messages.min(other.fewest_messages),
        }
    }
}

pub(crate) fn table(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..TABLE).map(|_| (random.next() >> 56) as u8).collect()
}

/// One connection. Positions count bytes since its beginning.
struct Connection {
    stream: TcpStream,
    random: Random,
    /// Where in the table its bytes begin.
    origin: u64,
    sent: u64,
    received: u64,
    /// The end of the message that is under way.
    target: u64,
    messages: u64,
    closed: bool,
}

/// The table's bytes from `position` on: at most `len`, fewer at the table's end.
fn slice(table: &[u8], position: u64, len: u64) -> &[u8] {
    let at = (position % TABLE as u64) as usize;
    let end = TABLE.min(at + len.min(CHUNK as u64) as usize);
    &table[at..end]
}

impl Connection {
    fn is_idle(&self) -> bool {
        self.received == self.target
    }

    fn wants_to_send(&self) -> bool {
        self.sent < self.target
    }

    fn begin_message(&mut self) {
        self.target += self.random.size();
    }

    fn send(&mut self, table: &[u8]) {
        while self.wants_to_send() {
            let bytes = slice(table, self.origin + self.sent, self.target - self.sent);
            match (&self.stream).write(bytes) {
                Ok(n) => self.sent += n as u64,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("a send failed after {} bytes: {e}", self.sent),
            }
        }
    }

    fn receive(&mut self, table: &[u8]) {
        let mut buffer = [0; CHUNK];
        loop {
            let n = match (&self.stream).read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("a receive failed after {} bytes: {e}", self.received),
            };
            let mut got = &buffer[..n];
            while !got.is_empty() {
                let wanted = slice(table, self.origin + self.received, got.len() as u64);
                assert!(
                    got[..wanted.len()] == *wanted,
                    "an altered byte between {} and {}",
                    self.received,
                    self.received + wanted.len() as u64
                );
                self.received += wanted.len() as u64;
                got = &got[wanted.len()..];
            }
            assert!(self.received <= self.sent, "more came back than was sent");
            if self.is_idle() {
                self.messages += 1;
            }
        }
    }
}

/// Drives `count` connections to `addr` on the calling thread, until `stop` is set; then lets each
/// message that is under way come back, and waits until the server has closed every connection.
///
/// # Panics
/// At the first wrong byte; if a connection ends before its message has come back, or in another way
/// than by an orderly close; or if this has not ended by `limit`.
pub(crate) fn drive(
    addr: SocketAddr,
    count: usize,
    seed: u64,
    table: &[u8],
    stop: &AtomicBool,
    limit: Instant,
) -> Report {
    let mut random = Random::new(seed);
    let mut connections: Vec<_> = (0..count)
        .map(|_| {
            let stream = TcpStream::connect(addr).expect("the server accepts");
            stream
                .set_nonblocking(true)
                .expect("a socket can be non-blocking");
            stream.set_nodelay(true).expect("a socket can be prompt");
            Connection {
                stream,
                origin: random.next() % TABLE as u64,
                random: Random::new(random.next()),
                sent: 0,
                received: 0,
                target: 0,
                messages: 0,
                closed: false,
            }
        })
        .collect();
    let mut polls: Vec<_> = connections
        .iter()
        .map(|c| libc::pollfd {
            fd: c.stream.as_raw_fd(),
            events: 0,
            revents: 0,
        })
        .collect();
    loop {
        let stopping = stop.load(Ordering::Acquire);
        for (connection, poll) in connections.iter_mut().zip(&mut polls) {
            if connection.closed {
                poll.fd = -1;
                continue;
            }
            if poll.revents & libc::POLLOUT != 0 {
                connection.send(table);
            }
            if poll.revents & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0 {
                connection.receive(table);
            }
            if connection.closed {
                assert!(stopping, "the server closed a connection that was not done");
                assert!(
                    connection.is_idle(),
                    "a message was lost: {} of {} bytes came back",
                    connection.received,
                    connection.target
                );
            } else if connection.is_idle() && !stopping {
                connection.begin_message();
                connection.send(table);
            }
            poll.events = libc::POLLIN;
            if connection.wants_to_send() {
                poll.events |= libc::POLLOUT;
            }
        }
        let open = connections.iter().filter(|c| !c.closed).count();
        if open == 0 {
            break;
        }
        assert!(Instant::now() < limit, "{open} connections are still open");
        wait(&mut polls, Duration::from_millis(50));
    }
    Report {
        connections: count,
        messages: connections.iter().map(|c| c.messages).sum(),
        bytes: connections.iter().map(|c| c.received).sum(),
        fewest_messages: connections.iter().map(|c| c.messages).min().unwrap_or(0),
    }
}

fn wait(polls: &mut [libc::pollfd], timeout: Duration) {
    // SAFETY: the pointer and the length are those of one slice of `pollfd`.
    let code = unsafe {
        libc::poll(
            polls.as_mut_ptr(),
            polls.len() as libc::nfds_t,
            timeout.as_millis() as libc::c_int,
        )
    };
    if code < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        polls.iter_mut().for_each(|poll| poll.revents = 0);
    }
}
