//! The semaphore: a number of permits, given out in the order in which they are asked for.
//!
//! # Invariants
//!
//! 1. `word` holds the free permits, shifted by one, and in its lowest bit `QUEUED`. While `QUEUED` is
//!    clear anybody may add and take by compare-and-swap. While it is set the permits change under
//!    the line's lock only, so nobody overtakes those in line.
//! 2. Whenever the lock is free: `QUEUED` is set if somebody is in line, and the first in line wants
//!    more than there is, or its wait has ended and it is about to take itself out.
//! 3. Whoever adds permits while `QUEUED` is set, and whoever leaves the line, serves those in it
//!    ([`serve`](Semaphore::serve)): the leaver may have been the one that held up the rest.
//! 4. `total` is the permits that are free, held or promised: at most [`Semaphore::MAX_PERMITS`].

use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::line::{End, Guard, Line, WakeList};
use crate::atoms::{AtomicUsize, Ordering, Outcome};

/// Somebody is in line.
const QUEUED: usize = 1;

/// A number of permits that tasks take and give back.
///
/// A task may ask for several at once, and gets all of them or waits. Those who wait are served in
/// the order in which they came: one that wants many is not overtaken by those behind it that want
/// few, nor by newcomers. While it waits, a goroutine is parked and a thread sleeps. Waiting
/// allocates nothing.
///
/// # Examples
///
/// At most two at a time:
///
/// ```
/// use marmot::sync::{Arc, Semaphore};
/// # use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let tables = Arc::new(Semaphore::new(2));
/// # let seated = Arc::new(AtomicUsize::new(0));
/// let guests: Vec<_> = (0..8)
///     .map(|_| {
///         let tables = tables.clone();
/// #       let seated = seated.clone();
///         std::thread::spawn(move || {
///             let _table = tables.acquire(1);
/// #           assert!(seated.fetch_add(1, Ordering::SeqCst) < 2);
///             // ... dinner ...
/// #           seated.fetch_sub(1, Ordering::SeqCst);
///         })
///     })
///     .collect();
/// for guest in guests {
///     guest.join().unwrap();
/// }
/// assert_eq!(tables.available_permits(), 2);
/// ```
pub struct Semaphore {
    /// See invariant 1.
    word: AtomicUsize,
    /// See invariant 4. Changed by whoever adds or forgets permits.
    total: AtomicUsize,
    line: Line,
}

