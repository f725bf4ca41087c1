//! Growth: cost per operation from 10 tasks to a million, and from one connection to 10,000.

use serde_json::{Value, json};

use crate::programs::Runtime;
use crate::rows::{Load, Work};

/// How one peer's cost goes with size.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) title: String,
    pub(crate) runtime: Runtime,
    /// Size and cost.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(crate) fn json(&self) -> Value {
        json!({ "growth": self.title, "runtime": self.runtime.name(), "points": self.points })
    }
}

/// One kind of growth: what is run at each size, and which figure counts.
pub(crate) struct Growth {
    pub(crate) title: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) scale: f64,
    pub(crate) steps: Vec<(u64, Work)>,
}

impl Growth {
    /// Whether `word` is in its title.
    pub(crate) fn matches(&self, word: &str) -> bool {
        self.title.contains(word)
    }
}

const TASKS: [u64; 6] = [10, 100, 1000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: [u64; 5] = [1, 10, 100, 1000, 10_000];

/// All kinds of growth that are measured.
pub(crate) fn all() -> Vec<Growth> {
    let tasks = |workload, ops: fn(u64) -> u64| {
        let work = |tasks| Work::Task {
            workload,
            tasks: Some(tasks),
            ops: Some(ops(tasks)),
        };
        TASKS.map(|size| (size, work(size))).to_vec()
    };
    let echo = |connections: u64| Work::Serve {
        server: "serve-echo",
        load: Load::Closed {
            connections: connections as usize,
        },
    };
    vec![
        Growth {
            title: "yield: ns each, by tasks",
            figure: "ns_per_op",
            scale: 1.0,
            steps: tasks("yield", |tasks| 2_000_000.max(tasks * 3)),
        },
        Growth {
            title: "spawn and join: ns each, by batch",
            figure: "ns_per_op",
            scale: 1.0,
            steps: tasks("spawn-join", |tasks| 1_000_000.max(tasks * 2)),
        },
        Growth {
            title: "ring: ns a hop, by tasks",
            figure: "ns_per_op",
            scale: 1.0,
            steps: tasks("ring", |tasks| 500_000.max(tasks * 2)),
        },
        Growth {
            title: "echo: CPU us a request, by connections",
            figure: "server.cpu_ns_per_request",
            scale: 1e-3,
            steps: CONNECTIONS.map(|size| (size, echo(size))).to_vec(),
        },
    ]
}
