//! The echo server in bad weather: crowds of idle clients, storms of connections, resets and
//! half-closed ones, clients that never read, too few descriptors, a process that is stopped.
//!
//! After each, active clients have lost nothing, and descriptors, threads and memory are back where
//! they were. `MARMOT_SEED` repeats the load.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/load.rs"]
mod load;
#[allow(dead_code, reason = "each test file uses some of it")]
#[path = "common/storms.rs"]
mod storms;
#[path = "common/watch.rs"]
mod watch;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use storms::{
    LIMIT, SLACK, alone, calms_down, connect, crowd, crowd_passes, ends_well, reset_at_close,
};
use watch::{Usage, settle, signal, state, steady};

const ACTIVE: usize = 50;

fn echo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.args(["--addr", "127.0.0.1:0"]);
    command
}

/// Sends `bytes` and expects them back.
fn exchange(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// What the server has when it serves nobody, but has served.
fn at_rest(server: &Server) -> Usage {
    let client = connect(server.addr);
    exchange(&client, b"first");
    let mut rest = steady(server.pid());
    rest.descriptors -= 1;
    println!("{rest:?}");
    rest
}

/// Does `storm` while active clients have every byte of theirs checked, then ends the server.
fn beside_active_clients(server: Server, storm: impl FnOnce(&Server)) {
    let seed = load::seed();
    let table = load::table(seed);
    let stop = AtomicBool::new(false);
    let limit = Instant::now() + 4 * LIMIT;
    let addr = server.addr;
    let report = std::thread::scope(|s| {
        let client = s.spawn(|| load::drive(addr, ACTIVE, seed, &table, &stop, limit));
        let stormed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm(&server)));
        // Whatever happened, or the clients would go on.
        server.terminate();
        stop.store(true, Ordering::Release);
        let report = client.join();
        if let Err(payload) = stormed {
            std::panic::resume_unwind(payload);
        }
        report.expect("an active client fails")
    });
    println!("{report:?}");
    assert!(report.fewest_messages > 0, "a connection was starved");
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn ten_thousand_idle_connections_disturb_nobody() {
    let _alone = alone();
    let count = crowd();
    let server = Server::start(&mut echo());
    let rest = at_rest(&server);
    beside_active_clients(server, |server| {
        // What the first crowd leaves behind is there for the second, which leaves no more.
        for _ in 0..2 {
            let idle: Vec<_> = (0..count).map(|_| connect(server.addr)).collect();
            crowd_passes(server, rest, ACTIVE, idle, |idle| {
                for client in idle.iter().step_by(10) {
                    exchange(client, b"it is idle, not dead");
                }
            });
        }
    });
}

#[test]
fn storms_of_connections_leave_nothing_behind() {
    let _alone = alone();
    let server = Server::start(&mut echo());
    let rest = at_rest(&server);
    beside_active_clients(server, |server| {
        std::thread::scope(|s| {
            // They come and go, with a message or without.
            s.spawn(|| {
                for i in 0..2000 {
                    let client = connect(server.addr);
                    if i % 2 == 0 {
                        exchange(&client, b"hello and goodbye");
                    }
                }
            });
            // They break off, with an echo under way.
            s.spawn(|| {
                for _ in 0..2000 {
                    let mut client = connect(server.addr);
                    reset_at_close(&client);
                    client.write_all(&[7; 5000]).unwrap();
                }
            });
            // They say all they have at once, and listen.
            s.spawn(|| {
                for _ in 0..2000 {
                    let mut client = connect(server.addr);
                    client.write_all(b"all that I have").unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                    let mut back = Vec::new();
                    client.read_to_end(&mut back).unwrap();
                    assert_eq!(back, b"all that I have");
                }
            });
        });
        calms_down(server, rest, ACTIVE, SLACK);
    });
}

