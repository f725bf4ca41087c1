//! The idle protocol: who sleeps, who searches, and why no work is left behind.
//!
//! Two words. The *count word* holds how many processors are idle and how many machines search
//! for work. The *poll word* says whether a machine waits in the event source, and until when.
//! The lists of idle processors and sleeping machines themselves are kept elsewhere, under a lock
//! (`park_lot.rs`); what is here decides whether that lock has to be taken at all.
//!
//! | count word | meaning                                        |
//! |------------|------------------------------------------------|
//! | 63..=32    | idle processors that nobody has reserved        |
//! | 31..=0     | machines that search, or are woken to search    |
//!
//! # The sequences
//!
//! The argument that no wake-up is lost is made in the essay of the crate; it cites these steps.
//!
//! *Submit* (a goroutine becomes runnable and may need another machine):
//! - S1 push it on a queue that others can see
//! - S2 fence
//! - S3 read the count word: somebody searches, or no processor is idle: done
//! - S4 reserve an idle processor and count one searcher more, in one step; then wake a machine
//!
//! *Call* (somebody wants a processor, not a search: a machine in line, H4 of `home.rs`; or one is
//! to be put away, `resize.rs`), after it has said so by a flag:
//! - H5 fence
//! - H6 reserve an idle processor, however many search
//!
//! *Sleep* (a machine has found nothing):
//! - R1 put the processor and itself on the lists
//! - R2 count the processor idle and itself no longer searching, in one step
//! - R3 fence
//! - R4 take the poll word if it is free
//! - R5 fence
//! - R6 look at the flags, all queues and all timers once more; if there is something, reserve and
//!   go on
//! - R7 sleep: in the event source until the next timer if it has the poll word, else on a futex
//!
//! *Stop searching* (a searcher has found work):
//! - F1 count itself out
//! - F2 fence, if it was the last
//! - F3 look at all queues: if there is more, submit from S3 on its behalf
//!
//! *Add a timer*:
//! - T1 publish the deadline of the processor's earliest timer
//! - T2 fence
//! - T3 read the poll word: if a machine waits in the event source beyond it, interrupt that
//!
//! *Leave the poll word* (the machine that waited comes back, and finds no idle processor):
//! - L1 free the poll word
//! - L2 fence
//! - L3 read the count word: if a processor is idle, reserve it and begin again
//!
//! *Sysmon lies down* (nothing has happened for long):
//! - Y1 say that it sleeps
//! - Y2 fence
//! - Y3 read the count word: if not all processors are idle, stay up
//!
//! *Wake sysmon* (a processor was reserved, so not all are idle any more):
//! - W1 fence
//! - W2 if sysmon says that it sleeps, wake it
//!
//! # Invariants
//!
//! 1. A processor is counted idle only while it is on the list and unreserved: R1 before R2. So
//!    whoever reserves finds one on the list.
//! 2. Whoever counts up the searchers (S4, H6, R6, L3, `try_search`) counts them down again, by R2 or
//!    F1, and looks after that, R6 or F3, be it that no search came of it: somebody may have left
//!    work to the searcher that was counted (S3).
//! 3. At most one machine owns the poll word.

use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

const SEARCHING: u64 = 1;
const IDLE: u64 = 1 << 32;

/// A snapshot of the count word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts(u64);

impl Counts {
    /// Idle processors that nobody has reserved.
    pub(crate) fn idle(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Machines that search.
    pub(crate) fn searching(self) -> u32 {
        self.0 as u32
    }
}

/// The right to take one processor off the idle list, as a machine that searches.
#[derive(Debug)]
#[must_use = "an idle processor was reserved and a searcher counted"]
pub(crate) struct Reserved(());

/// The count word and the poll word. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Idle {
    counts: AtomicU64,
    /// `NOBODY`, or the deadline in nanoseconds until which its owner waits; `FOREVER` while that
    /// is not known yet.
    poll: AtomicU64,
    /// 1 while sysmon sleeps, or is about to.
    sysmon_sleeps: AtomicU32,
}

