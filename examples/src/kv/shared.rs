//! What all connections of one server share.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use marmot::Runtime;
use marmot::sync::Arc;

use super::command::Failure;
use super::connection;
use super::pubsub::Topics;
use super::resp::Limits;
use super::store::Store;
use crate::server::{self, Server, State};

/// Stores keys and values, and speaks the Redis protocol.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "kv", version)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6380")]
    pub addr: SocketAddr,
    /// The most bytes of one key or value
    #[arg(long, value_name = "BYTES", default_value_t = 8 * 1024 * 1024)]
    pub max_value: usize,
    /// The most bytes of all keys and values together, about
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024 * 1024)]
    pub max_memory: usize,
    /// A subscriber for whom more bytes than this wait is disconnected
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    pub max_backlog: usize,
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
/// use marmot_examples::kv;
///
/// // SAFETY: the goroutines use no thread-local on both sides of a wait.
/// let rt = unsafe { Runtime::migrating() }?;
/// kv::run(&rt, &kv::Settings::parse())?;
/// # std::io::Result::Ok(())
/// ```
pub fn run(rt: &Runtime, settings: &Settings) -> io::Result<()> {
    let server = Server::bind(settings.addr, &settings.server)?;
    let port = server.local_addr()?.port();
    let shared = Arc::new(Shared::new(settings, server.state().clone(), port));
    rt.run(|| Store::expire_in_background(&shared.store));
    server.run(rt, move |connection| connection::serve(connection, &shared))
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) topics: Topics,
    pub(crate) limits: Limits,
    pub(crate) max_backlog: usize,
    pub(crate) server: Arc<State>,
    /// Where it listens.
    pub(crate) port: u16,
    pub(crate) start: Instant,
    /// Requests that were answered. Connections add what they counted whenever they write.
    pub(crate) commands: AtomicU64,
    /// Connections that are subscribed to something.
    pub(crate) subscribers: AtomicUsize,
}

impl Shared {
    fn new(settings: &Settings, server: Arc<State>, port: u16) -> Shared {
        Shared {
            store: Arc::new(Store::new(settings.max_memory)),
            topics: Topics::new(),
            limits: Limits::new(settings.max_value),
            max_backlog: settings.max_backlog,
            server,
            port,
            start: Instant::now(),
            commands: AtomicU64::new(0),
            subscribers: AtomicUsize::new(0),
        }
    }

    /// Whether a reply may have so many bytes. One that has too many would be memory that a small
    /// request takes.
    pub(crate) fn check_reply(&self, length: usize) -> Result<(), Failure> {
        if length > self.limits.request {
            return Err("ERR the reply would be too large".into());
        }
        Ok(())
    }
}
