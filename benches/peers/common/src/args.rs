//! The arguments of a peer's program, and what is run for them.

use std::fmt;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

use crate::contract::{Size, default_size, tenth};
use crate::report::Report;
use crate::serve::exit_at_sigterm;

/// A runtime's program: what it is called and what it can do.
#[derive(Debug)]
pub struct Peer {
    /// The name of the runtime.
    pub runtime: &'static str,
    /// Its version; [`locked_version`] knows it.
    pub version: String,
    /// The workloads, variants among them as `name=variant`.
    pub workloads: &'static [Workload],
    /// The servers, variants among them as `name=variant`.
    pub servers: &'static [Server],
}

/// A workload and the function that does it.
#[derive(Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Does the work, warming up included, inside a task of the runtime.
    pub run: fn(&Job) -> Outcome,
}

/// A server and the function that serves.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Listens with [`listen`](crate::listen), says so with [`announce`](crate::announce), and
    /// serves for ever.
    pub serve: fn(&Service) -> std::io::Result<()>,
}

/// What a workload is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// The name of the workload.
    pub name: &'static str,
    /// The number of processors (worker threads).
    pub procs: usize,
    /// The work to be measured.
    pub size: Size,
}

impl Job {
    /// The work to do before anything is measured: a tenth.
    pub fn warm_up(&self) -> Size {
        tenth(self.name, self.size)
    }
}

/// Where a server is to listen.
#[derive(Debug, Clone)]
pub struct Service {
    /// The number of processors (worker threads).
    pub procs: usize,
    /// The address; port 0 is any.
    pub addr: SocketAddr,
}

/// What a workload came to.
pub type Outcome = Result<Report, Unsupported>;

/// Why a runtime cannot run a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported(pub String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Does a workload and prints what it came to, or serves, or lists the names.
#[derive(Debug, Parser)]
struct Args {
    /// A workload, a server, or `list` for the names of all of them.
    name: String,
    /// The number of processors (worker threads).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    procs: Option<u16>,
    /// The number of tasks, if not the usual.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    tasks: Option<u64>,
    /// The number of operations, if not the usual.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    ops: Option<u64>,
    /// Where a server listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
}

const WRONG_ARGUMENTS: u8 = 2;
pub(crate) const CANNOT_RUN: u8 = 3;

/// Does what the arguments of the process ask for.
pub fn main(peer: &Peer) -> ExitCode {
    let args = Args::parse();
    if args.name == "list" {
        let workloads = peer.workloads.iter().map(|workload| workload.name);
        for name in workloads.chain(peer.servers.iter().map(|server| server.name)) {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let Some(procs) = args.procs.map(usize::from) else {
        return fail(WRONG_ARGUMENTS, "--procs is missing");
    };
    if let Some(workload) = peer.workloads.iter().find(|w| w.name == args.name) {
        return work(peer, workload, procs, &args);
    }
    if let Some(server) = peer.servers.iter().find(|s| s.name == args.name) {
        exit_at_sigterm();
        let service = Service {
            procs,
            addr: args.addr,
        };
        return match (server.serve)(&service) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error.to_string()),
        };
    }
    fail(
        WRONG_ARGUMENTS,
        &format!("there is no {}; `list` prints what there is", args.name),
    )
}

fn work(peer: &Peer, workload: &Workload, procs: usize, args: &Args) -> ExitCode {
    let usual = default_size(workload.name).expect("a workload of the contract");
    let size = Size {
        tasks: args.tasks.unwrap_or(usual.tasks),
        ops: args.ops.unwrap_or(usual.ops),
    };
    let job = Job {
        name: workload.name,
        procs,
        size,
    };
    match (workload.run)(&job) {
        Ok(report) => {
            println!("{}", report.json(peer.runtime, &peer.version, &job));
            ExitCode::SUCCESS
        }
        Err(reason) => fail(CANNOT_RUN, &format!("{}: {reason}", workload.name)),
    }
}

fn fail(status: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(status)
}

/// The version of a package that this program was built with, out of the workspace's lock file.
///
/// ```
/// assert!(marmot_peer::locked_version("clap").starts_with("4."));
/// ```
pub fn locked_version(package: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = lock
        .split(&entry)
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    version.unwrap_or("unknown").to_string()
}
