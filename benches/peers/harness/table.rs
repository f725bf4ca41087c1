//! The table: medians, spreads, ratios, and whether the budget is kept.

use serde_json::{Value, json};

use crate::programs::Runtime;
use crate::rows::{Better, Budget, Row};
use crate::stats;

/// What one peer came to in one row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) runtime: Runtime,
    /// In which of its ways it was best.
    pub(crate) way: String,
    /// In the row's unit, run by run.
    pub(crate) samples: Vec<f64>,
}

impl Cell {
    fn median(&self) -> f64 {
        stats::median(&self.samples).unwrap_or(f64::NAN)
    }
}

/// One line of the table, measured.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) row: Row,
    pub(crate) procs: usize,
    pub(crate) cells: Vec<Cell>,
    /// Peers without a figure, and why.
    pub(crate) absent: Vec<(Runtime, String)>,
}

impl Line {
    pub(crate) fn cell(&self, runtime: Runtime) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.runtime == runtime)
    }

    /// Our figure over that of `peer`.
    pub(crate) fn ratio(&self, peer: Runtime) -> Option<f64> {
        let ours = self.cell(Runtime::Marmot)?;
        stats::ratio(&ours.samples, &self.cell(peer)?.samples)
    }

    /// Whether the budget is kept; `None` if that cannot be said.
    pub(crate) fn within_budget(&self) -> Option<bool> {
        match self.row.budget {
            Budget::AtMost(most) => Some(self.cell(Runtime::Marmot)?.median() <= most),
            Budget::OfGo(part) => {
                let ratio = self.ratio(Runtime::Go)?;
                Some(match self.row.better {
                    Better::Lower => ratio <= part,
                    Better::Higher => ratio >= part,
                })
            }
        }
    }

    /// The peers, of tokio and may, that are ahead and should not be.
    pub(crate) fn behind(&self) -> Vec<Runtime> {
        [Runtime::Tokio, Runtime::May]
            .into_iter()
            .filter(|peer| !self.row.spared.contains(peer))
            .filter(|&peer| {
                self.ratio(peer).is_some_and(|ratio| match self.row.better {
                    Better::Lower => ratio > 1.0,
                    Better::Higher => ratio < 1.0,
                })
            })
            .collect()
    }

    /// The line as JSON, with every sample.
    pub(crate) fn json(&self) -> Value {
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|cell| {
                json!({
                    "runtime": cell.runtime.name(), "way": cell.way, "median": cell.median(),
                    "spread": stats::spread(&cell.samples), "samples": cell.samples,
                    "marmot_over_it": self.ratio(cell.runtime),
                })
            })
            .collect();
        let absent: Vec<Value> = self
            .absent
            .iter()
            .map(|(runtime, why)| json!({ "runtime": runtime.name(), "why": why }))
            .collect();
        json!({
            "row": self.row.title, "procs": self.procs, "unit": self.row.unit,
            "higher_is_better": self.row.better == Better::Higher,
            "budget": budget(&self.row), "within_budget": self.within_budget(),
            "behind": self.behind().iter().map(|peer| peer.name()).collect::<Vec<_>>(),
            "figures": cells, "absent": absent,
        })
    }
}

/// The head of the table in Markdown, which is readable as it is.
pub(crate) const HEAD: &str = "| row | P | unit | Marmot | Go | tokio | may | / Go | budget | / tokio | / may | |\n\
     |---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";

/// The whole table in Markdown.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = String::from(HEAD);
    for line in lines {
        text.push_str(&one(line));
        text.push('\n');
    }
    text
}

/// One line of the table in Markdown.
pub(crate) fn one(line: &Line) -> String {
    let mut fields = vec![
        line.row.title.clone(),
        line.procs.to_string(),
        line.row.unit.to_owned(),
    ];
    fields.extend(Runtime::ALL.map(|runtime| figure(line, runtime)));
    fields.push(over(line.ratio(Runtime::Go)));
    fields.push(budget(&line.row));
    fields.push(over(line.ratio(Runtime::Tokio)));
    fields.push(over(line.ratio(Runtime::May)));
    fields.push(verdict(line));
    format!("| {} |", fields.join(" | "))
}

fn figure(line: &Line, runtime: Runtime) -> String {
    let Some(cell) = line.cell(runtime) else {
        return "-".to_owned();
    };
    let way = cell
        .way
        .split_once('=')
        .map_or_else(String::new, |(_, way)| format!(" ({way})"));
    let spread = stats::spread(&cell.samples).unwrap_or(0.0) * 100.0;
    format!("{}{way} ±{:.0}%", digits(cell.median()), spread / 2.0)
}

/// Three digits that count, or so.
fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

fn over(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn budget(row: &Row) -> String {
    match (row.budget, row.better) {
        (Budget::OfGo(part), Better::Lower) => format!("{part}"),
        (Budget::OfGo(part), Better::Higher) => format!("≥ {part}"),
        (Budget::AtMost(most), _) => format!("{most} {}", row.unit),
    }
}

fn verdict(line: &Line) -> String {
    let mut said = Vec::new();
    if line.within_budget() == Some(false) {
        said.push("over budget".to_owned());
    }
    for peer in line.behind() {
        said.push(format!("behind {peer}"));
    }
    if said.is_empty() {
        return "ok".to_owned();
    }
    format!("**{}**", said.join(", "))
}

/// How many lines keep their budget and are ahead, in a sentence.
pub(crate) fn summary(lines: &[Line]) -> String {
    let judged = lines.iter().filter(|l| l.within_budget().is_some()).count();
    let kept = lines
        .iter()
        .filter(|l| l.within_budget() == Some(true))
        .count();
    let behind = lines.iter().filter(|l| !l.behind().is_empty()).count();
    format!(
        "{kept} of {judged} lines within budget; behind tokio or may on {behind} of {} lines",
        lines.len()
    )
}
