//! Stack overflow: a fault in a goroutine's guard ends the process with a message that says whose.
//!
//! The handler runs on an alternate stack of the machine, for the goroutine's own is used up. It
//! allocates nothing and takes no lock. A fault anywhere else goes to the handler that was there
//! before (std's, for a thread's own stack).

use std::fmt::{self, Write};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::arena;
use crate::sys;

/// Bytes of the alternate stack.
const ALTERNATE_STACK: usize = 64 * 1024;

/// What was installed before for SIGSEGV and SIGBUS.
struct Former([libc::sigaction; 2]);

// SAFETY: plain data, written once.
unsafe impl Send for Former {}
// SAFETY: as above.
unsafe impl Sync for Former {}

static FORMER: OnceLock<Former> = OnceLock::new();

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Installs the handler, once per process.
pub(crate) fn install_handler() -> io::Result<()> {
    // The former handlers are read before ours is installed, so that ours always finds them.
    let mut error = None;
    FORMER.get_or_init(|| {
        Former(SIGNALS.map(|signal| {
            let mut former = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: a null new action only reads the present one into `former`.
            let code = unsafe { libc::sigaction(signal, std::ptr::null(), former.as_mut_ptr()) };
            if code != 0 {
                error = Some(io::Error::last_os_error());
            }
            // SAFETY: filled in, or all zeroes, which is the default action.
            unsafe { former.assume_init() }
        }))
    });
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        for signal in SIGNALS {
            // SAFETY: all zeroes is a valid `sigaction`.
            let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for and is
            // async-signal-safe.
            if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
                error = Some(io::Error::last_os_error());
            }
        }
        true
    });
    error.map_or(Ok(()), Err)
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo, and both signals carry an address.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some((g, class)) = arena::g_of_guard(address) {
        // SAFETY: control blocks are never unmapped.
        let g = unsafe { g.as_ref() };
        // A slot without a goroutine overflows by a stray pointer, not by its stack.
        if g.id() != 0 {
            let mut line = Line::new();
            let _ = write!(line, "\nfatal: goroutine {}", g.id());
            // SAFETY: the fault came from this goroutine, which this signal has interrupted.
            if let Some(name) = unsafe { g.name() } {
                let _ = write!(line, " \"{name}\"");
            }
            if let Some(at) = g.spawned_at() {
                let _ = write!(line, " (spawned at {}:{})", at.file(), at.line());
            }
            let _ = writeln!(
                line,
                " overflowed its {} KiB stack; raise it with goroutine::Builder::stack_size, \
                 Builder::stack_size or MARMOT_STACK_SIZE",
                class.stack_size() >> 10
            );
            line.print();
            // SAFETY: no preconditions; async-signal-safe.
            unsafe { libc::abort() };
        }
    }
    forward(signal, info, context);
}

/// Hands a fault to whoever was there before.
fn forward(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal == SIGNALS[1]);
    let former = FORMER.get().map(|f| f.0[index]);
    let handler = former.map_or(libc::SIG_DFL, |f| f.sa_sigaction);
    match former {
        Some(former) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            if former.sa_flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                // SAFETY: it was installed as a handler of this type.
                let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: it was installed as a handler of this type.
                let handler =
                    unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
                handler(signal);
            }
        }
        _ => {
            // The default: the fault happens again on return, and ends the process.
            // SAFETY: all zeroes is the default action.
            let default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            // SAFETY: resetting a signal to its default is always allowed.
            unsafe { libc::sigaction(signal, &default, std::ptr::null_mut()) };
        }
    }
}

/// A line of text in a fixed buffer; what does not fit is cut off.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Line {
            bytes: [0; 1024],
            len: 0,
        }
    }

    fn print(&self) {
        let _ = io::Write::write_all(&mut sys::Stderr, &self.bytes[..self.len]);
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// The alternate signal stack of a machine, for as long as the value lives.
pub(crate) struct AlternateStack {
    memory: Option<NonNull<u8>>,
    former: libc::stack_t,
}

impl AlternateStack {
    /// Installs one for the calling thread. Without memory for it the thread keeps the one it has,
    /// which is std's.
    pub(crate) fn install() -> Self {
        // SAFETY: all zeroes is a valid `stack_t`.
        let mut former: libc::stack_t = unsafe { MaybeUninit::zeroed().assume_init() };
        let memory = sys::reserve(0, ALTERNATE_STACK).ok();
        if let Some(memory) = memory {
            let stack = libc::stack_t {
                ss_sp: memory.as_ptr().cast(),
                ss_flags: 0,
                ss_size: ALTERNATE_STACK,
            };
            // SAFETY: the memory stays until `drop`, which takes the stack off first.
            unsafe { libc::sigaltstack(&stack, &mut former) };
        }
        AlternateStack { memory, former }
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        if let Some(memory) = self.memory {
            // SAFETY: what was installed before on this thread; its owner is still to remove it.
            unsafe { libc::sigaltstack(&self.former, std::ptr::null_mut()) };
            // SAFETY: no signal runs on it any more.
            unsafe { sys::release(memory, ALTERNATE_STACK) };
        }
    }
}
