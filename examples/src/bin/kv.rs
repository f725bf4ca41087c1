//! A store of keys and values that Redis's own clients can talk to, with expiry and
//! publish/subscribe: one goroutine per connection, in plain blocking code.
//!
//! ```text
//! cargo run --release --bin kv
//! redis-cli -p 6380 set greeting hello
//! redis-benchmark -p 6380 -P 16 -t set,get -q
//! ```
//!
//! It ends with Ctrl-C or SIGTERM: it stops accepting, answers what comes until each connection has
//! been silent for a second, for five at the most, and exits with status 0. `--help` names its bounds
//! and their options; `RUST_LOG=debug` says more of what happens; `MARMOT_MAXPROCS=1` runs all of it
//! on one core. `examples/src/kv/` is the rest of it, and `docs/demos/kv.md` its page.

use std::process::ExitCode;

use clap::Parser;
use marmot::Runtime;
use marmot_examples::kv::{self, Settings};
use marmot_examples::server;

fn main() -> ExitCode {
    let settings = Settings::parse();
    server::main("kv", || {
        // SAFETY: the goroutines use sockets, channels, locks and timers of Marmot, maps whose keys
        // were made before, and logs; nothing that holds a thread-local over a wait.
        let rt = unsafe { Runtime::migrating() }?;
        kv::run(&rt, &settings)
    })
}
