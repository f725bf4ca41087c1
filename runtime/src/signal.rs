//! Signals of the operating system, on a channel.

use marmot_channel::{Receiver, Sender, TrySendError, bounded};
use marmot_netpoll::signal::Subscriber;
pub use marmot_netpoll::signal::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM,
    SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH,
};

/// Signals that a receiver keeps.
const BUFFER: usize = 64;

/// Has these signals sent to a channel, instead of what they do now.
///
/// Several channels may get the same signal. The channel keeps 64 signals; when it is full, further
/// ones of the same number become one, which follows as soon as there is room: so no number is ever
/// lost. When the last receiver is dropped (or the channel closed), the signals do again what they
/// did before: what comes from then on meets the former handler, or has its default effect.
///
/// That is so at once, but at first Marmot's own handler sees to it: the process gets the former action
/// back, as `sigaction` and `/proc/PID/status` tell it, when the next of these signals has come, or at the
/// next call of this function. Until then there are differences that a program may notice. What was
/// ignored still interrupts the system calls that a handler interrupts whatever its flags, such as
/// `poll`. A former handler is called without its mask of signals and without `SA_RESETHAND` and
/// `SA_NODEFER`. If `SIGCHLD` was ignored, a child that ends leaves a zombie until it is waited for. And
/// what was ignored is not passed on as ignored to programs that are executed.
///
/// Works in a process without a runtime too. Behind it is a thread, one in the process, which stays.
///
/// # Errors
/// `InvalidInput` for no signal at all, for numbers that are none, and for those that cannot be caught
/// (`SIGKILL`, `SIGSTOP`) or mean a fault (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`); want of
/// descriptors or threads, at the first call.
///
/// ```
/// use marmot::signal;
///
/// let signals = signal::notify(&[signal::SIGUSR1, signal::SIGTERM])?;
/// let kill = format!("kill -USR1 {}", std::process::id());
/// std::process::Command::new("sh").args(["-c", &kill]).status()?;
/// assert_eq!(signals.recv(), Ok(signal::SIGUSR1));
/// # std::io::Result::Ok(())
/// ```
pub fn notify(signals: &[i32]) -> std::io::Result<Receiver<i32>> {
    let (sender, receiver) = bounded(BUFFER);
    marmot_netpoll::signal::subscribe(signals, Box::new(Channel(sender)))?;
    Ok(receiver)
}

struct Channel(Sender<i32>);

impl Subscriber for Channel {
    fn is_gone(&self) -> bool {
        // A load, as a signal handler requires.
        self.0.is_closed()
    }

    fn deliver(&self, signal: i32) -> bool {
        !matches!(self.0.try_send(signal), Err(TrySendError::Full(_)))
    }
}
