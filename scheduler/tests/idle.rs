//! A runtime in which everybody waits costs nothing: no thread of it wakes up.

mod common;

use std::time::Duration;

use common::scheduler;
use marmot_scheduler::goroutine::park;

/// Over all threads of the process but this one: context switches, and clock ticks of CPU time.
fn activity() -> (u64, u64) {
    // SAFETY: no preconditions.
    let me = unsafe { libc::gettid() }.to_string();
    let mut switches = 0;
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap();
        if task.file_name().to_str() == Some(&me) {
            continue;
        }
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        for line in status.lines().filter(|l| l.contains("ctxt_switches")) {
            let number = line.split_whitespace().nth(1).unwrap();
            switches += number.parse::<u64>().unwrap();
        }
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        // utime and stime, the 14th and 15th field of the line, the 12th and 13th after the name.
        ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    }
    (switches, ticks)
}

#[test]
fn ten_thousand_parked_goroutines_cost_nothing() {
    let s = scheduler(4);
    for _ in 0..10_000 {
        s.handle().go(|| {
            loop {
                park();
            }
        });
    }
    // Until the runtime has come to rest. It gives the memory of idle stacks back for some seconds.
    let mut last = activity().0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(1));
        let now = activity().0;
        if now == last {
            break;
        }
        last = now;
    }
    let (switches, ticks) = activity();
    let time = Duration::from_secs(3);
    std::thread::sleep(time);
    let (switches, ticks) = (activity().0 - switches, activity().1 - ticks);
    println!(
        "10,000 parked goroutines, {time:?}: {switches} context switches, {ticks} ticks of CPU"
    );
    // The main thread of the test harness may wake up.
    assert!(switches <= 2, "{switches} context switches");
    assert_eq!(
        ticks, 0,
        "less than 0.3 % of a core is less than a tick of 10 ms"
    );
}
