//! Requests of the Redis protocol (RESP2), parsed in place as their bytes come in.
//!
//! A request is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`), or a line of words, the
//! *inline* form that people type. The parser is handed all bytes of the request that are there so
//! far; when they are not enough it remembers how far it came, so that bytes which come one by one
//! cost no more than all at once. Arguments are ranges of the connection's buffer: nothing is
//! copied, and nothing allocated once the list of ranges has grown to the usual length.
//!
//! # Invariants
//! 1. What a client *announces* allocates nothing; only bytes that came do. An argument takes at
//!    least five bytes, so the list of ranges is bounded by the bytes of the request.
//! 2. A request is never longer than `Limits::request` and a line; whoever announces more gets an
//!    error.
//! 3. After an error, or a complete request, the parser begins anew.

use std::ops::Range;

/// The longest line: an inline request, or a number of elements or bytes.
pub(crate) const MAX_LINE: usize = 64 * 1024;
/// The most arguments of one request.
const MAX_ARGUMENTS: i64 = 1024 * 1024;
/// Ranges that are kept from one request to the next.
const KEPT_RANGES: usize = 1024;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The bytes of one argument.
    pub(crate) value: usize,
    /// The bytes of a whole request.
    pub(crate) request: usize,
}

impl Limits {
    /// Arguments of up to `value` bytes, and some room for the others of the same request.
    pub(crate) fn new(value: usize) -> Limits {
        Limits {
            value,
            request: value.saturating_add(1024 * 1024),
        }
    }
}

/// What is wrong with a request. The connection ends with it, for nobody knows where the next
/// request begins. The words are those of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    MultibulkLength,
    BulkLength,
    ExpectedBulk(u8),
    LongMultibulkLine,
    LongBulkLine,
    LongInline,
    UnbalancedQuotes,
    LongRequest,
}

impl ProtocolError {
    /// The reply's text, without `ERR Protocol error: `.
    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            ProtocolError::MultibulkLength => b"invalid multibulk length",
            ProtocolError::BulkLength => b"invalid bulk length",
            ProtocolError::ExpectedBulk(_) => b"expected '$', got '",
            ProtocolError::LongMultibulkLine => b"too big mbulk count string",
            ProtocolError::LongBulkLine => b"too big bulk count string",
            ProtocolError::LongInline => b"too big inline request",
            ProtocolError::UnbalancedQuotes => b"unbalanced quotes in request",
            ProtocolError::LongRequest => b"too big request",
        });
        if let ProtocolError::ExpectedBulk(got) = self {
            // A line end would end the reply.
            out.push(if matches!(got, b'\r' | b'\n') {
                b' '
            } else {
                got
            });
            out.push(b'\'');
        }
    }
}

/// How far the parser came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Parsed {
    /// A request of so many bytes; its arguments, if it has any, are in `Parser::arguments`.
    Request(usize),
    /// It goes on; at least so many bytes are needed, from its beginning.
    Incomplete(usize),
}

/// The state of one connection's parser.
#[derive(Debug)]
pub(crate) struct Parser {
    limits: Limits,
    /// The arguments found so far, in bytes from the request's beginning.
    ranges: Vec<Range<usize>>,
    /// An inline request with quotes has its words here, without them; the ranges are then those of
    /// this text.
    unquoted: Vec<u8>,
    is_unquoted: bool,
    /// Bytes done with.
    position: usize,
    /// Up to here there is no line end behind `position`.
    scanned: usize,
    /// Arguments to come; `None` before the first line has been read.
    missing: Option<usize>,
    /// The length of the argument under way.
    bulk: Option<usize>,
}

impl Parser {
    pub(crate) fn new(limits: Limits) -> Parser {
        Parser {
            limits,
            ranges: Vec::new(),
            unquoted: Vec::new(),
            is_unquoted: false,
            position: 0,
            scanned: 0,
            missing: None,
            bulk: None,
        }
    }

