//! The atomics and locks that the pure protocols are written against.
//!
//! A pure protocol file names `crate::sync` and nothing else that synchronises. In this crate the
//! names mean std's types; the model tests include the same source files into a crate of their own
//! whose `sync` module means loom's (see `tests/models.rs`). So what is modelled is what ships,
//! and no `cfg` flag has to be passed to any dependency.

pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
