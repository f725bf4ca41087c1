//! Connecting, a bounded number at a time.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::now;
use crate::limits::Sources;
use crate::{Error, Plan};

/// How many connections are begun at once, over all threads. A connection comes about before the server
/// accepts it, and one that finds the server's queue full is tried again by the system after a second;
/// the shortest queues that are usual are twice as long as this.
const BATCH: usize = 64;

/// How long a server has to accept a batch before the next one is begun.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a wait for connections takes before the time is looked at again.
const PATIENCE: Duration = Duration::from_millis(100);

/// The connections of one worker.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Those that have come about, registered with the index as the token.
    pub(crate) streams: Vec<Option<TcpStream>>,
    /// How many have not.
    pub(crate) refused: u64,
    /// Why the first of them has not.
    pub(crate) error: Option<io::Error>,
}

/// Connects the connections `ids`, and counts in `done` those that have or have not come about.
pub(crate) fn connect(
    poll: &mut Poll,
    plan: &Plan,
    ids: &[u64],
    done: &AtomicU64,
) -> Result<Connected, Error> {
    let sources = Sources::new(plan.address, plan.connections);
    let batch = (BATCH / plan.threads).max(1);
    let timeout = u64::try_from(plan.connect_timeout.as_nanos()).unwrap_or(u64::MAX);
    let mut events = Events::with_capacity(batch);
    let mut all = Connected {
        streams: Vec::with_capacity(ids.len()),
        refused: 0,
        error: None,
    };
    // Those that are under way. There are few, so that going through them is quick.
    let mut pending: Vec<usize> = Vec::with_capacity(batch);
    let mut progress = now();
    while all.streams.len() < ids.len() || !pending.is_empty() {
        let mut room = batch - pending.len();
        if room > 0 && !all.streams.is_empty() {
            thread::sleep(PAUSE);
        }
        while room > 0 && all.streams.len() < ids.len() {
            room -= 1;
            let index = all.streams.len();
            let stream = begin(plan.address, sources.of(ids[index]));
            // What concerns this system and not the server would happen to all others as well.
            match stream.map_err(Error::Connect)? {
                Ok(mut stream) => {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(index), interest)?;
                    all.streams.push(Some(stream));
                    pending.push(index);
                }
                Err(e) => {
                    all.streams.push(None);
                    all.refuse(e, done);
                }
            }
        }
        match poll.poll(&mut events, Some(PATIENCE)) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e.into()),
            _ => {}
        }
        let before = pending.len();
        let late = now().saturating_sub(progress) > timeout;
        pending.retain(|&index| match outcome(&all.streams[index], late) {
            None => true,
            Some(Ok(())) => {
                done.fetch_add(1, Ordering::Relaxed);
                false
            }
            Some(Err(e)) => {
                all.streams[index] = None;
                all.refuse(e, done);
                false
            }
        });
        if pending.len() < before {
            progress = now();
        }
    }
    Ok(all)
}

impl Connected {
    fn refuse(&mut self, error: io::Error, done: &AtomicU64) {
        self.refused += 1;
        self.error.get_or_insert(error);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins a connection. The inner error is the server's, the outer one this system's.
fn begin(server: SocketAddr, source: Option<SocketAddr>) -> io::Result<io::Result<TcpStream>> {
    let domain = Domain::for_address(server);
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        choose_port_at_connect(&socket)?;
        socket.bind(&source.into())?;
    }
    match socket.connect(&server.into()) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) if e.raw_os_error() == Some(libc::EADDRNOTAVAIL) => return Err(e),
        Err(e) => return Ok(Err(e)),
        Ok(()) => {}
    }
    Ok(Ok(TcpStream::from_std(socket.into())))
}

/// Lets a socket that is bound to an address get its port when it connects: then ports that are in use
/// towards other servers can serve as well.
fn choose_port_at_connect(socket: &Socket) -> io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the option is an `int`, which outlives the call.
    let error = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    if error != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What has become of a connection; `None` if that is still open and not `late`.
fn outcome(stream: &Option<TcpStream>, late: bool) -> Option<io::Result<()>> {
    let stream = stream.as_ref()?;
    match stream.take_error() {
        Ok(None) => {}
        Ok(Some(e)) | Err(e) => return Some(Err(e)),
    }
    match stream.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(e) if e.kind() != io::ErrorKind::NotConnected => Some(Err(e)),
        Err(_) if late => Some(Err(io::ErrorKind::TimedOut.into())),
        Err(_) => None,
    }
}
