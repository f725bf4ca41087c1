//! The hand-shake over a processor: sysmon takes it from a machine that stays away for long.
//!
//! A goroutine's code runs *outside* the runtime. Each time it calls in, its machine says so with
//! a plain store and looks with a plain load whether its processor was taken meanwhile. All the
//! price is paid by the one who takes: between asking and looking whether the machine is inside it
//! executes a barrier on every thread of the process (`membarrier`), which stands for the fence
//! that the machine leaves out. Where the kernel has no such call, both sides fence (`barrier.rs`).
//!
//! *The machine enters:*
//! - E1 say that it is inside
//! - E2 light barrier
//! - E3 read the request word: free, so the processor is its own; else see below
//!
//! *Sysmon takes:*
//! - A1 ask
//! - A2 heavy barrier
//! - A3 read whether the machine is inside: if so, withdraw (A4); if not, take the processor, and
//!   say so (A5)
//!
//! Between E2 and A2 one is first. If it is E2, A3 sees the machine inside. If it is A2, E3 sees the
//! request, and the machine waits for sysmon's decision, a few instructions away. It may also happen
//! that each sees the other; then sysmon withdraws, and the machine finds that out.
//!
//! | request word | meaning |
//! |--------------|---------|
//! | `FREE`       | nobody asks |
//! | `ASKED`      | sysmon is between A1 and A4 or A5 |
//! | `TAKEN`      | the processor is gone; the machine has not noticed yet |
//! | `YIELD`      | the processor stays, but its goroutine has had its time slice |
//!
//! # Invariants
//!
//! 1. While it is inside and has seen `FREE` or `YIELD`, the processor is the machine's alone.
//! 2. Between `ASKED`, when the machine was not inside, and `TAKEN` it is sysmon's alone.
//! 3. Only sysmon leaves `FREE`, and it is one thread. Only the machine leaves `TAKEN`. Either may
//!    leave `YIELD`: the machine by yielding, sysmon by asking for more.

use crate::barrier;
use crate::sync::{AtomicU32, Ordering};

const FREE: u32 = 0;
const ASKED: u32 = 1;
const TAKEN: u32 = 2;
const YIELD: u32 = 3;

/// What a machine finds when it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Entry {
    /// The processor is its own.
    Keeps,
    /// It is, but the goroutine should let others run when it has done what it came for.
    Yields,
    /// The processor is gone.
    Lost,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// 1 while the machine is inside. Written by the machine.
    inside: AtomicU32,
    request: AtomicU32,
}

impl Handshake {
    /// Of a machine that is inside.
    pub(crate) fn new() -> Self {
        Handshake {
            inside: AtomicU32::new(1),
            request: AtomicU32::new(FREE),
        }
    }

    /// Machine: E1 to E3.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Entry {
        // E1.
        self.inside.store(1, Ordering::Relaxed);
        // E2: partner A2.
        barrier::light();
        // E3.
        if self.request.load(Ordering::Relaxed) == FREE {
            return Entry::Keeps;
        }
        self.enter_slow()
    }

    #[cold]
    #[inline(never)]
    fn enter_slow(&self) -> Entry {
        let mut turns = 0_u32;
        loop {
            // Acquire: what sysmon did with the processor comes before what we do without it.
            match self.request.load(Ordering::Acquire) {
                FREE => return Entry::Keeps,
                ASKED => {
                    // Sysmon may have been descheduled right there.
                    turns += 1;
                    barrier::wait_a_little(turns);
                }
                TAKEN => {
                    self.request.store(FREE, Ordering::Release);
                    return Entry::Lost;
                }
                // Sysmon may turn it into ASKED at this moment.
                answer => {
                    let exchanged = self.request.compare_exchange(
                        answer,
                        FREE,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    if exchanged.is_ok() {
                        return Entry::Yields;
                    }
                }
            }
        }
    }

    /// Machine: it leaves the runtime for a goroutine's code.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // Release: whoever takes the processor (A3) sees it as we left it.
        self.inside.store(0, Ordering::Release);
    }

    /// Sysmon: A1 to A3. `Some` is the right to take the processor, to be followed by
    /// [`Asked::taken`].
    pub(crate) fn ask(&self) -> Option<Asked<'_>> {
        // A1. From FREE, or from a YIELD that the machine has not come by yet. It may come by just
        // now, hence the exchange. One that has not noticed the last taking has nothing to take.
        let request = self.request.load(Ordering::Relaxed);
        if request != FREE && request != YIELD {
            return None;
        }
        self.request
            .compare_exchange(request, ASKED, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        // A2: partner E2.
        barrier::heavy();
        // A3. Acquire: pairs with `leave`.
        if self.inside.load(Ordering::Acquire) == 1 {
            // A4.
            self.request.store(FREE, Ordering::Release);
            return None;
        }
        Some(Asked(self))
    }

    /// Sysmon: asks the goroutine to yield at its next entry. Only after `ask` was refused.
    pub(crate) fn ask_to_yield(&self) {
        if self.request.load(Ordering::Relaxed) == FREE {
            self.request.store(YIELD, Ordering::Release);
        }
    }
}

/// The right to take the processor of a machine that is not inside.
#[derive(Debug)]
#[must_use = "the machine waits for the decision"]
pub(crate) struct Asked<'a>(&'a Handshake);

impl Asked<'_> {
    /// A5: the processor has been taken.
    pub(crate) fn taken(self) {
        self.0.request.store(TAKEN, Ordering::Release);
    }

    /// A4: it is left where it is after all.
    pub(crate) fn withdrawn(self) {
        self.0.request.store(FREE, Ordering::Release);
    }
}