/// Poll word: no machine waits in the event source.
pub(crate) const NOBODY: u64 = 0;
/// Poll word, and deadlines in general: no deadline.
pub(crate) const FOREVER: u64 = u64::MAX;

impl Idle {
    /// All of `idle` processors are idle, nobody searches, nobody polls.
    pub(crate) fn new(idle: u32) -> Self {
        Idle {
            counts: AtomicU64::new(u64::from(idle) * IDLE),
            poll: AtomicU64::new(NOBODY),
            sysmon_sleeps: AtomicU32::new(0),
        }
    }

    /// A snapshot for decisions that need not be exact, and for reports.
    pub(crate) fn counts(&self) -> Counts {
        Counts(self.counts.load(Ordering::Relaxed))
    }

    /// S2 to S4. Called after S1; `Some` obliges the caller to wake a machine that searches.
    #[inline]
    pub(crate) fn submitted(&self) -> Option<Reserved> {
        // S2: partners R3 and F2.
        fence(Ordering::SeqCst);
        self.wake_one()
    }

    /// S3 and S4.
    #[inline]
    pub(crate) fn wake_one(&self) -> Option<Reserved> {
        // S3.
        let counts = self.counts();
        if counts.searching() > 0 || counts.idle() == 0 {
            return None;
        }
        self.wake_one_slow(counts)
    }

    #[cold]
    fn wake_one_slow(&self, mut counts: Counts) -> Option<Reserved> {
        loop {
            if counts.searching() > 0 || counts.idle() == 0 {
                return None;
            }
            match self.reserve_from(counts) {
                Ok(reserved) => return Some(reserved),
                Err(now) => counts = now,
            }
        }
    }

    /// S4, H6, R6, L3: one idle processor less and one searcher more, in one step, so that of many
    /// submitters only one wakes a machine.
    fn reserve_from(&self, counts: Counts) -> Result<Reserved, Counts> {
        let next = counts.0 - IDLE + SEARCHING;
        // AcqRel: the reserver sees the processor that the releaser put on the list (R1).
        self.counts
            .compare_exchange_weak(counts.0, next, Ordering::AcqRel, Ordering::Relaxed)
            .map(|_| Reserved(()))
            .map_err(Counts)
    }

    /// Reserves an idle processor, however many search already (H6, R6, L3, or with events in hand).
    pub(crate) fn reserve(&self) -> Option<Reserved> {
        let mut counts = self.counts();
        while counts.idle() > 0 {
            match self.reserve_from(counts) {
                Ok(reserved) => return Some(reserved),
                Err(now) => counts = now,
            }
        }
        None
    }

    /// H5 and H6, after a flag that says what for was set. `Some` obliges the caller to take the
    /// processor off the list. A searcher does not stand in for it, as it does for a submission: it
    /// cannot do this work, nor is its processor an idle one.
    pub(crate) fn called(&self) -> Option<Reserved> {
        // H5: partner R3. Whoever puts a processor on the list looks at the flags after it.
        fence(Ordering::SeqCst);
        // H6.
        self.reserve()
    }

    /// A machine that has a processor but no work begins to search, unless half of the busy
    /// processors' machines already do: more would only fight over the same queues.
    pub(crate) fn try_search(&self, max_procs: u32) -> bool {
        let counts = self.counts();
        let busy = max_procs.saturating_sub(counts.idle());
        if 2 * counts.searching() >= busy {
            return false;
        }
        // A count that races past the bound by a few does no harm.
        self.counts.fetch_add(SEARCHING, Ordering::Relaxed);
        true
    }

    /// Counts a searcher that is made to search whatever the bounds say: it gets a processor that
    /// was taken from another machine.
    pub(crate) fn begin_search(&self) {
        self.counts.fetch_add(SEARCHING, Ordering::Relaxed);
    }

