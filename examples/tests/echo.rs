//! The echo server, as a process, under real clients on plain threads.
//!
//! `MARMOT_SOAK_SECONDS` says how long the load goes on (5 by default); `MARMOT_SEED` repeats one.

mod common;
#[path = "common/load.rs"]
mod load;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Server;

const CONNECTIONS: usize = 1000;
const CLIENT_THREADS: usize = 2;

fn echo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command
        .args(["--addr", "127.0.0.1:0"])
        .env("MARMOT_MAXPROCS", "2");
    command
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}; it must be a number")),
        Err(_) => default,
    }
}

/// Sends `bytes` and expects them back.
fn exchange(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

#[test]
fn a_thousand_connections_lose_nothing_and_the_server_ends_in_order() {
    let limit = marmot_examples::raise_open_file_limit().unwrap();
    assert!(
        limit > 2 * CONNECTIONS as u64,
        "{limit} open files do not do"
    );
    let seconds = number("MARMOT_SOAK_SECONDS", 5);
    let seed = load::seed();

    let server = Server::start(&mut echo());
    assert!(
        server.banner.ends_with("with 2 processors\n"),
        "{}",
        server.banner
    );
    let addr = server.addr;
    let table = load::table(seed);
    let stop = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(seconds);
    let limit = end + Duration::from_secs(60);
    let (report, times, asked) = std::thread::scope(|s| {
        let clients: Vec<_> = (0..CLIENT_THREADS)
            .map(|i| {
                let (table, stop) = (&table, &stop);
                let seed = seed.wrapping_add(1 + i as u64);
                let count = CONNECTIONS / CLIENT_THREADS;
                s.spawn(move || load::drive(addr, count, seed, table, stop, limit))
            })
            .collect();
        while Instant::now() < end && !clients.iter().any(|c| c.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Under full load: the clients stop after the signal, with a message each under way.
        let times = server.thread_times("marmot");
        let asked = Instant::now();
        server.terminate();
        stop.store(true, Ordering::Release);
        let reports = clients
            .into_iter()
            .map(|c| c.join().expect("a client fails"));
        (reports.reduce(load::Report::plus).unwrap(), times, asked)
    });
    let status = server.wait(Duration::from_secs(10));
    let took = asked.elapsed();
    println!("{report:?} in {seconds} s; thread times {times:?}; it ended in {took:?}");
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    assert_eq!(report.connections, CONNECTIONS);
    assert!(report.fewest_messages > 0, "a connection was starved");
    let mut times = times;
    times.sort_unstable_by(|a, b| b.cmp(a));
    assert!(
        times.len() >= 2 && times[1] >= 5 && times[1] * 20 >= times[0],
        "one thread did all the work: {times:?} ticks"
    );
}

#[test]
fn silent_connections_end_with_the_server() {
    let server = Server::start(&mut echo());
    let clients: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(server.addr).unwrap())
        .collect();
    for client in &clients {
        exchange(client, b"hello");
    }
    server.terminate();
    // New connections are refused while the old ones linger.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpStream::connect(server.addr) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            _ => assert!(Instant::now() < end, "it still accepts"),
        }
    }
    // One that is not silent is served.
    exchange(&clients[0], b"still here");
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "an orderly close");
    }
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn want_of_descriptors_ends_nothing() {
    let mut command = echo();
    // SAFETY: only `setrlimit` is called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 40,
                rlim_max: 40,
            };
            match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let server = Server::start(&mut command);
    // All are connected, by the kernel; not all are accepted.
    let mut clients: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(server.addr).unwrap())
        .collect();
    exchange(&clients[0], b"while it has too few");
    // Each one that leaves makes room for one that waits.
    for client in clients.drain(..) {
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        exchange(&client, b"my turn");
    }
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn an_address_in_use_is_an_error_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_echo"))
        .args(["--addr", &addr])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&addr) && text.contains("in use"), "{text}");
}

#[test]
fn a_variable_that_cannot_be_read_is_an_error_that_says_so() {
    let output = echo().env("MARMOT_MAXPROCS", "several").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["MARMOT_MAXPROCS", "several", "1 to 65536"] {
        assert!(text.contains(part), "{text}");
    }
}
