//! HTTP/1.1, as much of it as its simplest answer needs.

use std::net::SocketAddr;

use super::{Protocol, excerpt};

/// The most bytes of a head.
const MOST_HEAD: usize = 64 << 10;

/// A `GET`, and the body of the answer to it.
#[derive(Debug)]
pub(crate) struct Http {
    request_len: usize,
    /// The request, as often as it may be under way.
    requests: Vec<u8>,
    body: Vec<u8>,
    /// The last answer that was examined and found right. One that equals it is right as well, and
    /// most do: the date changes once a second.
    right: Vec<u8>,
}

impl Http {
    pub(crate) fn new(address: SocketAddr, path: &str, body: &str, pipeline: usize) -> Http {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        Http {
            request_len: request.len(),
            requests: request.repeat(pipeline).into_bytes(),
            body: body.as_bytes().to_vec(),
            right: Vec::new(),
        }
    }

    /// The length of the answer at the beginning of some bytes, which is right; `None` if it is not
    /// all there.
    fn answer(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        if !self.right.is_empty() && bytes.starts_with(&self.right) {
            return Ok(Some(self.right.len()));
        }
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > MOST_HEAD {
                return Err(format!("a head without an end: {}", excerpt(bytes)));
            }
            return Ok(None);
        };
        let length = content_length(&bytes[..head])?;
        if length != self.body.len() {
            return Err(format!("a body of {length} bytes"));
        }
        let all = head + 4 + length;
        let Some(body) = bytes.get(head + 4..all) else {
            return Ok(None);
        };
        if body != self.body {
            let right = excerpt(&self.body);
            return Err(format!("the body {} instead of {right}", excerpt(body)));
        }
        self.right.clear();
        self.right.extend_from_slice(&bytes[..all]);
        Ok(Some(all))
    }

    /// The number of answers at the beginning of some bytes, and how many bytes they are.
    fn answers(&mut self, bytes: &[u8]) -> Result<(u64, usize), String> {
        let (mut complete, mut used) = (0, 0);
        while used < bytes.len() {
            let Some(length) = self.answer(&bytes[used..])? else {
                break;
            };
            complete += 1;
            used += length;
        }
        Ok((complete, used))
    }
}

/// What the head of a right answer says of its body.
fn content_length(head: &[u8]) -> Result<usize, String> {
    let wrong = |what: &str| Err(format!("{what}: {}", excerpt(head)));
    let Ok(text) = str::from_utf8(head) else {
        return wrong("a head that is no text");
    };
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status != "HTTP/1.1 200" && !status.starts_with("HTTP/1.1 200 ") {
        return wrong("another status than 200");
    }
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return wrong("a field without a colon");
        };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return wrong("a coded body");
        }
        if name.eq_ignore_ascii_case("content-length") {
            let digits = value.trim_matches([' ', '\t']);
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            match digits.parse() {
                Ok(number) if plain && length.is_none() => length = Some(number),
                _ => return wrong("an odd Content-Length"),
            }
        }
    }
    length.map_or_else(|| wrong("no Content-Length"), Ok)
}

impl Protocol for Http {
    /// The part of an answer that has come.
    type State = Vec<u8>;

    fn request_len(&self) -> usize {
        self.request_len
    }

    fn requests(&mut self, _id: u64, _first: u64, count: usize) -> &[u8] {
        &self.requests[..self.request_len * count]
    }

    fn check(
        &mut self,
        part: &mut Vec<u8>,
        _id: u64,
        _answered: u64,
        bytes: &[u8],
    ) -> Result<u64, String> {
        if part.is_empty() {
            let (complete, used) = self.answers(bytes)?;
            part.extend_from_slice(&bytes[used..]);
            return Ok(complete);
        }
        part.extend_from_slice(bytes);
        let (complete, used) = self.answers(part)?;
        part.drain(..used);
        Ok(complete)
    }

    fn is_partial(&self, part: &Vec<u8>) -> bool {
        !part.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Http {
        Http::new("127.0.0.1:80".parse().unwrap(), "/", "hi", 1)
    }

    const RIGHT: &str = "HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 2\r\n\r\nhi";

    #[test]
    fn answers_are_right_however_they_are_cut() {
        let all = RIGHT.repeat(3);
        for cut in 1..all.len() {
            let (mut http, mut part, mut complete) = (http(), Vec::new(), 0);
            for piece in all.as_bytes().chunks(cut) {
                complete += http.check(&mut part, 0, complete, piece).unwrap();
            }
            assert_eq!((complete, part.len()), (3, 0), "cut every {cut}");
        }
    }

    #[test]
    fn wrong_answers_are_found() {
        for (this, that) in [
            ("200", "404"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("length: 2", "length: 3"),
            ("length: 2", "length: +2"),
            ("length: 2", "length:"),
            ("content-length", "content-size"),
            ("X: y", "Content-Length: 2"),
            ("X: y", "Transfer-Encoding: chunked"),
            ("X: y", "nothing"),
            ("hi", "ho"),
        ] {
            let wrong = RIGHT.replace(this, that);
            assert_ne!(wrong, RIGHT);
            let mut http = http();
            let mut part = Vec::new();
            assert_eq!(http.check(&mut part, 0, 0, RIGHT.as_bytes()), Ok(1));
            let answer = http.check(&mut part, 0, 1, wrong.as_bytes());
            assert!(answer.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_without_an_end_is_wrong() {
        let (mut http, mut part) = (http(), Vec::new());
        let line = [b'a'; 4096];
        let found = (0..20).any(|_| http.check(&mut part, 0, 0, &line).is_err());
        assert!(found);
    }
}
