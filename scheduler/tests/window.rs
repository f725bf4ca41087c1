//! Ten million goroutines through a window of a thousand: memory stays flat.

mod common;

use std::collections::VecDeque;

use common::scheduler;
use marmot_scheduler::go;

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_million_through_a_window_of_a_thousand() {
    let s = scheduler(2);
    s.handle().run(|| {
        let through = |count: u64| {
            let mut window = VecDeque::with_capacity(1000);
            let mut sum = 0_u64;
            for i in 0..count {
                if window.len() == 1000 {
                    let oldest: marmot_scheduler::JoinHandle<u64> = window.pop_front().unwrap();
                    sum += oldest.join().unwrap();
                }
                window.push_back(go(move || i));
            }
            for handle in window {
                sum += handle.join().unwrap();
            }
            assert_eq!(sum, count * (count - 1) / 2);
        };
        through(1_000_000);
        let before = resident();
        through(10_000_000);
        let after = resident();
        println!("resident before {before} KiB, after {after} KiB");
        assert!(
            after < before + 4096,
            "{before} KiB before, {after} KiB after"
        );
    });
}
