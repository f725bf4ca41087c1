//! Goroutines that are bound to one machine: those of a pinned runtime, and `lock_os_thread`.
//!
//! Both are one mechanism. A bound goroutine names its machine, its *home*; whoever readies it puts
//! it on the home queue of that machine, which no thief touches, and sees to it that the machine
//! gets a processor (`home.rs`). A machine that has goroutines at home looks at its home queue and
//! at its processor's by turns. One whose thread was locked runs nothing else at all: when its
//! goroutine parks, it passes its processor on, as Go's does.
//!
//! Machines that want a processor for work at home stand in line. Each machine that comes to the
//! head of a scheduling round and sees the line passes its processor to the first in it, if its own
//! turn is over: it has nothing else to do, or has had the processor for half a millisecond. So
//! with more such machines than processors they take turns, and each hand-over, which costs a
//! thread switch, buys work that is longer by far.
//!
//! # Invariants
//!
//! 1. A bound goroutine is on no queue but its home's.
//! 2. A machine does not end while a goroutine is bound to it, unless the scheduler stops; then its
//!    shared half is leaked, as the goroutine is.
//! 3. A goroutine is bound and unbound by itself, on its machine, or by the machine, before it runs
//!    for the first time and after it has ended.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use crossbeam_deque::Steal;

use crate::clock;
use crate::g::{Current, Runnable};
use crate::machine::M;

/// How long a machine keeps its processor when another one wants it and both have work, in
/// nanoseconds.
const TURN: u64 = 500_000;

impl M {
    /// Binds a goroutine that has not run yet, in a pinned runtime.
    pub(crate) fn adopt(&self, r: &Runnable) {
        if r.home().is_none() {
            r.set_home(&self.shared);
            self.residents.set(self.residents.get() + 1);
        }
    }

    /// A goroutine that was bound has ended here.
    pub(crate) fn resident_ended(&self) {
        self.residents.set(self.residents.get() - 1);
        if self.locked.take() > 0 {
            // It has left the thread in a state that it did not want to share.
            self.condemned.set(true);
            self.part_with_p();
        }
    }

    /// Readies a bound goroutine. Inside, with or without a processor.
    pub(crate) fn ready_at_home(&self, r: Runnable) {
        let home = r.home().expect("it is bound to a machine");
        if std::ptr::eq(home.as_ptr(), Arc::as_ptr(&self.shared)) {
            // It is awake, and will look.
            self.near.borrow_mut().push_back(r);
        } else {
            // SAFETY: a machine outlives the goroutines bound to it (invariant 2).
            self.sched.go_home(r, unsafe { home.as_ref() });
        }
    }

    /// N3: whether a goroutine waits at home.
    pub(crate) fn has_work_at_home(&self) -> bool {
        self.residents.get() > 0
            && (!self.near.borrow().is_empty() || !self.shared.inbox.is_empty())
    }

    /// The next goroutine at home, if any is bound to the machine: the near and the far end of the queue by turns.
    pub(crate) fn take_at_home(&self, tick: u32) -> Option<Runnable> {
        let far = || loop {
            match self.shared.inbox.steal() {
                Steal::Success(r) => return Some(r),
                Steal::Empty => return None,
                Steal::Retry => std::hint::spin_loop(),
            }
        };
        let near = || self.near.borrow_mut().pop_front();
        if tick.is_multiple_of(4) {
            far().or_else(near)
        } else {
            near().or_else(far)
        }
    }

    /// The part of a round that concerns the goroutines bound to the machine. `Break` ends the round,
    /// with one of them or without a processor.
    #[inline(never)]
    pub(crate) fn look_at_home(&self, tick: u32) -> ControlFlow<Option<Runnable>> {
        if self.locked.get() > 0 {
            return ControlFlow::Break(self.find_for_locked(tick));
        }
        // By turns with the processor's queue and the global one, so that none starves.
        if tick.is_multiple_of(2)
            && let Some(r) = self.take_at_home(tick)
        {
            return ControlFlow::Break(Some(self.found(r)));
        }
        ControlFlow::Continue(())
    }

