//! The mutex: [`Mutex`] and its guard.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Poison, Unwinding};
use super::raw_mutex::RawMutex;

/// Mutual exclusion that parks the goroutine and not its thread. Mirrors [`std::sync::Mutex`].
///
/// Goroutines and plain threads may share one, and it may be held over anything that waits. A mutex
/// that is free is locked by one atomic operation and let go by another. One that is not: the caller
/// spins for some microseconds (if another processor could be about to let it go), then waits in
/// line. It is not strictly fair: who comes at the right moment may pass those in line. But nobody is
/// passed over for much longer than a millisecond; from then on it is handed over in order, as Go's
/// `sync.Mutex` does.
///
/// Nothing is allocated for a wait. A task that locks a mutex which it holds already waits for ever.
///
/// # Poisoning
///
/// If a task panics while it holds the guard, the mutex is *poisoned*: [`lock`](Self::lock) and
/// [`try_lock`](Self::try_lock) give an error from then on, which holds the guard all the same. A
/// panic that was under way before the mutex was locked, by a `Drop`, does not poison it.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # // SAFETY: the goroutines below use no thread-local.
/// # let rt = unsafe { marmot::Runtime::migrating() }?;
/// # rt.run(|| {
/// use marmot::channel::bounded;
/// use marmot::go;
/// use marmot::sync::{Arc, Mutex};
///
/// const N: usize = 10;
///
/// let data = Arc::new(Mutex::new(0));
/// let (done, all_done) = bounded(0);
/// for _ in 0..N {
///     let (data, done) = (Arc::clone(&data), done.clone());
///     go(move || {
///         let mut data = data.lock().unwrap();
///         *data += 1;
///         if *data == N {
///             done.send(()).unwrap(); // may wait, with the lock held
///         }
///     });
/// }
/// all_done.recv().unwrap();
/// # });
/// # Ok(())
/// # }
/// ```
///
/// After a panic:
///
/// ```
/// use marmot::sync::{Arc, Mutex};
/// use std::thread;
///
/// let lock = Arc::new(Mutex::new(0_u32));
/// let lock2 = Arc::clone(&lock);
/// let _ = thread::spawn(move || -> () {
///     let _guard = lock2.lock().unwrap();
///     panic!("the mutex is poisoned by this");
/// }).join();
///
/// let mut guard = match lock.lock() {
///     Ok(guard) => guard,
///     Err(poisoned) => poisoned.into_inner(),
/// };
/// *guard += 1;
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: it owns the data; the line's nodes belong to those who wait, and none waits while it moves.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the data is lent to one task at a time.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// The right to the data of a [`Mutex`]; dropping it lets the mutex go.
///
/// Made by [`lock`](Mutex::lock) and [`try_lock`](Mutex::try_lock). It stays with its task: not
/// `Send`, as in std.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>(_: T) {}
/// let mutex = marmot::sync::Mutex::new(());
/// sent(mutex.lock());
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized + 'a> {
    lock: &'a Mutex<T>,
    unwinding: Unwinding,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    ///
    /// ```
    /// use marmot::sync::Mutex;
    ///
    /// static TOTAL: Mutex<u64> = Mutex::new(0);
    /// *TOTAL.lock().unwrap() += 1;
    /// ```
    #[inline]
    pub const fn new(t: T) -> Mutex<T> {
        Mutex {
            raw: RawMutex::new(),
            poison: Poison::new(),
            data: UnsafeCell::new(t),
        }
    }

    /// The data, out of the mutex.
    ///
    /// # Errors
    /// The mutex is poisoned; the error holds the data.
    ///
    /// ```
    /// use marmot::sync::Mutex;
    ///
    /// let mutex = Mutex::new(0);
    /// assert_eq!(mutex.into_inner().unwrap(), 0);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let data = self.data.into_inner();
        self.poison.wrap(data)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks the mutex. Waits as long as another holds it: a goroutine parks, a thread sleeps.
    ///
    /// # Errors
    /// The mutex is poisoned; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::{Arc, Mutex};
    /// use std::thread;
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let c_mutex = Arc::clone(&mutex);
    ///
    /// thread::spawn(move || {
    ///     *c_mutex.lock().unwrap() = 10;
    /// }).join().expect("thread::spawn failed");
    /// assert_eq!(*mutex.lock().unwrap(), 10);
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock();
        // SAFETY: locked.
        unsafe { MutexGuard::new(self) }
    }

    /// Locks the mutex if nobody holds it. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`]: somebody holds it, or it is about to be handed to one who has
    /// waited long. [`TryLockError::Poisoned`]: it is locked now, and poisoned; the error holds the
    /// guard.
    ///
    /// ```
    /// use marmot::sync::{Arc, Mutex};
    /// use std::thread;
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let c_mutex = Arc::clone(&mutex);
    ///
    /// thread::spawn(move || {
    ///     let mut lock = c_mutex.try_lock();
    ///     if let Ok(ref mut mutex) = lock {
    ///         **mutex = 10;
    ///     } else {
    ///         println!("try_lock failed");
    ///     }
    /// }).join().expect("thread::spawn failed");
    /// assert_eq!(*mutex.lock().unwrap(), 10);
    /// ```
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.raw.try_lock() {
            // SAFETY: locked.
            Ok(unsafe { MutexGuard::new(self) }?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether the mutex is poisoned. Another may poison it, or clear it, at any time.
    ///
    /// ```
    /// use marmot::sync::{Arc, Mutex};
    /// use std::thread;
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let c_mutex = Arc::clone(&mutex);
    ///
    /// let _ = thread::spawn(move || {
    ///     let _lock = c_mutex.lock().unwrap();
    ///     panic!(); // the mutex gets poisoned
    /// }).join();
    /// assert_eq!(mutex.is_poisoned(), true);
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Takes the poison away: what is in the mutex is in order again.
    ///
    /// ```
    /// use marmot::sync::{Arc, Mutex};
    /// use std::thread;
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let c_mutex = Arc::clone(&mutex);
    ///
    /// let _ = thread::spawn(move || {
    ///     let _lock = c_mutex.lock().unwrap();
    ///     panic!(); // the mutex gets poisoned
    /// }).join();
    ///
    /// assert_eq!(mutex.is_poisoned(), true);
    /// let x = mutex.lock().unwrap_or_else(|mut e| {
    ///     **e.get_mut() = 1;
    ///     mutex.clear_poison();
    ///     e.into_inner()
    /// });
    /// assert_eq!(mutex.is_poisoned(), false);
    /// assert_eq!(*x, 1);
    /// ```
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The data, for one who has the mutex alone: nothing is locked.
    ///
    /// # Errors
    /// The mutex is poisoned; the error holds the reference.
    ///
    /// ```
    /// use marmot::sync::Mutex;
    ///
    /// let mut mutex = Mutex::new(0);
    /// *mutex.get_mut().unwrap() = 10;
    /// assert_eq!(*mutex.lock().unwrap(), 10);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.wrap(self.data.get_mut())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(t: T) -> Self {
        Mutex::new(t)
    }
}

impl<T: Default> Default for Mutex<T> {
    /// A mutex around the default of its type.
    fn default() -> Mutex<T> {
        Mutex::new(Default::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &"<locked>"),
        };
        text.field("poisoned", &self.poison.get());
        text.finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// # Safety
    /// The caller owns the lock, and gives it up to the guard.
    #[inline]
    unsafe fn new(lock: &'a Mutex<T>) -> LockResult<MutexGuard<'a, T>> {
        let guard = MutexGuard {
            lock,
            unwinding: lock.poison.enter(),
            not_send: PhantomData,
        };
        lock.poison.wrap(guard)
    }

    /// For a condition variable: what is behind the guard.
    #[inline]
    pub(super) fn parts(&self) -> (&'a RawMutex, &'a Poison) {
        (&self.lock.raw, &self.lock.poison)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard owns the lock, so nobody else touches the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed uniquely.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.unwinding);
        // SAFETY: the guard owns the lock.
        unsafe { self.lock.raw.unlock() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
