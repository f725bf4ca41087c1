//! The Redis protocol: one command for all requests, one right answer to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Protocol, excerpt};
use crate::{Error, Op};

/// The key of all commands.
const KEY: &str = "key:load";

/// How long the server may take to set the key before the run.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A command, and the answer to it.
#[derive(Debug)]
pub(crate) struct Kv {
    request_len: usize,
    /// The command, as often as it may be under way.
    requests: Vec<u8>,
    answer: Vec<u8>,
}

impl Kv {
    pub(crate) fn new(op: Op, size: usize, pipeline: usize) -> Kv {
        let request = match op {
            Op::Get => command(&["GET", KEY]),
            Op::Set => command(&["SET", KEY, &value(size)]),
            Op::Ping => command(&["PING"]),
        };
        let answer = match op {
            Op::Get => format!("${size}\r\n{}\r\n", value(size)),
            Op::Set => "+OK\r\n".to_owned(),
            Op::Ping => "+PONG\r\n".to_owned(),
        };
        Kv {
            request_len: request.len(),
            requests: request.repeat(pipeline).into_bytes(),
            answer: answer.into_bytes(),
        }
    }
}

fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text
}

fn value(size: usize) -> String {
    "marmot".chars().cycle().take(size).collect()
}

/// Sets the key, so that it can be read.
pub(crate) fn prepare(address: SocketAddr, size: usize) -> Result<(), Error> {
    let set = || {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(command(&["SET", KEY, &value(size)]).as_bytes())?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    match set() {
        Ok(answer) if &answer == b"+OK\r\n" => Ok(()),
        Ok(answer) => Err(Error::Prepare(format!("answered {}", excerpt(&answer)))),
        Err(e) => Err(Error::Prepare(e.to_string())),
    }
}

impl Protocol for Kv {
    /// How many bytes of an answer have come.
    type State = usize;

    fn request_len(&self) -> usize {
        self.request_len
    }

    fn requests(&mut self, _id: u64, _first: u64, count: usize) -> &[u8] {
        &self.requests[..self.request_len * count]
    }

    fn check(
        &mut self,
        at: &mut usize,
        _id: u64,
        _answered: u64,
        mut bytes: &[u8],
    ) -> Result<u64, String> {
        let mut complete = 0;
        while !bytes.is_empty() {
            let rest = &self.answer[*at..];
            let n = rest.len().min(bytes.len());
            if bytes[..n] != rest[..n] {
                let (got, right) = (excerpt(bytes), excerpt(rest));
                return Err(format!("{got} instead of {right}"));
            }
            bytes = &bytes[n..];
            *at += n;
            if *at == self.answer.len() {
                *at = 0;
                complete += 1;
            }
        }
        Ok(complete)
    }

    fn is_partial(&self, at: &usize) -> bool {
        *at > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_redis_expects() {
        let mut kv = Kv::new(Op::Set, 3, 2);
        let set = "*3\r\n$3\r\nSET\r\n$8\r\nkey:load\r\n$3\r\nmar\r\n";
        assert_eq!(kv.requests(0, 0, 2), set.repeat(2).as_bytes());
        assert_eq!(kv.requests(0, 0, 1).len(), kv.request_len());
    }

    #[test]
    fn answers_may_be_cut_and_joined() {
        let mut kv = Kv::new(Op::Get, 3, 1);
        let mut at = 0;
        assert_eq!(kv.check(&mut at, 0, 0, b"$3\r\nmar\r\n$3\r"), Ok(1));
        assert!(kv.is_partial(&at));
        assert_eq!(kv.check(&mut at, 0, 1, b"\nmar\r\n"), Ok(1));
        assert!(kv.check(&mut at, 0, 2, b"$-1\r\n").is_err());
    }
}
