//! Switch hooks: what is told when a goroutine gets a thread and when it leaves it.
//!
//! Some libraries keep a context by thread: a span that was entered, a transaction, an arena. With
//! hooks such a context can follow the goroutine (H10): taken off the thread when the goroutine is
//! suspended, put back when it is resumed.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::fatal::throw;
use crate::goroutine::GoroutineId;

/// Told of each switch. Set by [`Config::switch_hooks`](crate::Config::switch_hooks).
///
/// The calls are made on the thread that runs the goroutine, on the scheduler's own stack: they have
/// some hundred kilobytes, and must be short. They must not wait, must not call the runtime, and must
/// not panic: a panic here ends the process. Between `resumed` and the next call for the same
/// goroutine no other goroutine runs on that thread.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use marmot_scheduler::event::NoEvents;
/// use marmot_scheduler::goroutine::GoroutineId;
/// use marmot_scheduler::{Config, Scheduler, SwitchHooks};
///
/// #[derive(Default)]
/// struct Count(AtomicU64);
///
/// impl SwitchHooks for Count {
///     fn resumed(&self, _: GoroutineId) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let count = Arc::new(Count::default());
/// let config = Config::from_env()?.switch_hooks(count.clone());
/// let scheduler = Scheduler::start_pinned(config, Arc::new(NoEvents::new()))?;
/// scheduler.handle().run(marmot_scheduler::goroutine::yield_now);
/// assert_eq!(count.0.load(Ordering::Relaxed), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait SwitchHooks: Send + Sync + 'static {
    /// The goroutine is about to run on this thread, for the first time or after a wait.
    fn resumed(&self, goroutine: GoroutineId) {
        let _ = goroutine;
    }

    /// It has left the thread, and may be resumed on another.
    fn suspended(&self, goroutine: GoroutineId) {
        let _ = goroutine;
    }

    /// It is over. Called in place of `suspended`.
    fn ended(&self, goroutine: GoroutineId) {
        let _ = goroutine;
    }
}

/// The hooks of a scheduler.
#[derive(Clone)]
pub(crate) struct Hooks(pub(crate) Arc<dyn SwitchHooks>);

// No panic leaves a hook.
impl UnwindSafe for Hooks {}
impl RefUnwindSafe for Hooks {}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

/// Ends the process if it is dropped by a panic.
struct NoPanic;

impl Drop for NoPanic {
    fn drop(&mut self) {
        throw("a switch hook has panicked");
    }
}

impl Hooks {
    /// Calls one of the hooks.
    #[inline(never)]
    pub(crate) fn tell(&self, id: u64, hook: impl FnOnce(&dyn SwitchHooks, GoroutineId)) {
        let guard = NoPanic;
        hook(&*self.0, GoroutineId::new(id));
        std::mem::forget(guard);
    }
}
