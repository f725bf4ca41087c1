//! The flags that make a machine stop and think before it looks for work.
//!
//! A machine reads one word at the head of each scheduling round. It is almost always zero; what it
//! may say is rare, so all of it shares the word, and the round pays for one load.

use crate::sync::{AtomicU32, Ordering};

/// The scheduler ends. Set once.
pub(crate) const STOPPING: u32 = 1;
/// There are more processors than wanted. Changed under the lock of `Sched::size`.
pub(crate) const SURPLUS: u32 = 2;
/// A machine that sleeps wants a processor for the goroutines at home on it. Changed under the lock
/// of the park lot.
pub(crate) const WANTED: u32 = 4;
/// Timers, events or the global queue have waited for too long. Set by sysmon, cleared by the machine
/// that sees to it.
pub(crate) const HURRY: u32 = 8;
/// Scheduling is to be as unusual as the rules allow (`chaos.rs`). Set at the start, or never.
pub(crate) const CHAOS: u32 = 16;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Flags(AtomicU32);

impl Flags {
    /// A snapshot: an or of the constants.
    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether all of `flags` are set.
    #[inline]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.get() & flags == flags
    }

    /// The word before. Sequentially consistent, as is `clear`: what a flag announces comes before it
    /// for whoever reads it after a fence.
    pub(crate) fn set(&self, flags: u32) -> u32 {
        self.0.fetch_or(flags, Ordering::SeqCst)
    }

    pub(crate) fn clear(&self, flags: u32) {
        self.0.fetch_and(!flags, Ordering::SeqCst);
    }
}
