//! What the demo servers have in common: options, the accept loop with its limits, the graceful
//! stop, and logs.
//!
//! A server is a function that serves one connection in plain blocking code. It runs in a goroutine
//! of its own; if it panics, that connection is closed and the others go on.
//!
//! ```no_run
//! use std::io::Read;
//! use std::process::ExitCode;
//! use marmot::Runtime;
//! use marmot_examples::server::{self, Connection, Options, Server};
//!
//! fn main() -> ExitCode {
//!     server::main("upper", || {
//!         // SAFETY: the goroutines use no thread-local on both sides of a wait.
//!         let rt = unsafe { Runtime::migrating() }?;
//!         let server = Server::bind("127.0.0.1:7000".parse().unwrap(), &Options::default())?;
//!         server.run(&rt, upper)
//!     })
//! }
//!
//! fn upper(connection: &Connection) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         let n = connection.stream().read(&mut buffer)?;
//!         if n == 0 {
//!             return Ok(());
//!         }
//!         buffer[..n].make_ascii_uppercase();
//!         connection.write_all(&buffer[..n])?;
//!         connection.stay();
//!     }
//! }
//! ```
//!
//! # The graceful stop
//!
//! At the first SIGTERM or SIGINT the server stops accepting, and the system refuses connections
//! from then on. Each connection gets a read deadline one second away: what is idle ends then, what
//! is not may move it ([`Connection::stay`], [`Connection::set_read_deadline`]), up to five seconds
//! after the signal. Then the server ends with status 0, whatever is left. A second signal ends it
//! at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use marmot::channel::{self, Receiver, Sender};
use marmot::net::{TcpListener, TcpStream};
use marmot::sync::{Arc, Mutex, MutexGuard, PoisonError, WaitGroup};
use marmot::{Runtime, goroutine, select, signal};
use tracing_subscriber::EnvFilter;

/// Once the server stops, a connection that is silent for so long is done.
pub const SILENCE: Duration = Duration::from_secs(1);
/// Once the server stops, the last connection ends after so long.
pub const GRACE: Duration = Duration::from_secs(5);
/// After that, how long a function may take to notice that its connection has ended.
const MARGIN: Duration = Duration::from_secs(1);

/// The options that every server takes beside its address.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The most connections at once; further ones wait in the kernel
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = at_least_one)]
    pub max_connections: usize,
    /// How many seconds a slow client may take over one request, or over taking an answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
}

