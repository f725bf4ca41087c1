//! A store of keys and values that speaks RESP2.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::str;
use std::sync::{Mutex, MutexGuard};

use crate::serve::Malformed;

const SHARDS: usize = 64;
/// The longest list and the longest string of a request; what redis-benchmark sends is far shorter.
const LONGEST_LIST: usize = 1024;
const LONGEST_STRING: usize = 1 << 20;

type Shard = HashMap<Box<[u8]>, Box<[u8]>>;

/// The map, behind locks in 64 shards.
///
/// The locks are std's, and with 64 hardly contended. None is held while a task waits for anything,
/// and for sections so short a lock that suspends the task costs more than it can win, in every
/// runtime.
#[derive(Debug)]
pub struct Store {
    /// Guards the keys that hash to its place; one is held at a time.
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }
}

impl Store {
    /// Appends to `out` the replies to all requests that are whole in `input`, and returns how many
    /// bytes of it they took.
    ///
    /// # Errors
    ///
    /// What is there is not RESP, and the connection is to be closed.
    ///
    /// ```
    /// let store = marmot_peer::Store::default();
    /// let mut out = Vec::new();
    /// let used = store.answer(b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\nPING\r\n*1\r\n", &mut out);
    /// assert_eq!(used, Ok(27));
    /// assert_eq!(out, b":1\r\n+PONG\r\n");
    /// ```
    pub fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut used = 0;
        let mut words = Vec::with_capacity(4);
        while let Some(length) = parse(&input[used..], &mut words)? {
            used += length;
            self.reply(&words, out);
        }
        Ok(used)
    }

    fn reply(&self, words: &[&[u8]], out: &mut Vec<u8>) {
        let Some((command, rest)) = words.split_first() else {
            return;
        };
        let is = |name: &str| command.eq_ignore_ascii_case(name.as_bytes());
        match rest {
            [key] if is("GET") => match self.shard(key).get(*key) {
                Some(value) => bulk(value, out),
                None => out.extend_from_slice(b"$-1\r\n"),
            },
            [key, value] if is("SET") => {
                let mut shard = self.shard(key);
                // The key is copied only if it is new.
                if let Some(old) = shard.get_mut(*key) {
                    *old = Box::from(*value);
                } else {
                    shard.insert(Box::from(*key), Box::from(*value));
                }
                out.extend_from_slice(b"+OK\r\n");
            }
            [key] if is("INCR") => match self.increment(key) {
                Some(number) => integer(number, out),
                None => error("value is not an integer or out of range", out),
            },
            keys if is("DEL") => {
                let removed = keys
                    .iter()
                    .filter(|key| self.shard(key).remove(**key).is_some());
                integer(removed.count() as i64, out);
            }
            [] if is("PING") => out.extend_from_slice(b"+PONG\r\n"),
            [text] if is("PING") => bulk(text, out),
            [get, ..] if is("CONFIG") && get.eq_ignore_ascii_case(b"GET") => {
                out.extend_from_slice(b"*0\r\n");
            }
            _ if is("COMMAND") => out.extend_from_slice(b"*0\r\n"),
            _ => error("unknown command or wrong number of arguments", out),
        }
    }

    fn increment(&self, key: &[u8]) -> Option<i64> {
        let mut shard = self.shard(key);
        let number = match shard.get(key) {
            Some(value) => str::from_utf8(value)
                .ok()?
                .parse::<i64>()
                .ok()?
                .checked_add(1)?,
            None => 1,
        };
        shard.insert(Box::from(key), number.to_string().into_bytes().into());
        Some(number)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // The map inside has a hasher of its own, so that all of its hash is spread.
        let hash = self.hasher.hash_one(key) as usize;
        self.shards[hash % SHARDS]
            .lock()
            .expect("no section panics")
    }
}

fn bulk(text: &[u8], out: &mut Vec<u8>) {
    write!(out, "${}\r\n", text.len()).expect("a Vec takes everything");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn integer(number: i64, out: &mut Vec<u8>) {
    write!(out, ":{number}\r\n").expect("a Vec takes everything");
}

fn error(why: &str, out: &mut Vec<u8>) {
    write!(out, "-ERR {why}\r\n").expect("a Vec takes everything");
}

/// Reads one request, a list of strings or words in a line, into `words`, and returns its length;
/// `None` if it is not all there.
fn parse<'a>(input: &'a [u8], words: &mut Vec<&'a [u8]>) -> Result<Option<usize>, Malformed> {
    words.clear();
    let Some((head, mut used)) = line(input)? else {
        return Ok(None);
    };
    let Some(count) = head.strip_prefix(b"*") else {
        words.extend(
            head.split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty()),
        );
        return Ok(Some(used));
    };
    for _ in 0..number(count, LONGEST_LIST)? {
        let Some((head, skip)) = line(&input[used..])? else {
            return Ok(None);
        };
        let length = number(head.strip_prefix(b"$").ok_or(Malformed)?, LONGEST_STRING)?;
        used += skip;
        let Some(text) = input.get(used..used + length + 2) else {
            return Ok(None);
        };
        words.push(text.strip_suffix(b"\r\n").ok_or(Malformed)?);
        used += length + 2;
    }
    Ok(Some(used))
}

/// The first line, without its end, and its length with it. It holds a number or a few words.
fn line(input: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let text = &input[..end];
            Ok(Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1)))
        }
        None if input.len() > LONGEST_LIST => Err(Malformed),
        None => Ok(None),
    }
}

fn number(digits: &[u8], most: usize) -> Result<usize, Malformed> {
    if digits.is_empty() || digits.len() > 7 {
        return Err(Malformed);
    }
    let value = digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Ok(value * 10 + usize::from(digit - b'0')),
        _ => Err(Malformed),
    })?;
    if value > most {
        Err(Malformed)
    } else {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &Store, text: &str) -> String {
        let mut out = Vec::new();
        assert_eq!(store.answer(text.as_bytes(), &mut out), Ok(text.len()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commands_reply() {
        let store = Store::default();
        assert_eq!(
            ask(&store, "GET a\r\nSET a 41\r\nGET a\r\n"),
            "$-1\r\n+OK\r\n$2\r\n41\r\n"
        );
        assert_eq!(ask(&store, "incr a\r\nDEL a b\r\n"), ":42\r\n:1\r\n");
        assert_eq!(
            ask(&store, "CONFIG GET save\r\nCOMMAND DOCS\r\n"),
            "*0\r\n*0\r\n"
        );
        assert!(ask(&store, "SET a x\r\nINCR a\r\nNO\r\n").starts_with("+OK\r\n-ERR value"));
    }

    #[test]
    fn requests_wait_until_whole() {
        let store = Store::default();
        let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n";
        for end in 0..request.len() {
            let mut out = Vec::new();
            assert_eq!(store.answer(&request[..end], &mut out), Ok(0));
            assert!(out.is_empty());
        }
        let mut out = Vec::new();
        assert_eq!(store.answer(request, &mut out), Ok(request.len()));
        assert_eq!(out, b"+OK\r\n");
        for bad in [
            "*x\r\n",
            "*1\r\n:3\r\n",
            "*1\r\n$1\r\nabc",
            "*1\r\n$99999999\r\n",
        ] {
            assert_eq!(
                store.answer(bad.as_bytes(), &mut out),
                Err(Malformed),
                "{bad}"
            );
        }
    }
}
