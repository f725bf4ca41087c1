//! The scheduler as its users hold it: the owner, the handle, and the free functions.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Config, MAX_PROCS};
use crate::event::EventSource;
use crate::g::Current;
use crate::metrics::Metrics;
use crate::sched::Sched;
use crate::scope::{Scope, scope_on};
use crate::spawn::{self, JoinHandle, Spawn, spawn as spawn_on};

/// Owns a scheduler: when it is dropped, the scheduler ends.
///
/// Dropping it stops every machine at its next scheduling point. Goroutines that are parked or
/// queued then are leaked with their stacks; they are not unwound, and waits do not end with errors.
#[derive(Debug)]
pub struct Scheduler {
    handle: Handle,
}

/// Refers to a scheduler, without keeping it running.
#[derive(Clone)]
pub struct Handle {
    sched: Arc<Sched>,
}

/// `go` on a scheduler that has been shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutDown;

impl fmt::Display for ShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime has been shut down")
    }
}

impl std::error::Error for ShutDown {}

impl Scheduler {
    /// Starts a scheduler that may run any goroutine on any of its threads.
    ///
    /// # Errors
    /// No thread can be started, or a setting is out of range.
    ///
    /// # Safety
    /// The caller promises, for all code that will run in its goroutines, the thread-local rule:
    /// no function uses a thread-local, or anything reached through one, both before and after a
    /// point at which the goroutine may park, within what the optimiser may merge into one
    /// function. `docs/CAVEATS.md` (H1, H2) explains it and lists what of std is concerned.
    pub unsafe fn start_migrating(
        config: Config,
        source: Arc<dyn EventSource>,
    ) -> io::Result<Scheduler> {
        Self::start(config, source, false)
    }

    /// Starts a scheduler whose goroutines stay on the thread on which they have begun.
    ///
    /// # Errors
    /// As for [`start_migrating`](Self::start_migrating).
    pub fn start_pinned(config: Config, source: Arc<dyn EventSource>) -> io::Result<Scheduler> {
        Self::start(config, source, true)
    }

    fn start(config: Config, source: Arc<dyn EventSource>, pinned: bool) -> io::Result<Scheduler> {
        let sched = Sched::start(config, source, pinned)?;
        Ok(Scheduler {
            handle: Handle { sched },
        })
    }

    /// A handle, to be cloned and passed on.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the scheduler, after waiting up to `timeout` for the goroutines to end by themselves.
    pub fn shutdown_timeout(self, timeout: Duration) {
        if let Some(deadline) = Instant::now().checked_add(timeout) {
            self.handle.sched.drain(deadline);
        } else {
            self.handle
                .sched
                .drain(Instant::now() + Duration::from_secs(u32::MAX.into()));
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.handle.sched.stop();
    }
}

impl Handle {
    /// Starts a goroutine.
    ///
    /// # Panics
    /// The runtime has been shut down, or there is no memory for the stack.
    #[track_caller]
    pub fn go<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.go_at(Location::caller(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot start a goroutine: {error}"),
        }
    }

    /// Starts a goroutine.
    ///
    /// # Errors
    /// The runtime has been shut down ([`ShutDown`] inside the error), or there is no memory or
    /// address space for the stack.
    #[track_caller]
    pub fn try_go<F, T>(&self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.go_at(Location::caller(), f)
    }

    fn go_at<F, T>(&self, at: &'static Location<'static>, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.sched.stopping() {
            return Err(io::Error::other(ShutDown));
        }
        let options = Spawn {
            class: self.sched.class,
            name: None,
            at,
        };
        // SAFETY: `f` and `T` borrow nothing.
        let packet = unsafe { spawn_on(&self.sched, options, None, f) }?;
        Ok(JoinHandle::new(packet))
    }

    /// Runs `f` with a scope: goroutines spawned in it may borrow what outlives the call, which
    /// returns after all of them have ended.
    ///
    /// # Panics
    /// With the panic of `f`; else, if a goroutine panicked and was not joined.
    pub fn scope<'env, F, T>(&self, f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        scope_on(&self.sched, f)
    }

    /// Runs `f` as a goroutine with a large stack and waits for it. `f` may borrow.
    ///
    /// # Panics
    /// With the panic of `f`, or if there is no memory for the stack.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let at = Location::caller();
        assert!(!self.sched.stopping(), "cannot run a goroutine: {ShutDown}");
        spawn::run(&self.sched, at, f)
    }

    /// How many goroutines have begun and not ended.
    pub fn num_goroutines(&self) -> usize {
        self.sched.num_goroutines()
    }

    /// How many goroutines may run at once.
    pub fn max_procs(&self) -> usize {
        self.sched.max_procs() as usize
    }

    /// What the runtime has counted so far.
    pub fn metrics(&self) -> Metrics {
        self.sched.metrics()
    }

    /// Sets how many goroutines may run at once, and gives the former number. Nothing stops: the
    /// change takes effect as the goroutines that run come to their next scheduling points. From then
    /// on the number no longer follows the limits of the process. Never blocks.
    ///
    /// # Panics
    /// If `n` is not from 1 to 65,536.
    #[track_caller]
    pub fn set_max_procs(&self, n: usize) -> usize {
        set_max_procs_of(&self.sched, n)
    }
}

