//! `kv` on bare sockets: requests cut anywhere, pipelines, garbage, and clients that mean ill.

#[allow(dead_code)] // made for all servers
mod common;
mod kv_client;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kv_client::{PROCS, ask, connect, encode, end, expect, start, talk, words};

#[test]
fn a_request_may_be_cut_at_every_byte() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let stream = connect(server.addr);
        let request = [
            words("SET key value"),
            words("GET key"),
            b"get key\r\n".to_vec(),
        ]
        .concat();
        for cut in 1..request.len() {
            (&stream).write_all(&request[..cut]).unwrap();
            // The rest goes when the server has most likely seen the first part: it answered another.
            ask(&connect(server.addr), "PING", "+PONG\r\n");
            (&stream).write_all(&request[cut..]).unwrap();
            expect(&stream, b"+OK\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n");
        }
        for byte in &request {
            (&stream).write_all(&[*byte]).unwrap();
        }
        expect(&stream, b"+OK\r\n$5\r\nvalue\r\n$5\r\nvalue\r\n");
        end(server);
    }
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let stream = connect(server.addr);
        let mut requests = Vec::new();
        let mut wanted = Vec::new();
        for n in 1..=1000 {
            requests.extend(words("INCR counter"));
            requests.extend(words(&format!("ECHO {n}")));
            let text = n.to_string();
            wanted.extend(format!(":{n}\r\n${}\r\n{text}\r\n", text.len()).into_bytes());
        }
        (&stream).write_all(&requests).unwrap();
        expect(&stream, &wanted);
        end(server);
    }
}

#[test]
fn replies_far_larger_than_any_buffer_arrive_whole() {
    let server = start(2, &[]);
    let value = vec![b'v'; 1 << 20];
    let stream = connect(server.addr);
    (&stream)
        .write_all(&encode(&[b"SET", b"k", &value]))
        .unwrap();
    expect(&stream, b"+OK\r\n");
    let writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..40 {
            (&writer).write_all(&words("GET k")).unwrap();
        }
    });
    let wanted = [b"$1048576\r\n".as_slice(), &value, b"\r\n"].concat();
    for _ in 0..40 {
        expect(&stream, &wanted);
    }
    sender.join().unwrap();
    // One reply that would be memory without bound is refused.
    let many = format!("MGET{}", " k".repeat(1000));
    ask(&stream, &many, "-ERR the reply would be too large\r\n");
    ask(&stream, "PING", "+PONG\r\n");
    end(server);
}

#[test]
fn half_a_connection_still_gets_its_replies() {
    let server = start(2, &[]);
    let back = talk(
        server.addr,
        &[words("PING"), words("SET a 1"), words("GET a")].concat(),
    );
    assert_eq!(back, b"+PONG\r\n+OK\r\n$1\r\n1\r\n");
    // A request that never ends is no request.
    assert_eq!(talk(server.addr, b"*2\r\n$3\r\nGET\r\n$1\r\n"), b"");
    // What comes after a good-bye is not read.
    let back = talk(server.addr, &[words("QUIT"), words("PING")].concat());
    assert_eq!(back, b"+OK\r\n");
    end(server);
}

#[test]
fn what_is_no_request_is_refused_as_redis_does() {
    let server = start(2, &["--max-value", "1000"]);
    let long = "x".repeat(70_000);
    for (bytes, error) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*99999999999\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\r\n", "expected '$', got ' '"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$1001\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        ("*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        ("get 'k\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
        (&format!("*{long}"), "too big mbulk count string"),
        (&format!("*1\r\n${long}"), "too big bulk count string"),
    ] {
        let bytes = format!("PING\r\n{bytes}");
        let back = String::from_utf8(talk(server.addr, bytes.as_bytes())).unwrap();
        assert_eq!(back, format!("+PONG\r\n-ERR Protocol error: {error}\r\n"));
    }
    // The reply arrives although more was sent than the server reads.
    let mut stream = connect(server.addr);
    let junk = ["*x\r\n".as_bytes(), &[b'j'; 100_000]].concat();
    stream.write_all(&junk).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    assert_eq!(back, "-ERR Protocol error: invalid multibulk length\r\n");
    // A request from a web page ends the connection without running its body.
    let post = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET evil 1\r\n";
    assert_eq!(talk(server.addr, post), b"");
    ask(&connect(server.addr), "EXISTS evil", ":0\r\n");
    end(server);
}

