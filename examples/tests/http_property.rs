//! The HTTP session under random bytes, in memory: whatever comes in, in whatever pieces, what goes
//! out is a row of valid answers, and the same for every way to cut the input.
//!
//! `MARMOT_SEED` repeats a run.

#[allow(dead_code, reason = "the generator alone is used")]
#[path = "common/load.rs"]
mod load;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use load::Random;
use marmot::Runtime;
use marmot::channel::{self, Receiver};
use marmot_examples::http::{Peer, Site, serve};

const MAX_BODY: usize = 2000;
const CASES: u64 = 4000;

/// A client that has written all it will, and that keeps what it is sent.
struct Script<'a> {
    input: &'a [u8],
    at: Cell<usize>,
    /// Cuts the input into pieces of up to so many bytes.
    largest: usize,
    random: RefCell<Random>,
    output: RefCell<Vec<u8>>,
    largest_read: Cell<usize>,
    lingered: Cell<bool>,
    stopping: Receiver<Infallible>,
}

impl<'a> Script<'a> {
    fn new(input: &'a [u8], largest: usize, seed: u64) -> Script<'a> {
        Script {
            input,
            at: Cell::new(0),
            largest,
            random: RefCell::new(Random::new(seed)),
            output: RefCell::default(),
            largest_read: Cell::new(0),
            lingered: Cell::new(false),
            stopping: channel::never(),
        }
    }
}

impl Peer for Script<'_> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.lingered.get(), "a read after the last answer");
        assert!(!buffer.is_empty(), "a read of nothing looks like the end");
        self.largest_read
            .set(self.largest_read.get().max(buffer.len()));
        let left = &self.input[self.at.get()..];
        let piece = 1 + self.random.borrow_mut().next() as usize % self.largest;
        let n = piece.min(left.len()).min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.at.set(self.at.get() + n);
        Ok(n)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty(), "a write of nothing");
        self.output.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    fn set_read_deadline(&self, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn stopping(&self) -> &Receiver<Infallible> {
        &self.stopping
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn connections(&self) -> (usize, u64) {
        (1, 1)
    }

    fn linger(&self) {
        self.lingered.set(true);
    }
}

/// The answers without their dates, whatever the input; panics if one is not valid.
///
/// A client cannot know from an answer alone whether it belongs to a `HEAD`; where that is so, the next
/// answer begins right after the head.
fn check(output: &[u8]) -> (Vec<String>, bool) {
    let mut answers = Vec::new();
    let mut closed = false;
    let mut rest = output;
    while !rest.is_empty() {
        assert!(!closed, "an answer after the last one");
        let end = rest
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a whole head")
            + 4;
        let head = std::str::from_utf8(&rest[..end]).expect("a head is text");
        rest = &rest[end..];
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status = lines.next().unwrap();
        let code = status.strip_prefix("HTTP/1.1 ").expect("a status line");
        assert!(
            code.as_bytes()[..3].iter().all(u8::is_ascii_digit),
            "{status}"
        );
        let mut answer = status.to_owned();
        let mut length = None;
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a field");
            match name {
                "Date" => assert_eq!(value.len(), 29, "{line}"),
                "Content-Length" => {
                    assert_eq!(length.replace(value.parse::<usize>().unwrap()), None);
                }
                "Connection" => closed = value == "close",
                "Server" | "Content-Type" | "Allow" => {}
                _ => panic!("{line:?} in an answer"),
            }
            if name != "Date" {
                answer.push_str(line);
            }
        }
        if code.starts_with("100") {
            assert_eq!(length, None);
            continue;
        }
        let length = length.expect("a length");
        let is_head = rest.len() < length || rest.starts_with(b"HTTP/1.1 ");
        if !is_head {
            // The metrics count what else there was.
            if !answer.contains("0.0.4") {
                answer.push_str(&String::from_utf8_lossy(&rest[..length]));
            }
            rest = &rest[length..];
        } else {
            assert!(
                rest.is_empty() || rest.starts_with(b"HTTP/1.1 "),
                "a lost body"
            );
        }
        if answer.contains("0.0.4") {
            answer = "metrics".to_owned();
        }
        answers.push(answer);
    }
    (answers, closed)
}

const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /sleep?ms=0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nseven b",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1999\r\n\r\n",
    "POST / HTTP/1.1\r\n",
    "Host: x\r\n",
    "Content-Length: 4\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "ffffffffffffffff\r\n",
    "1;ext=\"v\"\r\nx\r\n",
    "0\r\n\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    ": ",
    " ",
    "HTTP/1.1",
    "\u{e9}\u{20ac}",
];

/// Pieces of requests one after the other, some bytes of which are changed, doubled or left out.
fn input(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + random.next() % 8 {
        let whole = if random.next().is_multiple_of(3) {
            PIECES.len()
        } else {
            9
        };
        bytes.extend_from_slice(PIECES[random.next() as usize % whole].as_bytes());
        if random.next().is_multiple_of(40) {
            bytes.resize(bytes.len() + random.next() as usize % 20_000, b'a');
        }
    }
    let changes = match random.next() % 3 {
        0 => 0,
        _ => random.next() % 4,
    };
    for _ in 0..changes {
        let at = random.next() as usize % bytes.len();
        match random.next() % 4 {
            0 => bytes[at] = (random.next() >> 56) as u8,
            1 => bytes.insert(at, b" \t\r\n:;,0aA/"[random.next() as usize % 11]),
            2 if bytes.len() > 1 => {
                bytes.remove(at);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn any_input_gets_valid_answers_however_it_is_cut() {
    let seed = load::seed();
    let rt = Runtime::pinned().unwrap();
    let site = Site::new(rt.handle(), MAX_BODY);
    let mut random = Random::new(seed);
    let (mut most, mut refused) = (0, 0);
    for case in 0..CASES {
        let input = input(&mut random);
        let mut first = None;
        for largest in [usize::MAX, 1, 7, 100] {
            let script = Script::new(&input, largest, seed ^ case);
            serve(&script, &site).expect("this client does not break the connection");
            assert!(script.largest_read.get() <= 16 * 1024, "unbounded input");
            let output = script.output.take();
            let shown = String::from_utf8_lossy(&input);
            let (answers, closed) = check(&output);
            // After the last answer the client is let go; without one it had said all.
            assert_eq!(closed, script.lingered.get(), "{shown:?}");
            assert!(
                closed || script.at.get() == input.len(),
                "{shown:?}: unread input"
            );
            most = most.max(answers.len());
            refused += usize::from(closed);
            let first = first.get_or_insert_with(|| answers.clone());
            assert_eq!(*first, answers, "{shown:?}, cut into {largest}");
        }
    }
    // The generator makes both.
    assert!(most >= 7, "{most} answers at most");
    assert!(refused as u64 > CASES / 2, "{refused} refusals");
}

#[test]
fn random_bytes_are_refused() {
    let rt = Runtime::pinned().unwrap();
    let site = Site::new(rt.handle(), MAX_BODY);
    let mut random = Random::new(1);
    for _ in 0..1000 {
        let length = 1 + random.next() as usize % 40_000;
        let mut bytes: Vec<u8> = (0..length).map(|_| (random.next() >> 56) as u8).collect();
        // No name of a method begins so.
        bytes[0] = b'(';
        let script = Script::new(&bytes, 5000, 1);
        serve(&script, &site).unwrap();
        assert!(check(&script.output.take()).1);
    }
}
