//! stub
/// A random number for scheduling decisions (the choice among ready cases, the first victim of a
/// steal ...). All randomness of the runtime comes from here.
pub fn next_u32() -> u32 {
    use std::sync::atomic::*;
    static S: AtomicU64 = AtomicU64::new(0x9E3779B97F4A7C15);
    let mut z = S.fetch_add(0x9E3779B97F4A7C15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
    (z >> 32) as u32
}
