//! Timers: making and stopping one, setting one again, and 100,000 sleepers. Time per timer; for the
//! sleepers, time and processor time per sleep, and how late they woke.
//!
//! ```text
//! cargo bench --bench timer
//! ```

use std::fs;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use marmot::time::Timer;
use marmot::{Runtime, go, sleep};
use marmot_benches::WIDTHS;

const HOUR: Duration = Duration::from_secs(3600);
const SLEEPERS: u64 = 100_000;

fn create_and_cancel(timers: u64) {
    let mut stopped = 0;
    for _ in 0..timers {
        stopped += u64::from(Timer::new(HOUR).stop());
    }
    assert_eq!(stopped, timers);
}

fn reset(times: u64) {
    let timer = Timer::new(HOUR);
    let mut pending = 0;
    for _ in 0..times {
        pending += u64::from(timer.reset(HOUR));
    }
    assert_eq!(pending, times);
}

/// A wait with a deadline that is served before: a timer of the scheduler is added and removed.
fn timeout_that_does_not_pass(times: u64) {
    let (ping, pings) = marmot::channel::bounded::<u64>(0);
    let (pong, pongs) = marmot::channel::bounded::<u64>(0);
    go(move || pings.iter().for_each(|n| pong.send(n).unwrap()));
    for n in 0..times {
        ping.send(n).unwrap();
        assert_eq!(pongs.recv_timeout(HOUR), Ok(n));
    }
}

/// What the process has used of the processors, in seconds.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("a process has a status");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    let ticks = |n| -> f64 {
        let field: Option<&str> = fields.split_whitespace().nth(n);
        field.and_then(|f| f.parse().ok()).expect("a number")
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// 100,000 goroutines sleep for 1 to 100 ms, three times: prints how late they were.
fn sleepers() {
    for width in WIDTHS {
        // SAFETY: the benchmarks use channels and numbers, and no thread-local.
        let rt = unsafe { Runtime::builder().max_procs(width).build_migrating() }
            .expect("a runtime starts");
        let begin = (Instant::now(), processor_time());
        let mut late: Vec<Duration> = rt.run(|| {
            let tasks: Vec<_> = (0..SLEEPERS)
                .map(|n| {
                    let time = Duration::from_millis(1 + n % 100);
                    go(move || {
                        [(); 3].map(|()| {
                            let due = Instant::now() + time;
                            sleep(time);
                            due.elapsed()
                        })
                    })
                })
                .collect();
            tasks.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        let (wall, cpu) = (begin.0.elapsed(), processor_time() - begin.1);
        late.sort_unstable();
        let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
        println!(
            "{SLEEPERS} sleepers, 3 x 1 to 100 ms/P={width}: {wall:?}, {cpu:.2} s of processor time, \
             late by {:?} (median), {:?} (p99), {:?} (most)",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

fn all(criterion: &mut Criterion) {
    marmot_benches::measure(criterion, "timer create and cancel", create_and_cancel);
    marmot_benches::measure(criterion, "timer reset", reset);
    let name = "round trip with a timeout that does not pass";
    marmot_benches::measure(criterion, name, timeout_that_does_not_pass);
    sleepers();
}

criterion_group! {
    name = benches;
    config = marmot_benches::criterion();
    targets = all
}
criterion_main!(benches);