#[test]
fn clients_that_never_read_are_let_go() {
    let _alone = alone();
    let server = Server::start(echo().args(["--timeout", "2"]));
    let rest = at_rest(&server);
    let mut deaf: Vec<_> = (0..20)
        .map(|_| {
            let client = connect(server.addr);
            client.set_nonblocking(true).unwrap();
            client
        })
        .collect();
    // The others are served meanwhile.
    let other = connect(server.addr);
    exchange(&other, b"and me?");
    // They say as much as they can, until the server has given up on the last of them.
    let end = Instant::now() + LIMIT;
    while !deaf.is_empty() {
        assert!(Instant::now() < end, "it still waits for {}", deaf.len());
        deaf.retain_mut(|client| match client.write(&[1; 65_536]) {
            Ok(_) => true,
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        });
        std::thread::yield_now();
    }
    calms_down(&server, rest, 1, SLACK);
    exchange(&other, b"still here");
    ends_well(server);
}

#[test]
fn too_few_descriptors_are_a_matter_of_patience() {
    const DESCRIPTORS: libc::rlim_t = 64;
    let _alone = alone();
    let mut command = echo();
    // SAFETY: only `setrlimit` is called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: DESCRIPTORS,
                rlim_max: DESCRIPTORS,
            };
            match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let server = Server::start(&mut command);
    let rest = at_rest(&server);
    // All are connected, by the kernel; not all are accepted.
    let mut clients: Vec<_> = (0..200).map(|_| connect(server.addr)).collect();
    settle(server.pid(), LIMIT, |now| {
        now.descriptors >= DESCRIPTORS as usize
    });
    exchange(&clients[0], b"while it has too few");
    for client in clients.drain(..) {
        exchange(&client, b"my turn");
    }
    calms_down(&server, rest, 0, SLACK);
    exchange(&connect(server.addr), b"as before");
    ends_well(server);
}

#[test]
fn a_limit_on_connections_holds_and_lets_go() {
    let _alone = alone();
    let server = Server::start(echo().args(["--max-connections", "10"]));
    let rest = at_rest(&server);
    settle(server.pid(), LIMIT, |now| {
        now.descriptors == rest.descriptors
    });
    let mut clients: Vec<_> = (0..30).map(|_| connect(server.addr)).collect();
    for client in &clients[..10] {
        exchange(client, b"one of ten");
    }
    assert_eq!(steady(server.pid()).descriptors, rest.descriptors + 10);
    // The eleventh is not served until another one leaves.
    let eleventh = &clients[10];
    (&mut &*eleventh).write_all(b"let me in").unwrap();
    eleventh.set_nonblocking(true).unwrap();
    exchange(&clients[3], b"still in");
    let kind = (&mut &*eleventh).read(&mut [0; 9]).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::WouldBlock);
    eleventh.set_nonblocking(false).unwrap();
    clients.swap_remove(3);
    let mut back = [0; 9];
    (&mut &clients[10]).read_exact(&mut back).unwrap();
    assert_eq!(&back, b"let me in");
    drop(clients);
    calms_down(&server, rest, 0, SLACK);
    // The limit does not keep it from ending, either.
    let clients: Vec<_> = (0..30).map(|_| connect(server.addr)).collect();
    exchange(&clients[0], b"full again");
    ends_well(server);
}

#[test]
fn a_server_that_is_stopped_goes_on_where_it_was() {
    let _alone = alone();
    let server = Server::start(&mut echo());
    let rest = at_rest(&server);
    beside_active_clients(server, |server| {
        let client = connect(server.addr);
        for round in 0..3 {
            signal(server.pid(), libc::SIGSTOP);
            let end = Instant::now() + LIMIT;
            while state(server.pid()) != 'T' {
                assert!(Instant::now() < end, "it does not stop");
                std::thread::yield_now();
            }
            // New ones come while it is away, and the kernel takes them in.
            let new: Vec<_> = (0..20).map(|_| connect(server.addr)).collect();
            // As long as the load is to be held up; nothing is awaited.
            std::thread::sleep(Duration::from_millis(500));
            signal(server.pid(), libc::SIGCONT);
            for client in &new {
                exchange(client, b"good morning");
            }
            exchange(&client, format!("round {round}").as_bytes());
        }
        drop(client);
        calms_down(server, rest, ACTIVE, SLACK);
    });
}
