//! Right answers are counted, and wrong ones are found.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use common::{answer, echo, plan};
use marmot_load::{Error, Op, Report, Workload, run};

const ECHO: Workload = Workload::Echo { size: 64 };

fn assert_right(report: &Report) {
    assert!(report.requests > 0, "{report}");
    assert_eq!(report.errors.total(), 0, "{report}");
    assert_eq!(report.unanswered, 0, "{report}");
    assert!(report.latency_ns.count > 0, "{report}");
    assert!(report.latency_ns.p50 <= report.latency_ns.max, "{report}");
}

/// Echoes, and spoils a byte of the answer to what was read as the `which`-th.
fn spoiler(which: u64, byte: usize) -> SocketAddr {
    let mut reads = 0;
    answer(move |bytes| {
        let mut bytes = bytes.to_vec();
        reads += 1;
        if reads == which {
            bytes[byte] ^= 4;
        }
        Some(bytes)
    })
}

#[test]
fn echoes_are_right() {
    let address = echo();
    for (size, pipeline, threads) in [(64, 1, 1), (1, 1, 1), (64, 16, 2), (100_000, 2, 2)] {
        let mut plan = plan(address, Workload::Echo { size });
        plan.pipeline = pipeline;
        plan.threads = threads;
        let report = run(&plan).unwrap();
        assert_right(&report);
        assert_eq!(report.connections, 4);
        assert_eq!(report.latency_ns.count, report.requests);
    }
}

#[test]
fn requests_may_exceed_the_buffers_of_a_socket() {
    let mut plan = plan(echo(), Workload::Echo { size: 15_000_000 });
    plan.connections = 1;
    plan.warm_up = Duration::ZERO;
    plan.grace = Duration::from_secs(30);
    let report = run(&plan).unwrap();
    assert_eq!(report.errors.total(), 0, "{report}");
    assert_eq!(report.unanswered, 0, "{report}");
}

#[test]
fn an_open_loop_makes_what_is_due() {
    let mut plan = plan(echo(), ECHO);
    plan.rate = Some(1000.0);
    plan.threads = 2;
    let report = run(&plan).unwrap();
    assert_right(&report);
    let open = report.open_loop.unwrap();
    assert!((249..=251).contains(&open.due), "{report}");
    assert_eq!(report.latency_ns.count, open.due);
}

#[test]
fn a_spoilt_byte_is_found() {
    for byte in [0, 7, 8, 63] {
        let report = run(&plan(spoiler(10, byte), ECHO)).unwrap();
        assert_eq!(report.errors.wrong, 4, "{report}");
        assert!(report.wrong_answer.is_some());
    }
}

#[test]
fn an_answer_that_was_given_before_is_found() {
    let mut first = Vec::new();
    let address = answer(move |bytes| {
        if first.is_empty() {
            first = bytes.to_vec();
        }
        Some(first.clone())
    });
    assert_eq!(run(&plan(address, ECHO)).unwrap().errors.wrong, 4);
}

#[test]
fn an_answer_that_nobody_asked_for_is_found() {
    let address = answer(|_| Some(b"+PONG\r\n+PONG\r\n".to_vec()));
    let ping = Workload::Kv {
        op: Op::Ping,
        size: 3,
    };
    let report = run(&plan(address, ping)).unwrap();
    assert_eq!(report.errors.wrong, 4, "{report}");
}

#[test]
fn http_is_checked() {
    let workload = |body: &str| Workload::Http {
        path: "/".to_owned(),
        body: body.to_owned(),
    };
    let address = answer(|bytes| {
        assert!(bytes.starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:"));
        let requests = bytes.windows(4).filter(|w| w == b"\r\n\r\n").count();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";
        Some(answer.repeat(requests).into_bytes())
    });
    for pipeline in [1, 16] {
        let mut plan = plan(address, workload("Hello, world!"));
        plan.pipeline = pipeline;
        assert_right(&run(&plan).unwrap());
    }
    for body in ["Hello, Moon!!", "Hello"] {
        let report = run(&plan(address, workload(body))).unwrap();
        assert_eq!((report.requests, report.errors.wrong), (0, 4), "{report}");
    }
}

#[test]
fn the_redis_protocol_is_checked() {
    // Right for single commands, which begin with the number of their words.
    let address = answer(|bytes| {
        let text = str::from_utf8(bytes).unwrap();
        let answer = match text.lines().nth(2).unwrap() {
            "GET" => "$3\r\nmar\r\n",
            "SET" => "+OK\r\n",
            _ => "+PONG\r\n",
        };
        Some(answer.repeat(text.matches('*').count()).into_bytes())
    });
    for op in [Op::Get, Op::Set, Op::Ping] {
        let mut plan = plan(address, Workload::Kv { op, size: 3 });
        plan.pipeline = 4;
        assert_right(&run(&plan).unwrap());
    }
    let mut wrong = plan(
        address,
        Workload::Kv {
            op: Op::Get,
            size: 4,
        },
    );
    assert_eq!(run(&wrong).unwrap().errors.wrong, 4);
    wrong.address = answer(|_| Some(b"-ERR\r\n".to_vec()));
    assert!(matches!(run(&wrong), Err(Error::Prepare(_))));
}

#[test]
fn the_server_is_watched() {
    let mut plan = plan(echo(), ECHO);
    plan.server_pid = Some(std::process::id());
    let server = run(&plan).unwrap().server.unwrap();
    assert!(server.cpu_seconds > 0.0, "{server:?}");
    assert!(server.cpu_ns_per_request.unwrap() > 0.0, "{server:?}");
    assert!(server.threads > 4, "{server:?}");
    assert!(server.voluntary_switches > 0, "{server:?}");
    plan.server_pid = Some(0x7fff_fff0);
    assert!(matches!(run(&plan), Err(Error::Server { .. })));
}

/// Runs the program against an address for a tenth of a second.
fn load(address: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["echo", &address.to_string()])
        .args(["--warm-up", "0", "--seconds", "0.1", "--connections", "2"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

#[test]
fn the_program_tells_by_its_status() {
    let (status, text) = load(echo(), &["--json"]);
    assert_eq!(status, Some(0), "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(report["requests"].as_u64().unwrap() > 0);
    assert_eq!(report["connections"], 2);

    let (status, text) = load(spoiler(3, 20), &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("2 wrong"), "{text}");

    let (status, text) = load(echo(), &["--connections", "0"]);
    assert_eq!((status, text.as_str()), (Some(2), ""));
}
