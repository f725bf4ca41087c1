//! The reader-writer lock: [`RwLock`] and its two guards.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Poison, Unwinding};
use super::raw_rwlock::RawRwLock;

/// Many readers or one writer; who has to wait parks the goroutine and not its thread. Mirrors
/// [`std::sync::RwLock`].
///
/// Goroutines and plain threads may share one, and it may be held over anything that waits. A reader
/// comes by one atomic addition and leaves by another, be there ever so many. Neither side starves:
/// a writer waits only for the readers that were there when it came, and when it leaves, all readers
/// that have come meanwhile go before the next writer.
///
/// So a reader that comes while a writer waits has to wait as well, *even if its task holds a read
/// guard already*: reading again under a read guard may wait for ever, as std says of its own.
/// Nothing is allocated for a wait.
///
/// # Poisoning
///
/// As for [`Mutex`](super::Mutex), but only a panic of a writer poisons.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # // SAFETY: the goroutines below use no thread-local.
/// # let rt = unsafe { marmot::Runtime::migrating() }?;
/// # rt.run(|| {
/// use marmot::sync::{Arc, RwLock};
/// use std::time::Duration;
///
/// let data = Arc::new(RwLock::new(5));
///
/// // Any number of readers at once.
/// let readers: Vec<_> = (0..3)
///     .map(|_| {
///         let data = Arc::clone(&data);
///         marmot::go(move || {
///             let value = data.read().unwrap();
///             marmot::sleep(Duration::from_millis(1));
///             *value
///         })
///     })
///     .collect();
///
/// // A writer waits for those who are reading.
/// *data.write().unwrap() += 1;
/// for reader in readers {
///     assert!((5..=6).contains(&reader.join().unwrap()));
/// }
/// # });
/// # Ok(())
/// # }
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: it owns the data; the line's nodes belong to those who wait, and none waits while it moves.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: the data is lent to one writer, who may come from another thread, or to many readers.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// The right to read the data of an [`RwLock`], together with other readers; dropping it leaves the
/// lock.
///
/// Made by [`read`](RwLock::read), [`try_read`](RwLock::try_read) and
/// [`downgrade`](RwLockWriteGuard::downgrade). It stays with its task: not `Send`, as in std.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>(_: T) {}
/// let lock = marmot::sync::RwLock::new(());
/// sent(lock.read());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'rwlock, T: ?Sized + 'rwlock> {
    /// A pointer and not a reference to the lock: so the guard is covariant in `T`, and claims no
    /// data while it is being dropped.
    data: NonNull<T>,
    raw: &'rwlock RawRwLock,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

/// The right to the data of an [`RwLock`], alone; dropping it leaves the lock.
///
/// Made by [`write`](RwLock::write) and [`try_write`](RwLock::try_write). It stays with its task:
/// not `Send`, as in std.
///
/// ```compile_fail,E0277
/// fn sent<T: Send>(_: T) {}
/// let lock = marmot::sync::RwLock::new(());
/// sent(lock.write());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'rwlock, T: ?Sized + 'rwlock> {
    lock: &'rwlock RwLock<T>,
    unwinding: Unwinding,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the data and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// static LIMIT: RwLock<u64> = RwLock::new(5);
    /// assert_eq!(*LIMIT.read().unwrap(), 5);
    /// ```
    #[inline]
    pub const fn new(t: T) -> RwLock<T> {
        RwLock {
            raw: RawRwLock::new(),
            poison: Poison::new(),
            data: UnsafeCell::new(t),
        }
    }

    /// The data, out of the lock.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the data.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// let lock = RwLock::new(String::new());
    /// {
    ///     let mut s = lock.write().unwrap();
    ///     *s = "modified".to_owned();
    /// }
    /// assert_eq!(lock.into_inner().unwrap(), "modified");
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let data = self.data.into_inner();
        self.poison.wrap(data)
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading. Waits while a writer holds the lock, or has come before and waits.
    ///
    /// Waits for ever if the task holds the write guard, and may do so if it holds a read guard.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::{Arc, RwLock};
    /// use std::thread;
    ///
    /// let lock = Arc::new(RwLock::new(1));
    /// let c_lock = Arc::clone(&lock);
    ///
    /// let n = lock.read().unwrap();
    /// assert_eq!(*n, 1);
    ///
    /// thread::spawn(move || {
    ///     let r = c_lock.read();
    ///     assert!(r.is_ok());
    /// }).join().unwrap();
    /// ```
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.read();
        // SAFETY: locked for reading.
        unsafe { RwLockReadGuard::new(self) }
    }

    /// Locks for reading if there is no writer, be it one who waits. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`]: there is a writer. [`TryLockError::Poisoned`]: it is locked now,
    /// and poisoned; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    ///
    /// match lock.try_read() {
    ///     Ok(n) => assert_eq!(*n, 1),
    ///     Err(_) => unreachable!(),
    /// };
    /// ```
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.raw.try_read() {
            // SAFETY: locked for reading.
            Ok(unsafe { RwLockReadGuard::new(self) }?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Locks for writing. Waits for the writers that have come before, and for the readers that are
    /// there then.
    ///
    /// Waits for ever if the task holds a guard of this lock.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    ///
    /// let mut n = lock.write().unwrap();
    /// *n = 2;
    ///
    /// assert!(lock.try_read().is_err());
    /// ```
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.write();
        // SAFETY: locked for writing.
        unsafe { RwLockWriteGuard::new(self) }
    }

    /// Locks for writing if nobody holds the lock. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`]: somebody holds it. [`TryLockError::Poisoned`]: it is locked now,
    /// and poisoned; the error holds the guard.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    ///
    /// let n = lock.read().unwrap();
    /// assert_eq!(*n, 1);
    ///
    /// assert!(lock.try_write().is_err());
    /// ```
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.raw.try_write() {
            // SAFETY: locked for writing.
            Ok(unsafe { RwLockWriteGuard::new(self) }?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    /// Whether the lock is poisoned. Another may poison it, or clear it, at any time.
    ///
    /// ```
    /// use marmot::sync::{Arc, RwLock};
    /// use std::thread;
    ///
    /// let lock = Arc::new(RwLock::new(0));
    /// let c_lock = Arc::clone(&lock);
    ///
    /// let _ = thread::spawn(move || {
    ///     let _lock = c_lock.write().unwrap();
    ///     panic!(); // the lock gets poisoned
    /// }).join();
    /// assert_eq!(lock.is_poisoned(), true);
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Takes the poison away: what is in the lock is in order again.
    ///
    /// ```
    /// use marmot::sync::{Arc, RwLock};
    /// use std::thread;
    ///
    /// let lock = Arc::new(RwLock::new(0));
    /// let c_lock = Arc::clone(&lock);
    ///
    /// let _ = thread::spawn(move || {
    ///     let _lock = c_lock.write().unwrap();
    ///     panic!(); // the lock gets poisoned
    /// }).join();
    ///
    /// assert_eq!(lock.is_poisoned(), true);
    /// let guard = lock.write().unwrap_or_else(|mut e| {
    ///     **e.get_mut() = 1;
    ///     lock.clear_poison();
    ///     e.into_inner()
    /// });
    /// assert_eq!(lock.is_poisoned(), false);
    /// assert_eq!(*guard, 1);
    /// ```
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The data, for one who has the lock alone: nothing is locked.
    ///
    /// # Errors
    /// The lock is poisoned; the error holds the reference.
    ///
    /// ```
    /// use marmot::sync::RwLock;
    ///
    /// let mut lock = RwLock::new(0);
    /// *lock.get_mut().unwrap() = 10;
    /// assert_eq!(*lock.read().unwrap(), 10);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.wrap(self.data.get_mut())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(t: T) -> Self {
        RwLock::new(t)
    }
}

impl<T: Default> Default for RwLock<T> {
    /// A lock around the default of its type.
    fn default() -> RwLock<T> {
        RwLock::new(Default::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &format_args!("<locked>")),
        };
        text.field("poisoned", &self.poison.get());
        text.finish_non_exhaustive()
    }
}

