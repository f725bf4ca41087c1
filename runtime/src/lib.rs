//! Marmot, a Go-style M:N green-thread runtime.
//!
//! A *goroutine* is a thread that costs a few kilobytes and no system call: [`go`] starts one in
//! well under a microsecond, and a process can hold a million. You write plain blocking code. When
//! it would block, the goroutine parks, and its thread runs another; on as many threads as
//! [`max_procs`] says, with work stealing between them.
//!
//! The names are those of the standard library and of `crossbeam-channel`, so porting is a change
//! of `use`. What Go has beyond them is here under Go's name.
//!
//! # A runtime
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
//! let rt = unsafe { marmot::Runtime::migrating() }?;
//! let greeting = rt.run(|| {
//!     let name = marmot::go(|| "marmot");
//!     format!("hello, {}", name.join().unwrap())
//! });
//! assert_eq!(greeting, "hello, marmot");
//! # Ok(())
//! # }
//! ```
//!
//! Why `unsafe`? A goroutine that has waited may go on on another thread, and Rust's thread-locals
//! do not know that. [`Runtime::migrating`] states the rule to keep; it is the only one.
//! [`Runtime::pinned`] is safe and asks for nothing: its goroutines stay on their threads, at the
//! price that one which blocks its thread delays its neighbours there.
//!
//! # Channels and select
//!
//! [`channel`] mirrors `crossbeam-channel`, and adds Go's `close`. Goroutines and threads may stand
//! at both ends, in any mixture:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
//! # let rt = unsafe { marmot::Runtime::migrating() }?;
//! use marmot::channel::{after, bounded};
//! use std::time::Duration;
//!
//! let (jobs, todo) = bounded(4);
//! let sum = rt.go(move || todo.iter().sum::<u32>());
//! for n in 1..=10 {
//!     jobs.send(n).unwrap();
//! }
//! drop(jobs);
//! assert_eq!(sum.join().unwrap(), 55);
//!
//! rt.run(|| {
//!     let (_never_used, news) = bounded::<&str>(0);
//!     marmot::select! {
//!         recv(news) -> message => panic!("{message:?}"),
//!         recv(after(Duration::from_millis(2))) -> _ => {} // nothing in time
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # Sockets
//!
//! [`net`] mirrors `std::net`. A read that has nothing to read parks its goroutine; the thread goes
//! on with another:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
//! # let rt = unsafe { marmot::Runtime::migrating() }?;
//! use marmot::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! let reply = rt.run(|| -> std::io::Result<String> {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = listener.local_addr()?;
//!     let server = marmot::go(move || {
//!         let (mut stream, _) = listener.accept()?;
//!         stream.write_all(b"hello")
//!     });
//!     let mut text = String::new();
//!     TcpStream::connect(addr)?.read_to_string(&mut text)?;
//!     server.join().unwrap()?;
//!     Ok(text)
//! })?;
//! assert_eq!(reply, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Scopes
//!
//! Goroutines may borrow from the one that waits for them, as with `std::thread::scope`:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
//! # let rt = unsafe { marmot::Runtime::migrating() }?;
//! let words = ["one", "two", "three"];
//! let mut lengths = [0; 3];
//! rt.run(|| {
//!     marmot::scope(|s| {
//!         for (word, length) in words.iter().zip(&mut lengths) {
//!             s.spawn(move || *length = word.len());
//!         }
//!     });
//! });
//! assert_eq!(lengths, [3, 3, 5]);
//! # Ok(())
//! # }
//! ```
//!
//! # Inside and outside
//!
//! Channels, timers ([`time`]), wait groups and semaphores ([`sync`]), sockets, [`sleep`],
//! [`yield_now`], `park` and `join` work on plain threads too, in a process without a runtime even, and do to the thread what they do to a goroutine. [`go`], [`scope`], [`num_goroutines`] and [`max_procs`] speak of the
//! current runtime: outside one they panic, and name the method of [`Runtime`] to use.
//!
//! # Environment
//!
//! | variable | meaning | accepted |
//! |---|---|---|
//! | `MARMOT_MAXPROCS` | how many goroutines run at once | 1 to 65536 |
//! | `MARMOT_STACK_SIZE` | usable bytes of a goroutine's stack | 64K to 1G, as `262144`, `256K`, `1M` |
//! | `MARMOT_DEBUG` | a comma list: `schedtrace=MS` prints a line on the scheduler every so many milliseconds, `scheddetail` adds every goroutine, `chaos=SEED` schedules as unusually as the rules allow, to bring latent bugs out in tests | |
//!
//! Read when a runtime is built. A call on the [`Builder`] wins; what cannot be read is an error
//! all the same; empty counts as unset.

mod atoms;
mod builder;
pub mod io;
pub mod process;
mod runtime;
pub mod signal;
pub mod sync;
pub mod time;

pub use crate::builder::Builder;
pub use crate::runtime::Runtime;

#[doc(inline)]
pub use marmot_channel as channel;
pub use marmot_channel::{select, select_biased};
pub use marmot_scheduler::goroutine::{sleep, yield_now};
pub use marmot_scheduler::{
    Handle, JoinHandle, Metrics, OsThreadGuard, ShutDown, SwitchHooks, blocking, go,
    goroutine_local, lock_os_thread, max_procs, num_goroutines, scope, set_max_procs,
};

/// Goroutines: spawning, naming, parking. Mirrors `std::thread`.
pub mod goroutine {
    pub use marmot_scheduler::goroutine::{
        Builder, Goroutine, GoroutineId, current, panicking, park, park_timeout, sleep,
        sleep_until, yield_now,
    };
    pub use marmot_scheduler::{JoinHandle, Scope, ScopedJoinHandle, go as spawn, scope};
    pub use std::thread::{Result, available_parallelism};
}

/// Sockets that park the goroutine and not its thread. Mirrors `std::net`.
pub mod net {
    pub use marmot_netpoll::{Incoming, IntoIncoming, TcpListener, TcpStream, UdpSocket};
    pub use std::net::{
        AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4,
        SocketAddrV6, ToSocketAddrs,
    };

    /// Unix sockets. Mirrors `std::os::unix::net`, and has `SocketAddrExt` of `std::os::linux::net`.
    pub mod unix {
        pub use marmot_netpoll::unix::{
            Incoming, SocketAddr, SocketAddrExt, UnixDatagram, UnixListener, UnixStream,
        };
    }
}
