//! What is done once: [`Once`].

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::raw_once::{Begin, RawOnce, Status};

/// Something that is done once in a program, by whoever comes first; the others wait. Mirrors
/// [`std::sync::Once`].
///
/// A goroutine that waits parks; a plain thread sleeps. The closure may wait as well. It must not
/// come back to the same `Once`: that waits for ever.
///
/// For something that has a value, [`OnceLock`](super::OnceLock) and [`LazyLock`](super::LazyLock)
/// are better.
///
/// # Examples
///
/// ```
/// use marmot::sync::Once;
///
/// static START: Once = Once::new();
///
/// START.call_once(|| {
///     // run initialization here
/// });
/// ```
pub struct Once {
    raw: RawOnce,
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// What the closure of [`Once::call_once_force`] is told.
pub struct OnceState {
    poisoned: bool,
}

/// A `Once` that has not been run.
///
/// ```
/// # #![allow(deprecated)]
/// use marmot::sync::{Once, ONCE_INIT};
///
/// static START: Once = ONCE_INIT;
/// ```
#[deprecated(note = "the `Once::new()` function is preferred, as in std")]
#[allow(clippy::declare_interior_mutable_const)] // it is std's
pub const ONCE_INIT: Once = Once::new();

impl Once {
    /// A `Once` that has not been run.
    ///
    /// ```
    /// static START: marmot::sync::Once = marmot::sync::Once::new();
    /// assert!(!START.is_completed());
    /// ```
    #[inline]
    #[must_use]
    #[allow(clippy::new_without_default)] // std's has none
    pub const fn new() -> Once {
        Once {
            raw: RawOnce::new(),
        }
    }

    /// Runs `f`, unless that, or another closure, has been run here before. Waits while another
    /// runs. When this returns, one has been, and what it did is seen.
    ///
    /// # Panics
    /// With the panic of `f`, which poisons the `Once`; or because it is poisoned.
    ///
    /// ```
    /// use marmot::sync::Once;
    ///
    /// static mut VAL: usize = 0;
    /// static INIT: Once = Once::new();
    ///
    /// fn get_cached_val() -> usize {
    ///     // SAFETY: written once, before anybody reads.
    ///     unsafe {
    ///         INIT.call_once(|| {
    ///             VAL = expensive_computation();
    ///         });
    ///         VAL
    ///     }
    /// }
    ///
    /// fn expensive_computation() -> usize {
    ///     // ...
    /// # 2
    /// }
    /// # assert_eq!(get_cached_val(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn call_once<F>(&self, f: F)
    where
        F: FnOnce(),
    {
        if !self.is_completed() {
            let mut f = Some(f);
            self.run(false, &mut |_| f.take().expect("it is run once")());
        }
    }

    /// [`call_once`](Self::call_once) that runs `f` even if the last run has panicked.
    ///
    /// # Panics
    /// With the panic of `f`, which poisons the `Once`.
    ///
    /// ```
    /// use marmot::sync::Once;
    /// use std::thread;
    ///
    /// static INIT: Once = Once::new();
    ///
    /// // poison the once
    /// let handle = thread::spawn(|| {
    ///     INIT.call_once(|| panic!());
    /// });
    /// assert!(handle.join().is_err());
    ///
    /// // poisoning propagates
    /// let handle = thread::spawn(|| {
    ///     INIT.call_once(|| {});
    /// });
    /// assert!(handle.join().is_err());
    ///
    /// // call_once_force will still run and reset the poisoned state
    /// INIT.call_once_force(|state| {
    ///     assert!(state.is_poisoned());
    /// });
    ///
    /// // once any success happens, we stop propagating the poison
    /// INIT.call_once(|| {});
    /// ```
    #[inline]
    pub fn call_once_force<F>(&self, f: F)
    where
        F: FnOnce(&OnceState),
    {
        if !self.is_completed() {
            let mut f = Some(f);
            self.run(true, &mut |state| f.take().expect("it is run once")(state));
        }
    }

    /// Whether a run has come to its end: not one that is under way, nor one that panicked.
    ///
    /// ```
    /// use marmot::sync::Once;
    /// use std::thread;
    ///
    /// static INIT: Once = Once::new();
    ///
    /// assert_eq!(INIT.is_completed(), false);
    /// INIT.call_once(|| {
    ///     assert_eq!(INIT.is_completed(), false);
    /// });
    /// assert_eq!(INIT.is_completed(), true);
    ///
    /// static FAILS: Once = Once::new();
    /// let handle = thread::spawn(|| {
    ///     FAILS.call_once(|| panic!());
    /// });
    /// assert!(handle.join().is_err());
    /// assert_eq!(FAILS.is_completed(), false);
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.is_completed()
    }

    /// Waits until a run has come to its end, without running anything.
    ///
    /// # Panics
    /// It is poisoned, or gets so meanwhile.
    ///
    /// ```
    /// use marmot::sync::Once;
    /// use std::thread;
    ///
    /// static READY: Once = Once::new();
    ///
    /// let thread = thread::spawn(|| {
    ///     READY.wait();
    ///     println!("everything is ready");
    /// });
    ///
    /// READY.call_once(|| println!("performing setup"));
    /// # thread.join().unwrap();
    /// ```
    pub fn wait(&self) {
        if !self.is_completed() && !self.raw.wait(false) {
            poisoned();
        }
    }

    /// [`wait`](Self::wait) that waits on when a run panics.
    ///
    /// ```
    /// use marmot::sync::Once;
    /// use std::thread;
    ///
    /// static READY: Once = Once::new();
    ///
    /// let waits = thread::spawn(|| READY.wait_force());
    /// let fails = thread::spawn(|| READY.call_once(|| panic!()));
    /// assert!(fails.join().is_err());
    /// READY.call_once_force(|_| ());
    /// waits.join().unwrap();
    /// ```
    pub fn wait_force(&self) {
        if !self.is_completed() {
            self.raw.wait(true);
        }
    }

    #[cold]
    #[track_caller]
    fn run(&self, even_poisoned: bool, f: &mut dyn FnMut(&OnceState)) {
        /// Ends the run, by a panic too.
        struct Run<'a> {
            raw: &'a RawOnce,
            success: bool,
        }

        impl Drop for Run<'_> {
            fn drop(&mut self) {
                // SAFETY: made by the runner, once.
                unsafe { self.raw.end(self.success) };
            }
        }

        match self.raw.begin(even_poisoned) {
            Begin::Done => {}
            Begin::Poisoned => poisoned(),
            Begin::Run { poisoned } => {
                let mut run = Run {
                    raw: &self.raw,
                    success: false,
                };
                f(&OnceState { poisoned });
                run.success = true;
            }
        }
    }

    pub(super) fn status(&mut self) -> Status {
        self.raw.status()
    }

    pub(super) fn set_status(&mut self, status: Status) {
        self.raw.set_status(status);
    }
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("Once instance has previously been poisoned");
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl OnceState {
    /// Whether the last run has panicked.
    ///
    /// ```
    /// use marmot::sync::Once;
    ///
    /// static INIT: Once = Once::new();
    ///
    /// INIT.call_once_force(|state| {
    ///     assert!(!state.is_poisoned());
    /// });
    /// ```
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.is_poisoned())
            .finish()
    }
}
