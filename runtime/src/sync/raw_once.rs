//! The protocol of something that is done once: one word, and the line of those who wait for it.
//!
//! | bits | meaning |
//! |---|---|
//! | 1..=0 | `INCOMPLETE`, `POISONED`, `RUNNING` or `COMPLETE` |
//! | 2 | `QUEUED`: somebody is in line |
//!
//! # Invariants
//!
//! 1. Whoever changes the phase from `INCOMPLETE` or `POISONED` to `RUNNING` is the one runner, and
//!    ends that by `COMPLETE` or `POISONED`. `COMPLETE` is final.
//! 2. A task joins the line only if, under the line's lock, the phase is still the one that it means
//!    to see changed, in the exchange that sets `QUEUED`. The runner ends its run by an exchange that
//!    takes `QUEUED` away, and if it was set lets the whole line go on. So nobody is left behind.

use super::atomics::{AtomicU32, Ordering, const_fn};
use super::task::{Outcome, Reason, Wait, Why};
use super::wait_list::{Verdict, WaitList, Waiter};

const INCOMPLETE: u32 = 0;
const POISONED: u32 = 1;
const RUNNING: u32 = 2;
const COMPLETE: u32 = 3;
const PHASE: u32 = 3;
const QUEUED: u32 = 1 << 2;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RawOnce {
    state: AtomicU32,
    line: WaitList,
}

/// What [`RawOnce::begin`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Begin {
    /// It is done.
    Done,
    /// The last run has failed, and the caller wants none after that.
    Poisoned,
    /// The caller is the runner, and has to call [`RawOnce::end`].
    Run {
        /// Whether a former run has failed.
        poisoned: bool,
    },
}

impl RawOnce {
    const_fn! {
        pub(super) const fn new() -> Self {
            RawOnce {
                state: AtomicU32::new(INCOMPLETE),
                line: WaitList::new(),
            }
        }
    }

    /// Whether it is done. Who sees that sees what the runner did.
    #[inline(always)]
    pub(super) fn is_completed(&self) -> bool {
        // Acquire: pairs with the release in `end`.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Makes the caller the runner, if there is need of one; waits while another runs.
    pub(super) fn begin(&self, even_poisoned: bool) -> Begin {
        loop {
            let state = self.state.load(Ordering::Acquire);
            match state & PHASE {
                COMPLETE => return Begin::Done,
                POISONED if !even_poisoned => return Begin::Poisoned,
                RUNNING => self.wait_while(RUNNING),
                phase => {
                    let running = state - phase + RUNNING;
                    // Acquire: a runner sees what those that failed did.
                    let won = self.state.compare_exchange(
                        state,
                        running,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if won.is_ok() {
                        return Begin::Run {
                            poisoned: phase == POISONED,
                        };
                    }
                }
            }
        }
    }

    /// Ends the run.
    ///
    /// # Safety
    /// The caller is the runner.
    pub(super) unsafe fn end(&self, success: bool) {
        let phase = if success { COMPLETE } else { POISONED };
        // Release: pairs with the acquire of all who see this.
        let before = self.state.swap(phase, Ordering::Release);
        if before & QUEUED != 0 {
            self.let_go();
        }
    }

    /// Waits until it is done. `false`: a run has failed, and the caller does not want to wait for
    /// another.
    pub(super) fn wait(&self, even_poisoned: bool) -> bool {
        loop {
            match self.state.load(Ordering::Acquire) & PHASE {
                COMPLETE => return true,
                POISONED if !even_poisoned => return false,
                phase => self.wait_while(phase),
            }
        }
    }

    /// Waits in line while the phase is `phase`, or until something happens.
    #[inline(never)]
    fn wait_while(&self, phase: u32) {
        let wait = Wait::new();
        let mut waiter = Waiter::new(wait.ticket());
        let waiter = &raw mut waiter;
        let mut line = self.line.lock();
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & PHASE != phase {
                return;
            }
            // Relaxed: who goes on looks at the state again.
            match self.state.compare_exchange(
                state,
                state | QUEUED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // SAFETY: the node is new. The frame is left below, when it is out of the line by the hand
        // of a claimer who has readied us, or by our own.
        unsafe { line.push_back(waiter) };
        let outcome = wait.park(Why::on(Reason::Sync, self), None, line.into_publish());
        if outcome != Outcome::Ready {
            // `QUEUED` may stay behind: then the runner looks into an empty line.
            // SAFETY: the waiter is in this line or in none.
            unsafe { self.line.lock().remove(waiter) };
        }
    }

    /// Readies all who are in line now. Those who join meanwhile wait for another end.
    #[cold]
    #[inline(never)]
    fn let_go(&self) {
        let bound = self.line.lock().next_number();
        let mut more = true;
        while more {
            let chain;
            (chain, more) = self.line.lock().pop_batch(bound);
            chain.wake(Verdict::Again);
        }
    }

    // ---- for an owner --------------------------------------------------------------------------

    /// The phase, for one who has it alone: whether it is done, or else whether a run has failed.
    pub(super) fn status(&mut self) -> Status {
        match self.state.load(Ordering::Relaxed) & PHASE {
            COMPLETE => Status::Complete,
            POISONED => Status::Poisoned,
            _ => Status::Incomplete,
        }
    }

    /// Sets it, for one who has it alone.
    pub(super) fn set_status(&mut self, status: Status) {
        let phase = match status {
            Status::Incomplete => INCOMPLETE,
            Status::Poisoned => POISONED,
            Status::Complete => COMPLETE,
        };
        self.state.store(phase, Ordering::Relaxed);
    }
}

/// How far it is, while nobody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not run yet.
    Incomplete,
    /// The last run has failed.
    Poisoned,
    /// Done.
    Complete,
}
