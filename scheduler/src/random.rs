//! The random seam: every random choice of the runtime draws from here.
//!
//! Each processor has a generator of its own; a plain thread draws from a shared counter.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The odd constant of Steele, Lea and Flood's SplitMix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's output function ("Fast splittable pseudorandom number generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A generator for one processor.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(Cell::new(mix(seed.wrapping_add(GOLDEN))))
    }

    #[inline]
    pub(crate) fn next_u32(&self) -> u32 {
        let state = self.0.get().wrapping_add(GOLDEN);
        self.0.set(state);
        (mix(state) >> 32) as u32
    }
}

static SHARED: AtomicU64 = AtomicU64::new(0);

/// A seed that differs from process to process and from call to call.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(SHARED.fetch_add(GOLDEN, Ordering::Relaxed))
}

/// A random number for a scheduling decision: the choice among ready cases, the first victim of a
/// steal. Not for secrets.
///
/// ```
/// let case = marmot_scheduler::random::next_u32() % 3;
/// assert!(case < 3);
/// ```
#[inline]
pub fn next_u32() -> u32 {
    if let Some(here) = crate::g::Current::get() {
        let m = here.machine();
        if m.enter() {
            let random = m.random();
            m.leave();
            return random;
        }
    }
    (mix(SHARED.fetch_add(GOLDEN, Ordering::Relaxed)) >> 32) as u32
}
