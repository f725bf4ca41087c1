//! The server `kv`, and clients for it: plain sockets, and Redis's own programs.
#![allow(dead_code)] // each test uses some of it

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::common::Server;

/// The numbers of processors that each test runs with.
pub(crate) const PROCS: [usize; 3] = [1, 2, 4];
/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A server on so many processors, with these options.
pub(crate) fn start(procs: usize, options: &[&str]) -> Server {
    Server::start(
        Command::new(env!("CARGO_BIN_EXE_kv"))
            .args(["--addr", "127.0.0.1:0"])
            .args(options)
            .env("MARMOT_MAXPROCS", procs.to_string()),
    )
}

/// Ends it, in order.
pub(crate) fn end(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(20)).code(), Some(0));
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A request as clients send it.
pub(crate) fn encode(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The same from words of a line.
pub(crate) fn words(line: &str) -> Vec<u8> {
    encode(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

/// Expects exactly these bytes.
#[track_caller]
pub(crate) fn expect(mut stream: &TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(
        got.escape_ascii().to_string(),
        wanted.escape_ascii().to_string()
    );
}

/// Sends a line of words, and expects these bytes.
#[track_caller]
pub(crate) fn ask(mut stream: &TcpStream, line: &str, wanted: &str) {
    stream.write_all(&words(line)).unwrap();
    expect(stream, wanted.as_bytes());
}

/// Sends these bytes and nothing more, and gives all that comes back.
pub(crate) fn talk(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    back
}

/// Runs one of Redis's programs against the server.
pub(crate) fn redis(program: &str, addr: SocketAddr, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(["-p", &addr.port().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|e| panic!("{program}, from the package redis-tools, is needed: {e}"))
}

/// What `redis-cli` says to this command.
pub(crate) fn cli(addr: SocketAddr, arguments: &[&str]) -> String {
    let output = redis("redis-cli", addr, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text.trim_end().to_owned()
}

/// A number out of `INFO`.
pub(crate) fn info(addr: SocketAddr, name: &str) -> u64 {
    let text = cli(addr, &["INFO"]);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .parse()
        .unwrap()
}
