//! The goroutine as its users see it: handles, names, `park` and `unpark`, as `std::thread`.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arena::StackClass;
use crate::config::checked_stack;
use crate::g::Current;
use crate::handle::current_handle;
use crate::scope::{Scope, ScopedJoinHandle};
use crate::spawn::{JoinHandle, Spawn, spawn as spawn_on};
use crate::spawned::{Name, Packet};
use crate::wait::{Outcome, Publish, Reason, Ticket, Wait, Why};
use crate::wait_word::WaitNumber;

/// The identity of a goroutine, never reused in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoroutineId(u64);

impl GoroutineId {
    pub(crate) fn new(id: u64) -> Self {
        GoroutineId(id)
    }

    /// The id as a number, greater than 0 for goroutines; plain threads all have 0.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A handle to a goroutine, or to a plain thread, as `std::thread::Thread`.
#[derive(Clone)]
pub struct Goroutine(Who);

#[derive(Clone)]
enum Who {
    Goroutine(Name),
    /// And where the handle was asked for.
    Thread(std::thread::Thread, &'static Location<'static>),
}

impl Goroutine {
    /// The goroutine of a handle, for as long as that lives.
    pub(crate) fn of_packet<T>(packet: &Packet<T>) -> ManuallyDrop<Goroutine> {
        let name = ManuallyDrop::into_inner(packet.name());
        ManuallyDrop::new(Goroutine(Who::Goroutine(name)))
    }

    /// Its identity.
    pub fn id(&self) -> GoroutineId {
        match &self.0 {
            Who::Goroutine(name) => GoroutineId(name.header().id),
            Who::Thread(..) => GoroutineId(0),
        }
    }

