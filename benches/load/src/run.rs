//! A run: it starts the workers, has them begin together, and puts together what they counted.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use mio::Poll;

use crate::clock::{SECOND, now};
use crate::connect::{Connected, connect};
use crate::process::Sample;
use crate::protocol::{Echo, Http, Kv, Protocol, prepare};
use crate::schedule::{Schedule, Times};
use crate::tally::Tally;
use crate::worker::Worker;
use crate::{Error, Op, OpenLoop, Plan, Report, Workload, limits};

/// How long the workers have from the word until the first request, so that they begin together.
const LEAD: u64 = SECOND / 100;

/// How often connecting may tell how it goes.
const TELL: Duration = Duration::from_secs(1);

/// Carries out a plan. It takes the plan's warm-up, window and up to its grace, and before that as long as
/// connecting takes. If the connections need more descriptors than the process may have, its limit is
/// raised.
///
/// # Errors
/// If the plan cannot be carried out at all; see [`Error`]. Wrong answers and lost connections are no
/// errors of the run: they are counted in the report.
pub fn run(plan: &Plan) -> Result<Report, Error> {
    plan.check()?;
    limits::allow(plan.connections)?;
    let pipeline = plan.pipeline;
    match &plan.workload {
        Workload::Echo { size } => drive(plan, "echo", *size, || Echo::new(*size, pipeline)),
        Workload::Http { path, body } => drive(plan, "http", body.len(), || {
            Http::new(plan.address, path, body, pipeline)
        }),
        Workload::Kv { op, size } => {
            let name = match op {
                Op::Get => "get",
                Op::Set => "set",
                Op::Ping => "ping",
            };
            if *op == Op::Get {
                prepare(plan.address, *size)?;
            }
            drive(plan, name, *size, || Kv::new(*op, *size, pipeline))
        }
    }
}

/// What a worker tells once it has tried to connect: how many connections came about, and what the
/// first that did not met with.
type News = Result<(usize, Option<io::Error>), Error>;

/// The main thread's end of a worker.
struct Hand<'scope> {
    thread: ScopedJoinHandle<'scope, io::Result<Tally>>,
    start: Sender<Times>,
}

fn drive<P: Protocol>(
    plan: &Plan,
    name: &str,
    size: usize,
    protocol: impl Fn() -> P + Sync,
) -> Result<Report, Error> {
    let done = AtomicU64::new(0);
    let began = now();
    thread::scope(|scope| {
        let (news, from_workers) = channel();
        // Never written to: closed when the last worker ends.
        let (running, ended) = channel::<()>();
        let mut hands = Vec::new();
        for index in 0..plan.threads {
            let (start, started) = channel();
            let (news, running) = (news.clone(), running.clone());
            let (protocol, done) = (&protocol, &done);
            let thread = thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn_scoped(scope, move || {
                    let _running = running;
                    work(plan, index, protocol(), done, news, &started)
                })?;
            hands.push(Hand { thread, start });
        }
        drop((news, running));
        let connections = gather(plan, &from_workers, &done)?;
        let connect_seconds = seconds(now() - began);
        let before = plan.server_pid.map(watch).transpose()?;

        let times = times(plan);
        for hand in &hands {
            // One that has gone tells why when it is joined.
            let _ = hand.start.send(times);
        }
        let (sample, server, stopped) = measure(plan, times, &ended);
        let mut tally = Tally::new();
        for hand in hands {
            let counts = hand.thread.join();
            tally.add(counts.unwrap_or_else(|p| panic::resume_unwind(p))?);
        }
        let length = stopped.clamp(times.begin, times.end) - times.begin;
        let rate = |count: u64| match length {
            0 => 0.0,
            _ => count as f64 / seconds(length),
        };
        Ok(Report {
            workload: name.to_owned(),
            address: plan.address,
            connections,
            pipeline: plan.pipeline,
            size,
            threads: plan.threads,
            connect_seconds,
            seconds: seconds(length),
            requests: tally.requests,
            requests_per_second: rate(tally.requests),
            latency_ns: tally.latency(),
            unanswered: tally.unanswered,
            open_loop: plan.rate.map(|rate| OpenLoop {
                rate,
                due: tally.due,
                late: tally.late,
                behind_mean_ns: tally.behind.checked_div(tally.due).unwrap_or(0),
                behind_max_ns: tally.behind_max,
            }),
            errors: tally.errors,
            wrong_answer: tally.wrong.take(),
            server: sample
                .or(before)
                .zip(server)
                .map(|(before, after)| before.until(&after, tally.requests)),
            generator_cpu_seconds: seconds(tally.cpu),
        })
    })
}

