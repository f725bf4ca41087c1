//! The queue of one processor: a ring of fixed size, filled by its owner, emptied by it and by thieves.
//!
//! Go's run queue in essence. Both ends are counters that only grow, modulo 2^32; what lies between
//! them is queued.
//!
//! # Invariants
//!
//! 1. `tail` and the places from `tail` to `head + CAPACITY` are the owner's.
//! 2. Whoever moves `head` forward by a compare-and-swap has what lay in between. It was read before;
//!    the owner cannot have overwritten it, for it fills no place that `head` has not left.
//!
//! # Rejected
//!
//! A deque that grows (crossbeam's): a fifth more instructions for a yield, and no way to look at
//! who comes next, which is what hides the cache misses of a thousand goroutines (`run_queue.rs`).

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicU32, Ordering, null_pointers};

/// Places of a ring; few in the models, so that they come to its end. Many else, for what goes to the
/// global queue for want of room waits behind all that is there; memory that was never used is none.
pub(crate) const CAPACITY: u32 = if cfg!(test) { 4 } else { 4096 };
/// The most that a thief takes, and what the owner takes out to make room.
const BATCH: u32 = if cfg!(test) { 2 } else { 128 };

/// See the module's documentation.
pub(crate) struct Ring<T> {
    head: Aligned<AtomicU32>,
    tail: Aligned<AtomicU32>,
    places: Box<[AtomicPtr<T>; CAPACITY as usize]>,
    /// Pointers to `T` are passed through, from thread to thread.
    item: PhantomData<NonNull<T>>,
}

/// On cache lines of its own: thieves write `head`.
#[repr(align(128))]
struct Aligned<T>(T);

// SAFETY: pointers only are moved; their users say what they mean.
unsafe impl<T> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(crate) fn new() -> Self {
        Ring {
            head: Aligned(AtomicU32::new(0)),
            tail: Aligned(AtomicU32::new(0)),
            places: null_pointers(),
            item: PhantomData,
        }
    }

    #[inline(always)]
    fn place(&self, index: u32) -> &AtomicPtr<T> {
        &self.places[(index % CAPACITY) as usize]
    }

    /// How many are queued (a snapshot).
    pub(crate) fn len(&self) -> usize {
        let head = self.head.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        // A snapshot of two: `head` may have gone on beyond the `tail` that was read.
        (tail.wrapping_sub(head) as i32).max(0) as usize
    }

    /// Owner: queues an item; gives it back if there is no place.
    #[inline(always)]
    pub(crate) fn push(&self, item: NonNull<T>) -> Result<(), NonNull<T>> {
        let tail = self.tail.0.load(Ordering::Relaxed);
        // Acquire: the thief that moved `head` has read the place.
        if tail.wrapping_sub(self.head.0.load(Ordering::Acquire)) >= CAPACITY {
            return Err(item);
        }
        self.place(tail).store(item.as_ptr(), Ordering::Relaxed);
        // Release: who sees `tail` sees the place, and what the item points to.
        self.tail.0.store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Owner: takes the first. Also gives what lies in the next two places, which may be anything that
    /// was ever queued: to be prefetched and no more.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<(NonNull<T>, [*mut T; 2])> {
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            let first = self.place(head).load(Ordering::Relaxed);
            let next = [1, 2].map(|i| self.place(head.wrapping_add(i)).load(Ordering::Relaxed));
            match self.head.0.compare_exchange_weak(
                head,
                head.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return NonNull::new(first).map(|first| (first, next)),
                Err(now) => head = now,
            }
        }
        None
    }

    /// Thief: moves half of what is queued, of an odd number the greater part, into its own ring, as far
    /// as there is room, but for the first, which is returned. `None` if there is nothing, or if the
    /// queue went on while it was looked at.
    pub(crate) fn steal_half(&self, own: &Ring<T>) -> Option<NonNull<T>> {
        // Acquire: `tail` is read after it.
        let mut head = self.head.0.load(Ordering::Acquire);
        loop {
            // Acquire: pairs with `push`.
            let tail = self.tail.0.load(Ordering::Acquire);
            let queued = tail.wrapping_sub(head);
            let half = queued - queued / 2;
            // More than there can be: `head` went on between the two loads.
            if half == 0 || half > CAPACITY / 2 {
                return None;
            }
            let to = own.tail.0.load(Ordering::Relaxed);
            // The first needs no place. Acquire: as in `push`.
            let used = to.wrapping_sub(own.head.0.load(Ordering::Acquire));
            let half = half.min(BATCH).min(CAPACITY - used + 1);
            let first = self.place(head).load(Ordering::Relaxed);
            for i in 1..half {
                let item = self.place(head.wrapping_add(i)).load(Ordering::Relaxed);
                own.place(to.wrapping_add(i - 1))
                    .store(item, Ordering::Relaxed);
            }
            // Release: the owner, who fills the places again, sees them read.
            let taken = self.head.0.compare_exchange(
                head,
                head.wrapping_add(half),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match taken {
                Ok(_) => {
                    // Release: as in `push`.
                    let to = to.wrapping_add(half - 1);
                    own.tail.0.store(to, Ordering::Release);
                    return NonNull::new(first);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Owner: takes the oldest out of a full ring, to be put elsewhere. False if thieves have
    /// made room meanwhile.
    pub(crate) fn take_oldest(&self, mut take: impl FnMut(NonNull<T>)) -> bool {
        let head = self.head.0.load(Ordering::Relaxed);
        // Less than that may be left by now.
        if self.tail.0.load(Ordering::Relaxed).wrapping_sub(head) < CAPACITY {
            return false;
        }
        let mut items = [std::ptr::null_mut(); BATCH as usize];
        for (i, item) in items.iter_mut().enumerate() {
            *item = self
                .place(head.wrapping_add(i as u32))
                .load(Ordering::Relaxed);
        }
        let taken = self.head.0.compare_exchange(
            head,
            head.wrapping_add(BATCH),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_err() {
            return false;
        }
        items
            .into_iter()
            .filter_map(NonNull::new)
            .for_each(&mut take);
        true
    }
}
