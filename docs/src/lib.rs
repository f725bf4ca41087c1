//! The documents, with every code block of theirs compiled and run as a doctest.
//!
//! ```text
//! cargo test -p marmot-docs
//! ```

/// One private module for each document.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}

    #[doc = include_str!("../../CONTRIBUTING.md")]
    mod contributing {}

    #[doc = include_str!("../ARCHITECTURE.md")]
    mod architecture {}

    #[doc = include_str!("../HACKING.md")]
    mod hacking {}

    #[doc = include_str!("../CAVEATS.md")]
    mod caveats {}

    #[doc = include_str!("../BENCHMARKS.md")]
    mod benchmarks {}
}
