//! A load generator for servers on loopback, which checks every answer.
//!
//! [`run()`] carries out a [`Plan`] and gives a [`Report`]:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpListener;
//! use std::time::Duration;
//!
//! use marmot_load::{Plan, Workload, run};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! std::thread::spawn(move || {
//!     for stream in listener.incoming() {
//!         let mut stream = stream.unwrap();
//!         std::thread::spawn(move || {
//!             let mut buffer = [0; 4096];
//!             while let Ok(n @ 1..) = stream.read(&mut buffer) {
//!                 let _ = stream.write_all(&buffer[..n]);
//!             }
//!         });
//!     }
//! });
//!
//! let mut plan = Plan::new(address, Workload::Echo { size: 64 });
//! plan.connections = 4;
//! plan.warm_up = Duration::from_millis(20);
//! plan.window = Duration::from_millis(100);
//! let report = run(&plan)?;
//! assert!(report.requests > 0);
//! assert_eq!(report.errors.total(), 0);
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it measures
//!
//! A run connects, warms up, measures for a *window*, and waits a little for what is still unanswered.
//! Rates and the server's processor time are those of the window alone.
//!
//! **Closed loop**, without a rate: a connection sends its next requests when its last ones are answered.
//! That finds out what the server can do. The latency runs from the sending to the whole answer. It
//! says little about a server that stalls: while it does, nobody asks, so the stall is one slow answer
//! among many quick ones.
//!
//! **Open loop**, with a rate: requests are due at fixed times, whether the server keeps up or not, and
//! the latency runs from the time at which a request was *due*. This is what a user would see. One whose
//! connection still waits is sent later, and its waiting counts.
//!
//! The generator takes processor time from a server on the same machine, so it is thrifty: one read, one
//! write and one look at the clock per request, and no allocation. What it takes is in the report.
//! Latencies hold the generator's own queue: with a thousand connections ready at once, the last one's
//! answer waits until the others' have been read.

mod clock;
mod connect;
mod connection;
mod error;
mod limits;
mod plan;
mod process;
mod protocol;
mod report;
mod run;
mod schedule;
mod tally;
mod worker;

pub use error::Error;
pub use plan::{Op, Plan, Workload};
pub use report::{Errors, Latency, OpenLoop, Report, ServerUse};
pub use run::run;
