//! The rows of the comparison: what is run for each, which figure counts, and what is wanted of it.

use crate::programs::Runtime;

/// What is run once by each peer for one sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// A workload of the peers' programs, with other numbers than its own if given.
    Task {
        workload: &'static str,
        tasks: Option<u64>,
        ops: Option<u64>,
    },
    /// A server under load.
    Serve { server: &'static str, load: Load },
}

/// What drives a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// Our own generator: this many connections, each sending as soon as it was answered.
    Closed { connections: usize },
    /// Our own generator: this many requests a second over these connections, whatever the answers.
    Open { connections: usize, rate: u64 },
    /// wrk, with this many connections.
    Wrk { connections: usize },
    /// redis-benchmark: GET with 50 connections and pipelines of this depth.
    RedisBenchmark { pipeline: usize },
}

/// Which way a figure should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// What is wanted of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Budget {
    /// At most (or at least, where higher is better) this many times Go's figure.
    OfGo(f64),
    /// At most this, in the row's unit.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) work: Work,
    /// The figure's name in a sample, and what it is multiplied with to be in `unit`.
    pub(crate) figure: &'static str,
    pub(crate) scale: f64,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) budget: Budget,
    /// Peers that need not be behind: what they do there is not the same work.
    pub(crate) spared: &'static [Runtime],
    /// The fewest processors with which the row means anything.
    pub(crate) least_procs: usize,
    /// The peer whose plain way counts, though another may be better.
    pub(crate) plain: Option<Runtime>,
}

impl Row {
    /// Whether a server is run for it.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.work, Work::Serve { .. })
    }

    /// Whether `word` is in its title or is its workload, server or a part of that.
    pub(crate) fn matches(&self, word: &str) -> bool {
        let name = match self.work {
            Work::Task { workload, .. } => workload,
            Work::Serve { server, .. } => server,
        };
        name.contains(word) || self.title.contains(word)
    }
}

const NANOSECONDS: (&str, f64, &str) = ("ns_per_op", 1.0, "ns");
const SECONDS: (&str, f64, &str) = ("seconds", 1.0, "s");

fn row(
    title: &str,
    workload: &'static str,
    (figure, scale, unit): (&'static str, f64, &'static str),
    budget: Budget,
) -> Row {
    Row {
        title: title.to_owned(),
        work: Work::Task {
            workload,
            tasks: None,
            ops: None,
        },
        figure,
        scale,
        unit,
        better: Better::Lower,
        budget,
        spared: &[],
        least_procs: 1,
        plain: None,
    }
}

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = tasks();
    rows.extend(servers());
    rows
}

fn tasks() -> Vec<Row> {
    use Budget::{AtMost, OfGo};
    let per = |title, workload, budget| row(title, workload, NANOSECONDS, OfGo(budget));
    let late = |title, workload, figure, budget, spared| Row {
        spared,
        ..row(title, workload, (figure, 1e-6, "ms"), OfGo(budget))
    };
    let million = &[Runtime::Tokio];
    // Its timers have a thread of their own, beyond the processors.
    let beside = &[Runtime::May];
    let two = |row| Row {
        least_procs: 2,
        ..row
    };
    vec![
        per("spawn and join, batches of 1000: task", "spawn-join", 0.35),
        per("spawn chain: task", "spawn-chain", 0.35),
        per("yield, 1000 tasks: yield", "yield", 0.25),
        per("ping-pong, unbuffered: round trip", "ping-pong", 0.35),
        per("SPSC, capacity 128: message", "spsc", 0.45),
        per("MPMC 4x4, capacity 128: message", "mpmc", 0.35),
        per("MPMC 4x4, unbuffered: message", "mpmc-unbuffered", 0.35),
        per("fan-in 1000 to 1, capacity 1024: message", "fan-in", 0.38),
        per("select over 2, unbuffered: message", "select2", 0.5),
        per("select over 8, unbuffered: message", "select8", 0.5),
        per(
            "select over 2, capacity 128: message",
            "select2-buffered",
            0.5,
        ),
        per(
            "select over 8, capacity 128: message",
            "select8-buffered",
            0.5,
        ),
        per("select with default: select", "select-default", 0.7),
        per("Mutex, 100 tasks: section", "mutex", 0.8),
        per("RwLock, 1 write to 100 reads: section", "rwlock", 0.8),
        row("skynet, 1,000,000 leaves", "skynet", SECONDS, OfGo(0.5)),
        row("sieve, 2000 primes", "sieve", SECONDS, OfGo(0.4)),
        per("ring of 10,000: hop", "ring", 0.6),
        row(
            "fork-join, fib(32)",
            "fork-join",
            ("seconds", 1e3, "ms"),
            OfGo(0.5),
        ),
        row(
            "100,000 sleepers: processor time",
            "sleepers",
            ("cpu_seconds", 1.0, "s"),
            OfGo(0.6),
        ),
        late(
            "100,000 sleepers: late by, p99",
            "sleepers",
            "late_ns.p99",
            1.0,
            &[],
        ),
        per("create and cancel a timer", "timer", 0.5),
        Row {
            spared: million,
            ..row(
                "1,000,000 parked: bytes each",
                "parked",
                ("bytes_each", 1.0 / 1024.0, "KiB"),
                AtMost(4.75),
            )
        },
        Row {
            spared: million,
            ..row(
                "1,000,000 parked: start and wake all",
                "parked",
                SECONDS,
                OfGo(0.7),
            )
        },
        two(late(
            "1 ms ticker beside 4 hogs: late by, p99",
            "ticker-hogs",
            "late_ns.p99",
            0.5,
            beside,
        )),
        two(late(
            "1 ms ticker beside 4 hogs: late by, most",
            "ticker-hogs",
            "late_ns.max",
            0.5,
            beside,
        )),
        two(row(
            "64 x 20 blocking sleeps of 10 ms",
            "blocking",
            SECONDS,
            OfGo(1.0),
        )),
        two(late(
            "ticker beside them: late by, p99",
            "blocking",
            "late_ns.p99",
            0.5,
            beside,
        )),
        row(
            "10,000 parked for 3 s: of a core",
            "idle",
            ("cpu_part", 100.0, "%"),
            AtMost(0.1),
        ),
    ]
}

