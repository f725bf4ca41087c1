//! The workloads and servers of the comparison, in tokio: the names and what is run for them.
//!
//! The runtime is the multi-threaded one with its defaults. Nothing awaits in `block_on`: a body is
//! a spawned task.

mod channels;
mod hyper_server;
mod locks;
mod run;
mod selects;
mod servers;
mod tasks;
mod times;
mod waits;

use std::process::ExitCode;

use marmot_peer::{Job, Outcome, Peer, Server, Workload, locked_version};

use run::{measured, measured_with_delays};

const fn work(name: &'static str, run: fn(&Job) -> Outcome) -> Workload {
    Workload { name, run }
}

const WORKLOADS: &[Workload] = &[
    work("spawn-join", |job| measured(job, tasks::spawn_join)),
    work("spawn-chain", |job| measured(job, tasks::spawn_chain)),
    work("yield", |job| measured(job, tasks::yields)),
    work("ping-pong", |job| measured(job, channels::ping_pong)),
    work("spsc", |job| measured(job, channels::spsc)),
    work("mpmc", |job| measured(job, channels::mpmc)),
    work("mpmc-unbuffered", |job| {
        measured(job, channels::mpmc_unbuffered)
    }),
    work("fan-in", |job| measured(job, channels::fan_in)),
    work("select2", |job| measured(job, selects::select2)),
    work("select8", |job| measured(job, selects::select8)),
    work("select2-buffered", |job| {
        measured(job, selects::select2_buffered)
    }),
    work("select2-buffered=kanal", |job| {
        measured(job, selects::select2_buffered_kept)
    }),
    work("select8-buffered", |job| {
        measured(job, selects::select8_buffered)
    }),
    work("select8-buffered=kanal", |job| {
        measured(job, selects::select8_buffered_kept)
    }),
    work("select-default", |job| {
        measured(job, selects::select_default)
    }),
    work("select-default=macro", |job| {
        measured(job, selects::select_default_macro)
    }),
    work("mutex", |job| measured(job, locks::mutex)),
    work("mutex=tokio", |job| measured(job, locks::mutex_tokio)),
    work("rwlock", |job| measured(job, locks::rwlock)),
    work("rwlock=tokio", |job| measured(job, locks::rwlock_tokio)),
    work("skynet", |job| measured(job, tasks::skynet)),
    work("sieve", |job| measured(job, channels::sieve)),
    work("ring", |job| measured(job, channels::ring)),
    work("fork-join", |job| measured(job, tasks::fork_join)),
    work("sleepers", |job| measured_with_delays(job, times::sleepers)),
    work("timer", |job| measured(job, times::timer)),
    work("parked", waits::parked),
    work("ticker-hogs", times::ticker_hogs),
    work("ticker-hogs=blocking", |job| {
        measured_with_delays(job, times::ticker_and_blocking_hogs)
    }),
    work("blocking", |job| measured_with_delays(job, times::blocking)),
    work("idle", waits::idle),
];

const SERVERS: &[Server] = &[
    Server {
        name: "serve-echo",
        serve: servers::echo,
    },
    Server {
        name: "serve-http",
        serve: servers::http,
    },
    Server {
        name: "serve-http=hyper",
        serve: hyper_server::http,
    },
    Server {
        name: "serve-kv",
        serve: servers::kv,
    },
];

fn main() -> ExitCode {
    marmot_peer::main(&Peer {
        runtime: "tokio",
        version: locked_version("tokio"),
        workloads: WORKLOADS,
        servers: SERVERS,
    })
}
