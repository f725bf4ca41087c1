//! Connections that are refused, closed, reset or never answered are counted, and a run ends all the same.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{answer, echo, plan, serve};
use marmot_load::{Error, Workload, run};

const ECHO: Workload = Workload::Echo { size: 64 };

#[test]
fn a_server_that_closes_is_reported() {
    let mut left = 10;
    let address = answer(move |bytes| {
        left -= 1;
        (left > 0).then(|| bytes.to_vec())
    });
    for rate in [None, Some(1000.0)] {
        let mut plan = plan(address, ECHO);
        plan.window = Duration::from_secs(60);
        plan.warm_up = Duration::ZERO;
        plan.rate = rate;
        let begin = Instant::now();
        let report = run(&plan).unwrap();
        let lost = report.errors.closed + report.errors.reset;
        assert_eq!((lost, report.errors.total()), (4, 4), "{report}");
        assert_eq!(report.requests, 36, "{report}");
        // With nobody left to ask it is over.
        assert!(begin.elapsed() < Duration::from_secs(30), "{report}");
        assert!(report.seconds < 30.0, "{report}");
    }
}

#[test]
fn a_server_that_closes_at_once_is_reported() {
    let report = run(&plan(serve(drop), ECHO)).unwrap();
    assert_eq!((report.requests, report.errors.total()), (0, 4), "{report}");
}

#[test]
fn a_server_that_resets_is_reported() {
    // Closing a socket with unread bytes resets the connection.
    let address = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1]);
    });
    let report = run(&plan(address, ECHO)).unwrap();
    assert_eq!((report.requests, report.errors.reset), (0, 4), "{report}");
}

#[test]
fn a_server_that_never_answers_is_reported() {
    let address = serve(|mut stream| while let Ok(1..) = stream.read(&mut [0; 4096]) {});
    for (rate, count) in [(None, 4), (Some(400.0), 100)] {
        let mut plan = plan(address, ECHO);
        plan.warm_up = Duration::ZERO;
        plan.grace = Duration::from_millis(50);
        plan.rate = rate;
        let report = run(&plan).unwrap();
        assert_eq!(report.requests, 0, "{report}");
        assert!(report.unanswered.abs_diff(count) <= 1, "{report}");
        // What waits for ever must not make the latencies look well.
        assert_eq!(report.latency_ns.count, report.unanswered);
        assert!(report.latency_ns.max >= 250_000_000, "{report}");
    }
}

#[test]
fn nobody_at_home() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(run(&plan(address, ECHO)), Err(Error::Connect(_))));
}

#[test]
fn a_full_house() {
    // Nobody accepts, so that connections beyond the queue do not come about.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut plan = plan(address, ECHO);
    plan.connections = 20;
    plan.connect_timeout = Duration::from_millis(300);
    plan.grace = Duration::ZERO;
    let report = run(&plan).unwrap();
    assert!(report.errors.refused > 0, "{report}");
    assert_eq!(report.connections as u64 + report.errors.refused, 20);
}

#[test]
fn a_thousand_connections() {
    let mut plan = plan(echo(), ECHO);
    plan.connections = 1000;
    plan.grace = Duration::from_secs(10);
    let report = run(&plan).unwrap();
    assert_eq!(report.connections, 1000);
    assert_eq!(report.errors.total(), 0, "{report}");
    assert_eq!(report.unanswered, 0, "{report}");
}
