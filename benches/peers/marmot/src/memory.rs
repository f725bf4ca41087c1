//! Goroutines that wait: what they take, and what they cost while nothing happens.

use std::time::{Duration, Instant};

use marmot::channel::bounded;
use marmot::sync::WaitGroup;
use marmot::{go, sleep};
use marmot_peer::{Memory, Report, Stopwatch, Switches, Value};

/// Many goroutines that wait on one channel; it is closed, and they end.
pub(crate) fn parked(tasks: u64, _ops: u64) -> Report {
    let memory = Memory::start();
    let stopwatch = Stopwatch::start();
    let begin = Instant::now();
    let (close, closed) = bounded::<()>(0);
    let (running, ended) = (WaitGroup::new(), WaitGroup::new());
    running.add(tasks as usize);
    ended.add(tasks as usize);
    for _ in 0..tasks {
        let (closed, running, ended) = (closed.clone(), running.clone(), ended.clone());
        go(move || {
            running.done();
            closed.recv().unwrap_err();
            ended.done();
        });
    }
    running.wait();
    let start = begin.elapsed();
    let bytes = memory.growth();
    let begin = Instant::now();
    drop(close);
    ended.wait();
    let wake = begin.elapsed();
    let mut report = stopwatch.report(tasks);
    report.seconds = (start + wake).as_secs_f64();
    report
        .with("start_seconds", Value::Seconds(start.as_secs_f64()))
        .with("wake_seconds", Value::Seconds(wake.as_secs_f64()))
        .with("bytes_each", Value::Count(bytes / tasks))
}

/// Many goroutines that wait, for some seconds in which nothing happens.
pub(crate) fn idle(tasks: u64, seconds: u64) -> Report {
    let (close, closed) = bounded::<()>(0);
    let running = WaitGroup::new();
    running.add(tasks as usize);
    let waiting: Vec<_> = (0..tasks)
        .map(|_| {
            let (closed, running) = (closed.clone(), running.clone());
            go(move || {
                running.done();
                closed.recv().unwrap_err();
                1
            })
        })
        .collect();
    running.wait();
    // Until the last of them waits and the threads that started them have gone to rest.
    sleep(Duration::from_millis(300));
    let (switches, stopwatch) = (Switches::start(), Stopwatch::start());
    sleep(Duration::from_secs(seconds));
    let mut report = stopwatch.report(0);
    let switched = switches.count();
    drop(close);
    report.answer = waiting.into_iter().map(|w| w.join().unwrap()).sum();
    report.with("switches", Value::Count(switched))
}
