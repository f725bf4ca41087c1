//! The protocol of a reader-writer lock: one word that readers add to, a mutex among the writers,
//! and the line of those whom a writer keeps waiting.
//!
//! | bits | name | meaning |
//! |---|---|---|
//! | 63 | `PHASE` | changes whenever a writer leaves |
//! | 62 | `WRITER` | a writer has come: it owns the lock, or waits for the readers that were there before |
//! | 61..=0 | readers | those that are inside, and those that `WRITER` keeps waiting |
//!
//! A reader counts itself by one addition. If there was no `WRITER`, it is inside. Else it waits for
//! the phase to change, by which it is inside without doing anything more. A writer, once it has
//! the mutex, adds `WRITER`; the readers that were counted before are inside, and have to leave
//! first: each of them that leaves while `WRITER` is set counts itself in `leaving` too. When the
//! writer leaves, one more addition of `WRITER` takes that bit away, and its carry changes the
//! phase: all readers counted by then are inside at one stroke. The two upper bits are a counter of
//! the comings and goings of writers.
//!
//! So a writer waits for no reader that came after it, and a reader for no more than one writer, be
//! there ever so many of both. This is the protocol of Go's `sync.RWMutex`; the phase stands for its
//! counting semaphore, and lets a reader's wait end in any way without an account to settle.
//!
//! # Invariants
//!
//! 1. Only the owner of `writers` changes the two upper bits.
//! 2. `PHASE` cannot change twice while a reader waits to see it changed: after the first change
//!    that reader is inside, and the next writer waits for it.
//! 3. A reader joins the line only if, under the line's lock, the phase is still the one in which it
//!    was counted. A writer changes the phase before it takes that lock to let the line in. So
//!    nobody is left behind.
//! 4. `leaving` is 0, modulo its size, when no writer waits and no reader is between its two
//!    subtractions. A writer adds as many as it has to wait for, readers subtract one each, and
//!    whoever brings it to 0 last ends the writer's wait.
//! 5. At most one node in the line has the role `Drain`, the writer that waits for readers; it
//!    stands at the front.

use super::atomics::{AtomicU64, Ordering, const_fn};
use super::raw_mutex::RawMutex;
use super::task::{Outcome, Reason, Spin, Wait, Why};
use super::wait_list::{Role, Verdict, WaitList, Waiter};

const READER: u64 = 1;
const WRITER: u64 = 1 << 62;
const PHASE: u64 = 1 << 63;
const READERS: u64 = WRITER - 1;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RawRwLock {
    state: AtomicU64,
    /// Invariant 4.
    leaving: AtomicU64,
    /// Owned by the writer that set `WRITER`.
    writers: RawMutex,
    line: WaitList,
}

impl RawRwLock {
    const_fn! {
        pub(super) const fn new() -> Self {
            RawRwLock {
                state: AtomicU64::new(0),
                leaving: AtomicU64::new(0),
                writers: RawMutex::new(),
                line: WaitList::new(),
            }
        }
    }

    // ---- readers -------------------------------------------------------------------------------

    /// Locks it for reading.
    #[inline(always)]
    pub(super) fn read(&self) {
        // Acquire: pairs with the release of the last writer in `write_unlock`.
        let before = self.state.fetch_add(READER, Ordering::Acquire);
        if before & WRITER != 0 {
            self.read_contended(before & PHASE);
        }
    }