    /// The name it was given by [`Builder::name`].
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Who::Goroutine(name) => name.header().name.as_deref(),
            Who::Thread(thread, _) => thread.name(),
        }
    }

    /// Where it was spawned; for a plain thread, where the handle was asked for.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        match &self.0 {
            Who::Goroutine(name) => name.header().at,
            Who::Thread(_, at) => at,
        }
    }

    /// Makes its [`park`] return, the one it is in or else the next one. Without effect on a
    /// goroutine that has ended. Never blocks.
    pub fn unpark(&self) {
        match &self.0 {
            Who::Goroutine(name) => {
                let Some(ptr) = name.place_to_unpark() else {
                    return;
                };
                // SAFETY: control blocks are never unmapped.
                let g = unsafe { ptr.as_ref() };
                if let Some(number) = g.park_token.notify(name.header().id) {
                    let ticket = Ticket::new(ptr.cast(), WaitNumber::from_u64(number));
                    if let Some(parked) = ticket.claim(Outcome::Ready) {
                        parked.ready();
                    }
                }
            }
            Who::Thread(thread, _) => thread.unpark(),
        }
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A handle to the current goroutine; on a plain thread, to the thread.
#[track_caller]
pub fn current() -> Goroutine {
    match Current::get() {
        // SAFETY: the caller is the goroutine itself.
        Some(here) => Goroutine(Who::Goroutine(unsafe { here.name() })),
        None => Goroutine(Who::Thread(std::thread::current(), Location::caller())),
    }
}

/// Blocks until the token of the current goroutine is left by [`Goroutine::unpark`], and takes it.
/// May return without one. On a plain thread this is `std::thread::park`.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// use marmot_scheduler::goroutine;
/// let waiter = marmot_scheduler::go(goroutine::park);
/// waiter.goroutine().unpark();
/// waiter.join().unwrap();
/// # });
/// ```
pub fn park() {
    match Current::get() {
        Some(here) => park_until(here, None),
        None => std::thread::park(),
    }
}

/// As [`park`], for at most `timeout`.
pub fn park_timeout(timeout: Duration) {
    match Current::get() {
        Some(here) => park_until(here, Instant::now().checked_add(timeout)),
        None => std::thread::park_timeout(timeout),
    }
}

/// How long a `park` takes that was called while unwinding.
const UNWINDING_PARK: Duration = Duration::from_micros(100);

fn park_until(here: Current, deadline: Option<Instant>) {
    let g = here.block();
    let id = g.id();
    if g.park_token.consume(id) || (here.machine().chaos && here.machine().chaos_wakes()) {
        return;
    }
    if here.must_stay() {
        // It may not leave its thread now (H5), and the token knows only goroutines that have. A
        // park may return for no reason; so it does, after a while.
        let until = Instant::now() + UNWINDING_PARK;
        return sleep_until(deadline.map_or(until, |at| at.min(until)));
    }
    let wait = Wait::new();
    let token = &g.park_token;
    let number = wait.number();
    // `token` lies in the control block, not in a frame: it may be touched whenever this runs. If
    // the wait has timed out by then, a PARKED that is left behind costs one spurious return, and
    // the number of a later park is not replaced by that of this one. `move`, for the same reason:
    // a reference into the frame would be read when the frame is in use again.
    wait.park(Why::new(Reason::Park), deadline, move || {
        if token.publish(id, number) {
            Publish::Published
        } else {
            Publish::Withdrawn
        }
    });
    token.leave();
}

/// Lets the other goroutines of this processor run first. On a plain thread this is
/// `std::thread::yield_now`.
#[inline(always)]
pub fn yield_now() {
    match Current::get() {
        // While unwinding no other goroutine may run on this thread (H5).
        Some(here) if !here.must_stay() => here.yield_now(),
        _ => std::thread::yield_now(),
    }
}

/// Blocks the current goroutine, not its thread, for at least `duration`. On a plain thread this is
/// `std::thread::sleep`.
///
/// How much longer: some 50 us while a processor is idle, what the system takes to wake a thread; more
/// if all are busy. Timers wake an idle processor 10,000 times a second at most, so one of many that end
/// shortly after each other is up to 100 us later still.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// use std::time::{Duration, Instant};
/// let begin = Instant::now();
/// marmot_scheduler::goroutine::sleep(Duration::from_millis(2));
/// assert!(begin.elapsed() >= Duration::from_millis(2));
/// # });
/// ```
pub fn sleep(duration: Duration) {
    if !duration.is_zero() {
        // A deadline that the clock cannot express is for ever.
        sleep_to(Instant::now().checked_add(duration));
    }
}

/// Blocks the current goroutine, not its thread, until `at`, or not at all if that has passed.
pub fn sleep_until(at: Instant) {
    if at > Instant::now() {
        sleep_to(Some(at));
    }
}

/// Until `deadline`, which is to come: no clock is read here.
fn sleep_to(deadline: Option<Instant>) {
    // Nobody has the ticket, so only the deadline ends the wait.
    while Wait::new().park(Why::new(Reason::Sleep), deadline, || Publish::Published)
        != Outcome::TimedOut
    {}
}

/// Whether the current goroutine is unwinding because of a panic.
pub fn panicking() -> bool {
    std::thread::panicking()
}

/// A goroutine with a name or a stack size of its own, as `std::thread::Builder`.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// use marmot_scheduler::goroutine;
/// let deep = goroutine::Builder::new()
///     .name("deep".to_owned())
///     .stack_size(4 << 20)
///     .spawn(|| goroutine::current().name().map(str::to_owned))
///     .unwrap();
/// assert_eq!(deep.join().unwrap().as_deref(), Some("deep"));
/// # });
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A builder with the runtime's stack size and no name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the goroutine, for panic messages of its own and for reports.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the usable bytes of its stack. At least that many: less than 64 KiB is rounded up to
    /// that, and stack and guard (64 KiB) together to the next power of two. So 64, 192, 448 and
    /// 960 KiB are what fits exactly, and for 300 KiB the goroutine gets 448. What is rounded up is
    /// address space; memory is used as the stack grows into it. Goroutines whose size is that of
    /// the runtime (after rounding) start fastest.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns `f` on the current runtime.
    ///
    /// # Errors
    /// There is no memory or address space for the stack, or the stack size is above 1 GiB.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let at = Location::caller();
        let here = current_handle("goroutine::Builder::spawn");
        let options = self.options(at, here.sched().class)?;
        // SAFETY: `f` and `T` borrow nothing.
        let packet = unsafe { spawn_on(here.sched(), options, None, f) }?;
        Ok(JoinHandle::new(packet))
    }

    /// The same as [`spawn`](Self::spawn), under Go's name.
    ///
    /// # Errors
    /// As for `spawn`.
    #[track_caller]
    pub fn go<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(f)
    }

    /// Spawns `f` in a scope.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let defaults = scope.options(Location::caller());
        scope.spawn_with(self.options(defaults.at, defaults.class)?, f)
    }

    /// The same as [`spawn_scoped`](Self::spawn_scoped), under Go's name.
    ///
    /// # Errors
    /// As for `spawn`.
    #[track_caller]
    pub fn go_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped(scope, f)
    }

    fn options(self, at: &'static Location<'static>, default: StackClass) -> io::Result<Spawn> {
        let class = match self.stack_size {
            None => default,
            Some(bytes) => StackClass::for_size(checked_stack("stack_size", bytes)?)
                .expect("the size was checked"),
        };
        Ok(Spawn {
            class,
            name: self.name.map(Arc::from),
            at,
        })
    }
}
