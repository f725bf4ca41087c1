//! The table of workloads: their default sizes and what they have to answer.

/// How many tasks and operations a workload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of tasks; 0 where the workload has none to choose.
    pub tasks: u64,
    /// The number of operations.
    pub ops: u64,
}

const DEFAULTS: &[(&str, u64, u64)] = &[
    ("spawn-join", 1_000, 2_000_000),
    ("spawn-chain", 0, 2_000_000),
    ("yield", 1_000, 5_000_000),
    ("ping-pong", 2, 1_000_000),
    ("spsc", 2, 5_000_000),
    ("mpmc", 8, 4_000_000),
    ("mpmc-unbuffered", 8, 1_000_000),
    ("fan-in", 1_000, 4_000_000),
    ("select2", 3, 1_000_000),
    ("select8", 9, 1_000_000),
    ("select2-buffered", 3, 2_000_000),
    ("select8-buffered", 9, 2_000_000),
    ("select-default", 1, 10_000_000),
    ("mutex", 100, 10_000_000),
    ("rwlock", 100, 10_000_000),
    ("skynet", 0, 1_000_000),
    ("sieve", 0, 2_000),
    ("ring", 10_000, 2_000_000),
    ("fork-join", 0, 32),
    ("sleepers", 100_000, 3),
    ("timer", 1, 3_000_000),
    ("parked", 1_000_000, 1),
    ("ticker-hogs", 4, 3_000),
    ("blocking", 64, 20),
    ("idle", 10_000, 3),
];

/// The name of a workload without its variant: `mutex` for `mutex=tokio`.
fn base(name: &str) -> &str {
    name.split('=').next().unwrap_or(name)
}

/// The size that the table gives for a workload, or for a variant of it.
pub fn default_size(name: &str) -> Option<Size> {
    let (_, tasks, ops) = *DEFAULTS.iter().find(|row| row.0 == base(name))?;
    Some(Size { tasks, ops })
}

/// A tenth of the work, to warm up with; at least something.
pub(crate) fn tenth(name: &str, size: Size) -> Size {
    let Size { tasks, ops } = size;
    match base(name) {
        // Its time grows by the golden ratio from one number to the next, tenfold in about five.
        "fork-join" => Size {
            tasks,
            ops: ops.saturating_sub(5),
        },
        // They sleep, so a tenth of the work is a tenth of the tasks.
        "sleepers" => Size {
            tasks: (tasks / 10).max(1),
            ops,
        },
        "blocking" | "idle" => Size {
            tasks,
            ops: (ops / 10).max(1),
        },
        "parked" => Size { tasks: 0, ops },
        _ => Size {
            tasks,
            ops: (ops / 10).max(1),
        },
    }
}

/// Part `index` of `total`, divided as evenly as can be into `parts`.
///
/// ```
/// let parts: Vec<_> = (0..3).map(|i| marmot_peer::share(11, 3, i)).collect();
/// assert_eq!(parts, [4, 4, 3]);
/// ```
#[inline]
pub fn share(total: u64, parts: u64, index: u64) -> u64 {
    total / parts + u64::from(index < total % parts)
}

/// The rounds of `rwlock`: a hundred reads each, and whether a write follows them.
///
/// ```
/// let rounds: Vec<_> = marmot_peer::read_rounds(250).collect();
/// assert_eq!(rounds, [(100, true), (100, true), (48, false)]);
/// ```
#[inline]
pub fn read_rounds(operations: u64) -> impl Iterator<Item = (u64, bool)> {
    const READS: u64 = 100;
    let mut left = operations;
    std::iter::from_fn(move || {
        let reads = left.min(READS);
        let writes = left > READS;
        left -= reads + u64::from(writes);
        (reads > 0).then_some((reads, writes))
    })
}

/// What a workload of this size has to answer; `None` for a name that is not in the table.
///
/// ```
/// let size = marmot_peer::default_size("sieve").unwrap();
/// assert_eq!(marmot_peer::answer("sieve", size), Some(17_389));
/// ```
pub fn answer(name: &str, size: Size) -> Option<u64> {
    let Size { tasks, ops } = size;
    let shares = |senders| {
        (0..senders).fold(0_u64, |sum, i| {
            sum.wrapping_add(below(share(ops, senders, i)))
        })
    };
    Some(match base(name) {
        "spawn-join" => (ops / tasks)
            .wrapping_mul(below(tasks))
            .wrapping_add(below(ops % tasks)),
        "spawn-chain" | "yield" | "ping-pong" | "select-default" | "mutex" | "rwlock" | "ring"
        | "timer" | "ticker-hogs" => ops,
        "spsc" | "skynet" => below(ops),
        "mpmc" | "mpmc-unbuffered" => shares(4),
        "fan-in" => shares(tasks),
        "select2" | "select2-buffered" => shares(2),
        "select8" | "select8-buffered" => shares(8),
        "sieve" => prime(ops),
        "fork-join" => fib(ops),
        "sleepers" | "blocking" => tasks.wrapping_mul(ops),
        "parked" | "idle" => tasks,
        _ => return None,
    })
}

/// The sum of 0 .. `end`, wrapping.
fn below(end: u64) -> u64 {
    let sum = u128::from(end) * u128::from(end.saturating_sub(1)) / 2;
    (sum & u128::from(u64::MAX)) as u64
}

fn fib(n: u64) -> u64 {
    (0..n)
        .fold((0_u64, 1_u64), |(a, b), _| (b, a.wrapping_add(b)))
        .0
}

/// The `n`-th prime, counted from 1.
fn prime(n: u64) -> u64 {
    let mut primes: Vec<u64> = Vec::new();
    let mut candidate = 2;
    while (primes.len() as u64) < n {
        let mut factors = primes.iter().take_while(|p| **p * **p <= candidate);
        if factors.all(|p| candidate % p != 0) {
            primes.push(candidate);
        }
        candidate += 1;
    }
    primes.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_an_answer() {
        for (name, tasks, ops) in DEFAULTS {
            let size = default_size(name).unwrap();
            assert_eq!(
                size,
                Size {
                    tasks: *tasks,
                    ops: *ops
                }
            );
            assert!(answer(name, size).unwrap() > 0, "{name}");
        }
    }

    #[test]
    fn answers_are_what_the_contract_says() {
        let of = |name| answer(name, default_size(name).unwrap()).unwrap();
        assert_eq!(of("sieve"), 17_389);
        assert_eq!(of("fork-join"), 2_178_309);
        assert_eq!(of("sleepers"), 300_000);
        assert_eq!(of("mutex=tokio"), 10_000_000);
        let odd = answer("spawn-join", Size { tasks: 4, ops: 11 });
        assert_eq!(odd, Some(6 + 6 + 3));
    }
}
