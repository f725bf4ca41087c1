//! The channel's lock: one word, taken by one compare-and-swap, released by one plain store.
//!
//! It remembers the thread that had it last, its *tenant*. Tasks on two cores that use one channel without
//! pause have its cache lines go to and fro with each message, which takes several times as long as the
//! message. Where that was found to be so (`turns.rs`), whoever finds another tenant at work leaves the lock to
//! it for a tenure of some microseconds: some hundred operations then share the price of one move. A lock
//! whose tenant rests changes hands at once, or within some microseconds.
//!
//! # Invariants
//!
//! 1. The holder runs a few dozen instructions, and seldom reads the clock, calls no foreign code (no
//!    `T::drop`, no `clone`, no allocator) and does not wait. Its last access to the lock is the releasing store: whoever
//!    finds the lock free may free the memory it lives in.
//! 2. It is held over a park only up to the park's `publish`, which releases it on the scheduler's
//!    stack of the same machine.
//! 3. Two locks are held at once only by a select, in the order of their addresses. It waits for no
//!    tenure.
//! 4. The tag in the word says who is likely to have the cache lines, and nothing else: a wrong one costs
//!    time. So it need not be true after a switch, nor different for each thread.
//!
//! # Rejected
//!
//! A futex or a parking lot for the contended case: then the release has to be a read-modify-write,
//! which tells it of sleepers, and every buffered send and receive pays for that (6 ns of some
//! 15 on the machine this was written on). Here the losers spin, then yield, then sleep in short
//! steps; see [`pause`]. std's and parking_lot's locks also keep thread-locals
//! in their slow paths or poison through them (H1, H5).
//!
//! A longer pause for whoever finds the lock held: it is held for a part of the time only, and who finds
//! it free moves the lines just the same. Turns in any case: tasks that compute for a tenth of a
//! microsecond between two operations run side by side without them, and one after the other with them. The
//! goroutine's machine as the tenant: to find it takes as long as to lock.

use crate::sync::{AtomicU32, Ordering, Tag, now, pause, spin_until};
use crate::turns::Turns;

const HELD: u32 = Tag::SPARE_BIT;

/// In this time a tenant at work is seen to do something, in nanoseconds.
const LOOK: u64 = 100;
/// How often that is looked at again, in nanoseconds: each look takes a cache line from the tenant.
const LOOK_AGAIN: u64 = 4_000;
/// For how long somebody leaves others alone who wants the lock, in nanoseconds. Then it takes part in the race
/// for it, which is not fair either, but soon won.
const PATIENCE: u64 = 128_000;
/// While no turns are taken, a new tenant sees to them when so many values were sent, or a multiple: one
/// in so many, for it reads the clock.
const SELDOM: u32 = 32;

/// See the module's documentation. The word is the tenant's tag, and whether the lock is held.
#[derive(Debug)]
pub(crate) struct Lock(AtomicU32);

/// What is done under a lock, as seen without it.
pub(crate) trait Gauge {
    /// Whether a tenant can do much by itself. Where each value is handed from task to task it cannot: it would
    /// keep others waiting for what they have to do next.
    fn is_for_turns(&self) -> bool;

    /// How many values were sent, modulo [`MODULUS`](crate::turns::MODULUS).
    fn sent(&self) -> u32;

    /// How many wait to be received.
    fn left(&self) -> usize;
}

impl Lock {
    /// A free lock, whose tenant is the caller.
    pub(crate) fn new() -> Self {
        Lock(AtomicU32::new(Tag::current().bits()))
    }

    /// Takes the lock. The caller must release it by [`unlock`](Self::unlock), or, with what this gives,
    /// by [`unlock_by`](Self::unlock_by).
    #[inline]
    pub(crate) fn lock(&self, turns: &Turns, gauge: &impl Gauge) -> Tag {
        let me = Tag::current();
        if let Err(word) = self.try_lock(me.bits(), me) {
            self.lock_slow(me, word, turns, gauge);
        }
        me
    }

    /// The same for one who holds other locks, or will take several: it leaves nobody alone.
    #[inline]
    pub(crate) fn lock_at_once(&self) {
        let me = Tag::current();
        if let Err(word) = self.try_lock(me.bits(), me) {
            self.contend(me, word);
        }
    }

    /// Takes the lock if its word, with which it is free, is `free`.
    ///
    /// # Errors
    /// It is another.
    #[inline]
    fn try_lock(&self, free: u32, me: Tag) -> Result<(), u32> {
        // Acquire: pairs with the release in `unlock` and `unlock_by`.
        self.0
            .compare_exchange(free, me.bits() + HELD, Ordering::Acquire, Ordering::Relaxed)
            .map(drop)
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, me: Tag, mut word: u32, turns: &Turns, gauge: &impl Gauge) {
        if !gauge.is_for_turns() {
            self.win(me, word);
            return;
        }
        if turns.until() != 0 {
            word = self.leave_alone(me, turns, gauge);
        }
        if self.win(me, word) {
            let sent = gauge.sent();
            if turns.until() != 0 || sent.is_multiple_of(SELDOM) {
                // SAFETY: the lock is held.
                unsafe { turns.note(now, sent) };
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn contend(&self, me: Tag, word: u32) {
        self.win(me, word);
    }

    /// Takes the lock, at the cost of the tenant's work. Whether the tenant was another.
    #[inline(always)]
    fn win(&self, me: Tag, mut word: u32) -> bool {
        let mut step = 0;
        loop {
            if word & HELD == 0 {
                match self.try_lock(word, me) {
                    Ok(()) => return word != me.bits(),
                    Err(other) => word = other,
                }
            } else {
                pause(step);
                step = step.saturating_add(1);
                // Look before trying: a failed compare-and-swap takes the cache line from the holder.
                word = self.0.load(Ordering::Relaxed);
            }
        }
    }

    /// Waits until the tenant rests, its tenure is over, or enough others have had theirs. The word then.
    fn leave_alone(&self, me: Tag, turns: &Turns, gauge: &impl Gauge) -> u32 {
        let mut now = now();
        let mut look = LOOK;
        let end = now + PATIENCE;
        loop {
            let word = self.0.load(Ordering::Relaxed);
            let until = turns.until();
            if now >= end || word & !HELD == me.bits() || now >= until {
                return word;
            }
            let before = (gauge.sent(), gauge.left());
            now = spin_until(until.min(now + look));
            if before == (gauge.sent(), gauge.left()) {
                return self.0.load(Ordering::Relaxed);
            }
            look = LOOK_AGAIN;
        }
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// The caller holds it, or was given the right to release it by the one who does.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        // Relaxed: nobody else writes while it is held.
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(word & !HELD, Ordering::Release);
    }

    /// The same for one who has kept what taking it has given: one plain store.
    ///
    /// # Safety
    /// As for [`unlock`](Self::unlock).
    #[inline]
    pub(crate) unsafe fn unlock_by(&self, tenant: Tag) {
        self.0.store(tenant.bits(), Ordering::Release);
    }
}
