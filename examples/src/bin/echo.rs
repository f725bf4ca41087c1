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
//! A connection may be idle for as long as it likes. One that does not take its echo is closed after
//! `--timeout`. What it costs to serve one is its stack and a buffer of 8 KiB on it.
//!
//! `MARMOT_MAXPROCS=1` runs all of it on one core; `RUST_LOG=debug` says why connections end.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use marmot::Runtime;
use marmot_examples::server::{self, Connection, Options, Server};

/// Echoes every byte that it is sent.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: SocketAddr,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let args = Args::parse();
    server::main("echo", || {
        // SAFETY: the goroutines read, write, accept, select, log and lock a map. None of that
        // touches a thread-local on both sides of a wait: logging does so within calls that do not
        // wait for anything of Marmot's.
        let rt = unsafe { Runtime::migrating() }?;
        Server::bind(args.addr, &args.options)?.run(&rt, echo)
    })
}

fn echo(connection: &Connection) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let n = connection.stream().read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        connection.write_all(&buffer[..n])?;
        connection.stay();
    }
}
