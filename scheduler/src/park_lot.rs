//! Where machines sleep and processors lie idle: the lists behind the idle protocol.
//!
//! The steps S4, R1, R4 to R7 and L1 to L3 named here are those of `idle.rs`.
//!
//! # Invariants
//!
//! 1. A machine is on the list of sleepers, or it has been taken off by a waker, which gives it a
//!    processor under the lock and signals it, or by itself.
//! 2. A processor is on the list of idle ones exactly as long as it is counted idle, or reserved
//!    and about to be taken off.
//!
//! # Locks
//!
//! `ParkLot::lists` guards both lists and the processors handed to sleepers. Nothing blocks and
//! nothing is allocated for long under it: a few pushes and pops.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::event::EventSource;
use crate::processor::P;
use crate::sys;

/// The half of a machine that wakers see.
#[derive(Debug)]
pub(crate) struct Sleeper {
    /// `AWAKE`, `ON_FUTEX`, `IN_POLL` or `SIGNALLED`.
    state: AtomicU32,
    /// The processor a waker has given it. Guarded by the lists' lock, which is taken first.
    assigned: Mutex<Option<Box<P>>>,
}

const AWAKE: u32 = 0;
const ON_FUTEX: u32 = 1;
const IN_POLL: u32 = 2;
const SIGNALLED: u32 = 3;

impl Sleeper {
    pub(crate) fn new() -> Self {
        Sleeper {
            state: AtomicU32::new(AWAKE),
            assigned: Mutex::new(None),
        }
    }

    fn assigned(&self) -> MutexGuard<'_, Option<Box<P>>> {
        self.assigned.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Anyone: makes it come back from its sleep, or not go to sleep.
    pub(crate) fn signal(&self, source: &dyn EventSource) {
        // Release: what the waker did comes before the sleeper's return.
        match self.state.swap(SIGNALLED, Ordering::AcqRel) {
            ON_FUTEX => sys::futex_wake(&self.state, 1),
            IN_POLL => source.interrupt(),
            _ => {}
        }
    }

    /// R7 on the futex. Returns when signalled, or after `timeout`.
    pub(crate) fn sleep_on_futex(&self, timeout: Option<Duration>) {
        let entered = self
            .state
            .compare_exchange(AWAKE, ON_FUTEX, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        while entered && self.state.load(Ordering::Acquire) == ON_FUTEX {
            sys::futex_wait(&self.state, ON_FUTEX, timeout);
            if timeout.is_some() {
                break;
            }
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// R7 in the event source: runs `poll` unless a signal has come already.
    pub(crate) fn sleep_in_poll(&self, poll: impl FnOnce()) {
        let entered = self
            .state
            .compare_exchange(AWAKE, IN_POLL, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if entered {
            poll();
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    fn is_in_poll(&self) -> bool {
        self.state.load(Ordering::Relaxed) == IN_POLL
    }
}

/// The lists. See the module's documentation.
#[derive(Debug)]
pub(crate) struct ParkLot {
    lists: Mutex<Lists>,
}

#[derive(Debug)]
#[expect(clippy::vec_box, reason = "a processor moves as a box, by one word")]
struct Lists {
    /// Idle processors, last in first out.
    idle: Vec<Box<P>>,
    /// Sleeping machines, last in first out: the warm ones first.
    sleepers: Vec<Arc<Sleeper>>,
}

/// What a machine finds when it looks at the lists after its sleep.
#[derive(Debug)]
#[must_use]
pub(crate) enum Woken {
    /// A waker has given it this processor, and has counted it as a searcher.
    With(Box<P>),
    /// Nobody has; it is off the list.
    Without,
}

impl ParkLot {
    #[expect(clippy::vec_box, reason = "as above")]
    pub(crate) fn new(idle: Vec<Box<P>>) -> Self {
        ParkLot {
            lists: Mutex::new(Lists {
                idle,
                sleepers: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// R1: a machine lies down, with the processor it gives up if it has one.
    pub(crate) fn enlist(&self, sleeper: Arc<Sleeper>, p: Option<Box<P>>) {
        let mut lists = self.lock();
        lists.idle.extend(p);
        lists.sleepers.push(sleeper);
    }

    /// Puts a processor back for which no machine could be had.
    pub(crate) fn put_back(&self, p: Box<P>) {
        self.lock().idle.push(p);
    }

    /// S4: gives the processor to a sleeping machine, which must be signalled, or back if none
    /// sleeps. Machines on a futex come before the one in the event source, which may as well stay
    /// there.
    pub(crate) fn assign(&self, p: Box<P>) -> Result<Arc<Sleeper>, Box<P>> {
        let mut lists = self.lock();
        let last = lists.sleepers.len();
        let chosen = match last {
            0 => return Err(p),
            1 => 0,
            _ if lists.sleepers[last - 1].is_in_poll() => last - 2,
            _ => last - 1,
        };
        let sleeper = lists.sleepers.remove(chosen);
        *sleeper.assigned() = Some(p);
        Ok(sleeper)
    }

    /// After a reservation: the reserved processor.
    pub(crate) fn take_reserved(&self) -> Box<P> {
        self.lock().idle.pop().expect("a processor was reserved")
    }

    /// After a sleep, or before one that is called off: the machine takes itself off the list,
    /// unless a waker has.
    pub(crate) fn delist(&self, sleeper: &Arc<Sleeper>) -> Woken {
        let mut lists = self.lock();
        if let Some(p) = sleeper.assigned().take() {
            return Woken::With(p);
        }
        // From the end: the last to lie down are the first to get up.
        if let Some(at) = lists
            .sleepers
            .iter()
            .rposition(|other| Arc::ptr_eq(other, sleeper))
        {
            lists.sleepers.remove(at);
        }
        Woken::Without
    }

    /// Whether more machines sleep than are worth keeping.
    pub(crate) fn has_spares_beyond(&self, keep: usize) -> bool {
        self.lock().sleepers.len() > keep
    }

    /// All sleepers, taken off the list: for the end of the scheduler.
    pub(crate) fn drain_sleepers(&self) -> Vec<Arc<Sleeper>> {
        std::mem::take(&mut self.lock().sleepers)
    }
}