    /// For a machine whose thread is locked: its goroutine, or nothing, and the processor goes to
    /// others.
    fn find_for_locked(&self, tick: u32) -> Option<Runnable> {
        let others_first =
            self.gave_way.take() && (!self.p().has_nothing() || self.sched.work_visible());
        if !others_first && let Some(r) = self.take_at_home(tick) {
            return Some(self.found(r));
        }
        self.part_with_p();
        None
    }

    /// Passes the processor on: to another machine if there is work, else it lies idle.
    pub(crate) fn part_with_p(&self) {
        if self.searching.get() {
            self.stop_searching();
        }
        if let Some(p) = self.take_p() {
            self.sched.handoff_p(p);
        }
    }

    /// Whether the processor should go to a machine that stands in line.
    pub(crate) fn turn_is_over(&self) -> bool {
        (self.p().has_nothing() && !self.has_work_at_home())
            || clock::now().saturating_sub(self.turn.get()) > TURN
    }

    /// Passes the processor to the first machine in line.
    pub(crate) fn give_way(&self) {
        let Some(p) = self.take_p() else { return };
        // The other one searches in its place.
        if !self.searching.replace(false) {
            self.sched.idle.begin_search();
        }
        self.sched.give_to_machine(p);
    }

    /// Puts the processor away if there are too many; whether it did.
    pub(crate) fn retire_p(&self) -> bool {
        let Some(p) = self.take_p() else { return true };
        if let Some(p) = self.sched.retire_surplus(p) {
            self.set_p(p);
            return false;
        }
        if self.searching.get() {
            self.stop_searching();
        }
        true
    }

    /// The running goroutine binds itself, or binds itself once more. Inside.
    fn lock(&self, here: Current) {
        if self.locked.get() == 0 {
            here.set_home(&*self.shared);
            self.residents.set(self.residents.get() + 1);
        }
        self.locked.set(self.locked.get() + 1);
    }

    /// It undoes that once.
    fn unlock(&self, here: Current) {
        self.locked.set(self.locked.get() - 1);
        if self.locked.get() == 0 {
            here.set_home(std::ptr::null());
            self.residents.set(self.residents.get() - 1);
        }
    }
}

/// Keeps the goroutine on its OS thread until it is dropped. See [`lock_os_thread`].
#[derive(Debug)]
#[must_use = "the thread is unlocked when the guard is dropped"]
pub struct OsThreadGuard {
    /// Whether there is anything to undo.
    locks: bool,
    /// It speaks of the goroutine that made it.
    not_send: PhantomData<*mut ()>,
}

/// Binds the current goroutine to its OS thread, as Go's `LockOSThread`: until the guard is dropped
/// it runs on this thread, and no other goroutine does. For libraries that keep state per thread: a
/// graphics context, an interpreter, a `setns`.
///
/// Calls nest; the last guard to be dropped unlocks the thread. A goroutine that ends without
/// dropping its guard (by [`std::mem::forget`]) takes the thread with it, so that nobody inherits
/// what it did to it. Never blocks. While the goroutine is parked, its thread sleeps; to ready it
/// takes a thread switch, some microseconds.
///
/// In a pinned runtime goroutines stay on their threads anyway, and others at home there run as
/// well; the guard changes nothing. On a plain thread it does nothing.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// let guard = marmot_scheduler::lock_os_thread();
/// let before = std::thread::current().id();
/// marmot_scheduler::goroutine::yield_now();
/// assert_eq!(std::thread::current().id(), before);
/// drop(guard);
/// # });
/// ```
pub fn lock_os_thread() -> OsThreadGuard {
    let here = Current::get().filter(|here| !here.sched().pinned);
    if let Some(here) = here {
        let m = here.machine();
        let _ = m.enter();
        m.lock(here);
        m.leave();
    }
    OsThreadGuard {
        locks: here.is_some(),
        not_send: PhantomData,
    }
}

impl Drop for OsThreadGuard {
    fn drop(&mut self) {
        if !self.locks {
            return;
        }
        // A destructor that a goroutine-local or the goroutine's result runs is part of it as well.
        if let Some(here) = Current::get() {
            let m = here.machine();
            let _ = m.enter();
            m.unlock(here);
            m.leave();
        }
    }
}
