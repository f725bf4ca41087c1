//! What the benchmarks share. The benchmarks themselves are in `benches/`, one file for each
//! subject; `cargo bench` runs all of them, `cargo bench --bench spawn` one.
//!
//! A benchmark does a number of operations that criterion chooses, inside [`marmot::Runtime::run`], checks
//! the result, and gives the time. So the figures are times per operation: per task, per yield, per
//! message.

#[cfg(feature = "criterion")]
mod measure;

#[cfg(feature = "criterion")]
pub use crate::measure::{WIDTHS, criterion, measure};

/// Part `index` of `total`, divided as evenly as can be into `parts`.
///
/// ```
/// let parts: Vec<_> = (0..3).map(|i| marmot_benches::share(11, 3, i)).collect();
/// assert_eq!(parts, [4, 4, 3]);
/// ```
pub fn share(total: u64, parts: u64, index: u64) -> u64 {
    total / parts + u64::from(index < total % parts)
}
