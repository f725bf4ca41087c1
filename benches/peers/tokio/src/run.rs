//! Starting the runtime, and measuring a body in a task of it.

use std::future::Future;

use marmot_peer::{Job, Outcome, Size, Stopwatch};
use tokio::runtime::{Builder, Runtime};

/// The multi-threaded runtime with `procs` workers, and the rest as tokio has it.
pub(crate) fn runtime(procs: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(procs)
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// Runs `body` as a task on a worker. The thread that calls only waits.
pub(crate) fn run<T: Send + 'static>(
    procs: usize,
    body: impl Future<Output = T> + Send + 'static,
) -> T {
    let runtime = runtime(procs);
    let body = runtime.spawn(body);
    let result = runtime.block_on(body).expect("the body does not panic");
    runtime.shutdown_background();
    result
}

/// Warms up, then measures `work`, which returns the answer.
pub(crate) fn measured<F>(job: &Job, work: fn(Size) -> F) -> Outcome
where
    F: Future<Output = u64> + Send + 'static,
{
    let (warm_up, size) = (job.warm_up(), job.size);
    run(job.procs, async move {
        work(warm_up).await;
        let stopwatch = Stopwatch::start();
        let answer = work(size).await;
        Ok(stopwatch.report(answer))
    })
}

/// Warms up, then measures `work`, which returns the answer and how late things were.
pub(crate) fn measured_with_delays<F>(job: &Job, work: fn(Size) -> F) -> Outcome
where
    F: Future<Output = (u64, Vec<u64>)> + Send + 'static,
{
    let (warm_up, size) = (job.warm_up(), job.size);
    run(job.procs, async move {
        work(warm_up).await;
        let stopwatch = Stopwatch::start();
        let (answer, mut delays) = work(size).await;
        Ok(stopwatch.report(answer).with_delays(&mut delays))
    })
}
