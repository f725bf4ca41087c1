//! Signals, from the handler to whoever subscribed to them.
//!
//! The handler counts the signal for each subscriber and rings an eventfd. A thread of its own, of
//! which there is one in the process from the first subscription on, waits for that, and delivers.
//! When a subscriber is gone, signals do again what they did before the first subscription: at once,
//! because the handler sees to it, and soon without us, because the thread gives the signal back.
//!
//! # Locks
//!
//! `STATE` guards who is subscribed. Under it subscribers are delivered to, which must not wait, and
//! handlers are set and restored. The handler itself takes no lock.
//!
//! # Rejected
//!
//! - **A goroutine for the delivery.** It would be one of those that `shutdown_timeout` waits for,
//!   and would die with its runtime, its receivers elsewhere none the wiser.
//! - **The `signal-hook` crate.** It calls the former handler as well, and never gives a signal back.
//! - **`signalfd`.** It needs the signal blocked in every thread, those of libraries included.

mod handler;
mod published;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use handler::names::*;
use published::Published;

use crate::sys;

/// Signals are numbered 1 ..= 64.
const SIGNALS: usize = 65;

/// How long the thread waits when a subscriber has no room.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// Who wants to hear of signals.
pub trait Subscriber: Send + Sync + 'static {
    /// Whether nobody is interested any more. **Called in a signal handler**: it may load atomic
    /// variables, and must not lock, wait or allocate. Once true, always true.
    fn is_gone(&self) -> bool;

    /// Hands a signal over; false if there is no room now, and it shall be tried again. Called on a
    /// thread of its own; must not wait.
    fn deliver(&self, signal: i32) -> bool;
}

