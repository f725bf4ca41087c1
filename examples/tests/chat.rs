//! The chat server under real sockets: order, rooms, many clients, slow ones, and the end.

#[allow(dead_code)] // made for all servers
mod common;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use common::Server;

const PROCS: [usize; 3] = [1, 2, 4];
const LIMIT: Duration = Duration::from_secs(60);

fn start(procs: usize, options: &[&str]) -> Server {
    Server::start(
        Command::new(env!("CARGO_BIN_EXE_chat"))
            .args(["--addr", "127.0.0.1:0"])
            .args(options)
            .env("MARMOT_MAXPROCS", procs.to_string()),
    )
}

fn end(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(20)).code(), Some(0));
}

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// One that has been welcomed.
    fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let mut client = Client {
            stream: BufReader::new(stream),
        };
        let line = client.line();
        assert!(line.starts_with("* welcome, guest"), "{line}");
        client
    }

    /// One that has this name and is in this room. What the others say meanwhile is skipped.
    fn join(addr: SocketAddr, nick: &str, room: &str) -> Client {
        let mut client = Client::connect(addr);
        client.ask(&format!("/nick {nick}"), &format!("* you are now {nick}"));
        client.ask(&format!("/join {room}"), &format!("* you are in {room}"));
        client
    }

    fn send(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let n = self.stream.read_line(&mut line).unwrap();
        assert!(n > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }

    /// The next line that is no notice.
    fn said(&mut self) -> String {
        loop {
            let line = self.line();
            if !line.starts_with('*') {
                return line;
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, wanted: &str) {
        assert_eq!(self.line(), wanted);
    }

    #[track_caller]
    fn ask(&mut self, line: &str, wanted: &str) {
        self.send(line);
        self.expect(wanted);
    }
}

#[test]
fn commands_do_what_they_say() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let mut a = Client::connect(server.addr);
        a.ask("hello?", "* you are in no room; /join one");
        a.ask("/leave", "* you are in no room");
        a.ask("/who", "* you are in no room");
        a.ask("/rooms", "* that is all");
        a.ask("/dance", "* there is no /dance; /help says what there is");
        a.ask("/nick", "* a name has 1 to 24 letters, digits, - or _");
        a.ask("/join a b", "* a name has 1 to 24 letters, digits, - or _");
        a.ask("/nick ada", "* you are now ada");
        a.ask("/join one", "* you are in one");
        let mut b = Client::connect(server.addr);
        b.ask("/nick ada", "* ada is taken");
        b.ask("/nick bob", "* you are now bob");
        b.ask("/join one", "* you are in one");
        a.expect("* bob has come");
        a.ask("/who", "* in one: ada bob");
        b.send("hello\x1b[31m");
        a.expect("bob: hello[31m");
        b.ask("/nick eve", "* you are now eve");
        a.expect("* bob is now eve");
        b.ask("/join two", "* you are in two");
        a.expect("* eve has left");
        a.ask("/rooms", "* one: 1");
        a.expect("* two: 1");
        a.expect("* that is all");
        a.ask("/leave", "* you have left one");
        a.ask("/rooms", "* two: 1");
        a.expect("* that is all");
        a.ask(&"x".repeat(1001), "* a line has at most 1000 bytes");
        a.send("/help");
        assert!(a.line().contains("/join"));
        b.send("/quit");
        assert_eq!(b.stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        // Its name is free again, once the server has noticed.
        let limit = Instant::now() + LIMIT;
        let mut c = Client::connect(server.addr);
        loop {
            c.send("/nick eve");
            match &*c.line() {
                "* you are now eve" => break,
                line => assert!(line == "* eve is taken" && Instant::now() < limit, "{line}"),
            }
        }
        end(server);
    }
}

#[test]
fn each_sender_is_heard_in_order_and_in_its_room_only() {
    const LINES: usize = 300;
    for procs in PROCS {
        let server = start(procs, &[]);
        let addr = server.addr;
        let mut listeners: Vec<_> = (0..10)
            .map(|n| Client::join(addr, &format!("l{n}"), &format!("room{}", n % 2)))
            .collect();
        std::thread::scope(|s| {
            // Three senders in each room: fewer lines than an outbox holds.
            for room in 0..2 {
                for sender in 0..3 {
                    s.spawn(move || {
                        let name = format!("s{room}{sender}");
                        let mut client = Client::join(addr, &name, &format!("room{room}"));
                        for n in 0..LINES {
                            client.send(&format!("room{room} {n}"));
                        }
                        // It stays until all it has said is with the room.
                        client.send("/leave");
                        while client.line() != format!("* you have left room{room}") {}
                    });
                }
            }
        });
        for (n, listener) in listeners.iter_mut().enumerate() {
            let room = n % 2;
            let mut next = [0; 3];
            for _ in 0..3 * LINES {
                let line = listener.said();
                let (name, text) = line.split_once(": ").unwrap();
                let sender: usize = name
                    .strip_prefix(&format!("s{room}"))
                    .unwrap()
                    .parse()
                    .unwrap();
                assert_eq!(text, format!("room{room} {}", next[sender]));
                next[sender] += 1;
            }
            assert_eq!(next, [LINES; 3]);
        }
        end(server);
    }
}

#[test]
fn two_hundred_clients_hear_each_other() {
    const CLIENTS: usize = 200;
    for procs in PROCS {
        let server = start(procs, &[]);
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|n| Client::join(server.addr, &format!("c{n}"), "hall"))
            .collect();
        // In one round fewer lines than an outbox holds.
        for round in 0..5 {
            for client in &mut clients {
                client.send(&format!("round {round}"));
            }
            for (n, client) in clients.iter_mut().enumerate() {
                let mut heard = [false; CLIENTS];
                for _ in 1..CLIENTS {
                    let line = client.said();
                    let (name, text) = line.split_once(": ").unwrap();
                    assert_eq!(text, format!("round {round}"));
                    let who: usize = name.strip_prefix('c').unwrap().parse().unwrap();
                    assert!(who != n && !heard[who], "{line}");
                    heard[who] = true;
                }
            }
        }
        end(server);
    }
}

