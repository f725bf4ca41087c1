//! The HTTP server in bad weather: crowds of idle clients, storms of connections, resets and half-closed
//! ones, clients that ask and never read.
//!
//! After each, active clients have had every answer, and descriptors, threads and memory are back where
//! they were. `MARMOT_SEED` repeats the load.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/load.rs"]
mod load;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/storms.rs"]
mod storms;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/watch.rs"]
mod watch;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use load::Random;
use storms::{
    LIMIT, SLACK, alone, calms_down, connect, crowd, crowd_passes, ends_well, reset_at_close,
};
use watch::{Usage, steady};

const ACTIVE: usize = 20;
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &[u8] = b"Hello, world!";

fn http(arguments: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http"));
    command.args(["--addr", "127.0.0.1:0"]).args(arguments);
    Server::start(&mut command)
}

/// The head of a request to have `length` bytes sent back.
fn post(length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

/// Reads an answer, which has to be this one.
fn expect(reader: &mut impl BufRead, wanted: &[u8]) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let n = reader.read_until(b'\n', &mut head).unwrap();
        assert!(n > 0, "the end after {}", head.escape_ascii());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let length = format!("\r\nContent-Length: {}\r\n", wanted.len());
    assert!(head.contains(&length), "{head}");
    let mut body = vec![0; wanted.len()];
    reader.read_exact(&mut body).unwrap();
    assert!(
        body == wanted,
        "a body of {} bytes is altered",
        wanted.len()
    );
}

/// Asks for the greeting, and reads no more than that.
fn greet(mut stream: &TcpStream) {
    stream.write_all(GET.as_bytes()).unwrap();
    expect(&mut BufReader::with_capacity(1024, stream), HELLO);
}

/// What the server has when it serves nobody, but has served.
fn at_rest(server: &Server) -> Usage {
    let client = connect(server.addr);
    greet(&client);
    let mut rest = steady(server.pid());
    rest.descriptors -= 1;
    println!("{rest:?}");
    rest
}

/// Keeps `ACTIVE` connections busy until `stop`, one or two requests at a time, and compares each answer
/// with what it has to be. How many there were.
fn drive(addr: SocketAddr, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random::new(seed);
    let table = load::table(seed);
    let mut clients: Vec<_> = (0..ACTIVE).map(|_| BufReader::new(connect(addr))).collect();
    let mut answers = 0;
    while !stop.load(Ordering::Acquire) {
        let mut bodies = Vec::new();
        for client in &mut clients {
            let length = match random.next() % 4 {
                0 => random.next() % 40_000,
                _ => random.next() % 500,
            };
            let from = (random.next() % (table.len() as u64 - length)) as usize;
            let body = &table[from..from + length as usize];
            let mut request = post(body.len()).into_bytes();
            request.extend_from_slice(body);
            let is_pair = random.next().is_multiple_of(2);
            if is_pair {
                request.extend_from_slice(GET.as_bytes());
            }
            client.get_mut().write_all(&request).unwrap();
            bodies.push((body, is_pair));
        }
        // They have something else to do, too, as does this machine.
        std::thread::sleep(Duration::from_millis(1));
        for (client, (body, is_pair)) in clients.iter_mut().zip(bodies) {
            expect(client, body);
            answers += 1;
            if is_pair {
                expect(client, HELLO);
                answers += 1;
            }
        }
    }
    answers
}

/// Does `storm` while active clients have every answer of theirs checked, then ends the server.
fn beside_active_clients(server: Server, storm: impl FnOnce(&Server)) {
    let seed = load::seed();
    let stop = AtomicBool::new(false);
    let addr = server.addr;
    let answers = std::thread::scope(|s| {
        let client = s.spawn(|| drive(addr, seed, &stop));
        let stormed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm(&server)));
        // Whatever happened, or the clients would go on.
        stop.store(true, Ordering::Release);
        let answers = client.join();
        if let Err(payload) = stormed {
            std::panic::resume_unwind(payload);
        }
        answers.expect("an active client fails")
    });
    println!("{answers} answers");
    assert!(answers > 0);
    ends_well(server);
}

