//! How a benchmark is measured: with criterion, on one processor and on two.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use marmot::Runtime;

/// The numbers of processors that everything is measured with.
pub const WIDTHS: [usize; 2] = [1, 2];

/// Settings under which all benchmarks together end within two minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

/// Measures `work` with each number of processors, as `name/P=1` and so on. `work` is given the
/// number of operations to do, runs in a goroutine, and panics if its result is wrong.
pub fn measure(criterion: &mut Criterion, name: &str, work: impl Fn(u64) + Sync) {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Linear);
    for width in WIDTHS {
        // SAFETY: the benchmarks use channels and numbers, and no thread-local.
        let rt = unsafe { Runtime::builder().max_procs(width).build_migrating() }
            .expect("a runtime starts");
        group.bench_function(format!("P={width}"), |b| {
            b.iter_custom(|operations| {
                rt.run(|| {
                    let begin = Instant::now();
                    work(operations);
                    begin.elapsed()
                })
            });
        });
    }
    group.finish();
}