/// Requests a second at which lateness is compared: what every peer can serve with one processor.
const STEADY_RATE: u64 = 20_000;

fn servers() -> Vec<Row> {
    let serve = |title: String, server, load, figure, scale, unit, better, budget| Row {
        title,
        work: Work::Serve { server, load },
        figure,
        scale,
        unit,
        better,
        budget: Budget::OfGo(budget),
        spared: &[],
        least_procs: 1,
        plain: None,
    };
    let rate = |title: String, server, load, budget| {
        serve(
            title,
            server,
            load,
            "requests_per_second",
            1e-3,
            "k/s",
            Better::Higher,
            budget,
        )
    };
    let cpu = |title: String, server, load, budget| {
        serve(
            title,
            server,
            load,
            "server.cpu_ns_per_request",
            1e-3,
            "us",
            Better::Lower,
            budget,
        )
    };
    let late = |title: String, server, load, budget| {
        serve(
            title,
            server,
            load,
            "latency_ns.p99",
            1e-6,
            "ms",
            Better::Lower,
            budget,
        )
    };
    let mut rows = Vec::new();
    for connections in [64, 1000, 10_000] {
        let name = format!("echo, {connections} connections");
        let full = Load::Closed { connections };
        let steady = Load::Open {
            connections,
            rate: STEADY_RATE,
        };
        rows.push(rate(format!("{name}: requests"), "serve-echo", full, 1.2));
        rows.push(cpu(
            format!("{name}: CPU per request"),
            "serve-echo",
            full,
            0.75,
        ));
        rows.push(late(
            format!("{name}, {STEADY_RATE}/s: p99"),
            "serve-echo",
            steady,
            1.0,
        ));
    }
    // The budget is against Go's own package; a parser by hand, as the others have, is to be matched.
    for (against, plain, more, less) in [
        ("Go by net/http", Some(Runtime::Go), 2.0, 0.5),
        ("Go by hand", None, 1.0, 1.0),
    ] {
        let full = Load::Closed { connections: 64 };
        let wrk = Load::Wrk { connections: 64 };
        let name = format!("HTTP hello, 64 connections, {against}");
        rows.extend(
            [
                rate(format!("{name}: requests"), "serve-http", full, more),
                cpu(format!("{name}: CPU per request"), "serve-http", full, less),
                rate(format!("{name}, by wrk: requests"), "serve-http", wrk, more),
            ]
            .map(|row| Row { plain, ..row }),
        );
    }
    for pipeline in [1, 16] {
        let load = Load::RedisBenchmark { pipeline };
        rows.push(rate(
            format!("RESP GET, redis-benchmark -P {pipeline}: requests"),
            "serve-kv",
            load,
            1.2,
        ));
        rows.push(cpu(
            format!("RESP GET, redis-benchmark -P {pipeline}: CPU per request"),
            "serve-kv",
            load,
            1.0,
        ));
    }
    rows
}
