//! A million pending timers: what each costs in memory and in time.

use std::time::{Duration, Instant};

use marmot::time::Timer;

const COUNT: usize = 1_000_000;

/// Resident memory of the process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

#[test]
fn a_million_pending_timers() {
    let mut timers = Vec::with_capacity(COUNT);
    // Touched before the measurement, as far as it is the test's own.
    timers.resize_with(COUNT, || None);
    let before = resident();
    let begin = Instant::now();
    for (n, timer) in timers.iter_mut().enumerate() {
        *timer = Some(Timer::new(Duration::from_secs(3600 + n as u64)));
    }
    let made = begin.elapsed();
    let each = resident().saturating_sub(before) / COUNT;
    let begin = Instant::now();
    for timer in timers.iter().flatten() {
        assert!(timer.reset(Duration::from_secs(7200)));
    }
    let reset = begin.elapsed();
    let begin = Instant::now();
    for timer in timers.iter().flatten() {
        assert!(timer.stop());
    }
    let stopped = begin.elapsed();
    let begin = Instant::now();
    for timer in timers.iter().flatten() {
        timer.reset(Duration::ZERO);
        assert!(timer.receiver().recv().is_ok());
    }
    let fired = begin.elapsed();
    let begin = Instant::now();
    drop(timers);
    println!(
        "{COUNT} timers: {each} bytes each; made in {made:?}, reset in {reset:?}, stopped in \
         {stopped:?}, set and received in {fired:?}, dropped in {:?}",
        begin.elapsed()
    );
    assert!(each <= 256, "{each} bytes each");
}
