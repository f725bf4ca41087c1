//! A TCP echo server: one goroutine per connection, in plain blocking code.
//!
//! ```text
//! cargo run --release --bin echo
//! cargo run --release --bin echo -- --addr 127.0.0.1:0
//! ```
//!
//! It prints where it listens. Talk to it with `nc 127.0.0.1 7000`, and end it with Ctrl-C or
//! SIGTERM: it stops accepting at once, goes on echoing until each connection has been silent for a
//! moment, for five seconds at the most, and exits with status 0.
//!
//! `MARMOT_MAXPROCS=1` runs all of it on one core.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use clap::Parser;
use marmot::Runtime;
use marmot::net::{TcpListener, TcpStream};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Once the server stops, a connection that is silent for so long is done.
const SILENCE: Duration = Duration::from_secs(1);
/// Once the server stops, the last connection ends after so long.
const GRACE: Duration = Duration::from_secs(5);

/// Echoes every byte that it is sent.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: SocketAddr,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Args) -> io::Result<()> {
    if let Err(error) = marmot_examples::raise_open_file_limit() {
        eprintln!("echo: the limit on open files stays as it is: {error}");
    }
    // SAFETY: the goroutines below call read, write, accept and the lock of a map, and print. None
    // of that touches a thread-local on both sides of a wait: `println!` and `Mutex` do so within
    // calls that do not wait for anything of Marmot's.
    let rt = unsafe { Runtime::migrating() }?;
    // Before the address is printed: whoever has read it may send a signal.
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let listener = TcpListener::bind(args.addr)
        .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {}: {e}", args.addr)))?;
    println!(
        "listening on {} with {} processors",
        listener.local_addr()?,
        rt.max_procs()
    );
    stop_at(signals, listener.try_clone()?);
    rt.run(|| accept(listener, &Server::default()))
}

/// Ends `accept` at the first signal, by moving its deadline to now. A thread of its own, for it
/// waits in the operating system.
fn stop_at(mut signals: Signals, listener: TcpListener) {
    std::thread::spawn(move || {
        signals.forever().next();
        listener
            .set_deadline(Some(Instant::now()))
            .expect("a deadline can be set");
    });
}

/// The connections there are, and when they have to end.
#[derive(Default)]
struct Server {
    /// An ordered map, because a `HashMap` takes its keys from a thread-local. The lock is never
    /// held over a wait.
    streams: Mutex<BTreeMap<u64, Arc<TcpStream>>>,
    /// Once set, the server stops; the last moment for every connection.
    end: OnceLock<Instant>,
}

impl Server {
    fn add(&self, stream: Arc<TcpStream>) -> u64 {
        let mut streams = self.streams.lock().unwrap();
        let number = streams.last_key_value().map_or(0, |(last, _)| last + 1);
        streams.insert(number, stream);
        number
    }

    fn remove(&self, number: u64) {
        self.streams.lock().unwrap().remove(&number);
    }

    /// Gives every connection a deadline. Reads that wait now notice.
    fn stop(&self) {
        let now = Instant::now();
        let end = *self.end.get_or_init(|| now + GRACE);
        for stream in self.streams.lock().unwrap().values() {
            // Best effort: a connection that has just broken has ended anyway.
            let _ = stream.set_read_deadline(Some(now + SILENCE));
            let _ = stream.set_write_deadline(Some(end));
        }
    }
}

/// Starts a goroutine per connection until the deadline of the listener, then waits for them all.
fn accept(listener: TcpListener, server: &Server) -> io::Result<()> {
    marmot::scope(|connections| {
        let result = loop {
            // Want of descriptors ends nothing: `accept` waits until there are some.
            let stream = match listener.accept() {
                Ok((stream, _)) => Arc::new(stream),
                Err(error) if error.kind() == ErrorKind::TimedOut => break Ok(()),
                Err(error) => break Err(error),
            };
            let number = server.add(stream.clone());
            connections.go(move || {
                // A connection that breaks is the other side's affair.
                let _ = echo(&stream, server);
                server.remove(number);
            });
        };
        // From here on the system refuses connections.
        drop(listener);
        server.stop();
        result
    })
}

fn echo(mut stream: &TcpStream, server: &Server) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 8192];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
        if let Some(&end) = server.end.get() {
            // It was not silent: it gets a little longer.
            stream.set_read_deadline(Some(end.min(Instant::now() + SILENCE)))?;
        }
    }
}
