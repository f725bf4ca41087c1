//! The signal handler, and what sets it. It may interrupt any code at all, so it takes no lock, does
//! not allocate, and leaves `errno` as it was.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::Ordering;

use super::{CENTER, Center, Table, invalid};
use crate::sys;

/// The signals' names, as the operating system has them.
pub(super) mod names {
    macro_rules! names {
        ($($name:ident: $what:literal;)*) => {
            $(
                #[doc = $what]
                pub const $name: i32 = libc::$name;
            )*
        };
    }

    names! {
        SIGHUP: "The terminal is gone; by custom, to read the configuration again.";
        SIGINT: "An interrupt from the keyboard (control-C).";
        SIGQUIT: "Quit, from the keyboard.";
        SIGABRT: "An abort.";
        SIGUSR1: "For the program to define.";
        SIGUSR2: "For the program to define.";
        SIGPIPE: "A write to a pipe that nobody reads. Rust programs ignore it.";
        SIGALRM: "A timer of `alarm`.";
        SIGTERM: "A request to end.";
        SIGCHLD: "A child has ended, or stopped, or goes on.";
        SIGCONT: "Going on after a stop.";
        SIGTSTP: "A stop from the keyboard.";
        SIGTTIN: "A background process reads from the terminal.";
        SIGTTOU: "A background process writes to the terminal.";
        SIGURG: "Urgent data on a socket.";
        SIGVTALRM: "A timer of processor time.";
        SIGPROF: "A timer for profiling.";
        SIGWINCH: "The window of the terminal has another size.";
        SIGIO: "A descriptor is ready.";
    }
}

/// The bit of a signal, of which there are 64.
pub(super) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// The bit of a signal that can be subscribed to.
pub(super) fn checked_bit(signal: i32) -> io::Result<u64> {
    match signal {
        libc::SIGKILL | libc::SIGSTOP => Err(invalid("SIGKILL and SIGSTOP cannot be caught")),
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
            Err(invalid("a signal that means a fault cannot be waited for"))
        }
        // The two after the classic ones belong to the C library.
        1..=31 | 34..=64 => Ok(bit(signal)),
        _ => Err(invalid("there is no such signal")),
    }
}

/// The signals of a mask.
pub(super) fn signals(mask: u64) -> impl Iterator<Item = i32> {
    (1..=64).filter(move |&signal| mask & bit(signal) != 0)
}

/// What a signal does now.
pub(super) fn current(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: the old action is written to a place for it; no new one is given.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it in (and all zeroes was valid already).
    Ok(unsafe { action.assume_init() })
}

/// Has our handler called.
pub(super) fn install(signal: i32) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `sigaction`: an empty mask, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = address();
    // On the alternate stack, where there is one: a goroutine's own may be short of room.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    set(signal, &action)
}

/// Gives a signal back to what it did before, unless its handler is not ours any more.
pub(super) fn restore(signal: i32, former: &libc::sigaction) -> bool {
    let ours = current(signal).is_ok_and(|action| action.sa_sigaction == address());
    ours && set(signal, former).is_ok()
}

fn set(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: the action is valid, be it our handler, which is safe anywhere, or one that the kernel
    // gave us.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn address() -> libc::sighandler_t {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
    handler as libc::sighandler_t
}

/// The handler.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(center) = CENTER.get() else { return };
    // SAFETY: errno is the thread's own, and its address is valid.
    let errno = unsafe { *libc::__errno_location() };
    let live = center.published.read(|table| count(table, signal));
    if !live {
        let former = center.published.read(|table| table.former[signal as usize]);
        if let Some(former) = former {
            // SAFETY: it is what the kernel had for this signal, which came with these arguments.
            unsafe { act_as_before(signal, info, context, &former) };
        }
    }
    // For delivery, or else to give the signal back.
    ring(center);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn ring(center: &Center) {
    sys::signal_event(center.bell.as_fd());
}

/// Counts the signal for all who want it; whether there was any.
fn count(table: &Table, signal: i32) -> bool {
    let mut live = false;
    for subscription in &table.subscriptions {
        if subscription.mask & bit(signal) != 0 && !subscription.subscriber.is_gone() {
            subscription.pending[signal as usize].fetch_add(1, Ordering::Relaxed);
            live = true;
        }
    }
    live
}

/// Does what the signal did before.
///
/// # Safety
/// In the handler of that signal, with its arguments; `former` is an action of that signal.
unsafe fn act_as_before(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    former: &libc::sigaction,
) {
    match former.sa_sigaction {
        libc::SIG_IGN => {}
        libc::SIG_DFL => match signal {
            libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT => {}
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                // SAFETY: no preconditions.
                unsafe { libc::raise(libc::SIGSTOP) };
            }
            _ => {
                // The end of the process, when the handler returns: until then it is blocked.
                let _ = set(signal, former);
                // SAFETY: no preconditions.
                unsafe { libc::raise(signal) };
            }
        },
        handler if former.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the flag says that the handler has this signature.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag the handler has this signature.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