#[test]
fn ten_thousand_idle_connections_disturb_nobody() {
    let _alone = alone();
    let count = crowd();
    // They are idle for less than that, on a slow machine as well.
    let server = http(&["--timeout", "300"]);
    let rest = at_rest(&server);
    beside_active_clients(server, |server| {
        // What the first crowd leaves behind is there for the second, which leaves no more.
        for count in [count, count / 4] {
            let idle: Vec<_> = (0..count)
                .map(|n| {
                    let client = connect(server.addr);
                    // Most stay after an answer, some have not asked yet, or not all of it.
                    match n % 10 {
                        0 => {}
                        1 => (&client).write_all(&GET.as_bytes()[..20]).unwrap(),
                        _ => greet(&client),
                    }
                    client
                })
                .collect();
            crowd_passes(server, rest, ACTIVE, idle, |idle| {
                for client in idle.iter().skip(2).step_by(10) {
                    greet(client);
                }
            });
        }
    });
}

#[test]
fn storms_of_connections_leave_nothing_behind() {
    const EACH: usize = 1000;
    let _alone = alone();
    let server = http(&[]);
    let rest = at_rest(&server);
    beside_active_clients(server, |server| {
        let addr = server.addr;
        std::thread::scope(|s| {
            // They come and go, with a request or without.
            s.spawn(move || {
                for n in 0..EACH {
                    let client = connect(addr);
                    if n % 2 == 0 {
                        greet(&client);
                    }
                }
            });
            // They break off: in the head, in the body, or with the answer under way.
            s.spawn(move || {
                let whole = [post(5000).as_bytes(), &[7; 5000]].concat();
                for n in 0..EACH {
                    let mut client = connect(addr);
                    reset_at_close(&client);
                    let length = [30, 1000, whole.len()][n % 3];
                    client.write_all(&whole[..length]).unwrap();
                }
            });
            // They say all they have at once, end that, and get all of the answers, and nothing else.
            s.spawn(move || {
                let body: Vec<_> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
                for n in 0..EACH {
                    let length = [0, 100, 20_000, body.len()][n % 4];
                    let body = &body[..length];
                    let head = post(length);
                    let request = [GET.as_bytes(), head.as_bytes(), body, GET.as_bytes()].concat();
                    let mut client = connect(addr);
                    client.write_all(&request).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                    let mut reader = BufReader::new(client);
                    for wanted in [HELLO, body, HELLO] {
                        expect(&mut reader, wanted);
                    }
                    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
                }
            });
        });
        calms_down(server, rest, ACTIVE, SLACK);
    });
}

#[test]
fn clients_that_ask_and_never_read_are_let_go() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let _alone = alone();
    let server = http(&["--timeout", "1"]);
    let rest = at_rest(&server);
    // They ask as much as they can, of this, over and over.
    let requests = GET.repeat(2000).into_bytes();
    let mut deaf: Vec<_> = (0..20)
        .map(|_| {
            let client = connect(server.addr);
            client.set_nonblocking(true).unwrap();
            (client, 0)
        })
        .collect();
    let begin = Instant::now();
    // Until the server has given up on the last of them; the others are served meanwhile.
    while !deaf.is_empty() {
        assert!(begin.elapsed() < LIMIT, "it still waits for {}", deaf.len());
        let before = deaf.len();
        deaf.retain_mut(|(client, at)| match client.write(&requests[*at..]) {
            Ok(n) => {
                *at = (*at + n) % requests.len();
                true
            }
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        });
        if deaf.len() < before {
            // It waited for them, so it took what they said for requests.
            assert!(begin.elapsed() >= TIMEOUT, "{:?}", begin.elapsed());
        }
        greet(&connect(server.addr));
    }
    calms_down(&server, rest, 0, SLACK);
    greet(&connect(server.addr));
    ends_well(server);
}
