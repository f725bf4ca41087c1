//! Publish and subscribe with `kv`.

#[allow(dead_code)] // made for all servers
mod common;
mod kv_client;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use kv_client::{PROCS, ask, cli, connect, encode, end, expect, info, start, words};

#[test]
fn redis_cli_gets_what_another_publishes() {
    let server = start(2, &[]);
    let mut subscriber = Command::new("redis-cli")
        .args([
            "-p",
            &server.addr.port().to_string(),
            "SUBSCRIBE",
            "news",
            "more",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli, from the package redis-tools, is needed");
    let mut lines = BufReader::new(subscriber.stdout.take().unwrap()).lines();
    let mut next = |n| {
        (0..n)
            .map(|_| lines.next().unwrap().unwrap())
            .collect::<Vec<_>>()
    };
    let confirmed: Vec<_> = next(6)
        .into_iter()
        .filter(|line| !line.starts_with("Reading"))
        .collect();
    assert_eq!(
        confirmed[..5],
        ["subscribe", "news", "1", "subscribe", "more"]
    );
    if confirmed.len() < 6 {
        assert_eq!(next(1), ["2"]);
    }
    assert_eq!(cli(server.addr, &["PUBLISH", "news", "hello"]), "1");
    assert_eq!(cli(server.addr, &["PUBLISH", "elsewhere", "hello"]), "0");
    assert_eq!(cli(server.addr, &["PUBLISH", "more", "world"]), "1");
    assert_eq!(
        next(6),
        ["message", "news", "hello", "message", "more", "world"]
    );
    subscriber.kill().unwrap();
    subscriber.wait().unwrap();
    end(server);
}

#[test]
fn a_subscribed_connection_answers_in_order_and_can_go_back() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let (s, p) = (connect(server.addr), connect(server.addr));
        ask(&s, "SET k v", "+OK\r\n");
        ask(
            &s,
            "SUBSCRIBE a b",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
        );
        ask(&s, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        ask(&s, "PING x", "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
        ask(
            &s,
            "GET k",
            "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context\r\n",
        );
        ask(&p, "PUBLISH a 1", ":1\r\n");
        expect(&s, b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n");
        ask(
            &s,
            "UNSUBSCRIBE a",
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n",
        );
        ask(&p, "PUBLISH a 2", ":0\r\n");
        ask(&p, "PUBLISH b 3", ":1\r\n");
        expect(&s, b"*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\n3\r\n");
        ask(
            &s,
            "UNSUBSCRIBE",
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n",
        );
        // As before the subscription.
        ask(&s, "GET k", "$1\r\nv\r\n");
        ask(
            &s,
            "SUBSCRIBE c",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        );
        ask(&s, "RESET", "+RESET\r\n");
        ask(&s, "GET k", "$1\r\nv\r\n");
        assert_eq!(info(server.addr, "pubsub_channels"), 0);
        assert_eq!(info(server.addr, "pubsub_clients"), 0);
        // In one pipeline, and to the end of the connection.
        let all = [
            words("SUBSCRIBE d"),
            words("PING"),
            words("QUIT"),
            words("PING"),
        ]
        .concat();
        (&s).write_all(&all).unwrap();
        let mut rest = String::new();
        (&s).read_to_string(&mut rest).unwrap();
        assert_eq!(
            rest,
            "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n+OK\r\n"
        );
        end(server);
    }
}

#[test]
fn all_subscribers_see_one_order() {
    const MESSAGES: usize = 300;
    for procs in PROCS {
        let server = start(procs, &[]);
        let subscribers: Vec<_> = (0..20).map(|_| connect(server.addr)).collect();
        for s in &subscribers {
            ask(
                s,
                "SUBSCRIBE t",
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n",
            );
        }
        std::thread::scope(|scope| {
            for publisher in ["a", "b", "c"] {
                let stream = connect(server.addr);
                scope.spawn(move || {
                    for n in 0..MESSAGES {
                        let line = format!("PUBLISH t {publisher}{n:03}");
                        ask(&stream, &line, ":20\r\n");
                    }
                });
            }
        });
        let one = encode(&[b"message", b"t", b"a000"]).len();
        let received: Vec<_> = subscribers
            .iter()
            .map(|mut s| {
                let mut bytes = vec![0; one * MESSAGES * 3];
                s.read_exact(&mut bytes).unwrap();
                bytes
            })
            .collect();
        assert!(received.iter().all(|bytes| *bytes == received[0]));
        for publisher in ["a", "b", "c"] {
            let text = String::from_utf8(received[0].clone()).unwrap();
            let mine: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with(publisher))
                .collect();
            let wanted: Vec<_> = (0..MESSAGES)
                .map(|n| format!("{publisher}{n:03}"))
                .collect();
            assert_eq!(mine, wanted);
        }
        end(server);
    }
}

#[test]
fn a_slow_subscriber_is_disconnected_and_delays_nobody() {
    for procs in PROCS {
        let server = start(procs, &["--max-backlog", "1000000"]);
        let (slow, quick) = (connect(server.addr), connect(server.addr));
        let confirmation = "*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n";
        ask(&slow, "SUBSCRIBE t", confirmation);
        ask(&quick, "SUBSCRIBE t", confirmation);
        let payload = vec![b'x'; 100_000];
        let publish = encode(&[b"PUBLISH", b"t", &payload]);
        let wanted = encode(&[b"message", b"t", &payload]);
        let mut publisher = connect(server.addr);
        let mut cut = false;
        // Far more than socket buffers and backlog hold.
        for _ in 0..500 {
            publisher.write_all(&publish).unwrap();
            let mut reply = [0; 4];
            publisher.read_exact(&mut reply).unwrap();
            expect(&quick, &wanted);
            match &reply {
                b":2\r\n" => assert!(!cut, "it came back"),
                b":1\r\n" => cut = true,
                other => panic!("{}", other.escape_ascii()),
            }
        }
        assert!(cut, "a subscriber that reads nothing is still there");
        end(server);
    }
}
