//! What is fetched into the cache before a goroutine goes on: its control block, its frames, and what it will
//! touch of others. Hints all of them: they change nothing, and need not be right.
//!
//! When what is fetched is known decides where that is done: at the head of a round for those in the run queue,
//! when it is readied for one that runs next, in groups for what a poll or the timers have found.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::{G, NEWBORN, Runnable};
use crate::arena::CACHE_LINE;
use crate::sys;
use crate::wait::Parked;

/// The cache lines that a parked goroutine touches when it goes on, counted from the frame of its wait: the
/// registers saved below, and its callers above.
const FRAME_LINES: std::ops::Range<isize> = -2..3;

impl G {
    /// Has the processor fetch what is touched when these go on: of the second its control block, or what
    /// it will be born from, and of the first, whose control block was the second before, the frames, if
    /// `deep`. Pointers that are null, or were once those of runnable goroutines.
    #[inline(always)]
    pub(crate) fn prefetch(next: [*mut G; 2], deep: bool) {
        if deep {
            Self::prefetch_frames_of(next[0]);
        }
        sys::prefetch(next[1]);
        Self::prefetch_second_line(next[1]);
    }

    #[inline(always)]
    fn prefetch_second_line(g: *const G) {
        sys::prefetch(g.cast::<u8>().wrapping_add(CACHE_LINE));
    }

    /// Not inlined, so that a turn without it needs no registers for it.
    #[inline(never)]
    fn prefetch_frames_of(g: *mut G) {
        if g.addr() & NEWBORN == 0
            && let Some(g) = NonNull::new(g)
        {
            // SAFETY: not tagged, so it was that of a control block, and these are never unmapped.
            unsafe { g.as_ref() }.prefetch_frames();
        }
    }

    /// Has the processor fetch what is touched when this one, which runs, has readied `other`, which will
    /// run soon: see `successor.rs`.
    #[inline(always)]
    pub(crate) fn prefetch_readied(&self, other: &Runnable) {
        if !self.successor.note(other.0) {
            other.as_ref().prefetch_frames();
            return;
        }
        // That one was fetched when this one was readied. Those that ready each other both are.
        let next = other.as_ref().successor.guess();
        if ptr::eq(next, self) {
            return;
        }
        // SAFETY: null, or once that of a goroutine: control blocks are never unmapped.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prefetch_frames();
            // A channel, as a rule, of which the first line is touched.
            sys::prefetch(ptr::without_provenance::<u8>(
                next.object.load(Ordering::Relaxed),
            ));
            let after = next.successor.guess();
            sys::prefetch(after);
            Self::prefetch_second_line(after);
        }
    }

    /// Has the processor fetch the frames at which it was left.
    #[inline(always)]
    fn prefetch_frames(&self) {
        let frame = self.frame.load(Ordering::Relaxed);
        for line in FRAME_LINES {
            sys::prefetch(frame.wrapping_offset(line * CACHE_LINE as isize));
        }
    }
}

/// Has the processor fetch what is touched when these goroutines go on: the rest of their control
/// blocks, and the frames at which they were left.
///
/// Each lies on a page or two of its own, whose translations are seldom at hand. A prefetch waits for
/// the translation, but several can be looked up side by side, if nothing else comes between.
pub(crate) fn prefetch_parked(parked: &[Parked]) {
    let blocks = || {
        // SAFETY: the right to a goroutine is that to look at its control block, which is never
        // unmapped. There are no threads in a `ReadyList`.
        let block = |p: &Parked| unsafe { p.header().cast::<G>().as_ref() };
        parked.iter().map(block)
    };
    for g in blocks() {
        G::prefetch_second_line(g);
    }
    for g in blocks() {
        g.prefetch_frames();
    }
}
