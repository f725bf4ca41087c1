//! Bounds on what the hot paths execute: instructions for each operation, counted by valgrind.
//!
//! Times are noisy and instructions are not, so a path that grew is seen here, on any machine and
//! beside any load. `benches/src/bin/hot_paths.rs` does the operations, built for release whatever
//! this test is built for. Each path runs twice with different numbers of operations, and the
//! difference is divided: what starting and ending cost cancels out.
//!
//! ```text
//! cargo test -p marmot-benches --test instructions
//! MARMOT_COUNTS=print cargo test -p marmot-benches --test instructions     # today's bounds, as source
//! ```
//!
//! How to read the counts, and what to do when a bound is exceeded: "Instruction counts" in
//! `docs/HACKING.md`.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, str};

/// The most instructions that an operation of each path may take. Set about 8 % above what is counted;
/// a commit that raises one says why.
const BOUNDS: [(&str, f64); 13] = [
    ("spawn", 810.3),      // counted: 750.3
    ("chain", 744.3),      // counted: 689.1
    ("yield", 213.6),      // counted: 197.8
    ("unbuffered", 967.1), // counted: 895.5
    ("buffered", 65.7),    // counted: 60.8
    ("select", 850.4),     // counted: 787.4
    ("select8", 1525.2),   // counted: 1412.2
    ("default", 72.3),     // counted: 67.0
    ("mutex", 30.3),       // counted: 28.1
    ("rwlock", 16.1),      // counted: 14.9
    ("timer", 329.4),      // counted: 305.0
    ("park", 821.3),       // counted: 760.5
    ("blocking", 495.9),   // counted: 459.2
];

/// How far above the count a new bound is put.
const MARGIN: f64 = 1.08;
/// A count this far below its bound is worth a tighter one.
const SLACK: f64 = 0.85;
/// The operations of the two runs.
const OPERATIONS: [u64; 2] = [20_000, 120_000];
/// How often a path is measured before it is said to exceed its bound. Counts of the same program
/// differ by less than 1.5 %; what differs is what the monitor does meanwhile, in real time.
const ATTEMPTS: usize = 3;

/// What a path was found to cost.
struct Count {
    path: String,
    /// Instructions for each operation.
    counted: f64,
    bound: f64,
}

impl Count {
    fn exceeds(&self) -> bool {
        self.counted > self.bound
    }
}

/// What the counts are to be used for.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Check,
    /// Print new bounds.
    Print,
}

impl Purpose {
    fn from_environment() -> Purpose {
        match env::var_os("MARMOT_COUNTS") {
            None => Purpose::Check,
            Some(value) if value.is_empty() => Purpose::Check,
            Some(value) if value == "print" => Purpose::Print,
            Some(value) => panic!("MARMOT_COUNTS is {value:?}; accepted: print"),
        }
    }
}

/// Why nothing can be counted here, if so.
fn obstacle() -> Option<&'static str> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("the bounds are those of Linux on x86-64, and this is something else");
    }
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => None,
        _ => Some("valgrind is missing: install the package valgrind (apt-get install valgrind)"),
    }
}

/// Builds the program for release, beside what this test was built into, and finds it.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "--locked", "--no-default-features"])
        .args(["--bin", "hot_paths"])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target.expect("the folder lies in the target folder"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the build failed: {errors}");
    let messages = str::from_utf8(&output.stdout).expect("messages are UTF-8");
    let (_, rest) = messages
        .rsplit_once(r#""executable":""#)
        .expect("a program was built");
    let (path, _) = rest.split_once('"').expect("a string ends");
    assert!(!path.contains('\\'), "an unusual path: {path}");
    PathBuf::from(path)
}

/// The program with settings of its own: nobody's variables decide what is counted.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for variable in ["MARMOT_MAXPROCS", "MARMOT_STACK_SIZE", "MARMOT_DEBUG"] {
        command.env_remove(variable);
    }
    // Options of valgrind.
    command.env_remove("VALGRIND_OPTS");
    command
}

