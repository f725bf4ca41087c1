//! The engine of select: look, and if nothing is ready stand in all lines at once.
//!
//! 1. *Look* at all cases without a lock; choose one of the ready ones at random; try it under its
//!    own lock. If somebody was quicker, look again.
//! 2. If none is ready, take *all* locks in the order of their addresses, look once more, stand in
//!    line everywhere under one ticket, and park; the park's `publish` releases the locks.
//! 3. Whoever claims the ticket through one case has thereby chosen it. Awake again, leave all
//!    other lines.
//!
//! # Invariants
//!
//! 1. A case has no effect unless it is chosen: what is in line is a name (the ticket) and, for
//!    a receive, the address of a room. Exactly one claim succeeds.
//! 2. While its nodes are in queues a select runs nothing else, so it never meets itself.
//! 3. The task leaves the frame only after it has found every lock that `publish` releases free
//!    again: the lock of the chosen case was taken by the claimer, all others are taken here to
//!    leave the line. So `publish`, which reads the cases, may do so until it releases the last.
//!
//! # Rejected
//!
//! Standing in line one by one, with a claim possible in between: then a waker may find a ticket
//! whose wait is not open yet, and has to wait for it or skip it. Shuffling the cases first: the
//! choice by counting the ready ones is as fair and needs no random number in the common case of
//! one.

use std::time::Instant;

use super::case::{Case, Handle};
use super::token::Token;
use crate::chan::{Core, Limit, Patience, Side};
use crate::flavors::{Clock, earlier, wait_out};
use crate::sync::{Ordering, fence, rank};
use crate::task::{Outcome, Publish, Reason, Wait, Why, next_u32};
use crate::wait_queue::{Offer, Verdict, Waiter};

