//! The protocol of a mutex: one word, and the line of those who wait.
//!
//! | bit | name | meaning |
//! |---|---|---|
//! | 0 | `LOCKED` | somebody owns the mutex |
//! | 1 | `WOKEN` | somebody is awake who will lock it or wait again: who unlocks need not wake another |
//! | 2 | `STARVING` | the mutex goes from hand to hand; who comes waits in line |
//! | 3 | `QUEUED` | the line is not empty |
//!
//! In the usual mode a mutex that is let go of is free for whoever comes first. The first in line is
//! woken to compete, and has bad chances against those who run already; that is fast, for nobody
//! waits for the switch to him. A waiter who is woken and fails, and has waited for more than a
//! millisecond, sets `STARVING`: from then on unlocking hands the mutex over to the first in line,
//! until the line is empty or one comes to it who has not waited that long. This is the protocol of
//! Go's `sync.Mutex`, whose semaphore is the line here.
//!
//! # Invariants
//!
//! 1. `QUEUED` is set if the line has a node, whenever the line's lock is free. It changes under that
//!    lock only. (It may outlast a node whose wait was cancelled.)
//! 2. Nobody joins the line unless `LOCKED` or `STARVING` is set in the very exchange that sets
//!    `QUEUED`. So whoever takes `LOCKED` away later sees `QUEUED`.
//! 3. `WOKEN` belongs to one task, which is not in line. It takes `WOKEN` away in the exchange by
//!    which it locks or joins the line.
//! 4. `STARVING` implies `QUEUED` and excludes `WOKEN`: it is set by the owner of `WOKEN`, in the
//!    exchange that gives `WOKEN` up.
//! 5. Whoever takes `LOCKED` away and sees `QUEUED` without `WOKEN` comes to `hand_on`, where under the line's lock either somebody else has come (`LOCKED` or
//!    `WOKEN`), who has the same duty after this, or the first in line is woken or given the mutex.
//!
//! No wake-up is lost: by 2 and 5, while the line is not empty there is an owner, an owner of
//! `WOKEN`, or somebody on the way to `hand_on`.

use super::atomics::{AtomicU32, Ordering, const_fn};
use super::task::{Outcome, Reason, Since, Spin, Wait, Why};
use super::wait_list::{Chain, Claimed, Line, Verdict, WaitList, Waiter};

const LOCKED: u32 = 1;
const WOKEN: u32 = 1 << 1;
const STARVING: u32 = 1 << 2;
const QUEUED: u32 = 1 << 3;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct RawMutex {
    state: AtomicU32,
    line: WaitList,
}

impl RawMutex {
    const_fn! {
        pub(super) const fn new() -> Self {
            RawMutex {
                state: AtomicU32::new(0),
                line: WaitList::new(),
            }
        }
    }

    /// Locks it, waiting as long as that takes.
    #[inline(always)]
    pub(super) fn lock(&self) {
        if !self.try_lock() {
            self.acquire(false);
        }
    }

