//! Goroutine-local storage: `goroutine_local!` and `GoroutineLocal`, as `thread_local!` and `LocalKey`.
//!
//! Each goroutine has a short list of the values it has touched, in its control block. Finding one
//! takes the stack pointer and a walk of that list; no thread-local is involved, so a value may be
//! used before and after a wait alike. On a plain thread the key is an ordinary thread-local.
//!
//! # Invariants
//!
//! 1. A goroutine's list is touched by that goroutine alone.
//! 2. A value stays at its address from its first use until it is destroyed, when the goroutine's
//!    closure has returned: values are boxed, and the list only grows until then. The list holds
//!    the boxes as pointers, since a `Box` that moves claims to be the only way to its content.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread::LocalKey;

use crate::g::Current;

/// A key of goroutine-local storage, made by [`goroutine_local!`](crate::goroutine_local!).
///
/// The value is made at its first use in each goroutine, and dropped when the goroutine's closure
/// has returned, before those who join it go on. Its methods are those of [`std::thread::LocalKey`].
///
/// ```
/// use std::cell::Cell;
/// use marmot_scheduler::{go, goroutine, goroutine_local};
///
/// goroutine_local! {
///     static DEPTH: Cell<u32> = Cell::new(0);
/// }
/// # let rt = marmot_scheduler::doc_runtime();
/// rt.run(|| {
///     DEPTH.set(7);
///     goroutine::yield_now(); // may go on on another thread
///     assert_eq!(DEPTH.get(), 7);
///     assert_eq!(go(|| DEPTH.get()).join().unwrap(), 0);
/// });
/// ```
pub struct GoroutineLocal<T: 'static> {
    init: fn() -> T,
    thread: &'static LocalKey<T>,
}

/// The value of a [`GoroutineLocal`] was asked for after it was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the goroutine-local value has been destroyed")
    }
}

impl Error for AccessError {}

/// The values of one goroutine, in the order of their first use.
#[derive(Default)]
pub(crate) struct Locals {
    values: RefCell<Vec<Entry>>,
}

struct Entry {
    /// The address of the `GoroutineLocal`.
    key: usize,
    value: Value,
}

enum Value {
    /// From `Box::into_raw`.
    Alive(NonNull<dyn Any>),
    Destroyed,
}

impl Locals {
    /// Destroys all values, the oldest first. Those made by destructors are destroyed as well.
    pub(crate) fn destroy(&self) {
        let mut next = 0;
        loop {
            let value = match self.values.borrow_mut().get_mut(next) {
                None => return,
                Some(entry) => std::mem::replace(&mut entry.value, Value::Destroyed),
            };
            next += 1;
            if let Value::Alive(value) = value {
                // Outside the borrow: the destructor may use other keys.
                // SAFETY: it was made by `Box::into_raw`, and nobody refers to it any more: the
                // goroutine's closure has returned, and the list says that it is destroyed.
                let value = unsafe { Box::from_raw(value.as_ptr()) };
                // One that panics must not keep the others: the next goroutine would find them.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                    // Its own destructor might panic again.
                    std::mem::forget(payload);
                }
            }
        }
    }

    /// The value of a key, whose type is `T`; `Ok(None)` if it was never used.
    fn find<T: 'static>(&self, key: usize) -> Result<Option<NonNull<T>>, AccessError> {
        let values = self.values.borrow();
        match values.iter().find(|entry| entry.key == key) {
            None => Ok(None),
            Some(Entry {
                value: Value::Destroyed,
                ..
            }) => Err(AccessError),
            Some(Entry {
                value: Value::Alive(value),
                ..
            }) => Ok(Some(value.cast())),
        }
    }

    fn insert<T: 'static>(&self, key: usize, value: T) {
        let value: Box<dyn Any> = Box::new(value);
        let value = NonNull::from(Box::leak(value));
        self.values.borrow_mut().push(Entry {
            key,
            value: Value::Alive(value),
        });
    }
}

impl<T: 'static> GoroutineLocal<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T, thread: &'static LocalKey<T>) -> Self {
        GoroutineLocal { init, thread }
    }

    /// Calls `f` with the value, making it first if this goroutine has not used it yet.
    ///
    /// # Panics
    /// In the destructor of another goroutine-local value, if this one is destroyed already.
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("cannot use a goroutine-local value: {error}"),
        }
    }

    /// As [`with`](Self::with).
    ///
    /// # Errors
    /// The value is destroyed already.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let Some(here) = Current::get() else {
            return self.thread.try_with(f).map_err(|_| AccessError);
        };
        let key = std::ptr::from_ref(self).addr();
        // SAFETY: the caller is the goroutine itself.
        let locals = unsafe { here.block().locals() };
        let value = match locals.find::<T>(key)? {
            Some(value) => value,
            None => {
                // It may use this very key; then the one it made stays, as the older.
                let fresh = (self.init)();
                if locals.find::<T>(key)?.is_none() {
                    locals.insert(key, fresh);
                }
                locals.find::<T>(key)?.expect("it has just been put in")
            }
        };
        // SAFETY: a key's value is of the key's type. It stays at its address until the goroutine's
        // closure has returned, and this call is part of that, or of the destructor of a value
        // that is destroyed earlier (invariant 2).
        Ok(f(unsafe { value.as_ref() }))
    }
}

impl<T: 'static> GoroutineLocal<Cell<T>> {
    /// Sets the value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// A copy of the value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving the default.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value, giving the former one.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> GoroutineLocal<RefCell<T>> {
    /// Calls `f` with a shared borrow of the value.
    ///
    /// # Panics
    /// The value is mutably borrowed.
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable borrow of the value.
    ///
    /// # Panics
    /// The value is borrowed.
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value.
    ///
    /// # Panics
    /// The value is borrowed.
    pub fn set(&'static self, value: T) {
        self.with(|cell| *cell.borrow_mut() = value);
    }

    /// Takes the value, leaving the default.
    ///
    /// # Panics
    /// The value is borrowed.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value, giving the former one.
    ///
    /// # Panics
    /// The value is borrowed.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for GoroutineLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoroutineLocal").finish_non_exhaustive()
    }
}

/// Declares goroutine-local values: `thread_local!` for goroutines. See [`GoroutineLocal`].
///
/// On a plain thread, and in a process without a runtime, the value is thread-local.
///
/// ```
/// use std::cell::RefCell;
///
/// marmot_scheduler::goroutine_local! {
///     /// What this goroutine has seen.
///     pub static SEEN: RefCell<Vec<u32>> = RefCell::new(Vec::new());
///     static NAME: RefCell<String> = const { RefCell::new(String::new()) };
/// }
/// SEEN.with_borrow_mut(|seen| seen.push(1));
/// assert_eq!(SEEN.take(), [1]);
/// assert!(NAME.take().is_empty());
/// ```
#[macro_export]
macro_rules! goroutine_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block; $($rest:tt)*) => {
        $crate::goroutine_local!($(#[$attr])* $vis static $name: $t = $init);
        $crate::goroutine_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block) => {
        $crate::goroutine_local!($(#[$attr])* $vis static $name: $t = $init);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr; $($rest:tt)*) => {
        $crate::goroutine_local!($(#[$attr])* $vis static $name: $t = $init);
        $crate::goroutine_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr) => {
        $(#[$attr])*
        $vis static $name: $crate::GoroutineLocal<$t> = {
            fn __init() -> $t {
                $init
            }
            ::std::thread_local! {
                static __THREAD: $t = __init();
            }
            $crate::GoroutineLocal::__new(__init, &__THREAD)
        };
    };
}