#[track_caller]
fn set_max_procs_of(sched: &Sched, n: usize) -> usize {
    assert!(
        (1..=MAX_PROCS).contains(&n),
        "max_procs is {n}; it must be from 1 to {MAX_PROCS}"
    );
    sched.set_max_procs_by_hand(n as u32) as usize
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("max_procs", &self.max_procs())
            .field("num_goroutines", &self.num_goroutines())
            .finish_non_exhaustive()
    }
}

/// The runtime of the calling goroutine.
#[derive(Clone, Copy)]
pub(crate) struct Here(Current);

impl Here {
    #[inline(always)]
    pub(crate) fn sched(&self) -> &Sched {
        self.0.sched()
    }
}

/// The runtime of the calling goroutine, for a free function that needs one.
#[track_caller]
#[inline]
pub(crate) fn current_handle(what: &str) -> Here {
    match Current::get() {
        Some(current) => Here(current),
        None => outside(what),
    }
}

#[cold]
#[track_caller]
fn outside(what: &str) -> ! {
    let method = what.rsplit("::").next().unwrap_or(what);
    let method = if method == "spawn" { "go" } else { method };
    panic!(
        "{what} was called outside a runtime, on a plain thread: there is nothing to run the \
         goroutine; call Runtime::{method} on a runtime, or call {what} inside Runtime::run"
    )
}

/// Starts a goroutine on the current runtime.
///
/// It begins when the caller parks, ends or has had its time, or earlier on another processor. Of several
/// that have not begun the newest usually begins first; do not rely on any order.
///
/// # Panics
/// Outside a runtime (use `Runtime::go` there), or without memory for the stack
/// ([`goroutine::Builder`](crate::goroutine::Builder) gives an error instead).
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// let answer = marmot_scheduler::go(|| 42);
/// assert_eq!(answer.join().unwrap(), 42);
/// # });
/// ```
#[track_caller]
#[inline]
pub fn go<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let here = current_handle("go");
    let options = Spawn {
        class: here.sched().class,
        name: None,
        at: Location::caller(),
    };
    // SAFETY: `f` and `T` borrow nothing.
    match unsafe { spawn_on(here.sched(), options, None, f) } {
        Ok(packet) => JoinHandle::new(packet),
        Err(error) => panic!("cannot start a goroutine: {error}"),
    }
}

/// Runs `f` with a scope on the current runtime, and waits for all goroutines spawned in it.
///
/// # Panics
/// Outside a runtime (use `Runtime::scope` there); with the panic of `f`; else, if a goroutine
/// panicked and was not joined.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// let mut numbers = vec![1, 2, 3];
/// marmot_scheduler::scope(|s| {
///     for n in &mut numbers {
///         s.spawn(move || *n *= 10);
///     }
/// });
/// assert_eq!(numbers, [10, 20, 30]);
/// # });
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let here = current_handle("scope");
    scope_on(here.sched(), f)
}

/// How many goroutines of the current runtime have begun and not ended.
///
/// # Panics
/// Outside a runtime; use `Runtime::num_goroutines` there.
#[track_caller]
pub fn num_goroutines() -> usize {
    current_handle("num_goroutines").sched().num_goroutines()
}

/// How many goroutines of the current runtime may run at once.
///
/// # Panics
/// Outside a runtime; use `Runtime::max_procs` there.
#[track_caller]
pub fn max_procs() -> usize {
    current_handle("max_procs").sched().max_procs() as usize
}

/// Sets how many goroutines of the current runtime may run at once, and gives the former number. See
/// [`Handle::set_max_procs`].
///
/// # Panics
/// Outside a runtime (use `Runtime::set_max_procs` there), and if `n` is not from 1 to 65,536.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// let before = marmot_scheduler::set_max_procs(3);
/// assert_eq!(marmot_scheduler::set_max_procs(before), 3);
/// # });
/// ```
#[track_caller]
pub fn set_max_procs(n: usize) -> usize {
    set_max_procs_of(current_handle("set_max_procs").sched(), n)
}

/// A scheduler without events, for the examples of this crate.
#[doc(hidden)]
pub fn doc_runtime() -> impl std::ops::Deref<Target = Handle> {
    struct Owned(Scheduler);
    impl std::ops::Deref for Owned {
        type Target = Handle;
        fn deref(&self) -> &Handle {
            self.0.handle()
        }
    }
    let config = Config::from_env().expect("the environment is readable");
    let source = Arc::new(crate::event::NoEvents::new());
    // SAFETY: the examples touch no thread-locals.
    Owned(unsafe { Scheduler::start_migrating(config, source) }.expect("a thread can be made"))
}
