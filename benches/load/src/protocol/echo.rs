//! Echoes: every byte has to come back, in order, on the same connection.

use super::{Protocol, excerpt};

/// Bytes at the beginning of a request that tell it from others.
const MARK: usize = 8;

/// The low bits of a mark, which number the request; the others number the connection.
const NUMBER_BITS: u32 = 40;

/// Requests of a mark and a filling that is the same for all.
#[derive(Debug)]
pub(crate) struct Echo {
    /// Bytes of a request; if there are less than a mark, it is cut off.
    size: usize,
    /// Room for as many requests as may be under way; only their marks change.
    requests: Vec<u8>,
    /// What follows a mark.
    filling: Vec<u8>,
}

fn mark(id: u64, number: u64) -> [u8; MARK] {
    let low = (1 << NUMBER_BITS) - 1;
    (id << NUMBER_BITS | number & low).to_le_bytes()
}

impl Echo {
    pub(crate) fn new(size: usize, pipeline: usize) -> Echo {
        let request: Vec<u8> = (0..size).map(|i| (i * 31 + i / 256) as u8).collect();
        Echo {
            size,
            requests: request.repeat(pipeline),
            filling: request.get(MARK..).unwrap_or_default().to_vec(),
        }
    }
}

impl Protocol for Echo {
    /// How many bytes of an answer have come.
    type State = usize;

    fn request_len(&self) -> usize {
        self.size
    }

    fn requests(&mut self, id: u64, first: u64, count: usize) -> &[u8] {
        let marked = self.size.min(MARK);
        let all = &mut self.requests[..self.size * count];
        for (request, number) in all.chunks_exact_mut(self.size).zip(first..) {
            request[..marked].copy_from_slice(&mark(id, number)[..marked]);
        }
        all
    }

    fn check(
        &mut self,
        at: &mut usize,
        id: u64,
        answered: u64,
        mut bytes: &[u8],
    ) -> Result<u64, String> {
        let marked = self.size.min(MARK);
        let mut complete = 0;
        while !bytes.is_empty() {
            let mark = mark(id, answered + complete);
            let rest = if *at < marked {
                &mark[*at..marked]
            } else {
                &self.filling[*at - marked..]
            };
            let n = rest.len().min(bytes.len());
            if bytes[..n] != rest[..n] {
                let (got, right) = (excerpt(&bytes[..n]), excerpt(&rest[..n]));
                return Err(format!("{got} from byte {at} on, instead of {right}"));
            }
            bytes = &bytes[n..];
            *at += n;
            if *at == self.size {
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
    fn an_echo_is_right_however_it_is_cut() {
        for size in [1, 3, 8, 9, 64] {
            let mut echo = Echo::new(size, 5);
            let sent = echo.requests(7, 100, 5).to_vec();
            for cut in 1..sent.len() {
                let (mut state, mut answered) = (0, 100);
                for piece in sent.chunks(cut) {
                    answered += echo.check(&mut state, 7, answered, piece).unwrap();
                }
                assert_eq!(answered, 105);
                assert!(!echo.is_partial(&state));
            }
        }
    }

    #[test]
    fn every_wrong_byte_is_found() {
        let mut echo = Echo::new(64, 1);
        let sent = echo.requests(7, 3, 1).to_vec();
        for i in 0..sent.len() {
            let mut wrong = sent.clone();
            wrong[i] ^= 1;
            assert!(echo.check(&mut 0, 7, 3, &wrong).is_err(), "byte {i}");
        }
        assert!(echo.check(&mut 0, 8, 3, &sent).is_err());
        assert!(echo.check(&mut 0, 7, 4, &sent).is_err());
    }
}
