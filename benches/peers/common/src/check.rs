//! A check of a peer's program: that its workloads, done small, answer what they have to.

use std::path::Path;
use std::process::Command;

use crate::args::CANNOT_RUN;
use crate::contract::{Size, answer, default_size};

/// Runs all workloads that `program` lists with few tasks and operations, on one processor and on
/// two, and compares their answers. A workload that the runtime cannot run is passed over.
///
/// # Panics
///
/// An answer is wrong, or the program failed.
pub fn check_answers(program: &Path) {
    let list = Command::new(program)
        .arg("list")
        .output()
        .expect("the program starts");
    let list = String::from_utf8(list.stdout).expect("names are text");
    let workloads: Vec<_> = list
        .lines()
        .filter(|name| !name.starts_with("serve-"))
        .collect();
    assert!(!workloads.is_empty(), "the program lists its workloads");
    for name in workloads {
        for procs in ["1", "2"] {
            check(program, name, procs);
        }
    }
}

fn check(program: &Path, name: &str, procs: &str) {
    let size = small(name);
    let output = Command::new(program)
        .args([name, "--procs", procs])
        .args([
            "--tasks",
            &size.tasks.to_string(),
            "--ops",
            &size.ops.to_string(),
        ])
        .output()
        .expect("the program starts");
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT_RUN.into()) {
        assert!(!why.is_empty(), "{name} says why it cannot run");
        return;
    }
    assert!(output.status.success(), "{name} on {procs}: {why}");
    let line = String::from_utf8(output.stdout).expect("the line is text");
    let told = line.split("\"answer\":").nth(1).and_then(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    });
    assert_eq!(told, answer(name, size), "{name} on {procs}: {line}");
}

/// A size that is done in a moment, and in which no share is like another.
fn small(name: &str) -> Size {
    let usual = default_size(name).expect("a workload of the contract");
    let (tasks, ops) = match name.split('=').next().unwrap_or(name) {
        "sleepers" => (150, 2),
        "skynet" => (1, 1_000),
        "sieve" => (1, 100),
        "fork-join" => (1, 20),
        "parked" => (500, 1),
        "ticker-hogs" => (2, 30),
        "blocking" => (5, 3),
        "idle" => (100, 1),
        _ => (usual.tasks.clamp(1, 30), 2_345),
    };
    Size { tasks, ops }
}
