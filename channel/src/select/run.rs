//! The engine of select: look, and if nothing is ready stand in all lines at once.
//!
//! 1. *Look* at all cases without a lock (`look.rs`); choose one of the ready ones at random; try it under
//!    its own lock. If somebody was quicker, look again. The macro does so for itself once, and makes cases
//!    only if that was in vain.
//!    A select over many lets the few that are ready to run have a turn before it goes on, and looks again.
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
//! one, and one otherwise.

use std::time::Instant;

use super::case::{Case, Handle, Traits};
use super::landing::Landing;
use super::look::{below, look};
use crate::chan::{Core, Limit, Patience, Side};
use crate::flavors::{Clock, earlier, wait_out};
use crate::sync::rank;
use crate::task::{Outcome, Publish, Reason, Wait, Why, yield_to_few};
use crate::wait_queue::{Offer, Verdict, Waiter};

/// Selects one of the cases; its position, with what it has come to in the landing. `None`: none
/// was ready within the time. If the caller has just looked and found none ready, it waits at once.
pub(super) fn select<'a>(
    cases: &mut [Case<'a>],
    mut patience: Patience,
    biased: bool,
    landing: &mut Landing<'a>,
    mut looked: bool,
) -> Option<usize> {
    if cases.is_empty() {
        wait_out(patience);
        return None;
    }
    let mut yielded = false;
    loop {
        if !std::mem::take(&mut looked)
            && let Some(chosen) = look(cases, patience, biased)
        {
            if cases[chosen].handle.choose(landing) {
                return Some(chosen);
            }
            continue;
        }
        let Limit::At(deadline) = patience.limit() else {
            if is_last_look(&mut patience) {
                return None;
            }
            continue;
        };
        if cases.len() >= MANY && !std::mem::replace(&mut yielded, true) && yield_to_few() {
            continue;
        }
        match wait(cases, deadline, biased, Some(landing)) {
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
            if is_last_look(&mut patience) {
                return None;
            }
            continue;
        };
        match wait(cases, deadline, biased, None) {
            End::Cancelled if deadline.is_some() => return None,
            _ => {}
        }
    }
}

/// Patience is over: whether the look before was one that may be the last (`look.rs`). If not, the next is.
fn is_last_look(patience: &mut Patience) -> bool {
    std::mem::replace(patience, Patience::Now) == Patience::Now
}

/// With so many cases it takes less time to let the few run who are ready to, and may make a case ready, than
/// to stand in all lines and leave them again.
const MANY: usize = 4;

enum End {
    /// That case was chosen by a partner.
    Chosen(usize),
    /// Look again.
    Again,
    /// Somebody asked the task to give up.
    Cancelled,
}

/// Stands in all lines until something happens: with a landing as a partner, without as an observer.
#[inline(never)]
fn wait<'a>(
    cases: &mut [Case<'a>],
    deadline: Option<Instant>,
    biased: bool,
    mut landing: Option<&mut Landing<'a>>,
) -> End {
    // What may allocate or panic comes before the locks.
    let slot = match &mut landing {
        Some(landing) => {
            for case in cases
                .iter()
                .filter(|case| case.traits.is_large() && case.core.is_some())
            {
                landing.reserve(case.handle.room());
            }
            landing.place().cast::<()>()
        }
        None => std::ptr::null_mut(),
    };
    let wait = Wait::new();
    let ticket = wait.ticket();
    let len = cases.len();
    let (mut few, mut many);
    let order = if is_in_order(cases) {
        Order::AsGiven(len)
    } else if len <= FEW {
        few = [0; FEW];
        Order::Sorted(sort(cases, &mut few[..len]))
    } else {
        many = vec![0; len];
        Order::Sorted(sort(cases, &mut many))
    };
    let locks = order.len();
    let has_all = locks == len;
    // Cases on one channel stand in one line, where the first is served first.
    let first = if biased || has_all {
        0
    } else {
        below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    };
    let mut clock = Clock::default();
    let mut is_ready = false;
    let mut held = 0;
    while held < locks && !is_ready {
        let case = &cases[order.position(held)];
        if let Some(core) = case.core {
            core.lock.lock_at_once();
            is_ready = case.is_ready(&mut clock);
        }
        held += 1;
    }
    if !has_all && !is_ready {
        // Here not each case had its turn.
        let mut cores = cases.iter().filter(|case| case.core.is_some());
        is_ready = cores.any(|case| case.is_ready(&mut clock));
    }

    // From here on the cases are shared with wakers and with `publish`: only pointers, no `&mut`.
    let cases = cases.as_mut_ptr();
    // SAFETY: the locks in order were taken above.
    let unlock = unsafe { unlock_all(cases, order, held) };
    if is_ready {
        let _ = unlock();
        return End::Again;
    }
    let mut until = deadline;
    let mut position = first;
    for _ in 0..len {
        // SAFETY: in bounds; nobody else writes these fields.
        let (case, node) = unsafe { parts(cases, position) };
        position += 1;
        if position == len {
            position = 0;
        }
        if case.traits.is_clock() {
            // If it can be set it is under a lock that is held, and a change makes us look again.
            until = earlier(until, case.handle.next());
        }
        let Some(core) = case.core else { continue };
        let offer = match case.traits.side() {
            Side::Recv => Offer::Value,
            Side::Send => Offer::Promise,
        };
        // SAFETY: the node is ours, and the lock is held. Below, the node leaves the queue by a
        // claimer's hand or by our own, before this function is left.
        unsafe {
            node.write(Waiter::new(ticket, offer, slot));
            if landing.is_some() && !case.traits.is_clock() {
                core.enqueue(case.traits.side(), node);
            } else {
                core.enqueue_observer(case.traits.side(), node);
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
            core.lock.lock_at_once();
            // SAFETY: the lock is held, and the node is in that queue or in none.
            unsafe {
                if landing.is_some() && !case.traits.is_clock() {
                    core.withdraw(case.traits.side(), node);
                } else {
                    core.withdraw_observer(case.traits.side(), node);
                }
                core.lock.unlock();
            }
        } else if let Some(landing) = &mut landing
            && case.handle.accept(verdict, slot, landing)
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
    traits: Traits,
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
            traits: (*case).traits,
        };
        (constant, (&raw mut (*case).node).cast())
    }
}

