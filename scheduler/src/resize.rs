//! The number of processors, changed while they run: Go's `GOMAXPROCS`, without stopping the world.
//!
//! More: processors are made, or taken from those put away, and lie idle; if there is work, a
//! machine is woken for it. Fewer: idle ones are put away at once; then the flag `SURPLUS` has each
//! machine look, at the head of its next scheduling round, whether its processor is one too many.
//! One that is gives what it has queued to the global queue, and its timers are looked after by the
//! others. So a change takes effect as goroutines come to their scheduling points; a goroutine that
//! does not come to one keeps its processor, until sysmon takes it because it is missed.
//!
//! # Invariants
//!
//! 1. `alive` is the number of processors that are not put away: each is on the idle list, held by
//!    a machine, or on its way between the two.
//! 2. `SURPLUS` is set while `alive > wanted`, but for moments under the lock.
//! 3. No processor stays idle that is too many. Whoever puts one on the idle list fences and then
//!    looks at the flag (`shed`); whoever sets the flag fences and then looks at the list.
//!
//! # Locks
//!
//! `Size::lock` orders the changes. Under it the lock of the park lot is taken, and a table of
//! processors is made; nothing waits.

use crate::flags::SURPLUS;
use crate::processor::P;
use crate::sched::Sched;
use crate::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Size {
    lock: Mutex<()>,
    /// Written under the lock, read by anyone.
    alive: AtomicU32,
    wanted: AtomicU32,
    /// Whether that is what the process is allowed, as far as nobody has set it.
    follows: AtomicBool,
}

impl Size {
    pub(crate) fn new(n: u32, follows: bool) -> Self {
        Size {
            lock: Mutex::new(()),
            alive: AtomicU32::new(n),
            wanted: AtomicU32::new(n),
            follows: AtomicBool::new(follows),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// How many there are.
    #[inline]
    pub(crate) fn alive(&self) -> u32 {
        self.alive.load(Ordering::Relaxed)
    }

    /// How many there are to be.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted.load(Ordering::Relaxed)
    }

    fn surplus(&self) -> u32 {
        self.alive().saturating_sub(self.wanted())
    }
}

impl Sched {
    /// How many goroutines may run at once.
    pub(crate) fn max_procs(&self) -> u32 {
        self.size.wanted()
    }

    /// Whether that number follows the limits of the process.
    pub(crate) fn max_procs_follows(&self) -> bool {
        self.size.follows.load(Ordering::Relaxed)
    }

    /// Sets how many goroutines may run at once, once and for all; the former number.
    pub(crate) fn set_max_procs_by_hand(&self, n: u32) -> u32 {
        self.size.follows.store(false, Ordering::Relaxed);
        self.set_max_procs(n)
    }

    /// Sets how many goroutines may run at once; the former number.
    pub(crate) fn set_max_procs(&self, n: u32) -> u32 {
        let size = self.size.lock();
        let former = self.size.wanted.swap(n, Ordering::Relaxed);
        if n >= self.alive() {
            self.flags.clear(SURPLUS);
        }
        let more = n.saturating_sub(self.alive());
        for _ in 0..more {
            let p = self.another_p();
            self.size.alive.fetch_add(1, Ordering::Relaxed);
            self.lot.put_back(p);
            self.idle.release(false);
        }
        drop(size);
        if more > 0 {
            // R6, on behalf of machines that would have taken them.
            if self.work_visible() {
                self.wake_searcher();
            }
        } else {
            self.shed();
        }
        former
    }

    /// A processor that was put away, or a new one. Under the lock of `size`.
    fn another_p(&self) -> Box<P> {
        if let Some(p) = self.lot.take_retired() {
            return p;
        }
        // Twice as many, so that growing one by one makes few tables.
        let made = self.processors.made();
        let (mut owned, shared): (Vec<_>, Vec<_>) =
            (made..2 * made).map(|index| self.new_p(index)).unzip();
        self.processors.add(shared);
        let first = owned.swap_remove(0);
        for p in owned.into_iter().rev() {
            self.lot.retire(p);
        }
        first
    }

    /// Puts idle processors away while there are too many.
    pub(crate) fn shed(&self) {
        loop {
            {
                let _size = self.size.lock();
                if self.size.surplus() == 0 {
                    return;
                }
                self.flags.set(SURPLUS);
            }
            // H5 and H6 of `idle.rs`: whoever puts one on the list looks at the flag after R3.
            if self.idle.called().is_none() {
                return;
            }
            let p = self.lot.take_reserved();
            if let Some(p) = self.retire_surplus(p) {
                // Wanted again, just now.
                self.lot.put_back(p);
                self.idle.release(true);
                // R6: somebody may have left work to the searcher that the reservation counted.
                if self.work_visible() {
                    self.wake_searcher();
                }
            } else if self.idle.found_work() {
                // The reservation has counted a searcher.
                self.wake_for_rest();
            }
        }
    }

    /// Puts a processor away if there are too many. `Some` gives it back: it is wanted.
    pub(crate) fn retire_surplus(&self, p: Box<P>) -> Option<Box<P>> {
        if !self.flags.has(SURPLUS) {
            return Some(p);
        }
        let moved = {
            let _size = self.size.lock();
            if self.size.surplus() == 0 {
                return Some(p);
            }
            let moved = self.empty(&p);
            self.lot.retire(p);
            self.size.alive.fetch_sub(1, Ordering::Relaxed);
            if self.size.surplus() == 0 {
                self.flags.clear(SURPLUS);
            }
            moved
        };
        if moved && self.idle.submitted().is_some() {
            self.wake_machine();
        }
        None
    }

    /// Moves what is queued on a processor to the global queue (S1). Whether there was anything.
    fn empty(&self, p: &P) -> bool {
        p.expose_next();
        p.give_stacks_back();
        let mut moved = false;
        while let Some(r) = p.take_any() {
            self.push_global(r);
            moved = true;
        }
        moved
    }
}
