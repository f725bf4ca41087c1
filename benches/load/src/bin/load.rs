//! The load generator as a program.
//!
//! ```text
//! cargo run --release -p marmot-load --bin load -- echo 127.0.0.1:7000 --connections 1000
//! ```
//!
//! The status is 0 if all answers were right and no connection was lost, 1 if not, and 2 if there was
//! nothing to report. `benches/load/README.md` says more.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use marmot_load::{Op, Plan, Workload, run};

/// Makes requests to a server on loopback, and checks and measures the answers.
#[derive(Parser)]
#[command(name = "load")]
struct Command {
    #[command(subcommand)]
    workload: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Bytes that have to come back unchanged
    Echo {
        #[command(flatten)]
        common: Common,
        /// Bytes of a request
        #[arg(long, value_name = "BYTES", default_value_t = 64)]
        size: usize,
    },
    /// GET over HTTP/1.1
    Http {
        #[command(flatten)]
        common: Common,
        /// The target to ask for
        #[arg(long, default_value = "/")]
        path: String,
        /// The body of the right answer
        #[arg(long, value_name = "TEXT", default_value = "Hello, world!")]
        body: String,
    },
    /// The Redis protocol
    Kv {
        #[command(flatten)]
        common: Common,
        /// The command
        #[arg(long, value_enum, default_value = "get")]
        op: Operation,
        /// Bytes of the value
        #[arg(long, value_name = "BYTES", default_value_t = 3)]
        size: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Operation {
    Get,
    Set,
    Ping,
}

#[derive(Args)]
struct Common {
    /// Where the server listens, as 127.0.0.1:7000
    #[arg(value_parser = address)]
    address: SocketAddr,
    /// How many connections there are
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// How long to measure
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// How long to make requests before that
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Requests due per second, over all connections; without it, each connection asks again when it
    /// has its answer
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// How many requests may be under way on a connection
    #[arg(long, value_name = "D", default_value_t = 1)]
    pipeline: usize,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// The server's process, to report what it uses
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|e| e.to_string())?;
    found.next().ok_or_else(|| "no such host".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().map_err(|e| e.to_string())?;
    Duration::try_from_secs_f64(number).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let (common, workload) = match Command::parse().workload {
        Kind::Echo { common, size } => (common, Workload::Echo { size }),
        Kind::Http { common, path, body } => (common, Workload::Http { path, body }),
        Kind::Kv { common, op, size } => {
            let op = match op {
                Operation::Get => Op::Get,
                Operation::Set => Op::Set,
                Operation::Ping => Op::Ping,
            };
            (common, Workload::Kv { op, size })
        }
    };
    let mut plan = Plan::new(common.address, workload);
    plan.connections = common.connections;
    plan.window = common.seconds;
    plan.warm_up = common.warm_up;
    plan.rate = common.rate;
    plan.pipeline = common.pipeline;
    plan.threads = common.threads;
    plan.server_pid = common.server_pid;
    plan.progress = true;

    let report = match run(&plan) {
        Ok(report) => report,
        Err(e) => {
            eprintln!("load: {e}");
            return ExitCode::from(2);
        }
    };
    let text = if common.json {
        serde_json::to_string(&report).map_err(io::Error::from)
    } else {
        Ok(report.to_string().trim_end().to_owned())
    };
    if let Err(e) = text.and_then(|text| writeln!(io::stdout(), "{text}")) {
        eprintln!("load: {e}");
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(report.errors.total() > 0))
}
