//! A value that is set once: [`OnceLock`].

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;
use super::raw_once::Status;

/// A place for a value that is set once, by whoever comes first; the others wait. Mirrors
/// [`std::sync::OnceLock`].
///
/// A goroutine that waits parks; a plain thread sleeps. Looking at a value that is there is one
/// load. Never poisoned: if the closure that makes the value panics, the next caller runs its own.
///
/// # Examples
///
/// ```
/// use marmot::sync::OnceLock;
///
/// static CELL: OnceLock<usize> = OnceLock::new();
///
/// // `OnceLock` has not been written to yet.
/// assert!(CELL.get().is_none());
///
/// // Spawn a thread and write to `OnceLock`.
/// std::thread::spawn(|| {
///     let value = CELL.get_or_init(|| 12345);
///     assert_eq!(value, &12345);
/// })
/// .join()
/// .unwrap();
///
/// // `OnceLock` now contains the value.
/// assert_eq!(CELL.get(), Some(&12345));
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// Written by the run of `once`, read when that is complete. `Some` exactly if it is. (Not a
    /// `MaybeUninit`, which would need a `Drop` of ours: with that a value could not borrow from
    /// what is dropped together with the `OnceLock`, as it may with std's.)
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is shared once it is set, and may be set on one thread and taken on another.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// One without a value.
    ///
    /// ```
    /// static NAME: marmot::sync::OnceLock<String> = marmot::sync::OnceLock::new();
    /// assert_eq!(NAME.get(), None);
    /// ```
    #[inline]
    #[must_use]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// The value, if it is there. Never waits.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: complete, so nobody writes any more.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value, if it is there, for one who has it alone. Never waits.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let mut cell = OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until the value is there.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    /// use std::thread;
    ///
    /// let value = OnceLock::new();
    ///
    /// thread::scope(|s| {
    ///     s.spawn(|| value.set(1 + 1));
    ///
    ///     let result = value.wait();
    ///     assert_eq!(result, &2);
    /// })
    /// ```
    #[inline]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.expect()
    }

    /// Sets the value. Waits while another is at it; when this returns, there is a value.
    ///
    /// # Errors
    /// There was a value already; the new one is given back.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// static CELL: OnceLock<i32> = OnceLock::new();
    ///
    /// assert!(CELL.get().is_none());
    ///
    /// std::thread::spawn(|| {
    ///     assert_eq!(CELL.set(92), Ok(()));
    /// }).join().unwrap();
    ///
    /// assert_eq!(CELL.set(62), Err(62));
    /// assert_eq!(CELL.get(), Some(&92));
    /// ```
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("it is run once"));
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value, which is made by `f` if there is none. Waits while another is at it.
    ///
    /// `f` may wait, but must not come back to the same `OnceLock`: that waits for ever.
    ///
    /// # Panics
    /// With the panic of `f`; then there is no value still.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// let value = cell.get_or_init(|| 92);
    /// assert_eq!(value, &92);
    /// let value = cell.get_or_init(|| unreachable!());
    /// assert_eq!(value, &92);
    /// ```
    #[inline]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        if !self.once.is_completed() {
            self.init(f);
        }
        self.expect()
    }

    #[cold]
    fn init<F>(&self, f: F)
    where
        F: FnOnce() -> T,
    {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: the one runner writes, and nobody reads before it is complete.
            unsafe { *self.value.get() = Some(value) };
        });
    }

    /// The value, which is there.
    #[inline]
    fn expect(&self) -> &T {
        debug_assert!(self.once.is_completed());
        // SAFETY: complete (by all who call this), so nobody writes any more.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the run that completed has set it.
        unsafe { value.as_ref().unwrap_unchecked() }
    }

    /// The value, out of the lock.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let cell: OnceLock<String> = OnceLock::new();
    /// assert_eq!(cell.into_inner(), None);
    ///
    /// let cell = OnceLock::new();
    /// cell.set("hello".to_string()).unwrap();
    /// assert_eq!(cell.into_inner(), Some("hello".to_string()));
    /// ```
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, for one who has the lock alone: it is as if new.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let mut cell: OnceLock<String> = OnceLock::new();
    /// assert_eq!(cell.take(), None);
    ///
    /// let mut cell = OnceLock::new();
    /// cell.set("hello".to_string()).unwrap();
    /// assert_eq!(cell.take(), Some("hello".to_string()));
    /// assert_eq!(cell.get(), None);
    /// ```
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        let value = self.value.get_mut().take()?;
        self.once.set_status(Status::Incomplete);
        Some(value)
    }
}

impl<T> Default for OnceLock<T> {
    /// One without a value.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// assert_eq!(OnceLock::<()>::new(), OnceLock::default());
    /// ```
    #[inline]
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    /// One with a clone of the value, if it is there.
    #[inline]
    fn clone(&self) -> OnceLock<T> {
        self.get().cloned().map_or_else(OnceLock::new, Self::from)
    }
}

impl<T> From<T> for OnceLock<T> {
    /// One with that value.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let a = OnceLock::from(3);
    /// let b = OnceLock::new();
    /// b.set(3).unwrap();
    /// assert_eq!(a, b);
    /// ```
    #[inline]
    fn from(value: T) -> Self {
        let mut once = Once::new();
        once.set_status(Status::Complete);
        OnceLock {
            once,
            value: UnsafeCell::new(Some(value)),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    /// Whether both have equal values, or none.
    ///
    /// ```
    /// use marmot::sync::OnceLock;
    ///
    /// let five = OnceLock::new();
    /// five.set(5).unwrap();
    ///
    /// let also_five = OnceLock::new();
    /// also_five.set(5).unwrap();
    ///
    /// assert!(five == also_five);
    /// assert!(OnceLock::<u32>::new() == OnceLock::<u32>::new());
    /// ```
    #[inline]
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
