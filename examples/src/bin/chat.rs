//! A chat server: rooms are goroutines, and everything said goes over channels.
//!
//! ```text
//! cargo run --release --bin chat
//! nc 127.0.0.1 7070
//! /nick ada
//! /join garden
//! hello, everyone
//! ```
//!
//! `/help` in it names the commands, `--help` its options. It ends with Ctrl-C or SIGTERM: it stops
//! accepting, tells everybody, and exits with status 0 when all have been silent for a second, after
//! five at the most. `examples/src/chat/` is the rest of it, and `docs/demos/chat.md` its page.

use std::process::ExitCode;

use clap::Parser;
use marmot::Runtime;
use marmot_examples::chat::{self, Settings};
use marmot_examples::server;

fn main() -> ExitCode {
    let settings = Settings::parse();
    server::main("chat", || {
        // SAFETY: the goroutines use sockets, channels and locks of Marmot, ordered maps, and logs;
        // nothing that holds a thread-local over a wait.
        let rt = unsafe { Runtime::migrating() }?;
        chat::run(&rt, &settings)
    })
}
