//! What was measured, and the line of JSON that tells it.

use std::fmt::Write;
use std::time::Instant;

use crate::args::Job;
use crate::late::Lateness;
use crate::process::cpu_seconds;

/// The begin of a measurement.
#[derive(Debug)]
pub struct Stopwatch {
    begin: Instant,
    cpu: f64,
}

impl Stopwatch {
    /// Begins to measure.
    pub fn start() -> Self {
        Self {
            cpu: cpu_seconds(),
            begin: Instant::now(),
        }
    }

    /// Ends the measurement.
    pub fn report(&self, answer: u64) -> Report {
        let seconds = self.begin.elapsed().as_secs_f64();
        let cpu_seconds = cpu_seconds() - self.cpu;
        Report {
            seconds,
            cpu_seconds,
            answer,
            more: Vec::new(),
        }
    }
}

/// What a workload came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The time of the work alone.
    pub seconds: f64,
    /// The processor time of the whole process during it.
    pub cpu_seconds: f64,
    /// What the work came to.
    pub answer: u64,
    /// What some workloads tell besides, by name.
    pub more: Vec<(&'static str, Value)>,
}

/// A value of [`Report::more`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A time in seconds.
    Seconds(f64),
    /// Percentiles of delays.
    Late(Lateness),
}

impl Report {
    /// This report, and `value` under `name` with it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    /// This report, and the percentiles of `delays` as `late_ns` with it.
    #[must_use]
    pub fn with_delays(self, delays: &mut [u64]) -> Self {
        self.with("late_ns", Value::Late(Lateness::of(delays)))
    }

    /// The line to print. None of the texts in it has a character that JSON escapes.
    pub(crate) fn json(&self, runtime: &str, version: &str, job: &Job) -> String {
        let mut line = format!(
            r#"{{"runtime":"{runtime}","version":"{version}","workload":"{}","procs":{},"tasks":{},"ops":{},"seconds":{:.9},"cpu_seconds":{:.6},"answer":{}"#,
            job.name,
            job.procs,
            job.size.tasks,
            job.size.ops,
            self.seconds,
            self.cpu_seconds,
            self.answer,
        );
        for (name, value) in &self.more {
            let written = match value {
                Value::Count(count) => write!(line, r#","{name}":{count}"#),
                Value::Seconds(seconds) => write!(line, r#","{name}":{seconds:.9}"#),
                Value::Late(late) => write!(line, r#","{name}":{late}"#),
            };
            written.expect("a String takes everything");
        }
        line.push('}');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Size;

    #[test]
    fn a_report_is_a_line_of_json() {
        let job = Job {
            name: "blocking",
            procs: 2,
            size: Size { tasks: 3, ops: 4 },
        };
        let report = Report {
            seconds: 0.5,
            cpu_seconds: 0.25,
            answer: 12,
            more: Vec::new(),
        };
        let line = report.with_delays(&mut [7, 9]).json("none", "1.0", &job);
        assert_eq!(
            line,
            concat!(
                r#"{"runtime":"none","version":"1.0","workload":"blocking","procs":2,"tasks":3,"#,
                r#""ops":4,"seconds":0.500000000,"cpu_seconds":0.250000,"answer":12,"#,
                r#""late_ns":{"p50":7,"p99":9,"max":9}}"#
            )
        );
    }
}
