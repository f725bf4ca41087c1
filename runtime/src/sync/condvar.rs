//! The condition variable: [`Condvar`], and [`WaitTimeoutResult`].

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

use super::mutex::MutexGuard;
use super::raw_condvar::RawCondvar;
use super::task::Outcome;

/// A place to wait, with a mutex let go meanwhile, until somebody says that something has changed.
/// Mirrors [`std::sync::Condvar`].
///
/// Waiting parks the goroutine; plain threads sleep. Those who wait are notified in the order in
/// which they came, and a notification is never lost on one whose time has run out. Those that
/// [`notify_all`](Self::notify_all) frees come to the mutex one after the other, as it gets free,
/// and not all at once.
///
/// As with std's, a wait may end without a notification: wait in a loop, or by
/// [`wait_while`](Self::wait_while). Unlike std's, one condition variable may be used with several
/// mutexes.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # // SAFETY: the goroutines below use no thread-local.
/// # let rt = unsafe { marmot::Runtime::migrating() }?;
/// # rt.run(|| {
/// use marmot::go;
/// use marmot::sync::{Arc, Condvar, Mutex};
///
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let pair2 = Arc::clone(&pair);
///
/// go(move || {
///     let (lock, cvar) = &*pair2;
///     *lock.lock().unwrap() = true;
///     cvar.notify_one();
/// });
///
/// let (lock, cvar) = &*pair;
/// let mut started = lock.lock().unwrap();
/// while !*started {
///     started = cvar.wait(started).unwrap();
/// }
/// # });
/// # Ok(())
/// # }
/// ```
pub struct Condvar {
    raw: RawCondvar,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Whether a wait on a [`Condvar`] ended because its time had run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time had run out.
    ///
    /// ```
    /// use marmot::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (lock, cvar) = (Mutex::new(()), Condvar::new());
    /// // Nobody notifies.
    /// let guard = lock.lock().unwrap();
    /// let (_guard, result) = cvar
    ///     .wait_timeout_while(guard, Duration::from_millis(5), |()| true)
    ///     .unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition variable for which nobody waits.
    ///
    /// ```
    /// use marmot::sync::Condvar;
    ///
    /// static CHANGED: Condvar = Condvar::new();
    /// CHANGED.notify_all(); // nobody is there: no effect
    /// ```
    #[must_use]
    #[inline]
    pub const fn new() -> Condvar {
        Condvar {
            raw: RawCondvar::new(),
        }
    }

    /// Lets the mutex go and waits for a notification, in one step; then locks the mutex again.
    ///
    /// May end without a notification.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    ///
    /// let pair = Arc::new((Mutex::new(false), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut started = lock.lock().unwrap();
    ///     *started = true;
    ///     cvar.notify_one();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let mut started = lock.lock().unwrap();
    /// while !*started {
    ///     started = cvar.wait(started).unwrap();
    /// }
    /// ```
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).0
    }

    /// Waits until `condition` is false: checks it, waits, and checks again, with the mutex locked.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    ///
    /// let pair = Arc::new((Mutex::new(true), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut pending = lock.lock().unwrap();
    ///     *pending = false;
    ///     cvar.notify_one();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let _guard = cvar.wait_while(lock.lock().unwrap(), |pending| *pending).unwrap();
    /// ```
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// [`wait_timeout`](Self::wait_timeout) with a time in milliseconds; `false` if it had run out.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::{Condvar, Mutex};
    ///
    /// let (lock, cvar) = (Mutex::new(()), Condvar::new());
    /// #[allow(deprecated)]
    /// let (_guard, _notified) = cvar.wait_timeout_ms(lock.lock().unwrap(), 2).unwrap();
    /// ```
    #[deprecated(note = "replaced by `Condvar::wait_timeout`, as in std")]
    pub fn wait_timeout_ms<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        match self.wait_timeout(guard, Duration::from_millis(ms.into())) {
            Ok((guard, result)) => Ok((guard, !result.timed_out())),
            Err(error) => {
                let (guard, result) = error.into_inner();
                Err(PoisonError::new((guard, !result.timed_out())))
            }
        }
    }

    /// [`wait`](Self::wait), for `dur` at the most (until the mutex can be locked again, which may
    /// take longer).
    ///
    /// May end without a notification and before its time.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds guard and result.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// let pair = Arc::new((Mutex::new(false), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut started = lock.lock().unwrap();
    ///     *started = true;
    ///     cvar.notify_one();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let mut started = lock.lock().unwrap();
    /// // As long as the value is `false` we wait, in steps of 10 milliseconds.
    /// loop {
    ///     let result = cvar.wait_timeout(started, Duration::from_millis(10)).unwrap();
    ///     started = result.0;
    ///     if *started {
    ///         break;
    ///     }
    /// }
    /// ```
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        dur: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        // Beyond the end of time is never.
        let deadline = Instant::now().checked_add(dur);
        let (guard, result) = self.wait_until(guard, deadline);
        match guard {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    /// [`wait_while`](Self::wait_while), for `dur` at the most. If the time has run out, the
    /// condition was still true.
    ///
    /// # Errors
    /// The mutex is poisoned when it is locked again; the error holds guard and result.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// let pair = Arc::new((Mutex::new(true), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut pending = lock.lock().unwrap();
    ///     *pending = false;
    ///     cvar.notify_one();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let result = cvar.wait_timeout_while(
    ///     lock.lock().unwrap(),
    ///     Duration::from_secs(10),
    ///     |&mut pending| pending,
    /// ).unwrap();
    /// if result.1.timed_out() {
    ///     // the condition never became false
    /// }
    /// // result.0 is the guard
    /// ```
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        dur: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let begin = Instant::now();
        while condition(&mut *guard) {
            let Some(left) = dur.checked_sub(begin.elapsed()) else {
                return Ok((guard, WaitTimeoutResult(true)));
            };
            guard = self.wait_timeout(guard, left)?.0;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Ends the wait of the one who has waited longest, if anybody waits.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    ///
    /// let pair = Arc::new((Mutex::new(false), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut started = lock.lock().unwrap();
    ///     *started = true;
    ///     cvar.notify_one();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let mut started = lock.lock().unwrap();
    /// while !*started {
    ///     started = cvar.wait(started).unwrap();
    /// }
    /// ```
    #[inline]
    pub fn notify_one(&self) {
        self.raw.notify_one();
    }

    /// Ends the waits of all who wait now.
    ///
    /// ```
    /// use marmot::sync::{Arc, Condvar, Mutex};
    /// use std::thread;
    ///
    /// let pair = Arc::new((Mutex::new(false), Condvar::new()));
    /// let pair2 = Arc::clone(&pair);
    ///
    /// thread::spawn(move || {
    ///     let (lock, cvar) = &*pair2;
    ///     let mut started = lock.lock().unwrap();
    ///     *started = true;
    ///     cvar.notify_all();
    /// });
    ///
    /// let (lock, cvar) = &*pair;
    /// let mut started = lock.lock().unwrap();
    /// while !*started {
    ///     started = cvar.wait(started).unwrap();
    /// }
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        self.raw.notify_all();
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let (mutex, poison) = guard.parts();
        // SAFETY: the guard owns the mutex. It is kept, and owns it again afterwards.
        let outcome = unsafe { self.raw.wait(mutex, deadline) };
        let result = WaitTimeoutResult(outcome == Outcome::TimedOut);
        (poison.wrap(guard), result)
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Default for Condvar {
    /// A condition variable for which nobody waits.
    fn default() -> Condvar {
        Condvar::new()
    }
}
