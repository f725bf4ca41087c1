//! The handle counts: who keeps a channel, and who lets go of it last.
//!
//! # Invariants
//!
//! 1. `senders` and `receivers` count the handles of each side. A side that has come to zero never
//!    comes back.
//! 2. The side that goes first sets `one_sided`; the one that finds it set frees the channel. By
//!    then no other task is inside it: being inside takes a handle.

use std::ops::Deref;
use std::process;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::chan::Chan;

/// A channel and its counts.
#[derive(Debug)]
#[repr(C)]
struct Counted<T> {
    chan: Chan<T>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    one_sided: AtomicBool,
}

impl<T> Counted<T> {
    fn count(&self, sender: bool) -> &AtomicUsize {
        if sender {
            &self.senders
        } else {
            &self.receivers
        }
    }
}

/// One handle's share in a channel: of the sending side if `SENDER`, else of the receiving side.
#[derive(Debug)]
pub(crate) struct Share<T, const SENDER: bool>(NonNull<Counted<T>>);

/// A new channel, held by one handle on each side.
pub(crate) fn shares<T>(chan: Chan<T>) -> (Share<T, true>, Share<T, false>) {
    let counted = NonNull::from(Box::leak(Box::new(Counted {
        chan,
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        one_sided: AtomicBool::new(false),
    })));
    (Share(counted), Share(counted))
}

impl<T, const SENDER: bool> Share<T, SENDER> {
    /// One more handle of the same side.
    pub(crate) fn another(&self) -> Self {
        // SAFETY: the channel lives as long as this share.
        let counted = unsafe { self.0.as_ref() };
        // Relaxed: a handle is made from a handle, which reaches others by means of their own.
        let before = counted.count(SENDER).fetch_add(1, Ordering::Relaxed);
        // Leaked handles could make the count wrap. As in `Arc`: better to stop.
        if before > isize::MAX as usize {
            process::abort();
        }
        Share(self.0)
    }

    /// Gives the share up. If it was the last of its side, `last` runs before the side is gone, and
    /// what it returns is handed back when all else is done.
    ///
    /// # Safety
    /// The share is not used again.
    pub(crate) unsafe fn release<R>(&mut self, last: impl FnOnce(&Chan<T>) -> R) -> Option<R> {
        // SAFETY: the channel lives as long as this share.
        let counted = unsafe { self.0.as_ref() };
        // AcqRel: the last one sees all that the others have done.
        if counted.count(SENDER).fetch_sub(1, Ordering::AcqRel) != 1 {
            return None;
        }
        let result = last(&counted.chan);
        // AcqRel: whoever comes second sees all that the first has done.
        if counted.one_sided.swap(true, Ordering::AcqRel) {
            // SAFETY: both sides are gone (2); the box was leaked in `shares`.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
        Some(result)
    }

    /// Whether both are of the same channel.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T, const SENDER: bool> Deref for Share<T, SENDER> {
    type Target = Chan<T>;

    #[inline]
    fn deref(&self) -> &Chan<T> {
        // SAFETY: the channel lives as long as this share.
        &unsafe { self.0.as_ref() }.chan
    }
}