#[test]
fn garbage_ends_its_own_connection_at_most() {
    let server = start(2, &["--max-value", "1000"]);
    let mut state: u64 = 0x5eed_0004;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    let alphabet = b"*$\r\n0123456789- \"'\\GETSMPINGkeys\0\xff";
    let other = connect(server.addr);
    for _ in 0..300 {
        let length = 1 + random() % 2000;
        let bytes: Vec<u8> = (0..length)
            .map(|_| alphabet[random() % alphabet.len()])
            .collect();
        let mut stream = connect(server.addr);
        // It may have been refused before it was all sent.
        let sent = stream
            .write_all(&bytes)
            .and_then(|()| stream.shutdown(Shutdown::Write));
        if let Ok(()) = sent {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        ask(&other, "PING", "+PONG\r\n");
    }
    end(server);
}

#[test]
fn announced_lengths_take_no_memory() {
    let server = start(2, &["--max-value", "536870912"]);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(server.addr);
            stream
                .write_all(b"PING\r\n*2\r\n$3\r\nGET\r\n$536870912\r\nbegin")
                .unwrap();
            expect(&stream, b"+PONG\r\n");
            stream
        })
        .collect();
    // They have been read: another connection is served behind them.
    ask(&connect(server.addr), "PING", "+PONG\r\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 100_000, "{kilobytes} kB");
    drop(clients);
    end(server);
}

/// Reads until the other side ends the connection, which it has to within a minute.
fn ends(mut stream: &TcpStream) -> Vec<u8> {
    let mut back = Vec::new();
    match stream.read_to_end(&mut back) {
        Ok(_) => back,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            back
        }
    }
}

#[test]
fn a_request_has_to_come_in_time_and_silence_does_not_matter() {
    for procs in PROCS {
        let server = start(procs, &["--timeout", "0.3"]);
        let silent = connect(server.addr);
        let served = connect(server.addr);
        ask(&served, "SET a 1", "+OK\r\n");
        let slow = connect(server.addr);
        let begin = Instant::now();
        (&slow).write_all(b"*1\r\n$4\r\nPI").unwrap();
        assert_eq!(ends(&slow), b"");
        assert!(begin.elapsed() >= Duration::from_millis(300));
        // They have been silent for longer.
        ask(&silent, "GET a", "$1\r\n1\r\n");
        ask(&served, "GET a", "$1\r\n1\r\n");
        end(server);
    }
}

#[test]
fn who_takes_no_replies_is_disconnected() {
    let server = start(2, &["--timeout", "0.3"]);
    let value = vec![b'v'; 4 << 20];
    let greedy = connect(server.addr);
    (&greedy)
        .write_all(&encode(&[b"SET", b"k", &value]))
        .unwrap();
    expect(&greedy, b"+OK\r\n");
    (&greedy).write_all(&words("GET k").repeat(20)).unwrap();
    // The others are served meanwhile, and then it is gone.
    let other = connect(server.addr);
    let limit = Instant::now() + Duration::from_secs(60);
    while kv_client::info(server.addr, "connected_clients") > 2 {
        ask(&other, "PING", "+PONG\r\n");
        assert!(Instant::now() < limit, "it is still connected");
    }
    let got = ends(&greedy).len();
    assert!(got < 20 * value.len(), "{got} bytes");
    end(server);
}

#[test]
fn several_keys_are_written_and_read_at_one_moment() {
    for procs in PROCS {
        let server = start(procs, &[]);
        ask(&connect(server.addr), "MSET x 0 y 0 z 0", "+OK\r\n");
        std::thread::scope(|s| {
            for writer in 0..2 {
                let stream = connect(server.addr);
                s.spawn(move || {
                    for n in 0..500 {
                        let v = 1000 + 2 * n + writer;
                        // In another order each time: locks are taken in one order nevertheless.
                        let line = match n % 2 {
                            0 => format!("MSET x {v} y {v} z {v}"),
                            _ => format!("MSET z {v} y {v} x {v}"),
                        };
                        ask(&stream, &line, "+OK\r\n");
                    }
                });
            }
            let mut stream = connect(server.addr);
            s.spawn(move || {
                for _ in 0..500 {
                    stream.write_all(&words("MGET x y z")).unwrap();
                    let mut got = Vec::new();
                    while got.iter().filter(|b| **b == b'\n').count() < 7 {
                        let mut buffer = [0; 100];
                        let n = stream.read(&mut buffer).unwrap();
                        assert!(n > 0, "the server closed");
                        got.extend_from_slice(&buffer[..n]);
                    }
                    let text = String::from_utf8(got).unwrap();
                    let values: Vec<_> = text.lines().skip(2).step_by(2).collect();
                    assert!(
                        values.len() == 3 && values.iter().all(|v| *v == values[0]),
                        "{text}"
                    );
                }
            });
        });
        end(server);
    }
}