/// Has each of these signals delivered to `subscriber` instead of what it does now, until
/// [`Subscriber::is_gone`]. Several may subscribe to one signal; each gets it.
///
/// # Errors
/// `InvalidInput` for no signal at all, for numbers that are none, and for those that cannot be caught
/// (`SIGKILL`, `SIGSTOP`) or mean a fault (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`); want of
/// descriptors or threads, at the first call.
///
/// ```
/// use marmot_netpoll::signal::{SIGUSR1, Subscriber, subscribe};
/// use std::sync::mpsc::{SyncSender, sync_channel};
///
/// struct Forward(SyncSender<i32>);
///
/// impl Subscriber for Forward {
///     fn is_gone(&self) -> bool {
///         false
///     }
///     fn deliver(&self, signal: i32) -> bool {
///         self.0.try_send(signal).is_ok()
///     }
/// }
///
/// let (sender, receiver) = sync_channel(8);
/// subscribe(&[SIGUSR1], Box::new(Forward(sender)))?;
/// let kill = format!("kill -USR1 {}", std::process::id());
/// std::process::Command::new("sh").args(["-c", &kill]).status()?;
/// assert_eq!(receiver.recv(), Ok(SIGUSR1));
/// # std::io::Result::Ok(())
/// ```
pub fn subscribe(signals: &[i32], subscriber: Box<dyn Subscriber>) -> io::Result<()> {
    if signals.is_empty() {
        return Err(invalid("no signals are named"));
    }
    let mut mask = 0;
    for &signal in signals {
        mask |= handler::checked_bit(signal)?;
    }
    let center = Center::get()?;
    let mut state = center.lock();
    center.reap(&mut state);
    let subscription = Arc::new(Subscription {
        mask,
        pending: [const { AtomicU32::new(0) }; SIGNALS],
        subscriber,
    });
    state.subscriptions.push(subscription);
    state.former.resize(SIGNALS, None);
    for signal in handler::signals(mask & !state.installed) {
        match handler::current(signal) {
            Ok(action) => state.former[signal as usize] = Some(action),
            Err(error) => {
                state.subscriptions.pop();
                return Err(error);
            }
        }
    }
    // Before the handler can be called.
    center.publish(&state);
    for signal in handler::signals(mask & !state.installed) {
        if let Err(error) = handler::install(signal) {
            state.subscriptions.pop();
            center.publish(&state);
            center.reap(&mut state);
            return Err(error);
        }
        state.installed |= handler::bit(signal);
    }
    Ok(())
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// One call of `subscribe`.
struct Subscription {
    /// A bit for each signal.
    mask: u64,
    /// How often each has come and was not yet delivered. Raised by the handler, lowered by the
    /// thread. Relaxed: the eventfd orders both.
    pending: [AtomicU32; SIGNALS],
    subscriber: Box<dyn Subscriber>,
}

impl Subscription {
    /// Delivers what has come; false if there was no room for all of it.
    fn deliver(&self) -> bool {
        let mut all = true;
        for signal in handler::signals(self.mask) {
            let pending = &self.pending[signal as usize];
            let count = pending.swap(0, Ordering::Relaxed);
            let full = (0..count).any(|_| !self.subscriber.deliver(signal));
            if full {
                // The rest becomes one.
                pending.fetch_add(1, Ordering::Relaxed);
                all = false;
            }
        }
        all
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("mask", &self.mask)
            .finish_non_exhaustive()
    }
}

/// What the handler reads.
struct Table {
    subscriptions: Vec<Arc<Subscription>>,
    /// What each signal did before our handler was set. Kept when it was restored, for a handler
    /// that has begun before.
    former: Vec<Option<libc::sigaction>>,
}

/// Who is subscribed, and to what end.
#[derive(Default)]
struct State {
    subscriptions: Vec<Arc<Subscription>>,
    /// The signals whose handler is ours.
    installed: u64,
    /// By signal, as in the table.
    former: Vec<Option<libc::sigaction>>,
}

/// The one in the process.
struct Center {
    state: Mutex<State>,
    published: Published<Table>,
    /// Rung by the handler.
    bell: OwnedFd,
}

static CENTER: OnceLock<Center> = OnceLock::new();

impl Center {
    /// The center, made and started if need be.
    fn get() -> io::Result<&'static Center> {
        /// Guards the making. Held while a thread is started.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(center) = CENTER.get() {
            return Ok(center);
        }
        let bell = sys::event()?;
        let thread = std::thread::Builder::new().name("marmot-signal".to_owned());
        // It waits for the center, so that nothing is left behind if it cannot be started.
        let handle = thread.spawn(|| CENTER.wait().serve())?;
        drop(handle);
        Ok(CENTER.get_or_init(|| Center {
            state: Mutex::new(State::default()),
            published: Published::new(Table {
                subscriptions: Vec::new(),
                former: Vec::new(),
            }),
            bell,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the state to the handler. The lock is held.
    fn publish(&self, state: &State) {
        let table = Table {
            subscriptions: state.subscriptions.clone(),
            former: state.former.clone(),
        };
        self.published.replace(table, std::thread::yield_now);
    }

    /// Forgets the subscribers that are gone, and gives back what nobody wants any more.
    fn reap(&self, state: &mut State) {
        let before = state.subscriptions.len();
        state.subscriptions.retain(|s| !s.subscriber.is_gone());
        let wanted = state.subscriptions.iter().fold(0, |mask, s| mask | s.mask);
        for signal in handler::signals(state.installed & !wanted) {
            // If somebody has set a handler since, which may well call ours, it stays.
            if let Some(former) = &state.former[signal as usize]
                && handler::restore(signal, former)
            {
                state.installed &= !handler::bit(signal);
            }
        }
        if state.subscriptions.len() != before {
            self.publish(state);
        }
    }

    /// The thread's life.
    fn serve(&self) {
        let mut pause = None;
        loop {
            let mut fds = [libc::pollfd {
                fd: std::os::fd::AsRawFd::as_raw_fd(&self.bell),
                events: libc::POLLIN,
                revents: 0,
            }];
            // It fails for want of kernel memory alone; then we look too early.
            let _ = sys::poll(&mut fds, pause);
            sys::drain_event(self.bell.as_fd());
            let mut state = self.lock();
            let all = state.subscriptions.iter().fold(true, |all, subscription| {
                let done = subscription.deliver() || subscription.subscriber.is_gone();
                all && done
            });
            self.reap(&mut state);
            pause = match (all, pause) {
                (true, _) => None,
                (false, None) => Some(FIRST_PAUSE),
                (false, Some(pause)) => Some((2 * pause).min(LONGEST_PAUSE)),
            };
        }
    }
}
