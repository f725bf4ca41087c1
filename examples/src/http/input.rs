//! The room for input: a small one on the stack of the connection's goroutine, a large one if need be.
//!
//! Most connections need no more than the small one, and many may be idle. The memory of stacks is given
//! back when a crowd has gone; that of pieces of the heap, for the most part, is not: glibc keeps what
//! has anything in use above it. For ten thousand connections of 4 KiB that was 45 MB.

use std::ops::{Deref, DerefMut};

/// Bytes of input that a connection has room for, until it needs more.
pub(super) const SMALL: usize = 4 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Input<'a> {
    /// Borrowed, so that it lies on the stack once.
    small: &'a mut [u8; SMALL],
    /// In place of `small`, unless it is empty.
    large: Vec<u8>,
}

impl<'a> Input<'a> {
    pub(super) fn new(small: &'a mut [u8; SMALL]) -> Input<'a> {
        Input {
            small,
            large: Vec::new(),
        }
    }

    /// Has at least as many bytes from now on.
    pub(super) fn grow(&mut self, len: usize) {
        if self.large.is_empty() && len > SMALL {
            self.large.reserve_exact(len);
            self.large.extend_from_slice(self.small);
        }
        if len > self.len() {
            self.large.resize(len, 0);
        }
    }
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.large.is_empty() {
            true => self.small,
            false => &self.large,
        }
    }
}

impl DerefMut for Input<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self.large.is_empty() {
            true => self.small,
            false => &mut self.large,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_when_it_grows() {
        let mut small = [0; SMALL];
        let mut input = Input::new(&mut small);
        input[..3].copy_from_slice(b"abc");
        input[SMALL - 1] = b'z';
        input.grow(10);
        assert_eq!(input.len(), SMALL);
        for len in [2 * SMALL, 4 * SMALL] {
            input.grow(len);
            assert_eq!(input.len(), len);
            assert_eq!((&input[..3], input[SMALL - 1]), (&b"abc"[..], b'z'));
        }
    }
}
