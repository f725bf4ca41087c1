//! The TCP proxy, as a process: under sockets of its own kind, and with curl and `http` at its ends.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/load.rs"]
mod load;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/watch.rs"]
mod watch;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Server;

const LIMIT: Duration = Duration::from_secs(20);

fn proxy(to: SocketAddr, arguments: &[&str]) -> Server {
    let to = to.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
    command
        .args(["--addr", "127.0.0.1:0", "--to", &to])
        .args(arguments);
    Server::start(&mut command)
}

fn other(binary: &str) -> Server {
    Server::start(Command::new(binary).args(["--addr", "127.0.0.1:0"]))
}

fn connect(addr: SocketAddr) -> TcpStream {
    limited(TcpStream::connect(addr).unwrap())
}

fn limited(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A connection through `proxy`, and its other end at `listener`.
fn pair(proxy: &Server, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = connect(proxy.addr);
    let far = limited(listener.accept().unwrap().0);
    (near, far)
}

fn says(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut there = vec![0; bytes.len()];
    to.read_exact(&mut there).unwrap();
    assert_eq!(there, bytes);
}

fn has_ended(mut stream: &TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

fn ends_well(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn curl_gets_through_it_what_it_gets_without() {
    let http = other(env!("CARGO_BIN_EXE_http"));
    let proxy = proxy(http.addr, &[]);
    let body: String = (0..50_000).map(|n| format!("{n} ")).collect();
    let url = format!("http://{}", proxy.addr);
    let mut curl = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            "--data-binary",
            "@-",
            &format!("{url}/echo"),
        ])
        .args(["--next", "-sS", &format!("{url}/healthz")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl has to be installed");
    curl.stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text == body + "ok\n", "{} bytes came back", text.len());
    ends_well(proxy);
    ends_well(http);
}

#[test]
fn many_connections_lose_nothing_on_the_way() {
    let echo = other(env!("CARGO_BIN_EXE_echo"));
    let proxy = proxy(echo.addr, &[]);
    let table = load::table(7);
    let stop = AtomicBool::new(false);
    let addr = proxy.addr;
    let report = std::thread::scope(|s| {
        let client = s.spawn(|| {
            let limit = Instant::now() + 3 * LIMIT;
            load::drive(addr, 100, 7, &table, &stop, limit)
        });
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end && !client.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        proxy.terminate();
        stop.store(true, Ordering::Release);
        client.join().expect("a client fails")
    });
    println!("{report:?}");
    assert!(report.fewest_messages > 0, "a connection was starved");
    assert_eq!(proxy.wait(Duration::from_secs(10)).code(), Some(0));
    ends_well(echo);
}

#[test]
fn half_closed_connections_stay_half_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = proxy(listener.local_addr().unwrap(), &[]);
    for near_first in [true, false] {
        let (near, far) = pair(&proxy, &listener);
        let (first, second) = if near_first {
            (&near, &far)
        } else {
            (&far, &near)
        };
        says(first, second, b"the last that I have to say");
        first.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        (&mut &*second).read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        // The other direction is open still.
        says(second, first, b"but I have more");
        says(second, first, b"and more");
        second.shutdown(Shutdown::Write).unwrap();
        has_ended(first);
    }
    ends_well(proxy);
}

#[test]
fn what_breaks_on_one_side_ends_on_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = proxy(listener.local_addr().unwrap(), &[]);
    for near_first in [true, false] {
        let (near, far) = pair(&proxy, &listener);
        let (first, second) = if near_first { (near, far) } else { (far, near) };
        says(&first, &second, b"hello");
        // Unread input resets the connection when it is closed.
        (&second).write_all(b"never read").unwrap();
        let mut byte = [0];
        (&first).read_exact(&mut byte).unwrap();
        drop(first);
        // The end of the stream may come before the reset: writing shows it then.
        let end = Instant::now() + LIMIT;
        while (&second).write_all(b"is anybody there?").is_ok() {
            assert!(Instant::now() < end, "it goes on");
            std::thread::yield_now();
        }
    }
    ends_well(proxy);
}

#[test]
fn silence_ends_a_connection_and_talk_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = proxy(listener.local_addr().unwrap(), &["--idle-timeout", "1"]);
    let (silent_near, silent_far) = pair(&proxy, &listener);
    let (near, far) = pair(&proxy, &listener);
    says(&silent_near, &silent_far, b"good night");
    let begun = Instant::now();
    // One direction only, for longer than the other may be silent.
    while begun.elapsed() < Duration::from_millis(2500) {
        says(&far, &near, b"tick");
        std::thread::sleep(Duration::from_millis(50));
    }
    says(&near, &far, b"still there");
    has_ended(&silent_near);
    has_ended(&silent_far);
    ends_well(proxy);
}

#[test]
fn an_address_that_does_not_answer_closes_the_connection() {
    // Bound and free again: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let refused = proxy(addr, &[]);
    for _ in 0..10 {
        has_ended(&connect(refused.addr));
    }
    ends_well(refused);
    // A full backlog: the kernel does not answer at all.
    let deaf = full_listener();
    let silent = proxy(deaf.0.local_addr().unwrap(), &["--dial-timeout", "0.5"]);
    let begun = Instant::now();
    has_ended(&connect(silent.addr));
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    ends_well(silent);
}

/// A listener that takes no connection any more, and those that fill it.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The smallest backlog there is.
    // SAFETY: no memory is concerned; the descriptor is that of `listener`.
    let code = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    let addr = listener.local_addr().unwrap();
    let mut streams = Vec::new();
    for _ in 0..100 {
        match TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
            Ok(stream) => streams.push(stream),
            Err(_) => return (listener, streams),
        }
    }
    panic!("the backlog has no end");
}

#[test]
fn a_limit_on_connections_makes_the_rest_wait() {
    let echo = other(env!("CARGO_BIN_EXE_echo"));
    let proxy = proxy(echo.addr, &["--max-connections", "2"]);
    let clients: Vec<_> = (0..3).map(|_| connect(proxy.addr)).collect();
    for client in &clients[..2] {
        says(client, client, b"one of two");
    }
    (&clients[2]).write_all(b"let me in").unwrap();
    clients[2].set_nonblocking(true).unwrap();
    says(&clients[0], &clients[0], b"still in");
    let kind = (&clients[2]).read(&mut [0; 9]).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::WouldBlock);
    clients[2].set_nonblocking(false).unwrap();
    clients[0].shutdown(Shutdown::Both).unwrap();
    let mut back = [0; 9];
    (&clients[2]).read_exact(&mut back).unwrap();
    assert_eq!(&back, b"let me in");
    ends_well(proxy);
    ends_well(echo);
}

#[test]
fn nothing_is_left_of_connections_that_have_ended() {
    let echo = other(env!("CARGO_BIN_EXE_echo"));
    let proxy = proxy(echo.addr, &[]);
    let first = connect(proxy.addr);
    says(&first, &first, b"first");
    let with_one = watch::steady(proxy.pid()).descriptors;
    for i in 0..1000 {
        let client = connect(proxy.addr);
        if i % 2 == 0 {
            says(&client, &client, b"hello and goodbye");
        }
    }
    watch::settle(proxy.pid(), LIMIT, |now| now.descriptors == with_one);
    says(&first, &first, b"still here");
    ends_well(proxy);
    ends_well(echo);
}

#[test]
fn an_address_that_cannot_be_looked_up_is_an_error_that_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_proxy"))
        .args(["--addr", "127.0.0.1:0", "--to", "no port"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no port"), "{text}");
}
