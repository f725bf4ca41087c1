//! The two halves of an asymmetric fence: free for the many, dear for the one.
//!
//! `heavy` makes the kernel execute a full barrier on each core that runs a thread of this process
//! (`membarrier`, 240 ns and more). So a `light` on any other thread need only keep the compiler
//! from reordering. Where the kernel lacks the call, both are sequentially consistent fences.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Whether `heavy` has to be paired with real fences. Set before the first machine starts.
static NO_MEMBARRIER: AtomicBool = AtomicBool::new(false);

const MEMBARRIER_CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// Registers the process for the barrier. To be called before any other function here.
pub(crate) fn init() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        if !membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) {
            NO_MEMBARRIER.store(true, Ordering::SeqCst);
        }
    });
}

/// The fence of those who must not pay.
#[inline(always)]
pub(crate) fn light() {
    compiler_fence(Ordering::SeqCst);
    if NO_MEMBARRIER.load(Ordering::Relaxed) {
        fence(Ordering::SeqCst);
    }
}

/// The fence of the one who pays for all.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    if !NO_MEMBARRIER.load(Ordering::Relaxed) && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        crate::fatal::throw("membarrier failed after it was registered");
    }
    fence(Ordering::SeqCst);
}

/// Lets time pass while another thread is a few instructions from an answer.
pub(crate) fn wait_a_little(turns: u32) {
    if turns < 64 {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
