//! A chat server with rooms, built of goroutines that talk over channels and share no lock in what
//! they say.
//!
//! ```text
//!   reader --events--> room --outbox--> writer          one room, a goroutine
//!   reader --events-->      --outbox--> writer          one reader and one writer per member
//!      \------------replies-----------/
//! ```
//!
//! A room is a goroutine that owns the list of its members; whoever wants something of it sends an
//! event. It never waits for a member: a line goes into each one's outbox if there is room, and is
//! counted as dropped if there is not. A member's writer selects between its outbox, the replies to
//! its own commands, and the end of the server; its reader waits for lines. So a member who reads
//! slowly, or never, loses lines and is told how many; nobody else notices.
//!
//! | file | holds |
//! |------|-------|
//! | `hall.rs` | which rooms and which nicknames there are |
//! | `room.rs` | a room |
//! | `member.rs` | a connection: its reader and its writer |
//! | `lines.rs` | lines out of bytes |
//!
//! # What is bounded
//!
//! A line has at most 1,000 bytes; an outbox `--outbox` lines, which members of a room share; a
//! connection is in one room at most. A line that has begun must be complete after `--timeout`
//! seconds, and whoever takes nothing of what is written for so long is disconnected.
//!
//! ```
//! use clap::Parser;
//! use marmot_examples::chat::Settings;
//!
//! let settings = Settings::parse_from(["chat", "--outbox", "16"]);
//! assert_eq!(settings.outbox, 16);
//! ```

mod hall;
mod lines;
mod member;
mod room;

use std::io;
use std::net::SocketAddr;

use marmot::Runtime;
use marmot::sync::Arc;

use self::hall::Hall;
use crate::server::{self, Server};

/// A chat server. Talk to it with `nc`; `/help` says how.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "chat", version)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7070")]
    pub addr: SocketAddr,
    /// How many lines may wait for a member before further ones are dropped
    #[arg(long, value_name = "LINES", default_value_t = 1024)]
    pub outbox: usize,
    /// What every server takes.
    #[command(flatten)]
    pub server: server::Options,
}

/// Serves until a signal comes. Blocks the calling thread.
///
/// # Errors
/// The address cannot be had; those of accepting.
///
/// ```no_run
/// use clap::Parser;
/// use marmot::Runtime;
/// use marmot_examples::chat;
///
/// // SAFETY: the goroutines use no thread-local on both sides of a wait.
/// let rt = unsafe { Runtime::migrating() }?;
/// chat::run(&rt, &chat::Settings::parse())?;
/// # std::io::Result::Ok(())
/// ```
pub fn run(rt: &Runtime, settings: &Settings) -> io::Result<()> {
    let server = Server::bind(settings.addr, &settings.server)?;
    let hall = Arc::new(Hall::new(settings.outbox));
    server.run(rt, move |connection| member::serve(connection, &hall))
}