/// One says `lines` lines of 900 bytes, in portions that the listener takes whole before the next
/// begins. The time of each portion.
fn talk(speaker: &mut Client, listener: &mut Client, from: usize, lines: usize) -> Vec<Duration> {
    let filler = "x".repeat(880);
    let portions = (from..from + lines).step_by(250);
    portions
        .map(|first| {
            let begin = Instant::now();
            for n in first..first + 250 {
                speaker.send(&format!("{n:06} {filler}"));
            }
            for n in first..first + 250 {
                let line = listener.said();
                assert!(
                    line.starts_with(&format!("speaker: {n:06}")),
                    "{n}: {line:.30}"
                );
            }
            begin.elapsed()
        })
        .collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn who_never_reads_delays_nobody_and_is_told_what_was_dropped() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let mut speaker = Client::join(server.addr, "speaker", "room");
        let mut listener = Client::join(server.addr, "listener", "room");
        let without = median(talk(&mut speaker, &mut listener, 0, 3_000));
        let mut silent = Client::join(server.addr, "silent", "room");
        // 13 MB: more than outbox and socket buffers hold.
        let with = talk(&mut speaker, &mut listener, 3_000, 15_000);
        let slowest = *with.iter().max().unwrap();
        let with = median(with);
        println!(
            "250 lines, {procs} processors: {without:?} without, {with:?} with, {slowest:?} at most"
        );
        assert!(
            slowest < Duration::from_secs(10),
            "a room was delayed: {slowest:?}"
        );

        // What it gets now are lines in order, and notices that account for the rest.
        silent.send("/who");
        let (mut heard, mut dropped, mut last) = (0, 0, 0);
        while heard + dropped < 15_000 {
            let line = silent.line();
            if let Some(text) = line.strip_prefix("speaker: ") {
                let number: usize = text[..6].parse().unwrap();
                assert!(number > last, "{number} after {last}");
                last = number;
                heard += 1;
            } else if let Some(text) = line.strip_prefix("* you read too slowly: ") {
                let count = text.strip_suffix(" lines were dropped").unwrap();
                dropped += count.parse::<usize>().unwrap();
            }
        }
        assert!(
            heard + dropped == 15_000 && dropped > 0,
            "{heard} heard, {dropped} dropped"
        );
        // And it is a member as before.
        speaker.send("again");
        assert_eq!(silent.said(), "speaker: again");
        end(server);
    }
}

#[test]
fn who_takes_nothing_for_too_long_is_disconnected() {
    let server = start(2, &["--timeout", "0.5"]);
    let mut speaker = Client::join(server.addr, "speaker", "room");
    let mut listener = Client::join(server.addr, "listener", "room");
    let mut silent = Client::join(server.addr, "silent", "room");
    talk(&mut speaker, &mut listener, 0, 15_000);
    let limit = Instant::now() + LIMIT;
    let gone = "* in room: speaker listener";
    let mut line = String::new();
    while line != gone {
        assert!(Instant::now() < limit, "it is still there");
        listener.send("/who");
        line = listener.line();
        while !line.starts_with("* in room") {
            line = listener.line();
        }
    }
    let mut rest = Vec::new();
    match silent.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    // A line that is begun and not ended is a slow client too; silence is none.
    let begin = Instant::now();
    let mut slow = Client::connect(server.addr);
    slow.stream.get_mut().write_all(b"begin").unwrap();
    let _ = slow.stream.read_to_end(&mut rest);
    assert!(begin.elapsed() >= Duration::from_millis(500));
    listener.ask("/who", gone);
    end(server);
}

#[test]
fn all_are_told_when_the_server_stops() {
    for procs in PROCS {
        let server = start(procs, &[]);
        let mut clients: Vec<_> = (0..20)
            .map(|n| Client::join(server.addr, &format!("c{n}"), "room"))
            .collect();
        server.terminate();
        for client in &mut clients {
            while client.line() != "* the server stops" {}
            client.stream.read_to_end(&mut Vec::new()).unwrap();
        }
        assert_eq!(server.wait(Duration::from_secs(20)).code(), Some(0));
    }
}