    /// Goes on with the request at the beginning of `bytes`, which begin as in the call before.
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        if self.position == 0 && self.scanned == 0 {
            self.ranges.clear();
            self.ranges.shrink_to(KEPT_RANGES);
            self.is_unquoted = false;
        }
        let parsed = match bytes.first() {
            None => Ok(Parsed::Incomplete(1)),
            Some(b'*') => self.array(bytes),
            Some(_) => self.inline(bytes),
        };
        if !matches!(parsed, Ok(Parsed::Incomplete(_))) {
            self.position = 0;
            self.scanned = 0;
            self.missing = None;
            self.bulk = None;
        }
        parsed
    }

    /// The arguments of the request that has just been parsed from `bytes`.
    pub(crate) fn arguments<'a>(&'a self, bytes: &'a [u8]) -> Arguments<'a> {
        Arguments {
            bytes: if self.is_unquoted {
                &self.unquoted
            } else {
                bytes
            },
            ranges: &self.ranges,
        }
    }

    /// The line at `position`, without its end; `None` if it is not all there.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.scanned.max(self.position);
        let Some(end) = bytes[from..].iter().position(|b| *b == b'\n') else {
            self.scanned = bytes.len();
            return None;
        };
        let line = &bytes[self.position..from + end];
        self.position = from + end + 1;
        self.scanned = self.position;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// What to say when there is no line end.
    fn no_line(&self, bytes: &[u8], error: ProtocolError) -> Result<Parsed, ProtocolError> {
        if bytes.len() - self.position > MAX_LINE {
            return Err(error);
        }
        Ok(Parsed::Incomplete(bytes.len() + 1))
    }

    fn array(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        if self.missing.is_none() {
            let Some(line) = self.line(bytes) else {
                return self.no_line(bytes, ProtocolError::LongMultibulkLine);
            };
            let count = integer(&line[1..]).filter(|n| *n <= MAX_ARGUMENTS);
            let count = count.ok_or(ProtocolError::MultibulkLength)?;
            // Fewer than none is none, as in Redis.
            self.missing = Some(count.max(0) as usize);
        }
        while self.missing != Some(0) {
            let length = match self.bulk {
                Some(length) => length,
                None => {
                    if let Some(first) = bytes.get(self.position)
                        && *first != b'$'
                    {
                        return Err(ProtocolError::ExpectedBulk(*first));
                    }
                    let Some(line) = self.line(bytes) else {
                        return self.no_line(bytes, ProtocolError::LongBulkLine);
                    };
                    let length = integer(&line[1..]).and_then(|n| usize::try_from(n).ok());
                    let length = length.filter(|n| *n <= self.limits.value);
                    let length = length.ok_or(ProtocolError::BulkLength)?;
                    if self.position + length + 2 > self.limits.request {
                        return Err(ProtocolError::LongRequest);
                    }
                    self.bulk = Some(length);
                    length
                }
            };
            let end = self.position + length;
            // The two bytes of the line end are skipped unread, as in Redis.
            if bytes.len() < end + 2 {
                return Ok(Parsed::Incomplete(end + 2));
            }
            self.ranges.push(self.position..end);
            self.position = end + 2;
            self.scanned = self.position;
            self.bulk = None;
            self.missing = self.missing.map(|n| n - 1);
        }
        Ok(Parsed::Request(self.position))
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<Parsed, ProtocolError> {
        let Some(line) = self.line(bytes) else {
            return self.no_line(bytes, ProtocolError::LongInline);
        };
        if line.len() > MAX_LINE {
            return Err(ProtocolError::LongInline);
        }
        if line.iter().any(|b| matches!(b, b'"' | b'\'')) {
            self.is_unquoted = true;
            self.unquoted.clear();
            unquote(line, &mut self.unquoted, &mut self.ranges)
                .ok_or(ProtocolError::UnbalancedQuotes)?;
        } else {
            let mut at = 0;
            for word in line.split(|b| is_space(*b)) {
                if !word.is_empty() {
                    self.ranges.push(at..at + word.len());
                }
                at += word.len() + 1;
            }
        }
        Ok(Parsed::Request(self.position))
    }
}

/// What separates words.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0)
}

