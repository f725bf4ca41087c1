//! Replies of the Redis protocol (RESP2), gathered until the whole batch is written.

/// A buffer of replies. Its memory is reused from one batch to the next.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    bytes: Vec<u8>,
}

impl Replies {
    pub(crate) fn new() -> Replies {
        Replies::default()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all replies, and memory beyond `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep);
    }

    /// Forgets what came behind the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// `+text`.
    pub(crate) fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.bytes.extend_from_slice(text.as_bytes());
        self.end_line();
    }

    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// `-text`, where the text begins with a code as in `ERR syntax error`.
    pub(crate) fn error(&mut self, text: &str) {
        self.error_with(|out| out.extend_from_slice(text.as_bytes()));
    }

    /// The same, for a text that holds what a client sent: line ends in it become spaces.
    pub(crate) fn error_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(b'-');
        let start = self.bytes.len();
        write(&mut self.bytes);
        for byte in &mut self.bytes[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.end_line();
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.number(b':', number);
    }

    pub(crate) fn bulk(&mut self, value: &[u8]) {
        self.number(b'$', value.len() as i64);
        self.bytes.extend_from_slice(value);
        self.end_line();
    }

    /// "There is none."
    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(b"$-1\r\n");
    }

    /// The head of an array; its elements follow.
    pub(crate) fn array(&mut self, length: usize) {
        self.number(b'*', length as i64);
    }

    /// Replies that were written elsewhere.
    pub(crate) fn append(&mut self, replies: &Replies) {
        self.bytes.extend_from_slice(&replies.bytes);
    }

    fn number(&mut self, kind: u8, number: i64) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(Decimal::new(number).digits());
        self.end_line();
    }

    fn end_line(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// The decimal digits of a number, on the stack.
#[derive(Debug)]
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn new(number: i64) -> Decimal {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        Decimal { digits, start }
    }

    pub(crate) fn digits(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_look_as_the_protocol_wants_them() {
        let mut replies = Replies::new();
        replies.ok();
        replies.simple("PONG");
        replies.error("ERR no");
        replies.error_with(|out| out.extend_from_slice(b"ERR a\r\nb"));
        replies.integer(-12);
        replies.array(2);
        replies.bulk(b"a\r\nb");
        replies.null();
        assert_eq!(
            replies.bytes().escape_ascii().to_string(),
            r"+OK\r\n+PONG\r\n-ERR no\r\n-ERR a  b\r\n:-12\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n"
        );
        replies.clear(16);
        assert!(replies.bytes().is_empty() && replies.bytes.capacity() <= 16);
    }

    #[test]
    fn decimals_are_those_of_the_standard_library() {
        for number in [0, 7, -7, 10, 99, 100, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(Decimal::new(number).digits(), number.to_string().as_bytes());
        }
    }
}