/// Which locks are taken, and in which order: the positions of cases whose cores are all different,
/// by the addresses of these.
#[derive(Clone, Copy)]
enum Order<'o> {
    /// So many, and all there are.
    AsGiven(usize),
    Sorted(&'o [usize]),
}

impl Order<'_> {
    #[inline]
    fn len(self) -> usize {
        match self {
            Order::AsGiven(len) => len,
            Order::Sorted(positions) => positions.len(),
        }
    }

    /// The position of the case whose lock is the `n`-th.
    #[inline]
    fn position(self, n: usize) -> usize {
        match self {
            Order::AsGiven(_) => n,
            Order::Sorted(positions) => positions[n],
        }
    }
}

/// As many cases as the macro takes: these are sorted without memory.
const FEW: usize = 32;

/// Zero for a case without a core.
#[inline]
fn rank_of(case: &Case<'_>) -> usize {
    case.core.map_or(0, rank)
}

/// Channels that were made one after the other mostly lie so, and are named so.
#[inline]
fn is_in_order(cases: &[Case<'_>]) -> bool {
    let mut last = 0;
    let mut in_order = true;
    for case in cases {
        let here = rank_of(case);
        in_order &= here > last;
        last = here;
    }
    in_order
}

/// Fills `order`, which is as long as there are cases, and cuts it down to what is to be locked: each
/// core once, and those without one not at all.
#[inline(never)]
fn sort<'o>(cases: &[Case<'_>], order: &'o mut [usize]) -> &'o [usize] {
    for (position, place) in order.iter_mut().enumerate() {
        *place = position;
    }
    // Needs no memory; by insertion, where there are few.
    order.sort_unstable_by_key(|&position| rank_of(&cases[position]));
    let mut kept = 0;
    let mut last = 0;
    for n in 0..order.len() {
        let here = rank_of(&cases[order[n]]);
        if here != last {
            last = here;
            order[kept] = order[n];
            kept += 1;
        }
    }
    &order[..kept]
}

/// What a park has to publish: the first so many locks in order, released.
///
/// # Safety
/// They are held, and the closure is called before the cases and the order go (see invariant 3).
unsafe fn unlock_all<'a>(
    cases: *const Case<'a>,
    order: Order<'a>,
    locks: usize,
) -> impl FnOnce() -> Publish + use<'a> {
    move || {
        for n in 0..locks {
            // SAFETY: at least one lock is still held, so the task has not left the frame; the
            // positions are in bounds; nobody writes the fields read here.
            let core = unsafe { (*cases.add(order.position(n))).core };
            if let Some(core) = core {
                // SAFETY: held by the caller's promise. Nothing is touched after the last.
                unsafe { core.lock.unlock() };
            }
        }
        Publish::Published
    }
}
