//! The HTTP server under clients that no library would be: malformed, slow, pipelined, split at every
//! byte, silent, and gone.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use common::Server;

const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn http(arguments: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http"));
    command.args(["--addr", "127.0.0.1:0"]).args(arguments);
    Server::start(&mut command)
}

fn ends_well(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// One answer: its head, and its body by the length that the head says.
fn answer(mut stream: &TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let n = stream.read(&mut byte).unwrap();
        assert_eq!(n, 1, "an end within {:?}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
        assert!(head.len() < 4096);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "))
        .map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

/// The code of the one answer to `request`, after which the server closes the connection.
fn code_and_close(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    let (head, _) = answer(&stream);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    // Nothing follows: what came after the bad request was not taken for another one.
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "after {head}");
    head[9..12].to_owned()
}

#[test]
fn what_is_malformed_is_refused() {
    let server = http(&["--max-body", "1000"]);
    let long = "x".repeat(20_000);
    let post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
    let get = "GET / HTTP/1.1\r\nHost: x\r\n";
    let fields = "A: b\r\n".repeat(65);
    for (code, request) in [
        ("400", "nonsense\r\n\r\n".to_owned()),
        ("400", "GET\r\n\r\n".to_owned()),
        ("400", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("400", format!("{get}Host: y\r\n\r\n")),
        ("400", "GET / HTTP/1.1\nHost: x\n\n".to_owned()),
        ("400", "GET / HTTP/1.1\r\nHost: x\n\r\n".to_owned()),
        ("400", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("400", format!("{get}Name : x\r\n\r\n")),
        ("400", format!("{get}Name: x\r\n folded\r\n\r\n")),
        ("400", format!("{get}Na\0me: x\r\n\r\n")),
        ("400", format!("{get}Name: \0\r\n\r\n")),
        ("400", "GET /#part HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (
            "400",
            format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "400",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        ),
        (
            "400",
            format!("{post}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        ),
        ("400", format!("{post}Content-Length: 3, 3\r\n\r\nabc")),
        ("400", format!("{post}Content-Length: +3\r\n\r\nabc")),
        ("400", format!("{post}Content-Length: 0x3\r\n\r\nabc")),
        ("400", format!("{post}Content-Length: -3\r\n\r\nabc")),
        ("400", format!("{post}Content-Length: \r\n\r\nabc")),
        (
            "400",
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            "400",
            "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "400",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
        ),
        (
            "400",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabcGET / HTTP/1.1\r\n"),
        ),
        (
            "501",
            format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n"),
        ),
        ("501", format!("{post}Transfer-Encoding: xchunked\r\n\r\n")),
        ("501", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        ("505", "GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned()),
        ("505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("413", format!("{post}Content-Length: 1001\r\n\r\n")),
        (
            "413",
            format!("{post}Content-Length: 99999999999999999999999\r\n\r\n"),
        ),
        (
            "413",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{long}"),
        ),
        (
            "413",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffff\r\n{long}"),
        ),
        ("414", format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        (
            "414",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..5000]),
        ),
        (
            "417",
            format!("{post}Expect: miracles\r\nContent-Length: 1\r\n\r\nx"),
        ),
        ("431", format!("{get}Name: {long}\r\n\r\n")),
        ("431", format!("{get}{fields}\r\n")),
        ("431", "\r\n".repeat(10_000)),
    ] {
        let shown = &request[..request.len().min(120)];
        // With a whole request behind it, which must not be served.
        let request = format!("{request}{HELLO}");
        assert_eq!(
            code_and_close(&server, request.as_bytes()),
            code,
            "{shown:?}"
        );
    }
    // Bytes that are not text.
    assert_eq!(
        code_and_close(&server, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
        "400"
    );
    ends_well(server);
}

#[test]
fn requests_split_at_every_byte_are_the_same() {
    let server = http(&[]);
    let requests = format!(
        "{HELLO}POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde\
         POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nfgh\r\n2\r\nij\r\n0\r\nT: v\r\n\r\n\
         \r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    // The date may change between two answers.
    let without_date = |bytes: &[u8]| -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines().filter(|l| !l.starts_with("Date: ")).collect()
    };
    let mut expected = None;
    // At `at` and, for the last, everywhere.
    for at in 0..=requests.len() {
        let mut stream = connect(&server);
        let mut pieces = Vec::from([&requests.as_bytes()[..at], &requests.as_bytes()[at..]]);
        if at == requests.len() {
            pieces = requests.as_bytes().chunks(1).collect();
        }
        for piece in pieces {
            stream.write_all(piece).unwrap();
        }
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).unwrap();
        let answers = without_date(&answers);
        let expected = expected.get_or_insert_with(|| answers.clone());
        assert_eq!(
            answers.matches("HTTP/1.1 200 OK").count(),
            5,
            "{at}: {answers}"
        );
        assert_eq!(*expected, answers, "{at}");
    }
    ends_well(server);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const COUNT: usize = 2000;
    let server = http(&[]);
    let stream = connect(&server);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut requests = Vec::new();
            for i in 0..COUNT {
                let body = format!("number {i}");
                let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ";
                requests.extend(format!("{head}{}\r\n\r\n{body}", body.len()).bytes());
            }
            (&stream).write_all(&requests).unwrap();
        });
        for i in 0..COUNT {
            let (_, body) = answer(&stream);
            assert_eq!(body, format!("number {i}").as_bytes());
        }
    });
    ends_well(server);
}

#[test]
fn a_client_that_waits_for_an_answer_gets_it() {
    let server = http(&[]);
    let mut stream = connect(&server);
    // The second request is not whole: the answer to the first must not wait for it.
    stream
        .write_all(format!("{HELLO}GET /hea").as_bytes())
        .unwrap();
    assert_eq!(answer(&stream).1, b"Hello, world!");
    stream
        .write_all(b"lthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(answer(&stream).1, b"ok\n");
    // It wants to hear that the body is welcome.
    let post =
        "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(post.as_bytes()).unwrap();
    assert_eq!(answer(&stream).0, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert_eq!(answer(&stream).1, b"ok");
    // It is not welcome there, and not sent.
    stream
        .write_all(post.replace("/echo", "/nowhere").as_bytes())
        .unwrap();
    assert!(answer(&stream).0.starts_with("HTTP/1.1 404 "));
    // One that has said all that it will say is answered.
    let mut stream = connect(&server);
    stream.write_all(HELLO.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(answer(&stream).1, b"Hello, world!");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    ends_well(server);
}

#[test]
fn slow_clients_are_told_so() {
    let server = http(&["--timeout", "0.5"]);
    for begin in [
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let begun = Instant::now();
        assert_eq!(
            code_and_close(&server, begin.as_bytes()),
            "408",
            "{begin:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10), "{begin:?}");
    }
    // One that drips is not forever in time: it gets 408, or a reset if it goes on after that.
    let mut stream = connect(&server);
    let begun = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut first = [0; 12];
    loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "it drips on");
        match stream.read(&mut first) {
            Ok(n) => {
                assert_eq!(&first[..n], b"HTTP/1.1 408");
                break;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if stream.write_all(b"x").is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    // An idle one is closed without a word.
    let mut stream = connect(&server);
    stream.write_all(HELLO.as_bytes()).unwrap();
    answer(&stream);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    ends_well(server);
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let server = http(&["--timeout", "0.5"]);
    let mut stream = connect(&server);
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let requests = HELLO.repeat(1000);
    // Until the buffers on the way are full, and the server has given up.
    let error = (0..100_000).find_map(|_| stream.write_all(requests.as_bytes()).err());
    let error = error.expect("the server does not read on for ever");
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error}");
    // The others have not noticed.
    let mut stream = connect(&server);
    stream.write_all(HELLO.as_bytes()).unwrap();
    assert_eq!(answer(&stream).1, b"Hello, world!");
    ends_well(server);
}

#[test]
fn what_is_under_way_when_the_server_stops_is_answered() {
    let server = http(&[]);
    let mut uploading = connect(&server);
    let post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab";
    uploading.write_all(post.as_bytes()).unwrap();
    let mut idle = connect(&server);
    idle.write_all(HELLO.as_bytes()).unwrap();
    answer(&idle);
    let mut sleeping = connect(&server);
    sleeping
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    answer(&sleeping);
    sleeping
        .write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    server.terminate();
    // The one that would sleep for long is told.
    let (head, _) = answer(&sleeping);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    // The idle one is closed, after which the upload still ends.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    uploading.write_all(b"cd").unwrap();
    let (head, body) = answer(&uploading);
    assert_eq!(body, b"abcd");
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}
