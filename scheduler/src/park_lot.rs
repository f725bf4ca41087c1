//! Where machines sleep and processors lie idle: the lists behind the idle protocol.
//!
//! The steps S4, R1, R4 to R7 and L1 to L3 named here are those of `idle.rs`.
//!
//! # Invariants
//!
//! 1. A machine that sleeps is on one of three lists, or it has been taken off by a waker, which
//!    gives it a processor under the lock and signals it, or by itself. The lists are: the sleepers,
//!    who do any work; the reserved, whose thread a goroutine has locked, so that they do nothing
//!    but run that; and the line of those of either kind that want a processor for work at home.
//! 2. A processor is on the list of idle ones exactly as long as it is counted idle, or reserved
//!    and about to be taken off.
//! 3. The flag `WANTED` is set exactly while the line is not empty.
//!
//! # Locks
//!
//! `ParkLot::lists` guards the lists, the processors handed to sleepers, and the states of `home.rs`.
//! Nothing blocks and nothing is allocated for long under it: a few pushes and pops.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::event::EventSource;
use crate::flags::{Flags, WANTED};
use crate::home::Rest;
use crate::processor::P;
use crate::sys;

/// The half of a machine that wakers see.
#[derive(Debug)]
pub(crate) struct Sleeper {
    /// `AWAKE`, `ON_FUTEX`, `IN_POLL` or `SIGNALLED`.
    state: AtomicU32,
    /// The processor a waker has given it. Guarded by the lists' lock, which is taken first.
    assigned: Mutex<Option<Box<P>>>,
    /// Whether it has to be called when there is work at home.
    pub(crate) rest: Rest,
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
            rest: Rest::new(),
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
    /// Sleeping machines that do no work but that of the goroutine which has locked their thread.
    reserved: Vec<Arc<Sleeper>>,
    /// Sleeping machines that have work at home, first in first out.
    line: VecDeque<Arc<Sleeper>>,
    /// Processors that are not in use at present.
    retired: Vec<Box<P>>,
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
                reserved: Vec::new(),
                line: VecDeque::new(),
                retired: Vec::new(),
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
        sleeper.rest.lie_down();
        lists.sleepers.push(sleeper);
    }

    /// The same for a machine that does no work but that of the goroutine which has locked it.
    pub(crate) fn enlist_reserved(&self, sleeper: Arc<Sleeper>) {
        let mut lists = self.lock();
        sleeper.rest.lie_down();
        lists.reserved.push(sleeper);
    }

    /// H4: puts a machine in line that rests and has work at home. False if it does not rest (any
    /// more), and need not be called.
    #[must_use]
    pub(crate) fn call(&self, sleeper: &Arc<Sleeper>, flags: &Flags) -> bool {
        let mut lists = self.lock();
        if !sleeper.rest.call() {
            return false;
        }
        if !remove(&mut lists.sleepers, sleeper) {
            remove(&mut lists.reserved, sleeper);
        }
        lists.line.push_back(sleeper.clone());
        flags.set(WANTED);
        true
    }

    /// Puts a processor back for which no machine could be had.
    pub(crate) fn put_back(&self, p: Box<P>) {
        self.lock().idle.push(p);
    }

    /// Puts a processor away that is not to be used for now.
    pub(crate) fn retire(&self, p: Box<P>) {
        self.lock().retired.push(p);
    }

    /// A processor that was put away.
    pub(crate) fn take_retired(&self) -> Option<Box<P>> {
        self.lock().retired.pop()
    }

    /// S4: gives the processor to a sleeping machine, which must be signalled, or back if none
    /// sleeps. Those in line come first; then machines on a futex come before the one in the event
    /// source, which may as well stay there.
    pub(crate) fn assign(&self, p: Box<P>, flags: &Flags) -> Result<Arc<Sleeper>, Box<P>> {
        let mut lists = self.lock();
        let sleeper = match lists.line.pop_front() {
            Some(first) => {
                if lists.line.is_empty() {
                    flags.clear(WANTED);
                }
                first
            }
            None => {
                let last = lists.sleepers.len();
                let chosen = match last {
                    0 => return Err(p),
                    1 => 0,
                    _ if lists.sleepers[last - 1].is_in_poll() => last - 2,
                    _ => last - 1,
                };
                lists.sleepers.remove(chosen)
            }
        };
        sleeper.rest.get_up();
        *sleeper.assigned() = Some(p);
        Ok(sleeper)
    }

    /// After a reservation: the reserved processor.
    pub(crate) fn take_reserved(&self) -> Box<P> {
        self.lock().idle.pop().expect("a processor was reserved")
    }

    /// After a sleep, or before one that is called off: the machine takes itself off the list,
    /// unless a waker has.
    pub(crate) fn delist(&self, sleeper: &Arc<Sleeper>, flags: &Flags) -> Woken {
        let mut lists = self.lock();
        if let Some(p) = sleeper.assigned().take() {
            return Woken::With(p);
        }
        if sleeper.rest.get_up() {
            lists.line.retain(|other| !Arc::ptr_eq(other, sleeper));
            if lists.line.is_empty() {
                flags.clear(WANTED);
            }
        } else if !remove(&mut lists.sleepers, sleeper) {
            remove(&mut lists.reserved, sleeper);
        }
        Woken::Without
    }

    /// Whether more machines sleep than are worth keeping.
    pub(crate) fn has_spares_beyond(&self, keep: usize) -> bool {
        self.lock().sleepers.len() > keep
    }

    /// How many machines stand in line for a processor.
    pub(crate) fn in_line(&self) -> usize {
        self.lock().line.len()
    }

    /// How many machines sleep without being in line for a processor.
    pub(crate) fn resting(&self) -> usize {
        let lists = self.lock();
        lists.sleepers.len() + lists.reserved.len()
    }

    /// Calls `f` with one of the idle processors, which stays on the list; `None` if there are not so
    /// many. Under the lock, as long as `f` takes.
    pub(crate) fn with_idle<R>(&self, place: usize, f: impl FnOnce(&P) -> R) -> Option<R> {
        self.lock().idle.get(place).map(|p| f(p))
    }

    /// All sleepers, taken off the lists: for the end of the scheduler.
    pub(crate) fn drain_sleepers(&self) -> Vec<Arc<Sleeper>> {
        let mut lists = self.lock();
        let mut all = std::mem::take(&mut lists.sleepers);
        all.append(&mut lists.reserved);
        all.extend(lists.line.drain(..));
        all
    }
}

/// Takes a sleeper off a list; whether it was there.
fn remove(list: &mut Vec<Arc<Sleeper>>, sleeper: &Arc<Sleeper>) -> bool {
    // From the end: the last to lie down are the first to get up.
    let found = list.iter().rposition(|other| Arc::ptr_eq(other, sleeper));
    if let Some(at) = found {
        list.remove(at);
    }
    found.is_some()
}