/// The number after `Collected :`, which is all instructions of all threads.
fn collected(report: &str) -> Option<u64> {
    let (_, rest) = report.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The instructions of one run.
fn run(program: &Path, path: &str, operations: u64) -> u64 {
    let output = command("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([path, &operations.to_string()])
        .output()
        .expect("valgrind runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} failed: {report}");
    collected(&report).unwrap_or_else(|| panic!("{path}: no count in {report}"))
}

/// Counts a path, and again if it seems to cost more than `bound`. Disturbances only add, so the least
/// of each run is taken.
fn count(program: &Path, path: &str, bound: f64) -> Count {
    let mut least = [u64::MAX; 2];
    let mut count = Count {
        path: path.to_owned(),
        counted: f64::INFINITY,
        bound,
    };
    for _ in 0..ATTEMPTS {
        for (least, operations) in least.iter_mut().zip(OPERATIONS) {
            *least = run(program, path, operations).min(*least);
        }
        let [few, many] = least;
        assert!(many > few, "{path}: more operations took no more");
        count.counted = (many - few) as f64 / (OPERATIONS[1] - OPERATIONS[0]) as f64;
        if !count.exceeds() {
            break;
        }
    }
    count
}

/// The counts for a reader.
fn table(counts: &[Count]) -> String {
    let mut table = format!("{:<12} {:>12} {:>12}\n", "path", "per op", "bound");
    for count in counts {
        let remark = match count.counted / count.bound {
            over if over > 1.0 => "  exceeded",
            under if under < SLACK => "  much lower: a new bound would guard it better",
            _ => "",
        };
        let Count {
            path,
            counted,
            bound,
        } = count;
        writeln!(table, "{path:<12} {counted:>12.1} {bound:>12.1}{remark}").unwrap();
    }
    table
}

/// The counts as the source of new bounds.
fn source(counts: &[Count]) -> String {
    let mut source = format!("const BOUNDS: [(&str, f64); {}] = [\n", counts.len());
    for Count { path, counted, .. } in counts {
        let bound = counted * MARGIN;
        writeln!(
            source,
            "    (\"{path}\", {bound:.1}), // counted: {counted:.1}"
        )
        .unwrap();
    }
    source + "];\n"
}

/// What to say of the paths that exceed their bounds; nothing if none does.
fn complaint(counts: &[Count]) -> Option<String> {
    let lines: Vec<String> = counts
        .iter()
        .filter(|count| count.exceeds())
        .map(|c| {
            let percent = (c.counted / c.bound - 1.0) * 100.0;
            format!(
                "{}: {:.1} instructions per operation, {percent:.1} % above its bound of {:.1}",
                c.path, c.counted, c.bound
            )
        })
        .collect();
    let advice = "see \"Instruction counts\" in docs/HACKING.md";
    (!lines.is_empty()).then(|| format!("{}\n{advice}", lines.join("\n")))
}

/// Writes past the capture of the test harness, so that it is seen when all is well too.
fn say(mut to: impl io::Write, text: &str) {
    write!(to, "\n{text}").expect("the streams are open");
}

#[test]
fn no_hot_path_exceeds_its_bound() {
    let purpose = Purpose::from_environment();
    if let Some(obstacle) = obstacle() {
        let needed = env::var_os("CI").is_some() || purpose == Purpose::Print;
        assert!(!needed, "instructions cannot be counted: {obstacle}");
        say(
            io::stderr(),
            &format!("WARNING: INSTRUCTIONS ARE NOT COUNTED, NOTHING IS CHECKED: {obstacle}\n"),
        );
        return;
    }

    let program = build();
    let output = command(&program).output().expect("the program runs");
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    let names: Vec<&str> = names.lines().collect();
    let bound = |path: &str| {
        let found = BOUNDS.iter().find(|(known, _)| *known == path);
        found.map(|(_, bound)| *bound)
    };
    if purpose == Purpose::Print {
        let counts: Vec<_> = names
            .iter()
            .map(|path| count(&program, path, bound(path).unwrap_or(f64::INFINITY)))
            .collect();
        say(io::stdout(), &source(&counts));
        return;
    }

    assert_eq!(
        names,
        BOUNDS.map(|(path, _)| path),
        "a path without a bound"
    );
    let counts = BOUNDS.map(|(path, bound)| count(&program, path, bound));
    say(io::stdout(), &table(&counts));
    if let Some(complaint) = complaint(&counts) {
        panic!("{complaint}");
    }
}

#[test]
fn a_count_is_read_from_the_report() {
    let report =
        "==7== Events    : Ir\n==7== Collected : 21022449\n==7== \n==7== I refs: 21,022,449\n";
    assert_eq!(collected(report), Some(21_022_449));
    assert_eq!(collected("==7== Events    : Ir\n"), None);
}

#[test]
fn paths_above_their_bounds_are_named() {
    let counts = [("low", 10.0), ("high", 12.5), ("equal", 12.0)].map(|(path, counted)| Count {
        path: path.to_owned(),
        counted,
        bound: 12.0,
    });
    let complaint = complaint(&counts).expect("one exceeds its bound");
    assert!(
        complaint.starts_with(
            "high: 12.5 instructions per operation, 4.2 % above its bound of 12.0\nsee"
        ),
        "{complaint}"
    );
    assert_eq!(self::complaint(&counts[..1]), None);
    assert!(table(&counts).contains("high                 12.5         12.0  exceeded"));
    assert!(source(&counts).contains("    (\"low\", 10.8), // counted: 10.0\n"));
}
