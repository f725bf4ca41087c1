//! Measuring: every row's programs, interleaved, as often as asked.

use std::collections::BTreeMap;
use std::fs;

use crate::growth::{Curve, Growth};
use crate::programs::{self, Program, Runtime};
use crate::rows::{Better, Row, Work};
use crate::run::{self, Failure, Sample};
use crate::serve;
use crate::stats;
use crate::table::{Cell, Line};

/// Samples of each way of each peer, by runtime and way.
type Samples = BTreeMap<(Runtime, String), Vec<Sample>>;

/// What was run for one work with one number of processors.
struct Measured {
    samples: Samples,
    absent: Vec<(Runtime, String)>,
}

/// Runs programs and keeps what went wrong.
pub(crate) struct Measurer<'p> {
    programs: &'p [Program],
    runs: usize,
    seconds: u64,
    wrong: Vec<String>,
}

impl<'p> Measurer<'p> {
    pub(crate) fn new(programs: &'p [Program], runs: usize, seconds: u64) -> Measurer<'p> {
        Measurer {
            programs,
            runs,
            seconds,
            wrong: Vec::new(),
        }
    }

    /// What went wrong so far: an empty list is what is wanted.
    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Measures all rows with each number of processors, and gives each line to `print` as soon as it
    /// is known. Rows that share their work share its runs.
    pub(crate) fn lines(
        &mut self,
        rows: &[Row],
        procs: &[usize],
        print: impl Fn(&Line),
    ) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut done: Vec<(usize, Work, Measured)> = Vec::new();
        for row in rows {
            for &procs in procs.iter().filter(|&&procs| procs >= row.least_procs) {
                let known = done
                    .iter()
                    .position(|(p, work, _)| *p == procs && *work == row.work);
                let known = known.unwrap_or_else(|| {
                    let measured = self.work(&row.work, procs, self.runs, &row.title);
                    done.push((procs, row.work.clone(), measured));
                    done.len() - 1
                });
                let line = line(row, procs, &done[known].2);
                print(&line);
                lines.push(line);
            }
        }
        lines
    }

    /// Measures growth of `kinds` with `procs` processors, and gives each point to `print`: the title,
    /// the size, the runtime and the cost.
    pub(crate) fn curves(
        &mut self,
        kinds: &[Growth],
        procs: usize,
        print: impl Fn(&str, u64, Runtime, f64),
    ) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for growth in kinds {
            let title = format!("{} (P={procs})", growth.title);
            let mut points: BTreeMap<Runtime, Vec<(f64, f64)>> = BTreeMap::new();
            for (size, work) in &growth.steps {
                let what = format!("{title}: {size}");
                let measured = self.work(work, procs, self.runs.min(3), &what);
                for ((runtime, way), samples) in &measured.samples {
                    // The plain way: a curve is of one program.
                    let figures = figures(samples, growth.figure, growth.scale);
                    if let (false, Some(cost)) = (way.contains('='), stats::median(&figures)) {
                        print(&title, *size, *runtime, cost);
                        points
                            .entry(*runtime)
                            .or_default()
                            .push((*size as f64, cost));
                    }
                }
            }
            curves.extend(points.into_iter().map(|(runtime, points)| Curve {
                title: title.clone(),
                runtime,
                points,
            }));
        }
        curves
    }

    /// Runs one work `runs` times in every way of every peer, in turn.
    fn work(&mut self, work: &Work, procs: usize, runs: usize, what: &str) -> Measured {
        let name = match work {
            Work::Task { workload, .. } => *workload,
            Work::Serve { server, .. } => *server,
        };
        let mut measured = Measured {
            samples: Samples::new(),
            absent: Vec::new(),
        };
        let mut ways = Vec::new();
        for program in self.programs {
            let mine = program.ways(name);
            if mine.is_empty() {
                let why = "it has no such workload".to_owned();
                measured.absent.push((program.runtime, why));
            }
            ways.extend(mine.into_iter().map(|way| (program, way)));
        }
        for round in 1..=runs {
            eprintln!("{what}, P={procs}, run {round} of {runs}");
            if round > 1 && !ways.is_empty() {
                // The order turns, so that nobody is always the first.
                ways.rotate_left(1);
            }
            ways.retain(|&(program, way)| {
                let result = match work {
                    Work::Task { tasks, ops, .. } => run::task(program, way, procs, *tasks, *ops),
                    Work::Serve { load, .. } => {
                        serve::once(program, way, procs, *load, self.seconds)
                    }
                };
                match result {
                    Ok(sample) => {
                        let key = (program.runtime, way.to_owned());
                        measured.samples.entry(key).or_default().push(sample);
                        true
                    }
                    Err(Failure::Cannot(why)) => {
                        measured.absent.push((program.runtime, why));
                        false
                    }
                    Err(Failure::Wrong(why)) => {
                        let why = format!("{}, {way}, P={procs}: {why}", program.runtime);
                        eprintln!("WRONG: {why}");
                        self.wrong.push(why);
                        true
                    }
                }
            });
        }
        measured
    }

    /// What this was measured on and with.
    pub(crate) fn machine(&self) -> String {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or_else(String::new, |rest| {
                rest.trim_start_matches([' ', '\t', ':']).to_owned()
            });
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        let peers: Vec<String> = self
            .programs
            .iter()
            .map(|program| program.version())
            .collect();
        format!(
            "{cores} x {cpu}, Linux {}, {}, commit {}; {} runs each, interleaved",
            kernel.trim(),
            peers.join(", "),
            programs::commit().unwrap_or_else(|| "unknown".to_owned()),
            self.runs
        )
    }
}

/// The figures of samples that have it, in a row's unit.
fn figures(samples: &[Sample], figure: &str, scale: f64) -> Vec<f64> {
    samples
        .iter()
        .filter_map(|sample| Some(sample.get(figure)? * scale))
        .collect()
}

/// One line of the table: each peer in the way in which it was best.
fn line(row: &Row, procs: usize, measured: &Measured) -> Line {
    let mut cells: Vec<Cell> = Vec::new();
    for ((runtime, way), samples) in &measured.samples {
        if row.plain == Some(*runtime) && way.contains('=') {
            continue;
        }
        let cell = Cell {
            runtime: *runtime,
            way: way.clone(),
            samples: figures(samples, row.figure, row.scale),
        };
        let Some(mine) = stats::median(&cell.samples) else {
            continue;
        };
        match cells.iter_mut().find(|other| other.runtime == *runtime) {
            None => cells.push(cell),
            Some(other) => {
                let theirs = stats::median(&other.samples).unwrap_or(mine);
                let better = match row.better {
                    Better::Lower => mine < theirs,
                    Better::Higher => mine > theirs,
                };
                if better {
                    *other = cell;
                }
            }
        }
    }
    Line {
        row: row.clone(),
        procs,
        cells,
        absent: measured.absent.clone(),
    }
}