    /// Locks it for reading, unless there is a writer.
    #[inline]
    pub(super) fn try_read(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & WRITER != 0 {
                return false;
            }
            // Acquire: as in `read`.
            match self.state.compare_exchange_weak(
                state,
                state + READER,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
    }

    /// Leaves.
    ///
    /// # Safety
    /// The caller is inside as a reader.
    #[inline(always)]
    pub(super) unsafe fn read_unlock(&self) {
        // SAFETY: the caller's promise.
        if unsafe { self.read_release() } && self.leave() {
            self.end_drain();
        }
    }

    /// The first part of [`read_unlock`](Self::read_unlock): whether a writer counts on
    /// [`leave`](Self::leave).
    ///
    /// # Safety
    /// The caller is inside as a reader.
    #[inline(always)]
    pub(super) unsafe fn read_release(&self) -> bool {
        // Release: pairs with the acquire of the next writer, if that does not see it by way of
        // `leaving`.
        self.state.fetch_sub(READER, Ordering::Release) & WRITER != 0
    }

    /// The second part: whether the caller is the last that the writer waits for, and has to go on
    /// to [`end_drain`](Self::end_drain).
    #[cold]
    #[inline(never)]
    pub(super) fn leave(&self) -> bool {
        // Release: pairs with the acquire in `drain`.
        self.leaving.fetch_sub(1, Ordering::Release) == 1
    }

    /// The third part: ends the wait of the writer. If it is not in line, it has yet to look at
    /// `leaving` under that lock, or has done so and gone.
    #[cold]
    #[inline(never)]
    pub(super) fn end_drain(&self) {
        let writer = self.line.lock().pop_role(Role::Drain);
        if let Some(writer) = writer {
            writer.ready(Verdict::Again);
        }
    }

    /// Whether a writer has left since the phase was `phase`.
    #[inline]
    fn phase_is_over(&self, phase: u64) -> bool {
        // Acquire: pairs with the release in `write_unlock`.
        self.state.load(Ordering::Acquire) & PHASE != phase
    }

    /// Waits for the writer to leave; counted already, in phase `phase`.
    #[cold]
    #[inline(never)]
    fn read_contended(&self, phase: u64) {
        let mut spin = Spin::new();
        while spin.more() {
            if self.phase_is_over(phase) {
                return;
            }
            spin.turn();
        }
        loop {
            let wait = Wait::new();
            let mut waiter = Waiter::new(wait.ticket());
            let waiter = &raw mut waiter;
            let mut line = self.line.lock();
            if self.phase_is_over(phase) {
                return;
            }
            // SAFETY: the node is new. The frame is left below, when it is out of the line by the
            // hand of a claimer who has readied us, or by our own.
            unsafe { line.push_back(waiter) };
            let outcome = wait.park(Why::on(Reason::Sync, self), None, line.into_publish());
            if outcome == Outcome::Ready {
                return;
            }
            // SAFETY: the waiter is in this line or in none.
            unsafe { self.line.lock().remove(waiter) };
        }
    }

    // ---- writers -------------------------------------------------------------------------------

    /// Locks it for writing.
    #[inline]
    pub(super) fn write(&self) {
        self.writers.lock();
        // Acquire: pairs with the release of readers that are gone. (What former writers did is
        // seen by way of `writers`.)
        let before = self.state.fetch_add(WRITER, Ordering::Acquire);
        if before & READERS != 0 {
            self.drain(before & READERS);
        }
    }

    /// Locks it for writing, if there is nobody.
    #[inline]
    pub(super) fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        let state = self.state.load(Ordering::Relaxed);
        // Acquire: as in `write`.
        let alone = state & READERS == 0
            && self
                .state
                .compare_exchange(state, state + WRITER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !alone {
            // SAFETY: locked above.
            unsafe { self.writers.unlock() };
        }
        alone
    }

    /// Waits until as many readers as that have left.
    #[cold]
    #[inline(never)]
    fn drain(&self, readers: u64) {
        // Acquire: pairs with the release in `leave`, here and below.
        let before = self.leaving.fetch_add(readers, Ordering::Acquire);
        if before.wrapping_add(readers) == 0 {
            return;
        }
        let mut spin = Spin::new();
        while spin.more() {
            spin.turn();
            if self.leaving.load(Ordering::Acquire) == 0 {
                return;
            }
        }
        loop {
            let wait = Wait::new();
            let mut waiter = Waiter::with(wait.ticket(), Role::Drain, std::ptr::null());
            let waiter = &raw mut waiter;
            let mut line = self.line.lock();
            if self.leaving.load(Ordering::Acquire) == 0 {
                return;
            }
            // SAFETY: as in `read_contended`.
            unsafe { line.push_front(waiter) };
            let outcome = wait.park(Why::on(Reason::Sync, self), None, line.into_publish());
            // Readied or not, look again: the last reader to leave for an earlier writer may come
            // to the line so late that it finds this one there.
            if outcome != Outcome::Ready {
                // SAFETY: the waiter is in this line or in none.
                unsafe { self.line.lock().remove(waiter) };
            }
        }
    }

    /// Leaves.
    ///
    /// # Safety
    /// The caller owns it as the writer.
    #[inline]
    pub(super) unsafe fn write_unlock(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.end_writing(0) };
    }

    /// Leaves, and is inside as a reader at the same stroke.
    ///
    /// # Safety
    /// The caller owns it as the writer.
    pub(super) unsafe fn downgrade(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.end_writing(READER) };
    }

    /// # Safety
    /// The caller owns it as the writer, and goes on as so many readers.
    #[inline]
    unsafe fn end_writing(&self, readers: u64) {
        // Release: pairs with the acquire of readers and of the next writer. The sum wraps round
        // when the phase goes from 1 to 0.
        let before = self.state.fetch_add(WRITER + readers, Ordering::Release);
        if before & READERS != 0 {
            self.admit();
        }
        // SAFETY: the owner of the lock owns it.
        unsafe { self.writers.unlock() };
    }

    /// Readies the readers in line. None joins it before the next writer comes (3), which has to
    /// wait for `writers`, owned by the caller.
    #[cold]
    #[inline(never)]
    fn admit(&self) {
        let mut more = true;
        while more {
            let chain;
            (chain, more) = self.line.lock().pop_batch(u64::MAX);
            // It still owns `writers`, and so does not give way.
            chain.wake_first(Verdict::Again);
        }
    }
}