// A panic never leaves it in a state that anybody could see: nothing of the user's runs inside.
impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl Semaphore {
    /// The most permits that there can ever be: 2^60 or more on 64-bit systems.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// A semaphore with that many permits, which may be none.
    ///
    /// # Panics
    /// If `permits` is more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    #[track_caller]
    pub fn new(permits: usize) -> Self {
        assert!(
            permits <= Self::MAX_PERMITS,
            "a semaphore has at most {} permits, not {permits}",
            Self::MAX_PERMITS
        );
        Semaphore {
            word: AtomicUsize::new(permits << 1),
            total: AtomicUsize::new(permits),
            line: Line::new(),
        }
    }

    /// Takes `n` permits, waiting until it is this task's turn and there are that many. They come
    /// back when the [`SemaphorePermit`] is dropped.
    ///
    /// Asking for more than there are now is no mistake, since permits can be
    /// [added](Self::add_permits): it waits. Taking none always succeeds at once.
    ///
    /// # Panics
    /// If `n` is more than there can ever be, [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(3);
    /// let permit = semaphore.acquire(2);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn acquire(&self, n: usize) -> SemaphorePermit<'_> {
        check(n);
        if !self.try_take(n) {
            let taken = self.take_in_turn(n, None);
            debug_assert!(taken, "a wait without a deadline ends with the permits");
        }
        SemaphorePermit { semaphore: self, n }
    }

    /// Takes `n` permits if that is possible without waiting: if there are that many, and nobody
    /// waits.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire(1);
    /// assert!(permit.is_some());
    /// assert!(semaphore.try_acquire(1).is_none());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_acquire(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        check(n);
        self.try_take(n)
            .then(|| SemaphorePermit { semaphore: self, n })
    }

    /// Takes `n` permits, waiting for at most `timeout`. `None`: the time passed first, and nothing
    /// was taken.
    ///
    /// What can be taken at once is, even with a timeout of zero.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = marmot::sync::Semaphore::new(1);
    /// let held = semaphore.acquire(1);
    /// assert!(semaphore.acquire_timeout(1, Duration::from_millis(5)).is_none());
    /// drop(held);
    /// assert!(semaphore.acquire_timeout(1, Duration::ZERO).is_some());
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, n: usize, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        check(n);
        let taken = self.try_take(n)
            || (!timeout.is_zero() && {
                // Beyond the end of time is never, as everywhere.
                let deadline = Instant::now().checked_add(timeout);
                self.take_in_turn(n, deadline)
            });
        taken.then(|| SemaphorePermit { semaphore: self, n })
    }

    /// Adds `n` permits to those that there are. Never waits.
    ///
    /// # Panics
    /// If there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS), those that are held included.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(0);
    /// std::thread::scope(|s| {
    ///     s.spawn(|| semaphore.acquire(2).forget());
    ///     semaphore.add_permits(2);
    /// });
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        // Relaxed: says nothing about other memory.
        let mut total = self.total.load(Ordering::Relaxed);
        loop {
            assert!(
                n <= Self::MAX_PERMITS - total,
                "a semaphore has at most {} permits: {n} cannot be added to {total}",
                Self::MAX_PERMITS
            );
            match self.total.compare_exchange_weak(
                total,
                total + n,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => total = now,
            }
        }
        self.give(n);
    }

    /// How many permits are free now. Some of them may be there because the first in line waits for
    /// more than these.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(3);
    /// let _permit = semaphore.acquire(1);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn available_permits(&self) -> usize {
        self.word.load(Ordering::Acquire) >> 1
    }

    #[inline]
    fn try_take(&self, n: usize) -> bool {
        if n == 0 {
            return true;
        }
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 && word >> 1 >= n {
            // Acquire: pairs with the release of `give`.
            match self.word.compare_exchange_weak(
                word,
                word - (n << 1),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes the permits, standing in line for them until `deadline`.
    #[cold]
    #[inline(never)]
    fn take_in_turn(&self, n: usize, deadline: Option<Instant>) -> bool {
        loop {
            let guard = self.line.lock();
            if !self.join(n) {
                return true;
            }
            match guard.wait(n, deadline) {
                End::Served => return true,
                End::Left(guard, outcome) => {
                    self.serve(guard);
                    if deadline.is_some() || outcome == Outcome::TimedOut {
                        return false;
                    }
                    // A cancellation of a wait without a deadline has no way to be told yet; here
                    // the seam is for it to come.
                }
            }
        }
    }

    /// Under the lock: sets `QUEUED`, or takes the permits if they have come meanwhile. Whether it
    /// is the former.
    fn join(&self, n: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let takes = word & QUEUED == 0 && word >> 1 >= n;
            let next = if takes {
                word - (n << 1)
            } else {
                word | QUEUED
            };
            // Acquire: as in `try_take`. In one step: a permit that comes between the look and the
            // mark would be missed.
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return !takes,
                Err(now) => word = now,
            }
        }
    }

    /// Gives permits back.
    #[inline]
    fn give(&self, n: usize) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 {
            // Release: what was done with the permits comes before what the next holder does.
            match self.word.compare_exchange_weak(
                word,
                word + (n << 1),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.give_in_turn(n);
    }

    #[cold]
    #[inline(never)]
    fn give_in_turn(&self, n: usize) {
        let guard = self.line.lock();
        // Release: as in `give`.
        self.word.fetch_add(n << 1, Ordering::Release);
        self.serve(guard);
    }

    /// Serves those in line as far as the permits go, and releases the lock.
    fn serve(&self, mut guard: Guard<'_>) {
        let mut wakes = WakeList::new();
        // Relaxed: those in line have seen all that was given before `QUEUED` was set, in `join`; what
        // was given since was given under the lock.
        while let Some(want) = guard.first()
            && want <= self.word.load(Ordering::Relaxed) >> 1
        {
            if guard.serve_first(&mut wakes) {
                // Nobody else takes while `QUEUED` is set (1).
                self.word.fetch_sub(want << 1, Ordering::Relaxed);
            }
        }
        if guard.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        drop(guard);
        wakes.wake();
    }
}

#[inline]
#[track_caller]
fn check(n: usize) {
    assert!(
        n <= Semaphore::MAX_PERMITS,
        "{n} permits were asked for: a semaphore never has more than {}",
        Semaphore::MAX_PERMITS
    );
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

/// Permits taken from a [`Semaphore`]. Dropping it gives them back.
///
/// # Examples
///
/// ```
/// let semaphore = marmot::sync::Semaphore::new(1);
/// {
///     let _permit = semaphore.acquire(1);
///     assert_eq!(semaphore.available_permits(), 0);
/// }
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "permits that nobody keeps are given back at once"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl SemaphorePermit<'_> {
    /// Keeps the permits from coming back: the semaphore has that many fewer, until somebody
    /// [adds](Semaphore::add_permits) some.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = marmot::sync::Semaphore::new(3);
    /// semaphore.acquire(2).forget();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn forget(self) {
        // Relaxed: says nothing about other memory.
        self.semaphore.total.fetch_sub(self.n, Ordering::Relaxed);
        mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.n != 0 {
            self.semaphore.give(self.n);
        }
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit")
            .field("permits", &self.n)
            .finish_non_exhaustive()
    }
}
