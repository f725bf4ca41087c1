//! The runtime: the scheduler and the network poller, held as one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use marmot_netpoll::Poller;
use marmot_scheduler::{Config, Handle, JoinHandle, Metrics, Scheduler, Scope};

use crate::builder::Builder;

/// Runs goroutines. Several may live in one process.
///
/// Dropping it is [`shutdown_timeout`](Self::shutdown_timeout) of zero.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: the goroutines below use no thread-local.
/// let rt = unsafe { marmot::Runtime::migrating() }?;
/// let text = String::from("run borrows");
/// let words = rt.run(|| {
///     let counter = marmot::go(|| 2);
///     text.split(' ').count() == counter.join().unwrap()
/// });
/// assert!(words);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Runtime {
    scheduler: Scheduler,
}

impl Runtime {
    /// Starts a runtime whose goroutines stay on the thread on which they have begun, with the
    /// default settings, as changed by the environment (see [`Builder`]).
    ///
    /// This asks for no promise: thread-locals behave, and so does all code that keeps state by
    /// thread. It has a price. A goroutine that computes for long or blocks its thread delays those at
    /// home on the same thread (the others go on), and a lock of `std::sync` held over a wait can
    /// deadlock them. Goroutines that have not begun yet go wherever there is room.
    ///
    /// # Errors
    /// As for [`Builder::build_pinned`].
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::cell::Cell;
    ///
    /// thread_local!(static SEEN: Cell<u32> = const { Cell::new(0) });
    ///
    /// let rt = marmot::Runtime::pinned()?;
    /// let counter = rt.go(|| {
    ///     SEEN.set(SEEN.get() + 1);
    ///     let before = SEEN.get();
    ///     marmot::yield_now();
    ///     SEEN.get() >= before // the same thread's counter
    /// });
    /// assert!(counter.join().unwrap());
    /// # Ok(())
    /// # }
    /// ```
    pub fn pinned() -> io::Result<Runtime> {
        Runtime::builder().build_pinned()
    }

    /// Starts a runtime with Go's scheduler and the default settings, as changed by the
    /// environment (see [`Builder`]): any of its threads may run any goroutine, and a goroutine that
    /// has parked may go on on another thread.
    ///
    /// # Errors
    /// As for [`Builder::build_migrating`].
    ///
    /// # Safety
    /// The caller promises the **thread-local rule**, for all code that will run in goroutines of
    /// this runtime, libraries included:
    ///
    /// 1. No function uses a thread-local both before and after a point at which the goroutine may
    ///    park. "Function" is what remains after inlining: the compiler may keep the address of a
    ///    thread-local in a register across the call, and go on to use the former thread's memory
    ///    from the new thread. An access within a function that is never inlined, and that does not
    ///    park itself, is safe.
    /// 2. Nothing that was reached through a thread-local is kept over such a point: no borrow
    ///    inside `LocalKey::with`, no `Rc` into thread state such as `rand`'s thread generator.
    ///
    /// A goroutine may park in every operation of this library that can block, and in those that
    /// start or wake others ([`go`](crate::go), a send, a close, `unpark`) or end a
    /// [`blocking`](crate::blocking) region: if it has had its time slice, it may have to queue up
    /// there. It parks in nothing else: no signal and no timer ever moves one. What of the standard library is concerned, and
    /// what that means in practice, is listed in `docs/CAVEATS.md` under H1 and H2.
    pub unsafe fn migrating() -> io::Result<Runtime> {
        // SAFETY: the caller's promise.
        unsafe { Runtime::builder().build_migrating() }
    }

    /// A builder, to set something other than the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// # Safety
    /// As for [`Runtime::migrating`].
    pub(crate) unsafe fn start_migrating(config: Config) -> io::Result<Runtime> {
        // SAFETY: the caller's promise.
        let scheduler = unsafe { Scheduler::start_migrating(config, poller()?) }?;
        Ok(Runtime { scheduler })
    }

    pub(crate) fn start_pinned(config: Config) -> io::Result<Runtime> {
        let scheduler = Scheduler::start_pinned(config, poller()?)?;
        Ok(Runtime { scheduler })
    }

