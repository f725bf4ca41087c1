//! A TCP proxy: what comes in is sent on to another address, and back.
//!
//! ```text
//! cargo run --release --bin http
//! cargo run --release --bin proxy -- --to 127.0.0.1:8000
//! curl -i http://127.0.0.1:7001/
//! ```
//!
//! Each connection has two goroutines, one for each direction. When one side has sent all it has, the
//! other is told so and may still answer: half-closed connections stay so. A connection ends when both
//! sides are done, when one breaks, when nothing has come from either for `--idle-timeout`, or when
//! one does not take what it is sent within `--timeout`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use marmot::Runtime;
use marmot::net::TcpStream;
use marmot::sync::Arc;
use marmot_examples::server::{self, Connection, Options, SILENCE, Server, seconds};

/// Bytes that one direction of a connection holds.
const BUFFER: usize = 16 * 1024;

/// Passes TCP connections on to another address.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7001")]
    addr: SocketAddr,
    /// Where to send what comes in: HOST:PORT, looked up once
    #[arg(long, value_name = "ADDR")]
    to: String,
    /// How many seconds the other address may take to accept a connection
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    dial_timeout: Duration,
    /// How many seconds a connection may be silent in both directions
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    idle_timeout: Duration,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let args = Args::parse();
    server::main("proxy", || {
        let to = resolve(&args.to)?;
        // SAFETY: the goroutines read, write, accept, connect, select, log and take locks. None of
        // that touches a thread-local on both sides of a wait: logging does so within calls that do
        // not wait for anything of Marmot's.
        let rt = unsafe { Runtime::migrating() }?;
        let server = Server::bind(args.addr, &args.options)?;
        server.run(&rt, move |connection| {
            let upstream = TcpStream::connect_timeout(&to, args.dial_timeout).inspect_err(|e| {
                tracing::warn!(%to, error = %e, "a connection cannot be passed on");
            })?;
            pass_on(connection, upstream, args.idle_timeout)
        })
    })
}

fn resolve(to: &str) -> io::Result<SocketAddr> {
    let wrong = |e: io::Error| io::Error::new(e.kind(), format!("cannot look up {to}: {e}"));
    let mut found = to.to_socket_addrs().map_err(wrong)?;
    found
        .next()
        .ok_or_else(|| wrong(io::Error::new(ErrorKind::NotFound, "it has no address")))
}

/// Passes both directions on until both are done, or one fails.
fn pass_on(connection: &Connection, upstream: TcpStream, idle: Duration) -> io::Result<()> {
    let client = connection.stream();
    let upstream = Arc::new(upstream);
    connection.add(upstream.clone());
    upstream.set_nodelay(true)?;
    upstream.set_write_timeout(Some(connection.timeout()))?;
    client.set_read_timeout(Some(idle))?;
    upstream.set_read_timeout(Some(idle))?;
    let link = Link {
        connection,
        idle,
        begin: Instant::now(),
        active: AtomicU64::new(0),
    };
    marmot::scope(|s| {
        let answers = s.go(|| link.copy_or_end(&upstream, client));
        let asked = link.copy_or_end(client, &upstream);
        asked.and(answers.join().expect("copying does not panic"))
    })
}

/// What the two directions of a connection share.
struct Link<'a> {
    connection: &'a Connection,
    idle: Duration,
    begin: Instant,
    /// When something last passed, in milliseconds since `begin`. Relaxed: it orders nothing.
    active: AtomicU64,
}

impl Link<'_> {
    /// Copies until the end; an error ends the other direction too.
    fn copy_or_end(&self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        self.copy(from, to).inspect_err(|_| {
            // What is broken already cannot be ended.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        })
    }

    fn copy(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return to.shutdown(Shutdown::Write),
                Ok(n) => {
                    to.write_all(&buffer[..n])?;
                    let now = self.begin.elapsed().as_millis() as u64;
                    self.active.store(now, Ordering::Relaxed);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => self.wait_on(from, error)?,
                    _ => return Err(error),
                },
            }
        }
    }

    /// Gives `from` more time if the other direction was active, else gives the error back.
    fn wait_on(&self, from: &TcpStream, error: io::Error) -> io::Result<()> {
        let now = Instant::now();
        let active = self.begin + Duration::from_millis(self.active.load(Ordering::Relaxed));
        let stop = self.connection.state().end();
        let idle = stop.map_or(self.idle, |_| SILENCE.min(self.idle));
        let until = (active + idle).min(stop.unwrap_or(active + idle));
        if until <= now {
            return Err(error);
        }
        from.set_read_deadline(stop.map(|_| until))?;
        from.set_read_timeout(Some(until - now))
    }
}
