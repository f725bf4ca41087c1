//! A body in chunks, taken apart as it comes in.
//!
//! # Invariants
//!
//! 1. What is not part of the data (sizes, extensions, trailers, line ends) is at most
//!    [`MAX_OVERHEAD`] bytes for each body, plus a fixed number for each chunk.
//! 2. Every line ends with a carriage return and a line feed; nothing else ends one.
//! 3. The decoder keeps no bytes: it can be fed with pieces of any size, and gives the same.

/// Bytes of extensions and trailers that a body may have.
const MAX_OVERHEAD: usize = 8 * 1024;
/// Digits of a chunk's size.
const MAX_DIGITS: u8 = 8;

/// A body that is not in chunks, though it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A digit of a size; at first there must be one.
    Size { digits: u8 },
    /// An extension, ignored.
    Extension,
    /// The line feed after a size.
    SizeEnd,
    /// Data of the chunk.
    Data,
    /// The carriage return after the data.
    DataReturn,
    /// The line feed after that.
    DataEnd,
    /// The first byte of a trailer, or of the empty line that ends it all.
    TrailerStart,
    /// A trailer, ignored.
    Trailer,
    /// The line feed after a trailer.
    TrailerEnd,
    /// The last line feed.
    LastEnd,
    /// Nothing.
    Done,
}

/// Takes a chunked body apart.
///
/// ```
/// use marmot_examples::http::Chunked;
///
/// let mut chunked = Chunked::new();
/// let mut data = Vec::new();
/// let used = chunked.decode(b"5\r\nhello\r\n0\r\n\r\nGET", |piece| data.extend_from_slice(piece))?;
/// assert!(chunked.is_done());
/// assert_eq!((used, data.as_slice()), (15, &b"hello"[..]));
/// # Ok::<(), marmot_examples::http::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Chunked {
    next: Next,
    /// Of the chunk, what is still to come.
    left: u64,
    overhead: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Chunked::new()
    }
}

impl Chunked {
    /// One at the beginning of a body.
    pub fn new() -> Chunked {
        Chunked {
            next: Next::Size { digits: 0 },
            left: 0,
            overhead: 0,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.next == Next::Done
    }

    /// Takes some of `input` and gives `sink` the data in it. Says how many bytes it has taken: all,
    /// unless the body ends before.
    ///
    /// # Errors
    /// The body is malformed, or its extensions and trailers are too long.
    pub fn decode(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.next != Next::Done {
            if self.next == Next::Data {
                let rest = &input[at..];
                let n = self.left.min(rest.len() as u64) as usize;
                sink(&rest[..n]);
                self.left -= n as u64;
                at += n;
                if self.left == 0 {
                    self.next = Next::DataReturn;
                }
            } else {
                self.next = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// What comes after `byte`, which is not data.
    fn step(&mut self, byte: u8) -> Result<Next, Malformed> {
        match (self.next, byte) {
            (Next::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < MAX_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.left = self.left * 16 + u64::from(digit);
                Ok(Next::Size { digits: digits + 1 })
            }
            (Next::Size { digits: 1.. }, b';') => self.ignore(Next::Extension),
            (Next::Size { digits: 1.. } | Next::Extension, b'\r') => Ok(Next::SizeEnd),
            (Next::Extension, _) if is_text(byte) => self.ignore(Next::Extension),
            (Next::SizeEnd, b'\n') if self.left > 0 => Ok(Next::Data),
            (Next::SizeEnd, b'\n') => Ok(Next::TrailerStart),
            (Next::DataReturn, b'\r') => Ok(Next::DataEnd),
            (Next::DataEnd, b'\n') => Ok(Next::Size { digits: 0 }),
            (Next::TrailerStart, b'\r') => Ok(Next::LastEnd),
            (Next::Trailer, b'\r') => Ok(Next::TrailerEnd),
            (Next::TrailerStart | Next::Trailer, _) if is_text(byte) => self.ignore(Next::Trailer),
            (Next::TrailerEnd, b'\n') => self.ignore(Next::TrailerStart),
            (Next::LastEnd, b'\n') => Ok(Next::Done),
            _ => Err(Malformed),
        }
    }

    fn ignore(&mut self, next: Next) -> Result<Next, Malformed> {
        self.overhead += 1;
        if self.overhead > MAX_OVERHEAD {
            return Err(Malformed);
        }
        Ok(next)
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and the number of bytes taken, when fed with pieces of `size`.
    fn decode(input: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let mut chunked = Chunked::new();
        let (mut data, mut used) = (Vec::new(), 0);
        for piece in input.chunks(size) {
            let n = chunked.decode(piece, |d| data.extend_from_slice(d))?;
            used += n;
            if n < piece.len() {
                break;
            }
        }
        Ok((data, used, chunked.is_done()))
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let body =
            b"4;name=\"value\"\r\nWiki\r\n00E\r\npedia in\r\nnext\r\n0\r\nTrailer: x\r\n\r\nmore";
        for size in 1..=body.len() {
            let (data, used, done) = decode(body, size).unwrap();
            assert_eq!(data, b"Wikipedia in\r\nnext", "{size}");
            assert_eq!((used, done), (body.len() - 4, true), "{size}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_malformed() {
        for body in [
            &b"\r\n"[..],
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b";x\r\n",
            b"000000005\r\nhello\r\n",
            b"5;a\nb\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"0\r\nX: y\nZ: z\r\n\r\n",
            b"0\r\n\r\r",
        ] {
            for size in 1..=body.len() {
                assert_eq!(decode(body, size), Err(Malformed), "{body:?}, {size}");
            }
        }
    }

    #[test]
    fn extensions_and_trailers_have_an_end() {
        let long = "x".repeat(MAX_OVERHEAD);
        for body in [format!("5;{long}"), format!("0\r\n{long}x"), {
            let chunk = format!("1;{}\r\nx\r\n", &long[..100]);
            chunk.repeat(MAX_OVERHEAD / 100 + 1)
        }] {
            assert_eq!(decode(body.as_bytes(), 100), Err(Malformed));
        }
    }
}
