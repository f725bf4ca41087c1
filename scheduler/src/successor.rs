//! Whom a goroutine readies: a guess, for prefetching and for nothing else.
//!
//! In a pipeline, a ring or a conversation each goroutine readies the same other one, time after time.
//! There it is known a turn ahead what will be touched: whoever readies a goroutine has that one's
//! successor fetched, while the goroutine itself was fetched by whoever readied the caller. Among ten
//! thousand goroutines, where nothing is in a near cache, the misses of a turn are so had during the
//! turn before. (Luk and Mowry's history pointers, 1996, between goroutines.)
//!
//! # Invariants
//!
//! 1. What is remembered was once the control block of a goroutine, which stays mapped. Whose it is by
//!    now nobody knows, and it matters to nobody.
//! 2. Written by the goroutine it belongs to, read by anyone.
//!
//! # Rejected
//!
//! - **To fetch on every guess**, right or wrong: where goroutines ready two others in turn, as in a
//!   sieve, it costs 4 % and saves nothing.
//! - **To look further ahead**, by a second and a third pointer: no faster at any size; what is left
//!   then is how many lines there are, not how long each takes.
//! - **To do the same for who is next in a run queue**, whose control block and frames are fetched
//!   ahead anyway: nothing gained in the sieve, and 4 % lost where all is near.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// How often in a row it has to be the same one before it is relied on. Fits below the alignment.
const SURE: usize = 8;

/// A pointer to the last one, and in its low bits how often before that it was the same.
#[derive(Debug)]
pub(crate) struct Successor<T>(AtomicPtr<T>);

impl<T> Successor<T> {
    const MASK: usize = {
        assert!(align_of::<T>() > SURE);
        align_of::<T>() - 1
    };

    /// Notes that this one is readied now. Whether that was to be expected.
    #[inline(always)]
    pub(crate) fn note(&self, readied: NonNull<T>) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        // If it is another one, more than any count: their addresses lie further apart, or it wraps.
        let times = last.addr().wrapping_sub(readied.addr().get());
        if times == SURE {
            return true;
        }
        let now = if times < SURE {
            last.wrapping_byte_add(1)
        } else {
            readied.as_ptr()
        };
        self.0.store(now, Ordering::Relaxed);
        false
    }

    /// The one that was readied last, or null.
    #[inline(always)]
    pub(crate) fn guess(&self) -> *const T {
        let last = self.0.load(Ordering::Relaxed);
        last.map_addr(|address| address & !Self::MASK)
    }
}

impl<T> Default for Successor<T> {
    fn default() -> Self {
        Successor(AtomicPtr::new(ptr::null_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(64))]
    struct Block(#[allow(dead_code)] u8);

    #[test]
    fn only_who_was_readied_often_is_expected() {
        let blocks = [const { Block(0) }; 2];
        let [a, b] = [0, 1].map(|n| NonNull::from(&blocks[n]));
        let successor = Successor::<Block>::default();
        assert!(successor.guess().is_null());
        for _ in 0..2 {
            for _ in 0..=SURE {
                assert!(!successor.note(a));
                assert_eq!(successor.guess(), a.as_ptr().cast_const());
            }
            assert!(successor.note(a) && successor.note(a));
            assert_eq!(successor.guess(), a.as_ptr().cast_const());
            // The neighbour, below and above in memory.
            assert!(!successor.note(b));
            assert_eq!(successor.guess(), b.as_ptr().cast_const());
        }
        for _ in 0..3 * SURE {
            assert!(!successor.note(a) && !successor.note(b));
        }
    }
}