/// Selects one of the cases; its position, with what it has come to in `token`. `None`: none was
/// ready within the time.
pub(super) fn select(
    cases: &mut [Case<'_>],
    mut patience: Patience,
    biased: bool,
    token: &mut Token<'_>,
) -> Option<usize> {
    if cases.is_empty() {
        wait_out(patience);
        return None;
    }
    loop {
        if let Some(chosen) = look(cases, patience, biased) {
            if cases[chosen].handle.choose(token) {
                return Some(chosen);
            }
            continue;
        }
        let Limit::At(deadline) = patience.limit() else {
            return None;
        };
        match wait(cases, deadline, biased, Some(token)) {
            End::Chosen(chosen) => return Some(chosen),
            End::Cancelled if deadline.is_some() => return None,
            // A cancellation of a select without a deadline has no way to be told yet; here the
            // seam is for it to come.
            End::Cancelled | End::Again => {}
        }
    }
}

/// Finds a case that is ready, without doing anything about it.
pub(super) fn ready(cases: &mut [Case<'_>], mut patience: Patience, biased: bool) -> Option<usize> {
    if cases.is_empty() {
        wait_out(patience);
        return None;
    }
    loop {
        if let Some(ready) = look(cases, patience, biased) {
            return Some(ready);
        }
        let Limit::At(deadline) = patience.limit() else {
            return None;
        };
        match wait(cases, deadline, biased, None) {
            End::Cancelled if deadline.is_some() => return None,
            _ => {}
        }
    }
}

/// The position of a ready case: the first one if biased, else any with the same probability.
fn look(cases: &[Case<'_>], patience: Patience, biased: bool) -> Option<usize> {
    if patience == Patience::Now {
        // There will be no second look under the locks. The fence puts this one after all that the
        // task has done before, its own sends included: two tasks that each send and then look
        // for the other's value cannot both miss it.
        fence(Ordering::SeqCst);
    }
    let mut clock = Clock::default();
    let mut ready = 0;
    let mut chosen = None;
    for (position, case) in cases.iter().enumerate() {
        if !case.is_ready(&mut clock) {
            continue;
        }
        if biased {
            return Some(position);
        }
        // The n-th ready case replaces the choice with probability 1/n.
        ready += 1;
        if ready == 1 || below(ready) == 0 {
            chosen = Some(position);
        }
    }
    chosen
}

/// A random number below `n`.
fn below(n: u32) -> u32 {
    ((u64::from(next_u32()) * u64::from(n)) >> 32) as u32
}

enum End {
    /// That case was chosen by a partner.
    Chosen(usize),
    /// Look again.
    Again,
    /// Somebody asked the task to give up.
    Cancelled,
}

/// Stands in all lines until something happens: with a token as a partner, without as an observer.
#[inline(never)]
fn wait(
    cases: &mut [Case<'_>],
    deadline: Option<Instant>,
    biased: bool,
    mut token: Option<&mut Token<'_>>,
) -> End {
    // What may allocate or panic comes before the locks.
    let slot = match &mut token {
        Some(token) => {
            for case in cases.iter().filter(|case| case.core.is_some()) {
                token.landing.reserve(case.room);
            }
            token.landing.place().cast::<()>()
        }
        None => std::ptr::null_mut(),
    };
    let wait = Wait::new();
    let ticket = wait.ticket();
    let locks = put_in_order(cases);
    // Cases on one channel stand in one line, where the first is served first.
    let first = if biased || locks == cases.len() {
        0
    } else {
        below(u32::try_from(cases.len()).unwrap_or(u32::MAX)) as usize
    };
    for n in 0..locks {
        if let Some(core) = cases[cases[n].turn].core {
            core.lock.lock();
        }
    }
    let mut clock = Clock::default();
    let mut is_ready = |case: &Case<'_>| case.core.is_some() && case.is_ready(&mut clock);
    let is_ready = cases.iter().any(&mut is_ready);

    // From here on the cases are shared with wakers and with `publish`: only pointers, no `&mut`.
    let len = cases.len();
    let cases = cases.as_mut_ptr();
    // SAFETY: the locks in order were taken above.
    let unlock = unsafe { unlock_all(cases, locks) };
    if is_ready {
        let _ = unlock();
        return End::Again;
    }
    let mut until = deadline;
    for position in (first..len).chain(0..first) {
        // SAFETY: in bounds; nobody else writes these fields.
        let (case, node) = unsafe { parts(cases, position) };
        if case.is_clock {
            // If it can be set it is under a lock that is held, and a change makes us look again.
            until = earlier(until, case.handle.next());
        }
        let Some(core) = case.core else { continue };
        let offer = match case.side {
            Side::Recv => Offer::Value,
            Side::Send => Offer::Promise,
        };
        // SAFETY: the node is ours, and the lock is held. Below, the node leaves the queue by a
        // claimer's hand or by our own, before this function is left.
        unsafe {
            node.write(Waiter::new(ticket, offer, slot));
            if token.is_some() && !case.is_clock {
                core.enqueue(case.side, node);
            } else {
                core.enqueue_observer(case.side, node);
            }
        }
    }

    let outcome = wait.park(Why::new(Reason::Select), until, unlock);

    let mut chosen = End::Again;
    for position in 0..len {
        // SAFETY: as above.
        let (case, node) = unsafe { parts(cases, position) };
        let Some(core) = case.core else { continue };
        // SAFETY: the node was initialised; the verdict is written by the one claimer, before it
        // readies the task.
        let (verdict, slot) = unsafe { ((*node).verdict, (*node).slot) };
        if verdict == Verdict::Pending {
            core.lock.lock();
            // SAFETY: the lock is held, and the node is in that queue or in none.
            unsafe {
                if token.is_some() && !case.is_clock {
                    core.withdraw(case.side, node);
                } else {
                    core.withdraw_observer(case.side, node);
                }
                core.lock.unlock();
            }
        } else if let Some(token) = &mut token
            && case.handle.accept(verdict, slot, token)
        {
            chosen = End::Chosen(position);
        }
        // SAFETY: initialised above, out of its queue, and not used again.
        unsafe { node.drop_in_place() };
    }
    match outcome {
        Outcome::Cancelled => End::Cancelled,
        Outcome::Ready | Outcome::TimedOut => chosen,
    }
}

/// The constant part of a case, and its node.
struct Constant<'a> {
    handle: &'a dyn Handle,
    core: Option<&'a Core>,
    is_clock: bool,
    side: Side,
}

/// Takes a case apart without a reference to the whole of it.
///
/// # Safety
/// `position` is in bounds of the cases, which are alive.
unsafe fn parts<'a>(cases: *mut Case<'a>, position: usize) -> (Constant<'a>, *mut Waiter) {
    // SAFETY: the caller's promise; nobody writes the fields that are read.
    unsafe {
        let case = cases.add(position);
        let constant = Constant {
            handle: (*case).handle,
            core: (*case).core,
            is_clock: (*case).is_clock,
            side: (*case).side,
        };
        (constant, (&raw mut (*case).node).cast())
    }
}

/// Fills the cases' `turn`s: the positions of cases whose cores are all different, in the order of
/// their addresses. Returns how many there are.
fn put_in_order(cases: &mut [Case<'_>]) -> usize {
    // As many as the macro takes, so that these need no memory.
    const FEW: usize = 32;
    let rank_at = |cases: &[Case<'_>], position: usize| cases[position].core.map_or(0, rank);
    // Channels that were made one after the other mostly lie so, and are named so.
    let mut last = 0;
    let mut in_order = true;
    for (position, case) in cases.iter_mut().enumerate() {
        let here = case.core.map_or(0, rank);
        in_order &= here > last;
        last = here;
        case.turn = position;
    }
    let len = cases.len();
    if in_order {
        return len;
    }
    if len <= FEW {
        // By insertion; the places before `sorted` are in order.
        for sorted in 0..len {
            let new = rank_at(cases, sorted);
            let mut hole = sorted;
            while hole > 0 && rank_at(cases, cases[hole - 1].turn) > new {
                cases[hole].turn = cases[hole - 1].turn;
                hole -= 1;
            }
            cases[hole].turn = sorted;
        }
    } else {
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_unstable_by_key(|&position| rank_at(cases, position));
        for (case, position) in cases.iter_mut().zip(order) {
            case.turn = position;
        }
    }
    // Each core once, and those without one not at all.
    let mut kept = 0;
    last = 0;
    for n in 0..len {
        let position = cases[n].turn;
        let here = rank_at(cases, position);
        if here != last {
            last = here;
            cases[kept].turn = position;
            kept += 1;
        }
    }
    kept
}

/// What a park has to publish: the first so many locks in order, released.
///
/// # Safety
/// They are held, and the closure is called before the cases go (see invariant 3).
unsafe fn unlock_all<'a>(
    cases: *const Case<'a>,
    locks: usize,
) -> impl FnOnce() -> Publish + use<'a> {
    move || {
        for n in 0..locks {
            // SAFETY: at least one lock is still held, so the task has not left the frame; the
            // turns below `locks` are positions in the slice; nobody writes the fields read here.
            let core = unsafe { (*cases.add((*cases.add(n)).turn)).core };
            if let Some(core) = core {
                // SAFETY: held by the caller's promise. The cases are not touched after the last.
                unsafe { core.lock.unlock() };
            }
        }
        Publish::Published
    }
}
