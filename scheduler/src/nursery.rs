//! The nursery: goroutines that have not begun, newest first for the owner, oldest first for thieves.
//!
//! The deque of Chase and Lev, with the orderings of Lê, Pop, Cohen and Zappa Nardelli ("Correct and
//! efficient work-stealing for weak memory models", 2013), of fixed size: what has no room goes
//! elsewhere. Both ends are counters modulo 2^32; what lies between them waits.
//!
//! # Invariants
//!
//! 1. `bottom` is the owner's. `top` only grows, by compare-and-swap: a thief's, or the owner's for the
//!    last item.
//! 2. Whoever moves `top` on has what lay there. The owner has what it finds at `bottom - 1` if, after
//!    it has made `bottom` known and a fence, `top` is below that.
//! 3. A place is filled only while `bottom - top < CAPACITY`: so a thief that read it before it was
//!    filled again fails to move `top`.
//!
//! # Rejected
//!
//! crossbeam's deque, which grows: it frees its old buffers by way of a collector that is the whole
//! process's, and with them, in the middle of a push or a theft, whatever other users of that
//! collector have given it. Their destructors may call the scheduler.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicU32, Ordering, fence, null_pointers};

/// The most that wait: a power of two. Memory that was never used is none.
pub(crate) const CAPACITY: u32 = if cfg!(test) { 8 } else { 65536 };

/// See the module's documentation.
pub(crate) struct Nursery<T> {
    top: Aligned<AtomicU32>,
    bottom: Aligned<AtomicU32>,
    places: Box<[AtomicPtr<T>; CAPACITY as usize]>,
    /// Pointers to `T` are passed through, from thread to thread.
    item: PhantomData<NonNull<T>>,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Aligned<T>(T);

// SAFETY: pointers only are moved; their users say what they mean.
unsafe impl<T> Send for Nursery<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Nursery<T> {}

impl<T> Nursery<T> {
    pub(crate) fn new() -> Self {
        Nursery {
            top: Aligned(AtomicU32::new(0)),
            bottom: Aligned(AtomicU32::new(0)),
            places: null_pointers(),
            item: PhantomData,
        }
    }

    #[inline(always)]
    fn place(&self, index: u32) -> &AtomicPtr<T> {
        &self.places[(index % CAPACITY) as usize]
    }

    /// How many wait (a snapshot).
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let top = self.top.0.load(Ordering::Relaxed);
        let bottom = self.bottom.0.load(Ordering::Relaxed);
        // A snapshot of two; and the owner steps below `top` for a moment.
        (bottom.wrapping_sub(top) as i32).max(0) as usize
    }

    /// Whether nobody waits (a snapshot; as the owner sees it, it stays so but for the owner).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Owner: puts an item in; gives it back if there is no room.
    #[inline]
    pub(crate) fn push(&self, item: NonNull<T>) -> Result<(), NonNull<T>> {
        let bottom = self.bottom.0.load(Ordering::Relaxed);
        // Acquire: the thief that moved `top` has read the place.
        let top = self.top.0.load(Ordering::Acquire);
        if bottom.wrapping_sub(top) >= CAPACITY {
            return Err(item);
        }
        self.place(bottom).store(item.as_ptr(), Ordering::Relaxed);
        // Release: who sees `bottom` sees the place, and what the item points to.
        self.bottom
            .0
            .store(bottom.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Owner: takes the newest.
    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<T>> {
        let bottom = self.bottom.0.load(Ordering::Relaxed);
        // Without a fence, if there is nothing: `top` never goes back.
        if bottom == self.top.0.load(Ordering::Relaxed) {
            return None;
        }
        let newest = bottom.wrapping_sub(1);
        // Release: who sees this one does not see the one of `push`.
        self.bottom.0.store(newest, Ordering::Release);
        // With the thief's: it sees `newest`, or we see its `top`.
        fence(Ordering::SeqCst);
        let top = self.top.0.load(Ordering::Relaxed);
        let others = newest.wrapping_sub(top) as i32;
        if others > 0 {
            return NonNull::new(self.place(newest).load(Ordering::Relaxed));
        }
        // The last one, which thieves may take as well, or have taken.
        let won = others == 0
            && self
                .top
                .0
                .compare_exchange(top, bottom, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
        self.bottom.0.store(bottom, Ordering::Relaxed);
        if !won {
            return None;
        }
        NonNull::new(self.place(newest).load(Ordering::Relaxed))
    }

    /// Anybody: takes the oldest.
    pub(crate) fn steal(&self) -> Option<NonNull<T>> {
        loop {
            // Acquire: as in the paper; a later `top` is seen with what came before it.
            let top = self.top.0.load(Ordering::Acquire);
            // With the owner's: see `pop`.
            fence(Ordering::SeqCst);
            // Acquire: pairs with `push`.
            let bottom = self.bottom.0.load(Ordering::Acquire);
            if bottom.wrapping_sub(top) as i32 <= 0 {
                return None;
            }
            let oldest = self.place(top).load(Ordering::Relaxed);
            // Release, within: the owner, who fills the place again, sees it read.
            let taken = self.top.0.compare_exchange(
                top,
                top.wrapping_add(1),
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                return NonNull::new(oldest);
            }
        }
    }
}
