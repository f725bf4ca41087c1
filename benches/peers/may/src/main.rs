//! The workloads and servers of the comparison, in may: the names and what is run for them.
//!
//! Channels in may are unbounded. A workload that asks for a capacity is given may's fitting
//! channel as it is, under its plain name; its variant `=bounded` keeps to the capacity with a
//! `Semphore`.

mod bounded;
mod channels;
mod locks;
mod run;
mod selects;
mod servers;
mod tasks;
mod times;
mod waits;

use std::process::ExitCode;

use marmot_peer::{Job, Outcome, Peer, Server, Workload, locked_version};

use run::measured;

const fn work(name: &'static str, run: fn(&Job) -> Outcome) -> Workload {
    Workload { name, run }
}

const WORKLOADS: &[Workload] = &[
    work("spawn-join", |job| measured(job, tasks::spawn_join)),
    work("spawn-chain", |job| measured(job, tasks::spawn_chain)),
    work("yield", |job| measured(job, tasks::yields)),
    work("ping-pong", |job| measured(job, channels::ping_pong)),
    work("spsc", |job| measured(job, channels::spsc)),
    work("spsc=bounded", |job| measured(job, bounded::spsc)),
    work("mpmc", |job| measured(job, channels::mpmc)),
    work("mpmc=bounded", |job| measured(job, bounded::mpmc)),
    // An unbounded channel would not be the same work.
    work("mpmc-unbuffered", |job| {
        measured(job, bounded::mpmc_acknowledged)
    }),
    work("fan-in", |job| measured(job, channels::fan_in)),
    work("fan-in=bounded", |job| measured(job, bounded::fan_in)),
    // As above.
    work("select2", |job| {
        measured(job, selects::select_acknowledged::<2>)
    }),
    work("select8", |job| {
        measured(job, selects::select_acknowledged::<8>)
    }),
    work("select2-buffered", |job| {
        measured(job, selects::select::<2>)
    }),
    work("select8-buffered", |job| {
        measured(job, selects::select::<8>)
    }),
    work("select-default", |job| {
        measured(job, selects::select_default)
    }),
    work("mutex", |job| measured(job, locks::mutex)),
    work("mutex=may", |job| measured(job, locks::mutex_may)),
    work("rwlock", |job| measured(job, locks::rwlock)),
    work("rwlock=may", |job| measured(job, locks::rwlock_may)),
    work("skynet", tasks::skynet),
    work("sieve", |job| measured(job, bounded::sieve)),
    work("ring", |job| measured(job, channels::ring)),
    work("fork-join", |job| measured(job, tasks::fork_join)),
    work("sleepers", times::sleepers),
    work("timer", times::timer),
    work("parked", waits::parked),
    work("ticker-hogs", times::ticker_hogs),
    work("blocking", times::blocking),
    work("idle", waits::idle),
];

const SERVERS: &[Server] = &[
    Server {
        name: "serve-echo",
        serve: servers::echo,
    },
    Server {
        name: "serve-http",
        serve: servers::minihttp,
    },
    Server {
        name: "serve-http=httparse",
        serve: servers::http,
    },
    Server {
        name: "serve-kv",
        serve: servers::kv,
    },
];

fn main() -> ExitCode {
    marmot_peer::main(&Peer {
        runtime: "may",
        version: locked_version("may"),
        workloads: WORKLOADS,
        servers: SERVERS,
    })
}