impl<'rwlock, T: ?Sized> RwLockReadGuard<'rwlock, T> {
    /// # Safety
    /// The caller is inside as a reader, and gives that up to the guard.
    #[inline]
    unsafe fn new(lock: &'rwlock RwLock<T>) -> LockResult<RwLockReadGuard<'rwlock, T>> {
        // SAFETY: the caller's promise.
        lock.poison
            .wrap(unsafe { RwLockReadGuard::unchecked(lock) })
    }

    /// # Safety
    /// As for `new`.
    #[inline]
    unsafe fn unchecked(lock: &'rwlock RwLock<T>) -> RwLockReadGuard<'rwlock, T> {
        RwLockReadGuard {
            // SAFETY: a cell's pointer is not null.
            data: unsafe { NonNull::new_unchecked(lock.data.get()) },
            raw: &lock.raw,
        }
    }
}

impl<'rwlock, T: ?Sized> RwLockWriteGuard<'rwlock, T> {
    /// # Safety
    /// The caller owns the lock as the writer, and gives that up to the guard.
    #[inline]
    unsafe fn new(lock: &'rwlock RwLock<T>) -> LockResult<RwLockWriteGuard<'rwlock, T>> {
        let guard = RwLockWriteGuard {
            lock,
            unwinding: lock.poison.enter(),
            not_send: PhantomData,
        };
        lock.poison.wrap(guard)
    }

    /// Makes the writer a reader, in one step: other readers come in, and no writer between.
    ///
    /// ```
    /// use marmot::sync::{Arc, RwLock, RwLockWriteGuard};
    ///
    /// let rw = Arc::new(RwLock::new(1));
    ///
    /// let mut main_write_guard = rw.write().unwrap();
    ///
    /// let rw_clone = rw.clone();
    /// let evil_handle = std::thread::spawn(move || {
    ///     // Does not return until the main thread drops the `main_read_guard`.
    ///     let mut evil_guard = rw_clone.write().unwrap();
    ///     assert_eq!(*evil_guard, 2);
    ///     *evil_guard = 3;
    /// });
    ///
    /// *main_write_guard = 2;
    /// let main_read_guard = RwLockWriteGuard::downgrade(main_write_guard);
    /// assert_eq!(*main_read_guard, 2, "`downgrade` was not atomic");
    ///
    /// drop(main_read_guard);
    /// evil_handle.join().unwrap();
    /// assert_eq!(*rw.read().unwrap(), 3);
    /// ```
    pub fn downgrade(s: Self) -> RwLockReadGuard<'rwlock, T> {
        // Not to be unlocked. As in std, this is not a point at which a panic poisons.
        let lock = ManuallyDrop::new(s).lock;
        // SAFETY: the guard owned the lock as the writer.
        unsafe { lock.raw.downgrade() };
        // SAFETY: inside as a reader, by that.
        unsafe { RwLockReadGuard::unchecked(lock) }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a reader is inside, so nobody changes the data; the lock is borrowed meanwhile.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard owns the lock, so nobody else touches the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed uniquely.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard is the right of a reader that is inside.
        unsafe { self.raw.read_unlock() };
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.leave(self.unwinding);
        // SAFETY: the guard owns the lock as the writer.
        unsafe { self.lock.raw.write_unlock() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