/// The words of a line with quotes: `"..."` knows `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and any other
/// byte as itself, `'...'` knows `\'`. `None` if a quote is not closed, or a word goes on behind it.
fn unquote(line: &[u8], text: &mut Vec<u8>, ranges: &mut Vec<Range<usize>>) -> Option<()> {
    let mut rest = line;
    loop {
        while let Some(byte) = rest.first()
            && is_space(*byte)
        {
            rest = &rest[1..];
        }
        if rest.is_empty() {
            return Some(());
        }
        let start = text.len();
        while let Some(byte) = rest.first().copied()
            && !is_space(byte)
        {
            rest = &rest[1..];
            if matches!(byte, b'"' | b'\'') {
                rest = quoted(rest, byte, text)?;
                break;
            }
            text.push(byte);
        }
        ranges.push(start..text.len());
    }
}

/// What follows the closing quote, the text before it having been written.
fn quoted<'a>(mut rest: &'a [u8], quote: u8, text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, length) = match *rest {
            [] => return None,
            [byte, ref after @ ..] if byte == quote => {
                return after.first().is_none_or(|b| is_space(*b)).then_some(after);
            }
            [b'\\', b'x', high, low, ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |c: u8| char::from(c).to_digit(16).unwrap_or(0) as u8;
                (digit(high) << 4 | digit(low), 4)
            }
            [b'\\', escaped, ..] if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                };
                (byte, 2)
            }
            [b'\\', b'\'', ..] if quote == b'\'' => (b'\'', 2),
            [byte, ..] => (byte, 1),
        };
        text.push(byte);
        rest = &rest[length..];
    }
}

/// The arguments of one request; the first is the command's name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Arguments<'a> {
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn get(&self, n: usize) -> Option<&'a [u8]> {
        self.ranges.get(n).map(|range| &self.bytes[range.clone()])
    }

    /// The arguments from `n` on.
    pub(crate) fn from(&self, n: usize) -> Arguments<'a> {
        Arguments {
            bytes: self.bytes,
            ranges: self.ranges.get(n..).unwrap_or(&[]),
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |range| &bytes[range.clone()])
    }
}

impl std::ops::Index<usize> for Arguments<'_> {
    type Output = [u8];

    fn index(&self, n: usize) -> &[u8] {
        &self.bytes[self.ranges[n].clone()]
    }
}