/// A worker's thread: connects, waits for the word, and works.
fn work<P: Protocol>(
    plan: &Plan,
    index: usize,
    protocol: P,
    done: &AtomicU64,
    news: Sender<News>,
    started: &Receiver<Times>,
) -> io::Result<Tally> {
    let ids: Vec<u64> = (index..plan.connections)
        .step_by(plan.threads)
        .map(|id| id as u64)
        .collect();
    let connected = Poll::new().map_err(Error::from).and_then(|mut poll| {
        let connected = connect(&mut poll, plan, &ids, done)?;
        Ok((poll, connected))
    });
    let (poll, connected) = match connected {
        Ok(both) => both,
        Err(e) => {
            let _ = news.send(Err(e));
            return Ok(Tally::new());
        }
    };
    let Connected {
        streams,
        refused,
        error,
    } = connected;
    let made = streams.iter().flatten().count();
    let _ = news.send(Ok((made, error)));
    drop(news);
    let Ok(times) = started.recv() else {
        return Ok(Tally::new());
    };
    let schedule = plan
        .rate
        .map(|rate| Schedule::new(times.origin, rate, plan.connections));
    let worker = Worker::new(
        poll,
        protocol,
        plan.pipeline,
        streams,
        &ids,
        (times, schedule),
    )?;
    let mut tally = worker.run()?;
    tally.errors.refused = refused;
    Ok(tally)
}

/// Waits until all workers have connected, and gives the number of connections.
fn gather(plan: &Plan, from_workers: &Receiver<News>, done: &AtomicU64) -> Result<usize, Error> {
    let (mut connections, mut first, mut told) = (0, None, 0);
    while told < plan.threads {
        match from_workers.recv_timeout(TELL) {
            Ok(news) => {
                let (made, error) = news?;
                connections += made;
                first = first.or(error);
                told += 1;
            }
            Err(RecvTimeoutError::Timeout) if plan.progress => {
                let done = done.load(Ordering::Relaxed);
                let all = plan.connections;
                let _ = writeln!(io::stderr(), "connecting: {done} of {all}");
            }
            Err(RecvTimeoutError::Timeout) => {}
            // A worker that panicked; joining it tells why.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match first {
        Some(error) if connections == 0 => Err(Error::Connect(error)),
        _ => Ok(connections),
    }
}

fn watch(pid: u32) -> Result<Sample, Error> {
    Sample::of(pid).map_err(|error| Error::Server { pid, error })
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND as f64
}

fn times(plan: &Plan) -> Times {
    let length = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 8);
    let origin = now() + LEAD;
    let begin = origin + length(plan.warm_up);
    let end = begin + length(plan.window);
    Times {
        origin,
        begin,
        end,
        finish: end + length(plan.grace),
    }
}

/// Looks at the server when the window begins and when it ends, or when all workers have ended; gives
/// what it saw, and the time of the end.
fn measure(
    plan: &Plan,
    times: Times,
    ended: &Receiver<()>,
) -> (Option<Sample>, Option<Sample>, u64) {
    let wait_until = |time: u64| {
        let left = Duration::from_nanos(time.saturating_sub(now()));
        let _ = ended.recv_timeout(left);
    };
    let look = || plan.server_pid.and_then(|pid| Sample::of(pid).ok());
    wait_until(times.begin);
    let before = look();
    wait_until(times.end);
    let stopped = now();
    (before, look(), stopped)
}
