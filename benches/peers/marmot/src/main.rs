//! The work that Marmot is compared by, in Marmot. What it is: `benches/peers/README.md`.

mod channels;
mod locks;
mod memory;
mod servers;
mod spawn;
mod timers;
mod trees;

use std::process::ExitCode;
use std::time::Duration;

use marmot::{Runtime, num_goroutines, sleep};
use marmot_peer::{
    Job, Outcome, Peer, Server, Size, Stopwatch, Unsupported, Workload, main as run_peer,
};

use crate::timers::Late;

fn main() -> ExitCode {
    run_peer(&Peer {
        runtime: "marmot",
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workloads: WORKLOADS,
        servers: SERVERS,
    })
}

/// Does `work` in a goroutine of a runtime with as many processors as the job has.
fn inside<T: Send>(job: &Job, work: impl FnOnce() -> T + Send) -> Result<T, Unsupported> {
    let builder = Runtime::builder().max_procs(job.procs);
    // SAFETY: the workloads use channels and numbers, and no thread-local.
    let runtime = unsafe { builder.build_migrating() };
    let runtime = runtime.map_err(|error| Unsupported(error.to_string()))?;
    Ok(runtime.run(work))
}

/// Work that has an answer and nothing else to tell.
fn plain(job: &Job, work: fn(u64, u64) -> u64) -> Outcome {
    let (warm, Size { tasks, ops }) = (job.warm_up(), job.size);
    inside(job, || {
        work(warm.tasks, warm.ops);
        // What was started for it and is on its way out is not part of what is measured.
        while num_goroutines() > 1 {
            sleep(Duration::from_millis(1));
        }
        let stopwatch = Stopwatch::start();
        let answer = work(tasks, ops);
        stopwatch.report(answer)
    })
}

/// Work that tells how late things happened.
fn late(job: &Job, work: fn(u64, u64) -> (u64, Late)) -> Outcome {
    let (warm, Size { tasks, ops }) = (job.warm_up(), job.size);
    inside(job, || {
        work(warm.tasks, warm.ops);
        let stopwatch = Stopwatch::start();
        let (answer, mut delays) = work(tasks, ops);
        stopwatch.report(answer).with_delays(&mut delays)
    })
}

/// A workload of the table: its name, and how its function is run.
macro_rules! workloads {
    ($($name:literal: $how:ident($work:path),)*) => {
        &[$(Workload { name: $name, run: |job| $how(job, $work) }),*]
    };
}

static WORKLOADS: &[Workload] = workloads! {
    "spawn-join": plain(spawn::join),
    "spawn-chain": plain(spawn::chain),
    "yield": plain(spawn::yields),
    "ping-pong": plain(channels::ping_pong),
    "spsc": plain(channels::spsc),
    "mpmc": plain(channels::mpmc),
    "mpmc-unbuffered": plain(channels::mpmc_unbuffered),
    "fan-in": plain(channels::fan_in),
    "select2": plain(channels::select_two),
    "select8": plain(channels::select_eight),
    "select2-buffered": plain(channels::select_two_buffered),
    "select8-buffered": plain(channels::select_eight_buffered),
    "select-default": plain(channels::select_default),
    "mutex": plain(locks::mutex),
    "rwlock": plain(locks::rwlock),
    "skynet": plain(trees::skynet),
    "sieve": plain(trees::sieve),
    "ring": plain(trees::ring),
    "fork-join": plain(trees::fork_join),
    "sleepers": late(timers::sleepers),
    "timer": plain(timers::create_and_cancel),
    "parked": whole(memory::parked),
    "ticker-hogs": late(timers::ticker_beside_hogs),
    "ticker-hogs=blocking": late(timers::ticker_beside_blocking_hogs),
    "blocking": late(timers::blocked),
    "idle": whole(memory::idle),
};

/// Work that measures itself, without a warm-up.
fn whole(job: &Job, work: fn(u64, u64) -> marmot_peer::Report) -> Outcome {
    let Size { tasks, ops } = job.size;
    inside(job, || work(tasks, ops))
}

/// The same programs as the peers'. Under the plain names the bundled servers are compared, as they
/// are shipped.
const SERVERS: &[Server] = &[
    Server {
        name: "serve-echo=same",
        serve: servers::echo,
    },
    Server {
        name: "serve-http=same",
        serve: servers::http,
    },
    Server {
        name: "serve-kv=same",
        serve: servers::kv,
    },
];
