//! A value that is made when it is first used: [`LazyLock`].

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;
use super::raw_once::Status;

/// A value that is made when it is first used, by whoever comes first; the others wait. Mirrors
/// [`std::sync::LazyLock`].
///
/// A goroutine that waits parks; a plain thread sleeps. The closure may wait as well, but must not
/// use the same value: that waits for ever. Using a value that is there costs one load.
///
/// # Poisoning
///
/// If the closure panics, every later use panics. There is no way back.
///
/// # Examples
///
/// ```
/// use marmot::sync::LazyLock;
///
/// static ANSWER: LazyLock<String> = LazyLock::new(|| (6 * 7).to_string());
///
/// assert_eq!(*ANSWER, "42");
///
/// // As a field:
/// #[derive(Debug)]
/// struct UseCellLock {
///     number: LazyLock<u32>,
/// }
/// let lock: LazyLock<u32> = LazyLock::new(|| 0u32);
/// let data = UseCellLock { number: lock };
/// println!("{}", *data.number);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    /// Changed by the run of `once`; `Value` exactly if that is complete.
    data: UnsafeCell<Data<T, F>>,
}

enum Data<T, F> {
    Maker(F),
    Value(T),
    /// The maker is being run, or has panicked.
    Gone,
}

// SAFETY: the closure is run, and the value is dropped, on any thread; the value is shared once it is
// there; the closure never is.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F> Data<T, F> {
    /// Takes the maker out.
    fn take_maker(&mut self) -> Option<F> {
        match std::mem::replace(self, Data::Gone) {
            Data::Maker(f) => Some(f),
            Data::Value(_) | Data::Gone => None,
        }
    }
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    ///
    /// ```
    /// use marmot::sync::LazyLock;
    ///
    /// let hello = "Hello, World!".to_string();
    /// let lazy = LazyLock::new(|| hello.to_uppercase());
    /// assert_eq!(&*lazy, "HELLO, WORLD!");
    /// ```
    #[inline]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            once: Once::new(),
            data: UnsafeCell::new(Data::Maker(f)),
        }
    }

    /// Makes the value, if it is not there yet, and gives a reference that can change it.
    ///
    /// # Panics
    /// With the panic of the closure, or because that has panicked before.
    ///
    /// ```
    /// use marmot::sync::LazyLock;
    ///
    /// let mut lazy = LazyLock::new(|| 92);
    ///
    /// let p = LazyLock::force_mut(&mut lazy);
    /// assert_eq!(*p, 92);
    /// *p = 44;
    /// assert_eq!(*lazy, 44);
    /// ```
    #[inline]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        if this.once.status() == Status::Incomplete {
            // Stays, if the maker panics.
            this.once.set_status(Status::Poisoned);
            let f = this.data.get_mut().take_maker();
            let value = f.expect("it was not run yet")();
            *this.data.get_mut() = Data::Value(value);
            this.once.set_status(Status::Complete);
        }
        LazyLock::get_mut(this).unwrap_or_else(|| poisoned())
    }

    /// Makes the value, if it is not there yet, and gives a reference. Waits while another is at it.
    /// Using the `LazyLock` like a reference does the same.
    ///
    /// # Panics
    /// With the panic of the closure, or because that has panicked before.
    ///
    /// ```
    /// use marmot::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 92);
    ///
    /// assert_eq!(LazyLock::force(&lazy), &92);
    /// assert_eq!(&*lazy, &92);
    /// ```
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.once.call_once_force(|state| {
            if state.is_poisoned() {
                poisoned();
            }
            // SAFETY: the one runner changes it, and nobody reads before it is complete. The
            // reference ends before the maker runs.
            let f = unsafe { &mut *this.data.get() }.take_maker();
            let value = f.expect("it was not run yet")();
            // SAFETY: as above.
            unsafe { *this.data.get() = Data::Value(value) };
        });
        LazyLock::get(this).unwrap_or_else(|| unreachable!("the run has set it"))
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it is there, for one who has it alone. Neither makes it nor waits.
    ///
    /// ```
    /// use marmot::sync::LazyLock;
    ///
    /// let mut lazy = LazyLock::new(|| 92);
    ///
    /// assert_eq!(LazyLock::get_mut(&mut lazy), None);
    /// let _ = LazyLock::force(&lazy);
    /// *LazyLock::get_mut(&mut lazy).unwrap() = 44;
    /// assert_eq!(*lazy, 44);
    /// ```
    #[inline]
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        match this.data.get_mut() {
            Data::Value(value) => Some(value),
            Data::Maker(_) | Data::Gone => None,
        }
    }

    /// The value, if it is there. Neither makes it nor waits.
    ///
    /// ```
    /// use marmot::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 92);
    ///
    /// assert_eq!(LazyLock::get(&lazy), None);
    /// let _ = LazyLock::force(&lazy);
    /// assert_eq!(LazyLock::get(&lazy), Some(&92));
    /// ```
    #[inline]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        if !this.once.is_completed() {
            return None;
        }
        // SAFETY: complete, so nobody writes any more.
        match unsafe { &*this.data.get() } {
            Data::Value(value) => Some(value),
            Data::Maker(_) | Data::Gone => None,
        }
    }
}

#[cold]
#[inline(never)]
fn poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned");
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    /// [`LazyLock::force`].
    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    /// [`LazyLock::force_mut`].
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    /// A value that will be the default of its type.
    #[inline]
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => text.field(value),
            None => text.field(&format_args!("<uninit>")),
        };
        text.finish()
    }
}