    /// Runs `f` as a goroutine with a large stack, and blocks the caller until it has returned.
    ///
    /// `f` may borrow. Other goroutines go on after it has returned. May be called as often as one
    /// likes, from several threads at once, and from inside a goroutine.
    ///
    /// # Panics
    /// With the panic of `f`, or if there is no memory for the stack.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        self.scheduler.handle().run(f)
    }

    /// Starts a goroutine, from any thread. Inside a goroutine of this runtime,
    /// [`go`](crate::go) does the same.
    ///
    /// # Panics
    /// There is no memory for the stack ([`Handle::try_go`] gives an error instead).
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # // SAFETY: the goroutines below use no thread-local.
    /// # let rt = unsafe { marmot::Runtime::migrating() }?;
    /// let answer = rt.go(|| 6 * 7);
    /// assert_eq!(answer.join().unwrap(), 42);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn go<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.scheduler.handle().go(f)
    }

    /// Runs `f` on the calling thread with a scope: goroutines spawned in it may borrow what
    /// outlives the call, which returns after all of them have ended.
    ///
    /// # Panics
    /// With the panic of `f`; else, if a goroutine panicked and was not joined.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # // SAFETY: the goroutines below use no thread-local.
    /// # let rt = unsafe { marmot::Runtime::migrating() }?;
    /// let mut halves = vec![2, 4, 6];
    /// rt.scope(|s| {
    ///     for n in &mut halves {
    ///         s.go(move || *n /= 2);
    ///     }
    /// });
    /// assert_eq!(halves, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope<'env, F, T>(&self, f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        self.scheduler.handle().scope(f)
    }

    /// How many goroutines may run at once.
    pub fn max_procs(&self) -> usize {
        self.scheduler.handle().max_procs()
    }

    /// Sets how many goroutines may run at once, from 1 to 65,536, and gives the former number.
    ///
    /// Nothing stops: the change takes effect as the goroutines that run come to their next
    /// scheduling points. From then on the number no longer follows what the process is allowed,
    /// which it does while nobody has set it.
    ///
    /// # Panics
    /// If `n` is out of range.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let rt = marmot::Runtime::pinned()?;
    /// rt.set_max_procs(3);
    /// assert_eq!(rt.set_max_procs(1), 3);
    /// assert_eq!(rt.run(marmot::max_procs), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn set_max_procs(&self, n: usize) -> usize {
        self.scheduler.handle().set_max_procs(n)
    }

    /// What the runtime has counted so far: its threads, and what went wrong with them.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let rt = marmot::Runtime::pinned()?;
    /// assert_eq!(rt.metrics().threads_refused, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.scheduler.handle().metrics()
    }

    /// How many goroutines have begun and not ended. Exact while nothing runs, else a close guess.
    pub fn num_goroutines(&self) -> usize {
        self.scheduler.handle().num_goroutines()
    }

    /// A handle to pass on: it starts goroutines here, and does not keep the runtime running.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// # // SAFETY: the goroutines below use no thread-local.
    /// # let rt = unsafe { marmot::Runtime::migrating() }?;
    /// let handle = rt.handle();
    /// let thread = std::thread::spawn(move || handle.go(|| "from a thread").join());
    /// assert_eq!(thread.join().unwrap().unwrap(), "from a thread");
    /// let handle = rt.handle();
    /// drop(rt);
    /// assert!(handle.try_go(|| ()).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> Handle {
        self.scheduler.handle().clone()
    }

    /// Ends the runtime: waits up to `timeout` for the goroutines to end by themselves (and not at
    /// all when none is left), then stops every thread at its next scheduling point.
    ///
    /// Goroutines that are parked or queued then are leaked with their stacks: they are not unwound,
    /// and their waits do not end with errors. A thread that is busy with a goroutine which does not
    /// come to a scheduling point is left behind.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// # // SAFETY: the goroutines below use no thread-local.
    /// # let rt = unsafe { marmot::Runtime::migrating() }?;
    /// let nap = rt.go(|| marmot::sleep(Duration::from_millis(5)));
    /// rt.shutdown_timeout(Duration::from_secs(5));
    /// assert!(nap.is_finished());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown_timeout(self, timeout: Duration) {
        self.scheduler.shutdown_timeout(timeout);
    }
}

/// The event source of a new runtime.
fn poller() -> io::Result<Arc<Poller>> {
    let poller = Poller::new().map_err(|error| {
        let text = format!("cannot open the network poller: {error}");
        io::Error::new(error.kind(), text)
    })?;
    Ok(Arc::new(poller))
}
