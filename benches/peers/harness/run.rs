//! Running a peer's program once: a sample, or why there is none.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use marmot_peer::{Size, answer};
use serde_json::Value;

use crate::programs::Program;

/// What one run measured, by name; members of members are `outer.inner`.
pub(crate) type Sample = BTreeMap<String, f64>;

/// Why a run gave no sample.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The runtime cannot do it, and says why.
    Cannot(String),
    /// It went wrong: it must be mended.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Cannot(why) => write!(f, "cannot: {why}"),
            Failure::Wrong(why) => f.write_str(why),
        }
    }
}

/// The longest that a run may take.
const LIMIT: Duration = Duration::from_secs(120);
/// What a program ends with if its runtime cannot do the work.
const CANNOT: i32 = 3;

/// Runs a workload once and checks its answer.
pub(crate) fn task(
    program: &Program,
    way: &str,
    procs: usize,
    tasks: Option<u64>,
    ops: Option<u64>,
) -> Result<Sample, Failure> {
    let mut command = program.command(way, procs);
    for (name, value) in [("--tasks", tasks), ("--ops", ops)] {
        if let Some(value) = value {
            command.arg(name).arg(value.to_string());
        }
    }
    let (status, out, said) = output(&mut command, LIMIT)?;
    if status.code() == Some(CANNOT) {
        return Err(Failure::Cannot(said.trim().to_owned()));
    }
    if !status.success() {
        // What a panic says, without its backtrace.
        let said: Vec<&str> = said.trim().lines().take(3).collect();
        return Err(Failure::Wrong(format!("{status}: {}", said.join("\n  "))));
    }
    let report: Value = serde_json::from_str(out.trim())
        .map_err(|error| Failure::Wrong(format!("no report ({error}): {out}")))?;
    check(way, &report)?;
    let mut sample = Sample::new();
    flatten("", &report, &mut sample);
    derive(&mut sample);
    Ok(sample)
}

/// Compares the report's answer with what it has to be.
fn check(way: &str, report: &Value) -> Result<(), Failure> {
    let number = |name| {
        report[name]
            .as_u64()
            .ok_or_else(|| Failure::Wrong(format!("no number {name} in {report}")))
    };
    let size = Size {
        tasks: number("tasks")?,
        ops: number("ops")?,
    };
    let expected = answer(way, size)
        .ok_or_else(|| Failure::Wrong(format!("nobody knows the answer of {way}")))?;
    let came = number("answer")?;
    if came != expected {
        return Err(Failure::Wrong(format!(
            "{way} answered {came} instead of {expected}"
        )));
    }
    Ok(())
}

/// Takes every number of a report.
pub(crate) fn flatten(prefix: &str, value: &Value, sample: &mut Sample) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                flatten(&name, member, sample);
            }
        }
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                sample.insert(prefix.to_owned(), number);
            }
        }
        _ => {}
    }
}

/// Adds what follows from the rest: time per operation, and the part of a core.
fn derive(sample: &mut Sample) {
    let of = |name: &str| sample.get(name).copied();
    let (Some(seconds), Some(cpu), Some(ops)) = (of("seconds"), of("cpu_seconds"), of("ops"))
    else {
        return;
    };
    sample.insert("ns_per_op".to_owned(), seconds * 1e9 / ops);
    if seconds > 0.0 {
        sample.insert("cpu_part".to_owned(), cpu / seconds);
    }
}

/// Runs a command to its end, which is made to come after `limit`: its status, and what it wrote on
/// standard output and standard error.
pub(crate) fn output(
    command: &mut Command,
    limit: Duration,
) -> Result<(ExitStatus, String, String), Failure> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::Wrong(format!("{shown}: {error}")))?;
    let (out, said) = (child.stdout.take(), child.stderr.take());
    let said = thread::spawn(move || read_all(said));
    let out = thread::spawn(move || read_all(out));
    let status = end(&mut child, limit)?;
    let joined = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok((status, joined(out), joined(said)))
}

fn read_all(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What came until an error is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until a child ends; kills it at the limit.
pub(crate) fn end(child: &mut Child, limit: Duration) -> Result<ExitStatus, Failure> {
    let begin = Instant::now();
    let wrong = |error| Failure::Wrong(format!("waiting for a child: {error}"));
    loop {
        if let Some(status) = child.try_wait().map_err(wrong)? {
            return Ok(status);
        }
        if begin.elapsed() > limit {
            child.kill().map_err(wrong)?;
            child.wait().map_err(wrong)?;
            return Err(Failure::Wrong(format!("took longer than {limit:?}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
}
