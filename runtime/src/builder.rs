//! The builder: settings of a runtime, from calls and from the environment.

use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use marmot_scheduler::{Config, SwitchHooks};

use crate::runtime::Runtime;

/// Settings of a [`Runtime`]. Made by [`Runtime::builder`].
///
/// What is not set by a call comes from the environment, and what is set nowhere has a default:
///
/// | call | environment | default | range |
/// |---|---|---|---|
/// | [`max_procs`](Self::max_procs) | `MARMOT_MAXPROCS` | the cores this process may use | 1 to 65,536 |
/// | [`stack_size`](Self::stack_size) | `MARMOT_STACK_SIZE` | 192 KiB | 64 KiB to 1 GiB |
/// | [`main_stack_size`](Self::main_stack_size) | | 8 MiB | 64 KiB to 1 GiB |
/// | [`max_machines`](Self::max_machines) | | 10,000 | at least 1 |
/// | [`name`](Self::name) | | `marmot` | |
/// | [`chaos`](Self::chaos) | `MARMOT_DEBUG` | off | any seed |
/// | [`switch_hooks`](Self::switch_hooks) | | none | |
/// | | `MARMOT_DEBUG` | nothing | a comma list of `schedtrace=MS` and `scheddetail` |
///
/// A variable that cannot be read is an error even where a call would win: it was meant to say
/// something. An empty one counts as unset.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let builder = marmot::Runtime::builder().max_procs(2).name("worker");
/// // SAFETY: the goroutine below uses no thread-local.
/// let rt = unsafe { builder.build_migrating() }?;
/// assert_eq!(rt.run(marmot::max_procs), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    max_procs: Option<usize>,
    stack_size: Option<usize>,
    main_stack_size: Option<usize>,
    max_machines: Option<usize>,
    name: Option<String>,
    chaos: Option<u64>,
    hooks: Option<Arc<dyn SwitchHooks>>,
}

// The hooks are called by a runtime only, and no panic leaves them.
impl UnwindSafe for Builder {}
impl RefUnwindSafe for Builder {}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("max_procs", &self.max_procs)
            .field("stack_size", &self.stack_size)
            .field("main_stack_size", &self.main_stack_size)
            .field("max_machines", &self.max_machines)
            .field("name", &self.name)
            .field("chaos", &self.chaos)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A builder that sets nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets how many goroutines run at once, from 1 to 65,536.
    pub fn max_procs(mut self, n: usize) -> Self {
        self.max_procs = Some(n);
        self
    }

    /// Sets the stack size of goroutines, in usable bytes. Less than 64 KiB is rounded up to that;
    /// above 1 GiB building fails. A stack costs address space; memory only as far as it is used.
    ///
    /// A goroutine with a size of its own: [`goroutine::Builder`](crate::goroutine::Builder).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Sets the stack size of the goroutines that [`Runtime::run`] starts, in usable bytes, within
    /// the limits of [`stack_size`](Self::stack_size).
    pub fn main_stack_size(mut self, bytes: usize) -> Self {
        self.main_stack_size = Some(bytes);
        self
    }

    /// Sets the most threads that run goroutines. There are more than `max_procs` of them when
    /// goroutines block their threads. At the limit, goroutines that could run wait until a thread
    /// comes back; nothing fails. Spare threads beyond a few dozen end after some idle seconds.
    pub fn max_machines(mut self, n: usize) -> Self {
        self.max_machines = Some(n);
        self
    }

    /// Sets the name of the runtime's threads, as debuggers and `top -H` show it. The system shows
    /// the first 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Schedules as unusually as the rules allow, as `MARMOT_DEBUG=chaos=SEED` does: goroutines that
    /// are readied run anywhere, in any order; calls that may let others run do; `park` returns for no
    /// reason. For tests: what a program gets wrong shows soon, and with another seed something else.
    /// If the variable is set as well, its seed is taken.
    pub fn chaos(mut self, seed: u64) -> Self {
        self.chaos = Some(seed);
        self
    }

    /// Has `hooks` called whenever a goroutine is resumed, suspended or over: for libraries that keep
    /// a context by thread which is to follow the goroutine.
    pub fn switch_hooks(mut self, hooks: Arc<dyn SwitchHooks>) -> Self {
        self.hooks = Some(hooks);
        self
    }

    /// Starts a runtime whose goroutines stay on the thread on which they have begun: see
    /// [`Runtime::pinned`].
    ///
    /// # Errors
    /// As for [`build_migrating`](Self::build_migrating).
    pub fn build_pinned(self) -> io::Result<Runtime> {
        Runtime::start_pinned(self.config()?)
    }

    /// Starts a runtime with Go's scheduler: any thread may run any goroutine.
    ///
    /// # Errors
    /// `InvalidInput` for a setting that is out of range and for a variable that cannot be read or
    /// is out of range: the message names it, its text and the accepted range. Else an error of the
    /// operating system: no thread, no descriptor or no memory to be had.
    ///
    /// # Safety
    /// As for [`Runtime::migrating`].
    pub unsafe fn build_migrating(self) -> io::Result<Runtime> {
        let config = self.config()?;
        // SAFETY: the caller's promise.
        unsafe { Runtime::start_migrating(config) }
    }

    /// The environment first, so that an unreadable variable is found whatever the calls say.
    fn config(self) -> io::Result<Config> {
        let mut config = Config::from_env()?;
        if let Some(n) = self.max_procs {
            config = config.max_procs(n)?;
        }
        if let Some(bytes) = self.stack_size {
            config = config.stack_size(bytes)?;
        }
        if let Some(bytes) = self.main_stack_size {
            config = config.main_stack_size(bytes)?;
        }
        if let Some(n) = self.max_machines {
            config = config.max_machines(n)?;
        }
        if let Some(name) = self.name {
            config = config.name(name)?;
        }
        if let Some(seed) = self.chaos {
            config = config.chaos(seed);
        }
        if let Some(hooks) = self.hooks {
            config = config.switch_hooks(hooks);
        }
        Ok(config)
    }
}
