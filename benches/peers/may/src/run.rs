//! Starting the scheduler, and measuring a body in a coroutine.

use marmot_peer::{Job, Outcome, Size, Stopwatch, Unsupported};
use may::coroutine::{Builder, JoinHandle};
use may::{config, go};

/// The stack of a body and of an accepting coroutine, in words: 256 KiB. All others have may's
/// default of 4096 words, 32 KiB, of which none of the work here needs a tenth.
const BODY_STACK: usize = 0x8000;

/// The most coroutines that are kept for their stacks.
const LARGEST_POOL: usize = 20_000;

/// Tells may, which starts at the first coroutine, how many workers to have.
pub(crate) fn configure(procs: usize) {
    config().set_workers(procs);
}

/// Has may keep as many coroutines for their stacks as the work has at once, which otherwise are
/// mapped and unmapped all the time. Its own number is 1000. To keep many more than are used costs
/// too, because they are used in turn.
fn configure_pool(job: &Job) {
    let pool = match job.name {
        "fork-join" | "skynet" => LARGEST_POOL,
        _ => (job.size.tasks as usize + 24).clamp(1000, LARGEST_POOL),
    };
    config().set_pool_capacity(pool);
}

/// Spawns a coroutine with a large stack.
pub(crate) fn spawn_large<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    go!(Builder::new().stack_size(BODY_STACK), body).expect("a coroutine starts")
}

/// Runs `body` in a coroutine. The thread that calls only waits.
pub(crate) fn run<T: Send + 'static>(procs: usize, body: impl FnOnce() -> T + Send + 'static) -> T {
    configure(procs);
    spawn_large(body).join().expect("the body does not panic")
}

/// Warms up, then measures `work`, which returns the answer.
pub(crate) fn measured(job: &Job, work: fn(Size) -> u64) -> Outcome {
    let (warm_up, size) = (job.warm_up(), job.size);
    configure_pool(job);
    run(job.procs, move || {
        work(warm_up);
        let stopwatch = Stopwatch::start();
        let answer = work(size);
        Ok(stopwatch.report(answer))
    })
}

/// Warms up, then measures `work`, which returns the answer and how late things were.
pub(crate) fn measured_with_delays(job: &Job, work: fn(Size) -> (u64, Vec<u64>)) -> Outcome {
    let (warm_up, size) = (job.warm_up(), job.size);
    configure_pool(job);
    run(job.procs, move || {
        work(warm_up);
        let stopwatch = Stopwatch::start();
        let (answer, mut delays) = work(size);
        Ok(stopwatch.report(answer).with_delays(&mut delays))
    })
}

/// For the program, its threads and its heap.
const OTHER_MAPS: u64 = 1000;

/// Whether so many coroutines at once are possible: each has a stack and a guard page, which are
/// two maps, and of those a process may have `vm.max_map_count`. May panics when there are no more.
pub(crate) fn can_have(coroutines: u64) -> Result<(), Unsupported> {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let limit: u64 = limit.trim().parse().unwrap_or(65_530);
    if 2 * coroutines + OTHER_MAPS < limit {
        return Ok(());
    }
    Err(Unsupported(format!(
        "{coroutines} coroutines at once take two memory maps each, and vm.max_map_count is {limit}"
    )))
}
