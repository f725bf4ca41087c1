//! Marmot beside Go, tokio and may: the same work, in one run, as ratios.
//!
//! ```text
//! cargo run --release -p marmot-benches --bin peers
//! cargo run --release -p marmot-benches --bin peers -- --only yield,ping-pong --procs 1 --runs 9
//! cargo run --release -p marmot-benches --bin peers -- --json out.json --plot plots
//! ```
//!
//! What each program does is in `benches/peers/README.md`.

mod growth;
mod measure;
mod plot;
mod programs;
mod rows;
mod run;
mod serve;
mod stats;
mod table;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

use crate::measure::Measurer;
use crate::programs::Runtime;
use crate::rows::Row;

/// Measures Marmot beside Go, tokio and may.
///
/// Builds what can be built here, says what is missing, runs the programs interleaved, checks every
/// answer, and prints medians, spreads and ratios, line by line as they are known. All of it takes about
/// an hour; --only and --runs make it shorter.
#[derive(Parser, Debug)]
struct Args {
    /// Rows to measure, and kinds of growth: those whose title or workload contains one of these words.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Numbers of processors to measure with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    procs: Vec<usize>,
    /// Runs of each program for each row.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The peers to run, of marmot, go, tokio, may; all that can be built if not given.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Seconds of load for each run of a server.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Measure growth too: cost from 10 to 1,000,000 tasks and from 1 to 10,000 connections.
    #[arg(long)]
    growth: bool,
    /// Write all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the table in Markdown to this file.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Draw plots (ratios.svg, ratios.png, growth.svg, growth.png) into this folder.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Print the rows and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does it all; false if something answered wrongly.
fn compare(args: &Args) -> Result<bool, Box<dyn Error>> {
    let rows: Vec<_> = rows::all()
        .into_iter()
        .filter(|row| args.only.is_empty() || args.only.iter().any(|word| row.matches(word)))
        .collect();
    if args.list {
        rows.iter().for_each(|row| println!("{}", row.title));
        return Ok(true);
    }
    let growths: Vec<_> = growth::all()
        .into_iter()
        .filter(|_| args.growth)
        .filter(|growth| args.only.is_empty() || args.only.iter().any(|word| growth.matches(word)))
        .collect();
    if rows.is_empty() && growths.is_empty() {
        return Err("no row has such a title (--list prints all)".into());
    }
    let wanted = wanted(&args.peers)?;
    let (programs, missing) =
        programs::build(&wanted, !growths.is_empty() || rows.iter().any(Row::serves));
    for (runtime, why) in &missing {
        eprintln!("{runtime} is left out: {why}");
    }
    let mut measurer = Measurer::new(&programs, args.runs.max(1), args.seconds.max(1));
    println!("{}", measurer.machine());
    if !rows.is_empty() {
        print!("{}", table::HEAD);
    }
    let lines = measurer.lines(&rows, &args.procs, |line| println!("{}", table::one(line)));
    let most = args.procs.iter().copied().max().unwrap_or(1);
    let curves = measurer.curves(&growths, most, |title, size, runtime, cost| {
        println!("{title}: {size}: {runtime} {cost:.1}");
    });
    if !rows.is_empty() {
        println!("{}", table::summary(&lines));
    }
    for wrong in measurer.wrong() {
        println!("WRONG: {wrong}");
    }
    if let Some(path) = &args.markdown {
        fs::write(path, table::markdown(&lines))?;
    }
    if let Some(path) = &args.json {
        let all = json!({
            "machine": measurer.machine(), "runs": args.runs,
            "missing": missing.iter().map(|(r, why)| json!({ "runtime": r.name(), "why": why })).collect::<Vec<_>>(),
            "lines": lines.iter().map(table::Line::json).collect::<Vec<_>>(),
            "growth": curves.iter().map(growth::Curve::json).collect::<Vec<_>>(),
            "wrong": measurer.wrong(),
        });
        fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    if let Some(folder) = &args.plot {
        fs::create_dir_all(folder)?;
        let mut drawn = Vec::new();
        if !lines.is_empty() {
            drawn.extend(plot::ratios(&folder.join("ratios"), &lines)?);
        }
        if !curves.is_empty() {
            drawn.extend(plot::growth(&folder.join("growth"), &curves)?);
        }
        for path in drawn {
            eprintln!("drew {}", path.display());
        }
    }
    Ok(measurer.wrong().is_empty())
}

/// The peers by their names; all if there are no names.
fn wanted(names: &[String]) -> Result<Vec<Runtime>, String> {
    if names.is_empty() {
        return Ok(Runtime::ALL.to_vec());
    }
    names
        .iter()
        .map(|name| {
            let found = Runtime::ALL.into_iter().find(|r| r.name() == name);
            found.ok_or_else(|| format!("no peer is called {name}: marmot, go, tokio, may"))
        })
        .collect()
}
