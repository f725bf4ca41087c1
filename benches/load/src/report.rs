//! The report of a run: numbers for programs, and a table to read.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

/// What a run has found. Unless it says otherwise, what happened in the window.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `echo`, `http`, `get`, `set` or `ping`.
    pub workload: String,
    /// The server.
    pub address: SocketAddr,
    /// Connections that came about.
    pub connections: usize,
    /// How many requests may be under way on each.
    pub pipeline: usize,
    /// Bytes of the payload: of an echo, of a body or of a value.
    pub size: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// How long connecting took.
    pub connect_seconds: f64,
    /// How long the window was. Shorter than planned if all connections were lost.
    pub seconds: f64,
    /// Right answers that came.
    pub requests: u64,
    /// Of those, so many per second.
    pub requests_per_second: f64,
    /// In a closed loop from the sending to the answer, of the answers that came within the window. In an
    /// open loop from the time at which it was due to the answer, of the requests due in the window,
    /// answered or not.
    pub latency_ns: Latency,
    /// Requests that had no answer when the run ended; their latencies are how long they had waited.
    /// Those of a lost connection are among them in an open loop only.
    pub unanswered: u64,
    /// What an open loop has found beyond this.
    pub open_loop: Option<OpenLoop>,
    /// What went wrong during the whole run.
    pub errors: Errors,
    /// What the first wrong answer was.
    pub wrong_answer: Option<String>,
    /// What the server used; `None` if that was not asked for, or if it ended before the window did.
    pub server: Option<ServerUse>,
    /// Processor time of the generator's own threads.
    pub generator_cpu_seconds: f64,
}

/// Latencies in nanoseconds, to three significant digits.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// 90 % of them are at most this.
    pub p90: u64,
    /// 99 % of them are at most this.
    pub p99: u64,
    /// 99.9 % of them are at most this.
    pub p99_9: u64,
    /// All of them are at most this.
    pub max: u64,
}

/// What an open loop has found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OpenLoop {
    /// Requests per second that were due.
    pub rate: f64,
    /// Requests that were due in the window.
    pub due: u64,
    /// Those of them that were sent more than a millisecond late, because their connection still waited
    /// for an answer, or because the generator itself was behind.
    pub late: u64,
    /// By how many nanoseconds the generator itself was behind in the mean, from the time at which a
    /// request was due until it looked. Latencies hold this time: if it is not far below them, they are
    /// the generator's as much as the server's.
    pub behind_mean_ns: u64,
    /// The same at the worst.
    pub behind_max_ns: u64,
}

/// What went wrong. Each of these ends a connection, and none is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// Wrong answers.
    pub wrong: u64,
    /// Connections that the server reset.
    pub reset: u64,
    /// Connections that the server closed.
    pub closed: u64,
    /// Connections that did not come about.
    pub refused: u64,
}

impl Errors {
    /// How many there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.wrong + self.reset + self.closed + self.refused
    }

    pub(crate) fn add(&mut self, other: &Errors) {
        self.wrong += other.wrong;
        self.reset += other.reset;
        self.closed += other.closed;
        self.refused += other.refused;
    }
}

/// What the server's process used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ServerUse {
    /// Processor time of all its threads, those that ended included; from its clock, in nanoseconds.
    pub cpu_seconds: f64,
    /// The part in user mode, in ticks of 10 ms.
    pub user_seconds: f64,
    /// The part in the kernel, in ticks of 10 ms.
    pub system_seconds: f64,
    /// Nanoseconds of processor time per request; `None` if there was none.
    pub cpu_ns_per_request: Option<f64>,
    /// Resident memory at the end of the window.
    pub rss_bytes: u64,
    /// The most that was ever resident.
    pub peak_rss_bytes: u64,
    /// Threads at the end of the window.
    pub threads: u64,
    /// Threads that ended during the window. Their switches are not in what follows.
    pub ended_threads: u64,
    /// Context switches of threads that waited.
    pub voluntary_switches: u64,
    /// Context switches of threads that had to make room.
    pub involuntary_switches: u64,
}

/// A time in nanoseconds, to read.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            n @ ..10_000 => format!("{n} ns"),
            n @ ..10_000_000 => format!("{:.1} us", n as f64 / 1e3),
            n @ ..10_000_000_000 => format!("{:.1} ms", n as f64 / 1e6),
            n => format!("{:.1} s", n as f64 / 1e9),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| writeln!(f, "{name:<12}{text}");
        let pipeline = match self.pipeline {
            1 => String::new(),
            n => format!(", {n} under way on each"),
        };
        line(
            &self.workload,
            format!(
                "{} bytes, {} connections{pipeline}, connected in {:.2} s",
                self.size, self.connections, self.connect_seconds
            ),
        )?;
        line(
            "requests",
            format!(
                "{} in {:.2} s, {:.0} per second",
                self.requests, self.seconds, self.requests_per_second
            ),
        )?;
        if let Some(open) = &self.open_loop {
            line(
                "open loop",
                format!(
                    "{} due, {:.0} per second; {} sent late; {} behind, at worst {}",
                    open.due,
                    open.rate,
                    open.late,
                    Time(open.behind_mean_ns),
                    Time(open.behind_max_ns)
                ),
            )?;
        }
        let latency = &self.latency_ns;
        for (name, value) in [
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p99", latency.p99),
            ("p99.9", latency.p99_9),
            ("max", latency.max),
        ] {
            line(name, format!("{:>11}", Time(value)))?;
        }
        if let Some(server) = &self.server {
            let each = server.cpu_ns_per_request.map_or(0, |ns| ns as u64);
            line(
                "server",
                format!(
                    "{:.2} s of processor time ({:.2} user, {:.2} system), {} per request",
                    server.cpu_seconds,
                    server.user_seconds,
                    server.system_seconds,
                    Time(each)
                ),
            )?;
            line(
                "",
                format!(
                    "{:.1} MiB resident, {} threads, {} voluntary and {} other switches",
                    server.rss_bytes as f64 / f64::from(1 << 20),
                    server.threads,
                    server.voluntary_switches,
                    server.involuntary_switches
                ),
            )?;
        }
        line(
            "generator",
            format!("{:.2} s of processor time", self.generator_cpu_seconds),
        )?;
        let errors = &self.errors;
        line(
            "errors",
            format!(
                "{} wrong, {} reset, {} closed, {} refused; {} unanswered",
                errors.wrong, errors.reset, errors.closed, errors.refused, self.unanswered
            ),
        )?;
        match &self.wrong_answer {
            Some(what) => line("wrong", what.clone()),
            None => Ok(()),
        }
    }
}