impl Default for Options {
    /// What is in force when nothing is said.
    fn default() -> Options {
        Options {
            max_connections: 20_000,
            timeout: Duration::from_secs(30),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a time in seconds, such as `30` or `0.5`: from a millisecond to a year.
///
/// # Errors
/// A sentence that says what is wrong, for `clap` to show.
///
/// ```
/// use marmot_examples::server::seconds;
/// use std::time::Duration;
///
/// assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
/// assert!(seconds("soon").is_err());
/// assert!(seconds("-1").is_err());
/// ```
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.001..=31_536_000.0).contains(&number) => {
            Ok(Duration::from_secs_f64(number))
        }
        Ok(_) => Err("it must be from 0.001 to 31536000".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The `main` of a server: sets up logs on the standard error, as `RUST_LOG` says (warnings, if it
/// says nothing), runs `body`, and turns its error into a line and exit status 1.
pub fn main(name: &str, body: impl FnOnce() -> io::Result<()>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A listener with its limits, ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    signals: Receiver<i32>,
    state: Arc<State>,
}

impl Server {
    /// Raises the limit on open files, has SIGTERM and SIGINT stop the server, and listens. From
    /// here on the kernel takes connections.
    ///
    /// # Errors
    /// The address cannot be had: the error names it. Those of [`signal::notify`].
    pub fn bind(addr: SocketAddr, options: &Options) -> io::Result<Server> {
        match crate::raise_open_file_limit() {
            Ok(limit) if limit < options.max_connections as u64 => tracing::warn!(
                limit,
                options.max_connections,
                "fewer open files than connections are allowed"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the limit on open files stays as it is"),
        }
        let signals = signal::notify(&[signal::SIGTERM, signal::SIGINT])?;
        let listener = TcpListener::bind(addr)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}")))?;
        let state = Arc::new(State::new(options));
        Ok(Server {
            listener,
            signals,
            state,
        })
    }

    /// Where it listens: with the port that it was given, if it asked for any.
    ///
    /// # Errors
    /// Those of the socket; none is expected.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connections, for whoever wants to count them.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Says on the standard output where it listens, then serves each connection with `serve`, in a
    /// goroutine of its own, until a signal comes; then stops gracefully. Blocks the calling thread.
    ///
    /// An error that `serve` gives is logged, and ends its connection only.
    ///
    /// # Errors
    /// Those of accepting, other than want of descriptors (which it waits out).
    pub fn run<F>(self, rt: &Runtime, serve: F) -> io::Result<()>
    where
        F: Fn(&Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        // Nobody who may read it is a reason to end.
        let _ = writeln!(
            io::stdout(),
            "listening on {} with {} processors",
            self.local_addr()?,
            rt.max_procs()
        );
        rt.run(|| {
            let state = self.state.clone();
            let result = self.accept(Arc::new(serve));
            // From here on the system refuses connections.
            state.stop();
            if !state.running.wait_timeout(GRACE + MARGIN) {
                tracing::warn!(left = state.open(), "not all connections have ended");
            }
            result
        })
    }

    /// Starts a goroutine per connection until a signal comes.
    fn accept<F>(self, serve: Arc<F>) -> io::Result<()>
    where
        F: Fn(&Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = Arc::new(self.listener);
        self.state.stop_at(self.signals, listener.clone());
        loop {
            // At the limit, connections wait in the kernel until another one ends.
            select! {
                send(self.state.slots.0, ()) -> sent => sent.expect("the state has both ends"),
                recv(self.state.stopping) -> _ => return Ok(()),
            }
            // Want of descriptors ends nothing: `accept` waits until there are some.
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error),
            };
            let connection = Connection::new(stream, self.state.clone());
            let serve = serve.clone();
            let spawned = goroutine::Builder::new()
                .name("connection".to_owned())
                .spawn(move || connection.serve(&*serve));
            if let Err(error) = spawned {
                // The closure is gone, and the connection with it.
                tracing::warn!(%error, "a connection is closed: no goroutine for it");
            }
        }
    }
}

/// Open sockets: of each connection its own, and another one if it has one.
type Streams = BTreeMap<u64, (Arc<TcpStream>, Option<Arc<TcpStream>>)>;

/// The connections there are, and whether the server stops.
#[derive(Debug)]
pub struct State {
    options: Options,
    /// One item for each connection, and room for as many as may be.
    slots: (Sender<()>, Receiver<()>),
    /// Every connection by its number. An ordered map, because making a `HashMap` takes its keys
    /// from a thread-local. The lock is never held over a wait.
    streams: Mutex<Streams>,
    accepted: AtomicU64,
    /// Connections and the one who waits for their end.
    running: WaitGroup,
    /// Closed when the server stops: the sender is dropped.
    stopping: Receiver<Infallible>,
    stopper: Mutex<Option<Sender<Infallible>>>,
    /// Set before `stopping` is closed; the last moment for every connection.
    end: OnceLock<Instant>,
}

impl State {
    fn new(options: &Options) -> State {
        let (stopper, stopping) = channel::bounded(0);
        State {
            options: options.clone(),
            slots: channel::bounded(options.max_connections),
            streams: Mutex::default(),
            accepted: AtomicU64::new(0),
            running: WaitGroup::new(),
            stopping,
            stopper: Mutex::new(Some(stopper)),
            end: OnceLock::new(),
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.streams().len()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// What the server was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A channel that is closed when the server stops, for `select!`.
    pub fn stopping(&self) -> &Receiver<Infallible> {
        &self.stopping
    }

    /// The last moment for every connection, once the server stops.
    pub fn end(&self) -> Option<Instant> {
        self.end.get().copied()
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.end.get().is_some()
    }

    /// Nothing that holds this lock leaves the map half changed, so a panic does not matter.
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends `accept` at the first signal, by moving its deadline to now. Dropping the receiver gives
    /// the signals their usual effect back.
    fn stop_at(self: &Arc<Self>, signals: Receiver<i32>, listener: Arc<TcpListener>) {
        let state = self.clone();
        marmot::go(move || {
            select! {
                recv(signals) -> signal => tracing::info!(?signal, "stopping"),
                recv(state.stopping) -> _ => {}
            }
            // It cannot fail today; and whoever accepts looks at `stopping` as well.
            let _ = listener.set_deadline(Some(Instant::now()));
            drop(listener);
            state.stop();
        });
    }

    /// Gives every connection a deadline. Reads that wait now notice.
    fn stop(&self) {
        let now = Instant::now();
        let end = *self.end.get_or_init(|| now + GRACE);
        let stopper = self
            .stopper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if stopper.is_none() {
            return;
        }
        drop(stopper);
        // Copied: moving a deadline readies goroutines, and may let them run first.
        let streams: Vec<_> = self.streams().values().cloned().collect();
        for stream in streams
            .into_iter()
            .flat_map(|(own, other)| other.into_iter().chain([own]))
        {
            // Best effort: a connection that has just broken has ended anyway.
            let _ = stream.set_read_deadline(Some(now + SILENCE));
            let _ = stream.set_write_deadline(Some(end));
        }
    }
}

/// One connection of a server. It is closed when this is dropped.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    /// Before `slot`, so that the descriptor is closed when the slot is free.
    stream: Arc<TcpStream>,
    slot: Slot,
}

/// One of the connections that there may be.
#[derive(Debug)]
struct Slot(Arc<State>);

impl Drop for Slot {
    fn drop(&mut self) {
        // There is an item for each slot.
        let _ = self.0.slots.1.try_recv();
        self.0.running.done();
    }
}

impl Connection {
    fn new(stream: TcpStream, state: Arc<State>) -> Connection {
        let stream = Arc::new(stream);
        let number = state.accepted.fetch_add(1, Ordering::Relaxed);
        state.running.add(1);
        state.streams().insert(number, (stream.clone(), None));
        Connection {
            number,
            stream,
            slot: Slot(state),
        }
    }

    fn serve(&self, serve: &impl Fn(&Connection) -> io::Result<()>) {
        let timeout = Some(self.state().options.timeout);
        let served = self
            .stream
            .set_nodelay(true)
            .and_then(|()| self.stream.set_write_timeout(timeout))
            .and_then(|()| {
                if self.state().is_stopping() {
                    // It may have come too late for `stop` to see.
                    self.set_read_deadline(Some(Instant::now() + SILENCE))?;
                }
                serve(self)
            });
        // A connection that breaks is the other side's affair.
        if let Err(error) = served {
            tracing::debug!(number = self.number, %error, "a connection ends");
        }
    }

    /// The socket. It has `TCP_NODELAY` set, and a write timeout.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Adds a socket that belongs to this connection: when the server stops, it gets the same
    /// deadlines. In place of the one added before, if any. It is let go with the connection.
    pub fn add(&self, other: Arc<TcpStream>) {
        if let Some((_, place)) = self.state().streams().get_mut(&self.number) {
            *place = Some(other.clone());
        }
        if let Some(end) = self.state().end() {
            // It may have come too late for `stop` to see. It cannot fail today.
            let _ = other.set_read_deadline(Some(end.min(Instant::now() + SILENCE)));
            let _ = other.set_write_deadline(Some(end));
        }
    }

    /// What all connections of this server share.
    pub fn state(&self) -> &Arc<State> {
        &self.slot.0
    }

    /// The number of this connection, counted from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The bound on a slow client.
    pub fn timeout(&self) -> Duration {
        self.state().options.timeout
    }

    /// Writes all of it, for at most [`timeout`](Self::timeout) in all, however little the other
    /// side takes at a time. What the kernel has room for is one system call.
    ///
    /// # Errors
    /// `WouldBlock` or `TimedOut` if the client is too slow; those of the socket.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let written = self.stream().write(bytes)?;
        if written == bytes.len() {
            return Ok(());
        }
        self.set_write_deadline(Some(Instant::now() + self.timeout()))?;
        let result = self.stream().write_all(&bytes[written..]);
        self.set_write_deadline(None)?;
        result
    }

    /// Moves the read deadline; once the server stops, not beyond its end, and `None` means that.
    ///
    /// # Errors
    /// None today.
    pub fn set_read_deadline(&self, at: Option<Instant>) -> io::Result<()> {
        self.within_grace(at, |at| self.stream.set_read_deadline(at))
    }

    /// Moves the write deadline; once the server stops, not beyond its end, and `None` means that.
    ///
    /// # Errors
    /// None today.
    pub fn set_write_deadline(&self, at: Option<Instant>) -> io::Result<()> {
        self.within_grace(at, |at| self.stream.set_write_deadline(at))
    }

    /// Says that this connection is not silent: once the server stops, it gets a little longer.
    /// Costs a load before that.
    pub fn stay(&self) {
        if self.state().is_stopping() {
            // It cannot fail today.
            let _ = self.set_read_deadline(Some(Instant::now() + SILENCE));
        }
    }

    fn within_grace(
        &self,
        at: Option<Instant>,
        set: impl Fn(Option<Instant>) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = &self.state().end;
        let limited = |at: Option<Instant>| match (at, end.get()) {
            (Some(at), Some(&end)) => Some(at.min(end)),
            (at, end) => at.or(end.copied()),
        };
        let before = limited(at);
        set(before)?;
        // Should the server have begun to stop meanwhile, `stop` may have come before `set`.
        let after = limited(at);
        if after == before { Ok(()) } else { set(after) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let theirs = self.state().streams().remove(&self.number);
        // Not under the lock.
        drop(theirs);
    }
}
