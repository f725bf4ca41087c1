//! A server that is slow: an open loop shows how long users would wait, a closed loop does not.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use common::{answer, plan};
use marmot_load::{Report, Workload, run};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// Measures a server with one connection for a second.
fn measure(address: SocketAddr, rate: Option<f64>) -> Report {
    let mut plan = plan(address, Workload::Echo { size: 64 });
    plan.connections = 1;
    plan.warm_up = Duration::ZERO;
    plan.window = Duration::from_secs(1);
    plan.grace = Duration::from_secs(30);
    plan.rate = rate;
    let report = run(&plan).unwrap();
    assert_eq!(report.errors.total(), 0, "{report}");
    assert_eq!(report.unanswered, 0, "{report}");
    report
}

#[test]
fn one_stall() {
    // The 500th answer takes 300 ms, all others none.
    let stalling = || {
        let mut answers = 0;
        answer(move |bytes| {
            answers += 1;
            if answers == 500 {
                thread::sleep(Duration::from_millis(300));
            }
            Some(bytes.to_vec())
        })
    };
    let closed = measure(stalling(), None);
    // Of a thousand requests 300 are due during the stall.
    let open = measure(stalling(), Some(1000.0));
    assert!(closed.latency_ns.max >= 300 * MS, "{closed}");
    assert!(closed.latency_ns.p99 < 100 * MS, "{closed}");
    assert!(open.latency_ns.p90 >= 100 * MS, "{open}");
    assert!(open.open_loop.unwrap().late >= 200, "{open}");
}

#[test]
fn too_much_to_do() {
    // At 5 ms each, there is time for half of 400 requests per second.
    let slow = answer(|bytes| {
        thread::sleep(Duration::from_millis(5));
        Some(bytes.to_vec())
    });
    let closed = measure(slow, None);
    let open = measure(slow, Some(400.0));
    assert!(closed.latency_ns.p50 >= 5 * MS, "{closed}");
    assert!(open.latency_ns.p99 >= 500 * MS, "{open}");
    assert!(
        closed.latency_ns.p99 < open.latency_ns.p99 / 2,
        "{closed}{open}"
    );
    assert!(open.open_loop.unwrap().late >= 150, "{open}");
    assert!(open.requests < 300, "{open}");
}
