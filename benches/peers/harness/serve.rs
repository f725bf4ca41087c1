//! Servers under load: one is started, driven, measured and ended.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use marmot_load::{Op, Plan, Workload};
use serde_json::Value;

use crate::programs::Program;
use crate::rows::Load;
use crate::run::{self, Failure, Sample};

/// Bytes of an echo and of a value.
const SIZE: usize = 64;
/// How long a server may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of redis-benchmark: its own default.
const REDIS_CONNECTIONS: usize = 50;

/// A server that runs. It is killed if it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wrong(what: impl ToString) -> Failure {
    Failure::Wrong(what.to_string())
}

/// Starts the server, drives it for `seconds`, and ends it: one sample.
pub(crate) fn once(
    program: &Program,
    way: &str,
    procs: usize,
    load: Load,
    seconds: u64,
) -> Result<Sample, Failure> {
    let mut server = start(program, way, procs)?;
    let sample = drive(&server, way, load, seconds)?;
    stop(&mut server)?;
    Ok(sample)
}

/// Starts a server on any port and waits until it says where it listens.
fn start(program: &Program, way: &str, procs: usize) -> Result<Server, Failure> {
    let mut child = program
        .command(way, procs)
        .args(["--addr", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(wrong)?;
    let stdout = child.stdout.take();
    let mut server = Server {
        child,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let mut lines = BufReader::new(stdout.ok_or_else(|| wrong("no standard output"))?);
    let mut line = String::new();
    lines.read_line(&mut line).map_err(wrong)?;
    let address = line
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .ok_or_else(|| wrong(format!("the server did not say where it listens: {line:?}")))?;
    server.address = address;
    // What else it prints is read, so that it never waits for us.
    thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    Ok(server)
}

/// Asks a server to end, and checks that it ends well.
fn stop(server: &mut Server) -> Result<(), Failure> {
    let asked = Command::new("kill")
        .args(["-TERM", &server.child.id().to_string()])
        .status()
        .map_err(wrong)?;
    let status = run::end(&mut server.child, PATIENCE)?;
    if !asked.success() || !status.success() {
        return Err(wrong(format!("the server ended with {status}")));
    }
    Ok(())
}

fn drive(server: &Server, way: &str, load: Load, seconds: u64) -> Result<Sample, Failure> {
    match load {
        Load::Closed { connections } => own(server, way, connections, None, seconds),
        Load::Open { connections, rate } => own(server, way, connections, Some(rate), seconds),
        Load::Wrk { connections } => wrk(server, connections, seconds),
        Load::RedisBenchmark { pipeline } => redis_benchmark(server, pipeline, seconds),
    }
}

/// Drives a server with our own generator.
fn own(
    server: &Server,
    way: &str,
    connections: usize,
    rate: Option<u64>,
    seconds: u64,
) -> Result<Sample, Failure> {
    let name = way.split_once('=').map_or(way, |(plain, _)| plain);
    let workload = match name {
        "serve-echo" => Workload::Echo { size: SIZE },
        "serve-http" => Workload::Http {
            path: "/".to_owned(),
            body: "Hello, world!".to_owned(),
        },
        "serve-kv" => Workload::Kv {
            op: Op::Get,
            size: SIZE,
        },
        other => return Err(wrong(format!("nothing drives {other}"))),
    };
    let mut plan = Plan::new(server.address, workload);
    plan.connections = connections;
    plan.window = Duration::from_secs(seconds);
    plan.rate = rate.map(|rate| rate as f64);
    plan.server_pid = Some(server.child.id());
    let report = marmot_load::run(&plan).map_err(wrong)?;
    if report.errors.total() > 0 {
        return Err(wrong(format!("answers were wrong or missing: {report}")));
    }
    let value: Value = serde_json::to_value(&report).map_err(wrong)?;
    let mut sample = Sample::new();
    run::flatten("", &value, &mut sample);
    Ok(sample)
}

/// Drives a server with wrk.
fn wrk(server: &Server, connections: usize, seconds: u64) -> Result<Sample, Failure> {
    let mut command = Command::new("wrk");
    command
        .args(["-t1", "-c", &connections.to_string()])
        .args(["-d", &format!("{seconds}s")])
        .arg(format!("http://{}/", server.address));
    let (out, cpu, _) = client(server, &mut command)?;
    if out.contains("Non-2xx") || out.contains("Socket errors") {
        return Err(wrong(format!("wrk had errors: {out}")));
    }
    let number = |before: &str| {
        let line = out
            .lines()
            .find_map(|line| line.trim().strip_prefix(before));
        let field = line.and_then(|rest| rest.split_whitespace().next());
        field.and_then(|field| field.parse::<f64>().ok())
    };
    let rate = number("Requests/sec:").ok_or_else(|| wrong(format!("wrk said: {out}")))?;
    Ok(sample(rate, cpu / (rate * seconds as f64)))
}

/// Drives a server with redis-benchmark: GET.
fn redis_benchmark(server: &Server, pipeline: usize, seconds: u64) -> Result<Sample, Failure> {
    let requests = 60_000 * seconds as usize * if pipeline > 1 { 10 } else { 1 };
    let benchmark = |test: &str, requests: usize| {
        let mut command = Command::new("redis-benchmark");
        command
            .args(["-h", "127.0.0.1", "-p", &server.address.port().to_string()])
            .args(["-t", test, "-q", "-d", &SIZE.to_string()])
            .args(["-c", &REDIS_CONNECTIONS.to_string()])
            .args(["-P", &pipeline.to_string(), "-n", &requests.to_string()]);
        command
    };
    client(server, &mut benchmark("set", 1000))?;
    let (out, cpu, took) = client(server, &mut benchmark("get", requests))?;
    if !out.contains("requests per second") {
        return Err(wrong(format!("redis-benchmark said: {out}")));
    }
    let requests = requests as f64;
    Ok(sample(requests / took.as_secs_f64(), cpu / requests))
}

/// A rate, and processor seconds per request.
fn sample(rate: f64, cpu: f64) -> Sample {
    Sample::from([
        ("requests_per_second".to_owned(), rate),
        ("server.cpu_ns_per_request".to_owned(), cpu * 1e9),
    ])
}

/// Runs a client to its end: what it printed, what the server used of the processors meanwhile, in
/// seconds, and how long it took.
fn client(server: &Server, command: &mut Command) -> Result<(String, f64, Duration), Failure> {
    let (before, begin) = (processor_seconds(server.child.id())?, Instant::now());
    let (status, out, said) = run::output(command, PATIENCE * 6)?;
    let (took, after) = (begin.elapsed(), processor_seconds(server.child.id())?);
    if !status.success() {
        return Err(wrong(format!("the client ended with {status}: {said}")));
    }
    Ok((out, after - before, took))
}

/// What a process has used of the processors, user and system, in seconds.
fn processor_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(wrong)?;
    // The name, in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |n| -> Option<f64> { fields.split_whitespace().nth(n)?.parse().ok() };
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err(wrong("the kernel's word on the server cannot be read"));
    };
    // Linux counts these in hundredths of a second, whatever its own clock.
    Ok((user + system) / 100.0)
}