    /// Locks it if it is free.
    #[inline(always)]
    pub(super) fn try_lock(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        // Acquire: pairs with the release in `unlock`.
        state & (LOCKED | STARVING) == 0
            && self
                .state
                .compare_exchange(state, state | LOCKED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Lets it go.
    ///
    /// # Safety
    /// The caller owns it.
    #[inline(always)]
    pub(super) unsafe fn unlock(&self) {
        // SAFETY: the caller's promise.
        if unsafe { self.release() } {
            self.pass_on();
        }
    }

    /// The same for a caller that surely goes on.
    ///
    /// # Safety
    /// The caller owns it.
    pub(super) unsafe fn unlock_first(&self) {
        // SAFETY: the caller's promise.
        if unsafe { self.release() }
            && let Some((claimed, verdict)) = self.hand_on(self.line.lock())
        {
            claimed.ready_first(verdict);
        }
    }

    /// The first half of [`unlock`](Self::unlock): whether the second, [`pass_on`](Self::pass_on),
    /// must follow.
    ///
    /// # Safety
    /// The caller owns it.
    #[inline(always)]
    pub(super) unsafe fn release(&self) -> bool {
        // Release: pairs with the acquire of the next owner.
        let state = self.state.fetch_sub(LOCKED, Ordering::Release) - LOCKED;
        state & (QUEUED | WOKEN) == QUEUED
    }

    /// Makes sure that somebody has the mutex next.
    #[inline(never)]
    pub(super) fn pass_on(&self) {
        if let Some((claimed, verdict)) = self.hand_on(self.line.lock()) {
            claimed.ready(verdict);
        }
    }

    /// Whether somebody owns it just now.
    pub(super) fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Locks it again for a task whose wait on a condition variable has ended.
    pub(super) fn relock(&self, verdict: Verdict) {
        match verdict {
            // It has not competed yet, so it is not starved.
            Verdict::Owned => self.end_starving(),
            Verdict::Woken => self.acquire(true),
            Verdict::Pending | Verdict::Again => self.lock(),
        }
    }

    /// Back to the usual mode, by an owner who is not starved: nor are those behind it in line.
    fn end_starving(&self) {
        self.state.fetch_and(!STARVING, Ordering::Relaxed);
    }

    /// Locks it. `awoke`: the caller owns `WOKEN`.
    #[cold]
    #[inline(never)]
    fn acquire(&self, mut awoke: bool) {
        let mut since: Option<Since> = None;
        let mut starving = false;
        let mut spin = Spin::new();
        loop {
            let mut state = self.state.load(Ordering::Relaxed);
            if state & (LOCKED | STARVING) == 0 {
                let next = give_up_woken(state, awoke) | LOCKED;
                // Acquire: pairs with the release in `unlock`.
                if self.exchange(&mut state, next, Ordering::Acquire) {
                    return;
                }
                continue;
            }
            if state & STARVING == 0 && spin.more() {
                if !awoke && state & (QUEUED | WOKEN) == QUEUED {
                    // Who is about to lock it himself spares the owner the waking of others.
                    let next = state | WOKEN;
                    awoke = self.exchange(&mut state, next, Ordering::Relaxed);
                }
                spin.turn();
                continue;
            }
            let first_time = since.is_none();
            let began = *since.get_or_insert_with(Since::now);
            let Some(verdict) = self.stand_in_line(awoke, starving, first_time) else {
                continue;
            };
            awoke = verdict == Verdict::Woken;
            if verdict == Verdict::Owned {
                if !began.is_long() {
                    self.end_starving();
                }
                return;
            }
            starving = starving || began.is_long();
            spin = Spin::new();
        }
    }

    /// Waits in line, unless the mutex is free by now. `None`: it is, and nothing has changed.
    #[inline(always)]
    fn stand_in_line(&self, awoke: bool, starving: bool, to_back: bool) -> Option<Verdict> {
        let wait = Wait::new();
        let mut waiter = Waiter::new(wait.ticket());
        let waiter = &raw mut waiter;
        let mut line = self.line.lock();
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & (LOCKED | STARVING) == 0 {
                return None;
            }
            let mut next = give_up_woken(state, awoke) | QUEUED;
            if awoke && starving {
                next |= STARVING; // invariant 4
            }
            // Relaxed: says nothing about other memory; the line has its lock.
            if self.exchange(&mut state, next, Ordering::Relaxed) {
                break;
            }
        }
        // Who has waited before goes to the front again.
        // SAFETY: the node is new. The frame is left below, when it is out of the line by the hand
        // of a claimer who has readied us, or by our own.
        unsafe {
            if to_back {
                line.push_back(waiter);
            } else {
                line.push_front(waiter);
            }
        }
        let outcome = wait.park(Why::on(Reason::Sync, self), None, line.into_publish());
        if outcome != Outcome::Ready {
            // `QUEUED` may stay behind, until the next owner finds that there is nobody.
            // SAFETY: the waiter is in this line or in none.
            unsafe { self.line.lock().remove(waiter) };
        }
        // SAFETY: the node is ours again.
        Some(unsafe { (*waiter).verdict })
    }

    /// Takes in waiters that were claimed elsewhere: they go on when they are woken here, or given
    /// the mutex.
    ///
    /// # Safety
    /// They lock this mutex next. It may be gone as soon as the last of them has it: the caller
    /// does not rely on it after this call.
    pub(super) unsafe fn adopt(&self, chain: &mut Chain) {
        let object = std::ptr::from_ref(self).cast();
        let mut line = self.line.lock();
        while chain.object() == Some(object)
            && let Some(claimed) = chain.pop()
        {
            line.adopt(claimed);
        }
        self.state.fetch_or(QUEUED, Ordering::Relaxed);
        // If there is nobody to wake them, that is done here.
        if let Some((claimed, verdict)) = self.hand_on(line) {
            claimed.ready(verdict);
        }
    }

    /// Decides who has the mutex next, or is to try (invariant 5).
    fn hand_on(&self, mut line: Line<'_>) -> Option<(Claimed, Verdict)> {
        let mut state = self.state.load(Ordering::Relaxed);
        if state & (LOCKED | WOKEN) != 0 || state & QUEUED == 0 {
            return None;
        }
        let Some(claimed) = line.pop() else {
            // Those in line have all ended their waits in other ways.
            self.state
                .fetch_and(!(QUEUED | STARVING), Ordering::Relaxed);
            return None;
        };
        let empty = line.is_empty();
        loop {
            let (mut next, verdict) = if state & STARVING != 0 {
                (state | LOCKED, Verdict::Owned)
            } else if state & (LOCKED | WOKEN) != 0 {
                // Somebody has come meanwhile, and has the duty now.
                line.put_back(claimed);
                return None;
            } else {
                (state | WOKEN, Verdict::Woken)
            };
            if empty {
                next &= !(QUEUED | STARVING);
            }
            // Acquire: the last owner need not be the caller, and the one who is readied here has to
            // see what that owner did.
            if self.exchange(&mut state, next, Ordering::Acquire) {
                return Some((claimed, verdict));
            }
        }
    }

    /// For tests: how many have joined the line at its end, and whether somebody is in it.
    #[cfg(test)]
    pub(super) fn queued(&self) -> (u64, bool) {
        let line = self.line.lock();
        (line.next_number(), !line.is_empty())
    }

    /// For tests: whether nobody owns it, waits for it or is about to.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    #[inline(always)]
    fn exchange(&self, state: &mut u32, next: u32, ordering: Ordering) -> bool {
        match self
            .state
            .compare_exchange(*state, next, ordering, Ordering::Relaxed)
        {
            Ok(_) => true,
            Err(now) => {
                *state = now;
                false
            }
        }
    }
}

/// `state` without `WOKEN`, if that belongs to the caller.
fn give_up_woken(state: u32, awoke: bool) -> u32 {
    if awoke { state & !WOKEN } else { state }
}