/// A decimal number of 64 bits as Redis has it: no sign but one minus, no space, no leading zero.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut number: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Nineteen digits always fit.
        number = number * 10 + u64::from(digit - b'0');
    }
    if negative {
        0_i64.checked_sub_unsigned(number)
    } else {
        i64::try_from(number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        value: 1000,
        request: 4000,
    };

    /// All requests of `bytes`, the parser being given `step` bytes more at a time; then the error,
    /// if there is one.
    fn all(bytes: &[u8], step: usize) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let mut parser = Parser::new(LIMITS);
        let (mut requests, mut begin, mut end) = (Vec::new(), 0, 0);
        loop {
            match parser.parse(&bytes[begin..end]) {
                Ok(Parsed::Request(length)) => {
                    let arguments = parser.arguments(&bytes[begin..end]);
                    requests.push(arguments.iter().map(<[u8]>::to_vec).collect());
                    assert!(length > 0 && begin + length <= end);
                    begin += length;
                }
                Ok(Parsed::Incomplete(needed)) => {
                    assert!(needed > end - begin, "it has what it wants");
                    assert!(needed <= LIMITS.request + MAX_LINE + 2, "{needed}");
                    if end == bytes.len() {
                        return (requests, None);
                    }
                    end = bytes.len().min(end + step);
                }
                Err(error) => return (requests, Some(error)),
            }
            assert!(parser.ranges.capacity() <= KEPT_RANGES.max(end));
        }
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|w| w.as_bytes().to_vec()).collect()
    }

    #[test]
    fn requests_are_the_same_however_they_are_cut() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n  set  k 'a b'\t\"\\x41\\n\\q\"\n*0\r\n\
            *-1\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n";
        let wanted = vec![
            words(&["GET", "k"]),
            words(&["PING"]),
            vec![],
            words(&["set", "k", "a b", "A\nq"]),
            vec![],
            vec![],
            words(&["SET", "", "\r\n\r\n"]),
        ];
        for step in 1..=bytes.len() {
            assert_eq!(all(bytes, step), (wanted.clone(), None), "by {step}");
        }
    }

    #[test]
    fn errors_are_the_same_however_they_are_cut() {
        let long = [b'x'; MAX_LINE + 2];
        let line = |begin: &[u8]| [begin, &long].concat();
        for (bytes, error) in [
            (b"*x\r\n".to_vec(), ProtocolError::MultibulkLength),
            (b"*\r\n".to_vec(), ProtocolError::MultibulkLength),
            (b"*1048577\r\n".to_vec(), ProtocolError::MultibulkLength),
            (
                b"*99999999999999999999\r\n".to_vec(),
                ProtocolError::MultibulkLength,
            ),
            (b"*1\r\n:1\r\n".to_vec(), ProtocolError::ExpectedBulk(b':')),
            (b"*1\r\n$-1\r\n".to_vec(), ProtocolError::BulkLength),
            (b"*1\r\n$1001\r\n".to_vec(), ProtocolError::BulkLength),
            (
                b"*1\r\n$9223372036854775807\r\n".to_vec(),
                ProtocolError::BulkLength,
            ),
            (b"*1\r\n$3x\r\n".to_vec(), ProtocolError::BulkLength),
            (b"get 'k\r\n".to_vec(), ProtocolError::UnbalancedQuotes),
            (b"get \"k\"x\r\n".to_vec(), ProtocolError::UnbalancedQuotes),
            (line(b"get "), ProtocolError::LongInline),
            (line(b"*"), ProtocolError::LongMultibulkLine),
            (line(b"*1\r\n$"), ProtocolError::LongBulkLine),
        ] {
            for step in [1, 3, bytes.len()] {
                let (requests, got) = all(&bytes, step);
                assert_eq!((requests.len(), got), (0, Some(error)));
            }
        }
        let many = [b"*9\r\n".to_vec(), b"$1000\r\n".to_vec()].concat();
        let bulk = [b"$1000\r\n".to_vec(), vec![b'v'; 1000], b"\r\n".to_vec()].concat();
        let bytes = [&many[..4], &bulk, &bulk, &bulk, &bulk].concat();
        assert_eq!(all(&bytes, 7).1, Some(ProtocolError::LongRequest));
    }

    /// xorshift64.
    fn random(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 16) as usize
    }

    #[test]
    fn random_bytes_neither_panic_nor_cost_memory() {
        let mut state = 0x5eed_0001;
        let alphabet = b"*$\r\n0123456789- \"'\\xgetPING\0\xff";
        for _ in 0..20_000 {
            let length = random(&mut state) % 200;
            let bytes: Vec<u8> = (0..length)
                .map(|_| alphabet[random(&mut state) % alphabet.len()])
                .collect();
            let whole = all(&bytes, bytes.len().max(1));
            assert_eq!(all(&bytes, 1), whole, "{}", bytes.escape_ascii());
            assert_eq!(all(&bytes, 1 + random(&mut state) % 9), whole);
        }
    }

    #[test]
    fn what_was_encoded_comes_back() {
        let mut state = 0x5eed_0002;
        for _ in 0..2000 {
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            for _ in 0..random(&mut state) % 5 {
                let arguments: Vec<Vec<u8>> = (0..random(&mut state) % 6)
                    .map(|_| {
                        let length = random(&mut state) % 40;
                        (0..length).map(|_| random(&mut state) as u8).collect()
                    })
                    .collect();
                bytes.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
                for argument in &arguments {
                    bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
                    bytes.extend_from_slice(argument);
                    bytes.extend_from_slice(b"\r\n");
                }
                wanted.push(arguments);
            }
            assert_eq!(all(&bytes, 1 + random(&mut state) % 50), (wanted, None));
        }
    }

    #[test]
    fn integers_are_as_strict_as_those_of_redis() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN, 1_000_000_007] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1x",
            "9223372036854775808",
            "0x1",
            "-9223372036854775809",
            "99999999999999999999",
            "1.0",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }
}
