//! What there is to ask for.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use marmot::channel::{Receiver, after};
use marmot::sync::{Semaphore, SemaphorePermit};
use marmot::{Handle, select};

use super::{Counts, Framing, Head, Method, Peer, Status};

/// A body up to this size counts as part of its connection.
const SMALL: u64 = 16 * 1024;
/// Bytes that all larger bodies may have together, unless one alone may have more.
const ROOM: usize = 64 * 1024 * 1024;
/// The longest sleep.
const LONGEST: u32 = 60_000;

/// What a target means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`
    Hello,
    /// `/echo`
    Echo,
    /// `/sleep?ms=`
    Sleep(Duration),
    /// `/metrics`
    Metrics,
    /// `/healthz`
    Health,
}

/// A target that is not served, and the methods that would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unserved {
    pub(super) status: Status,
    pub(super) allow: Option<&'static str>,
}

impl Route {
    pub(super) fn of(head: &Head<'_>) -> Result<Route, Unserved> {
        let unserved = |status| Unserved {
            status,
            allow: None,
        };
        let (route, allow, is_allowed) = match head.path {
            "/" => (Route::Hello, GET, head.method.is_get()),
            "/echo" => (Route::Echo, "POST", head.method == Method::Post),
            "/sleep" => {
                let time = milliseconds(head.query).ok_or(unserved(Status::BadRequest))?;
                (Route::Sleep(time), GET, head.method.is_get())
            }
            "/metrics" => (Route::Metrics, GET, head.method.is_get()),
            "/healthz" => (Route::Health, GET, head.method.is_get()),
            _ => return Err(unserved(Status::NotFound)),
        };
        if !is_allowed {
            return Err(Unserved {
                status: Status::MethodNotAllowed,
                allow: Some(allow),
            });
        }
        if route == Route::Echo && head.framing == Framing::None {
            return Err(unserved(Status::LengthRequired));
        }
        Ok(route)
    }
}

const GET: &str = "GET, HEAD";

impl Method {
    fn is_get(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

/// The number in `ms=NUMBER`, if it is not too long a time.
fn milliseconds(query: Option<&str>) -> Option<Duration> {
    let digits = query?.strip_prefix("ms=")?;
    // `parse` would take a sign.
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| is_number)?;
    (number <= LONGEST).then(|| Duration::from_millis(number.into()))
}

/// What the connections of an HTTP server share.
#[derive(Debug)]
pub struct Site {
    counts: Counts,
    runtime: Handle,
    max_body: u64,
    /// A permit for each byte that larger bodies may have together.
    room: Semaphore,
}

impl Site {
    /// A site whose metrics are those of `runtime`, and that takes bodies of up to `max_body` bytes.
    pub fn new(runtime: Handle, max_body: usize) -> Site {
        Site {
            counts: Counts::default(),
            runtime,
            max_body: max_body as u64,
            room: Semaphore::new(ROOM.max(max_body)),
        }
    }

    /// What has been counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn max_body(&self) -> u64 {
        self.max_body
    }

    /// Whether a body of `length` bytes may be held without asking for room.
    pub(super) fn is_small(length: u64) -> bool {
        length <= SMALL
    }

    /// Waits for room for a body; gives up after `patience`.
    pub(super) fn room(&self, length: u64, patience: Duration) -> Option<SemaphorePermit<'_>> {
        self.room.acquire_timeout(length as usize, patience)
    }

    /// Waits, and says whether it was for the whole time. It is not if the server stops.
    pub(super) fn sleep(time: Duration, stopping: &Receiver<Infallible>) -> bool {
        select! {
            recv(after(time)) -> _ => true,
            recv(stopping) -> _ => false,
        }
    }

    /// The metrics, as Prometheus reads them.
    pub(super) fn metrics(&self, peer: &impl Peer) -> String {
        let mut text = String::with_capacity(2048);
        text.push_str("# TYPE http_requests_total counter\n");
        for status in Status::ALL {
            let (code, count) = (&status.line()[..3], self.counts.of(status));
            // Writing to a string does not fail.
            let _ = writeln!(text, "http_requests_total{{status=\"{code}\"}} {count}");
        }
        let (open, accepted) = peer.connections();
        let runtime = self.runtime.metrics();
        for (name, kind, value) in [
            ("http_connections", "gauge", open as u64),
            ("http_connections_total", "counter", accepted),
            (
                "marmot_goroutines",
                "gauge",
                self.runtime.num_goroutines() as u64,
            ),
            ("marmot_max_procs", "gauge", self.runtime.max_procs() as u64),
            ("marmot_machines", "gauge", runtime.machines as u64),
            (
                "marmot_resting_machines",
                "gauge",
                runtime.resting_machines as u64,
            ),
            (
                "marmot_processors_taken_total",
                "counter",
                runtime.processors_taken,
            ),
            (
                "marmot_threads_refused_total",
                "counter",
                runtime.threads_refused,
            ),
        ] {
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}
