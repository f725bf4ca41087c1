//! An HTTP/1.1 server: plain blocking code, a goroutine per connection.
//!
//! ```text
//! cargo run --release --bin http
//! curl -i http://127.0.0.1:8000/
//! wrk -t 2 -c 50 -d 5 http://127.0.0.1:8000/
//! ```
//!
//! | target | answer |
//! |---|---|
//! | `/` | a greeting |
//! | `/echo` | what was posted |
//! | `/sleep?ms=N` | a word, after so many milliseconds |
//! | `/metrics` | counters of the server and of the runtime, for Prometheus |
//! | `/healthz` | whether it is well: 503 while it stops |
//!
//! A request that has begun has `--timeout` seconds to come in, a connection without one as long to
//! begin the next. SIGTERM or Ctrl-C: what is under way is answered, for five seconds at the most, and
//! the status is 0. The protocol is in `examples/src/http/`.

use std::convert::Infallible;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use marmot::Runtime;
use marmot::channel::Receiver;
use marmot_examples::http::{self, Peer, Site};
use marmot_examples::server::{self, Connection, Options, Server};

/// How long the other side may take to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8000")]
    addr: SocketAddr,
    /// The most bytes that a request's body may have
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_body: u32,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let args = Args::parse();
    server::main("http", || {
        // SAFETY: the goroutines read, write, accept, select, log, parse, and take locks. None of
        // that touches a thread-local on both sides of a wait: logging does so within calls that do
        // not wait for anything of Marmot's.
        let rt = unsafe { Runtime::migrating() }?;
        let site = Site::new(rt.handle(), args.max_body as usize);
        Server::bind(args.addr, &args.options)?.run(&rt, move |connection| {
            // Between requests; one that has begun has a deadline.
            let idle = Some(connection.timeout());
            connection.stream().set_read_timeout(idle)?;
            http::serve(&Client(connection), &site)
        })
    })
}

/// The other side of a connection.
struct Client<'a>(&'a Connection);

impl Peer for Client<'_> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.stream().read(buffer)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn set_read_deadline(&self, at: Option<Instant>) -> io::Result<()> {
        self.0.set_read_deadline(at)
    }

    fn timeout(&self) -> Duration {
        self.0.timeout()
    }

    fn stopping(&self) -> &Receiver<Infallible> {
        self.0.state().stopping()
    }

    fn is_stopping(&self) -> bool {
        self.0.state().is_stopping()
    }

    fn connections(&self) -> (usize, u64) {
        (self.0.state().open(), self.0.state().accepted())
    }

    fn linger(&self) {
        // Closing a socket with unread input resets the connection, and the answer may be lost.
        let _ = self.0.stream().shutdown(Shutdown::Write);
        let _ = self.0.set_read_deadline(Some(Instant::now() + LINGER));
        let mut rest = [0; 4096];
        for _ in 0..1024 {
            match self.0.stream().read(&mut rest) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}