    /// F1 and F2: the searcher has found work. True obliges the caller to look at the queues (F3).
    #[must_use]
    pub(crate) fn found_work(&self) -> bool {
        // F1.
        let before = Counts(self.counts.fetch_sub(SEARCHING, Ordering::Relaxed));
        if before.searching() == 1 {
            // F2: partner S2. A submitter that saw us search left its work to us.
            fence(Ordering::SeqCst);
            return true;
        }
        false
    }

    /// R2 and R3. Called after R1, and before R6.
    pub(crate) fn release(&self, searching: bool) {
        let delta = if searching { IDLE - SEARCHING } else { IDLE };
        // R2. Release: R1 is visible to whoever reserves.
        self.counts.fetch_add(delta, Ordering::Release);
        // R3: partners S2, H5 and L2.
        fence(Ordering::SeqCst);
    }

    /// R4 and R5: takes the poll word if it is free. Whatever the answer, R6 may follow.
    #[must_use]
    pub(crate) fn try_poll(&self) -> bool {
        // R4. Acquire and release hand the event source over from one owner to the next.
        let mine = self
            .poll
            .compare_exchange(NOBODY, FOREVER, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if mine {
            // R5: partner T2.
            fence(Ordering::SeqCst);
        }
        mine
    }

    /// The owner of the poll word says which deadlines it has to be interrupted for, those before this:
    /// the earliest it saw after R5, or none, if it looks again soon in any case (`PACE` in `sleep.rs`).
    /// Whoever still reads the `FOREVER` of R4 interrupts once too often, which is harmless.
    pub(crate) fn poll_until(&self, deadline: u64) {
        self.poll.store(deadline.max(1), Ordering::Relaxed);
    }

    /// L1, when the machine keeps or has got a processor: its next sleep looks after the rest.
    pub(crate) fn leave_poll(&self) {
        self.poll.store(NOBODY, Ordering::Release);
    }

    /// L1 to L3, when it has none. `Some`: take the processor and look for work.
    pub(crate) fn leave_poll_without_p(&self) -> Option<Reserved> {
        // L1.
        self.leave_poll();
        // L2: partner R3. A machine that slept because we had the poll word relies on us.
        fence(Ordering::SeqCst);
        // L3.
        self.reserve()
    }

    /// Whether a machine waits in the event source just now (a snapshot).
    pub(crate) fn is_polling(&self) -> bool {
        self.poll.load(Ordering::Relaxed) != NOBODY
    }

    /// T2 and T3, after T1: whether the event source must be interrupted for this deadline.
    #[inline]
    #[must_use]
    pub(crate) fn timer_added(&self, deadline: u64) -> bool {
        // T2: partner R5.
        fence(Ordering::SeqCst);
        // T3.
        let until = self.poll.load(Ordering::Relaxed);
        until != NOBODY && deadline < until
    }

    /// Y1 to Y3: whether sysmon may sleep until it is woken.
    #[must_use]
    pub(crate) fn sysmon_lies_down(&self, max_procs: u32) -> bool {
        // Y1.
        self.sysmon_sleeps.store(1, Ordering::Relaxed);
        // Y2: partner W1.
        fence(Ordering::SeqCst);
        // Y3.
        let may = self.counts().idle() == max_procs;
        if !may {
            self.sysmon_gets_up();
        }
        may
    }

    /// Sysmon is up again. True if nobody has woken it (W2).
    pub(crate) fn sysmon_gets_up(&self) -> bool {
        self.sysmon_sleeps.swap(0, Ordering::Relaxed) == 1
    }

    /// W1 and W2, after a reservation: whether the caller has to wake sysmon. It tells one caller.
    #[must_use]
    pub(crate) fn must_wake_sysmon(&self) -> bool {
        // W1: partner Y2.
        fence(Ordering::SeqCst);
        // W2.
        self.sysmon_sleeps.load(Ordering::Relaxed) == 1
            && self.sysmon_sleeps.swap(0, Ordering::Relaxed) == 1
    }
}
