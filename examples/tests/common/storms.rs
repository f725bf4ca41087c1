//! What storms on servers have in common: one at a time, and afterwards all is back where it was.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::common::Server;
use crate::watch::{Usage, settle, usage};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Idle connections of a crowd, if the system allows so many descriptors.
pub(crate) const CROWD: usize = 10_000;

/// One storm at a time: each counts what the server has, and some want most of the descriptors that
/// this process may have.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections a crowd has: each takes a descriptor here and one in the server, which has the
/// same limit.
pub(crate) fn crowd() -> usize {
    let most = marmot_examples::raise_open_file_limit().unwrap() as usize;
    let count = CROWD.min(most - 500);
    println!("{count} idle connections of {CROWD}; {most} open files are allowed");
    count
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// KiB that may be kept after crowds of idle connections, by the allocator, and by caches that the next
/// crowd uses. Of 10,000, and of the next 10,000 as well, the echo server keeps 19 to 20 MiB with two
/// processors:
///
/// - 7.5 MiB of stacks: the arena's reserve of 512 and 64 of each processor, three pages each;
/// - 6 MiB of descriptor records, which are type-stable: as many as there were at once, rounded up;
/// - 5 MiB of the heap, less than 1 of which is in use: what glibc's arenas, one for each thread, do not
///   give back as long as something lies above it (`malloc_trim` would).
pub(crate) const KEPT: usize = 28 * 1024;
/// The same after a small storm.
pub(crate) const SLACK: usize = 12 * 1024;

/// Waits until the server has what it had, and `connections` more. Some threads are kept as spare
/// ones.
pub(crate) fn calms_down(server: &Server, rest: Usage, connections: usize, kept: usize) {
    let now = settle(server.pid(), LIMIT, |now| {
        now.descriptors == rest.descriptors + connections
            && now.threads <= rest.threads + 8
            && now.kilobytes <= rest.kilobytes + kept
    });
    println!("{rest:?} -> {now:?} with {connections} connections");
}

/// Waits until a crowd of idle connections has been accepted, beside `active` other ones, has `ask` say
/// something to some of it, and lets it go: with what it may take, and leave behind.
pub(crate) fn crowd_passes(
    server: &Server,
    rest: Usage,
    active: usize,
    crowd: Vec<TcpStream>,
    ask: impl FnOnce(&[TcpStream]),
) {
    settle(server.pid(), LIMIT, |now| {
        now.descriptors == rest.descriptors + crowd.len() + active
    });
    ask(&crowd);
    let full = usage(server.pid());
    let each = (full.kilobytes - rest.kilobytes) / crowd.len();
    println!("{full:?}: {each} KiB a connection");
    assert!(each <= 32, "{each} KiB for a connection");
    drop(crowd);
    calms_down(server, rest, active, KEPT);
}

pub(crate) fn ends_well(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

/// Has the connection reset when it is closed.
pub(crate) fn reset_at_close(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the pointer and the length are those of `linger`, which outlives the call; the descriptor
    // is that of `stream`.
    let code = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
}
