//! What the peers' programs that are written in Rust share.
//!
//! A program is a [`Peer`]: two tables of functions, given to [`main`]. The function of a workload
//! starts its runtime, and in a task of it does [`Job::warm_up`], then begins a [`Stopwatch`], does
//! [`Job::size`], and makes a [`Report`] of it. The dispatcher reads the arguments and prints the
//! line of JSON. The contract is in `benches/peers/README.md`.
//!
//! ```no_run
//! use marmot_peer::{Job, Outcome, Peer, Size, Stopwatch, Workload};
//!
//! fn count(size: Size) -> u64 {
//!     size.ops
//! }
//!
//! fn run(job: &Job) -> Outcome {
//!     count(job.warm_up());
//!     let stopwatch = Stopwatch::start();
//!     let answer = count(job.size);
//!     Ok(stopwatch.report(answer))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     marmot_peer::main(&Peer {
//!         runtime: "none",
//!         version: "1".to_string(),
//!         workloads: &[Workload { name: "yield", run }],
//!         servers: &[],
//!     })
//! }
//! ```

mod args;
mod check;
mod contract;
mod http;
mod late;
mod process;
mod report;
mod resp;
mod serve;

pub use args::{Job, Outcome, Peer, Server, Service, Unsupported, Workload, locked_version, main};
pub use check::check_answers;
pub use contract::{Size, answer, default_size, read_rounds, share};
pub use http::{HELLO, NOT_FOUND, answer_http};
pub use late::Lateness;
pub use process::{Memory, Switches};
pub use report::{Report, Stopwatch, Value};
pub use resp::Store;
pub use serve::{BACKLOG, BUFFER, Input, Malformed, announce, converse, listen};
