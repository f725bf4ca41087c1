//! Giving the memory of stacks back.
//!
//! The pages of a stack stay with it when its goroutine ends, for the next one, and three things are
//! done about that. A processor looks at a few of the stacks in its cache, every tenth of a second at
//! most, and gives their deep part back ([`Trimmer`]), so that a recursion that was deep once does not
//! hold its pages for ever. What an idle processor has beyond a few goes to the arena (`chores.rs`).
//! And [`scavenge`] takes the free slots that were not used for a second (`free_list.rs`): it keeps
//! some, with shallow stacks, and gives the memory of the others back, the page of the control block
//! included; they are *cold* then. What stays of a cold slot is its part of the page tables, 512
//! bytes, which hold its guard.
//!
//! # Rejected
//!
//! - **Giving the deep part back whenever a stack is returned**, or every 16th time: the system call
//!   is 0.4 to 1.5 us, spawning and joining 0.15. Of every 1024th it would be cheap, but slow to come
//!   round where little is spawned. Even to count to 256 and then look at the clock was measured to
//!   be 2 % of spawning and joining; so the processor looks where it passes seldom anyway.
//! - **When slots move between a processor's cache and the arena**: under load that is once for every
//!   other goroutine; without load it is never.
//! - **Noting the stack pointer at each park**, to know which stacks were deep: the deepest point of a
//!   call that did not park is not seen, and each park would pay.
//! - **One call for neighbouring slots and the guards between**: the kernel lets guards survive it,
//!   but it is no faster than one call with many ranges, and bound to neighbours.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{ARENAS, Arena, GUARD, MAX_SHIFT, MIN_SHIFT, Slot, StackClass, at, stack_limit};
use crate::clock;
use crate::free_list::Fate;
use crate::g::G;
use crate::sys;

/// The part of a stack that it keeps when its deep part is given back, from the top of its slot.
const SHALLOW: usize = 16 * 1024;
/// Stacks that a processor looks at in one visit, and the nanoseconds between two visits.
const TRIMMED_AT_ONCE: usize = 16;
const TRIM_PAUSE: u64 = 100_000_000;
/// Slots that the scavenger takes from a list at once.
const SCAVENGED_AT_ONCE: usize = 32;

/// Gives back the memory of the stacks of free slots below their top `keep` bytes.
///
/// # Safety
/// The caller owns the slots; if `keep` is 0, their control blocks were made to forget.
unsafe fn discard(slots: impl Iterator<Item = NonNull<G>>, class: StackClass, keep: usize) {
    static PAGE: LazyLock<usize> = LazyLock::new(sys::page_size);
    // The kernel would round the end of a range up, over the control block.
    let len = class
        .stack_size()
        .saturating_sub(keep.next_multiple_of(*PAGE));
    if len == 0 {
        return;
    }
    let mut ranges = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; SCAVENGED_AT_ONCE];
    let mut count = 0;
    for (range, g) in ranges.iter_mut().zip(slots) {
        range.iov_base = at::<libc::c_void>(stack_limit(g) + GUARD).as_ptr();
        range.iov_len = len;
        count += 1;
    }
    // SAFETY: whole pages above the guard. Nobody uses the stack of a free slot, and of its control
    // block, if that is among them, only what is zero already (invariant 1).
    unsafe { sys::discard(&ranges[..count]) };
}

/// Which of a processor's cached stacks are looked at next, and when.
#[derive(Debug, Default)]
pub(crate) struct Trimmer {
    next: Cell<usize>,
    /// On the runtime's clock.
    not_before: Cell<u64>,
}

impl Trimmer {
    /// Gives the deep part of some of the stacks back, a few every tenth of a second. To be called
    /// often, but not as often as a goroutine ends: it reads the clock.
    #[cold]
    #[inline(never)]
    pub(crate) fn visit(&self, stacks: &[Slot], class: StackClass) {
        let now = clock::now();
        if now < self.not_before.get() || stacks.is_empty() {
            return;
        }
        self.not_before.set(now + TRIM_PAUSE);
        let first = self.next.get();
        let count = stacks.len().min(TRIMMED_AT_ONCE);
        self.next.set(first.wrapping_add(count));
        let some = (0..count).map(|n| stacks[first.wrapping_add(n) % stacks.len()].0);
        // SAFETY: the caller owns the slots, which lie in its cache. Their control blocks stay.
        unsafe { discard(some, class, SHALLOW) };
    }
}

/// Whether [`scavenge`] may find something to do, now or in a second or two. False for good when
/// nothing ends any more and it has been called for some seconds.
pub(crate) fn wants_scavenging() -> bool {
    ARENAS
        .iter()
        .any(|arena| arena.used.load(Ordering::Relaxed) > 0)
}

/// Gives the memory of free slots back that were not used for a second. Takes no longer than
/// `budget`, or than [`SCAVENGED_AT_ONCE`] slots take (some 50 us). Returns how many it has seen to:
/// 0 if there is nothing to do at present. Any thread, at any time; several share the work.
pub(crate) fn scavenge(budget: Duration) -> usize {
    scavenge_at(clock::now(), budget)
}

fn scavenge_at(now: u64, budget: Duration) -> usize {
    let begin = clock::now();
    let until = begin.saturating_add(u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX));
    let mut count = 0;
    for (arena, class) in arenas() {
        if arena.used.load(Ordering::Relaxed) == 0 {
            continue;
        }
        arena.with(|state| state.free.look(now));
        loop {
            match arena.scavenge_some(class) {
                0 => break,
                some => count += some,
            }
            if clock::now() >= until {
                return count;
            }
        }
    }
    count
}

/// Gives the memory of all free slots in the arenas back but for the reserve, whenever they were
/// used: for tests. Returns how many it has seen to.
#[doc(hidden)]
pub fn scavenge_stacks() -> usize {
    let mut count = 0;
    for (arena, class) in arenas() {
        arena.with(|state| state.free.hasten());
        loop {
            match arena.scavenge_some(class) {
                0 => break,
                some => count += some,
            }
        }
    }
    count
}

fn arenas() -> impl Iterator<Item = (&'static Arena, StackClass)> {
    let classes = (MIN_SHIFT..=MAX_SHIFT).map(|shift| StackClass { shift });
    classes.map(|class| (class.arena(), class))
}

impl Arena {
    /// Sees to some slots that have lain idle; how many.
    fn scavenge_some(&self, class: StackClass) -> usize {
        let mut slots = Vec::with_capacity(SCAVENGED_AT_ONCE);
        let fate = self.with(|state| {
            let fate = state.free.take_idle(SCAVENGED_AT_ONCE, &mut slots)?;
            if fate == Fate::Cold {
                for &g in &slots {
                    let base = stack_limit(g);
                    state.chunks.of(base).clear_live(base);
                }
            }
            Some(fate)
        });
        let Some(fate) = fate else { return 0 };
        let keep = match fate {
            Fate::Keep | Fate::Return => SHALLOW,
            Fate::Cold => {
                for g in &slots {
                    // SAFETY: control blocks are never unmapped. We own the slot, and hand it on by
                    // the lock.
                    unsafe { g.as_ref() }.forget();
                }
                0
            }
        };
        // SAFETY: as above.
        unsafe { discard(slots.iter().copied(), class, keep) };
        self.with(|state| match fate {
            Fate::Keep => slots.iter().for_each(|&g| state.free.keep(g)),
            Fate::Return => state.free.extend(slots.iter().copied()),
            Fate::Cold => slots
                .iter()
                .for_each(|&g| state.chunks.put_cold(stack_limit(g))),
        });
        slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{each_slot, slot_of, take};
    use super::*;

    #[test]
    fn cold_slots_are_zeroed_guarded_and_made_anew() {
        // A size that no other test uses.
        let class = StackClass::for_size(3 << 20).unwrap();
        let many = 600;
        let slots: Vec<Slot> = (0..many).map(|_| take(class).unwrap()).collect();
        let live = |of: StackClass| {
            let mut live = Vec::new();
            each_slot(|g| {
                if slot_of(g.as_ptr().addr()).is_some_and(|(_, class)| class == of) {
                    live.push(g);
                }
            });
            live.sort_unstable();
            live
        };
        let mut mine: Vec<_> = slots.iter().map(|slot| slot.0).collect();
        mine.sort_unstable();
        assert_eq!(live(class), mine);
        drop(slots);
        assert!(wants_scavenging());
        assert!(scavenge_stacks() >= many);
        let rest = live(class);
        assert!(rest.len() < many && !rest.is_empty(), "{} kept", rest.len());
        for &g in &mine {
            if !rest.contains(&g) {
                // SAFETY: control blocks are never unmapped.
                assert_eq!(unsafe { g.as_ref() }.id(), 0);
            }
        }
        let mut again: Vec<_> = (0..many).map(|_| take(class).unwrap()).collect();
        again.sort_unstable_by_key(|slot| slot.0);
        assert!(again.iter().map(|slot| slot.0).eq(mine.iter().copied()));

        // The same by time: a little at each call, an end to it, and nothing that was just used.
        drop(again);
        assert_eq!(live(class), mine);
        let mut now = clock::now() + 2_000_000_000;
        scavenge_at(now, Duration::MAX);
        assert_eq!(live(class), mine, "it was used till now");
        now += 2_000_000_000;
        while class.arena().used.load(Ordering::Relaxed) > 0 {
            let before = live(class).len();
            assert!(scavenge_at(now, Duration::ZERO) > 0);
            assert!(before - live(class).len() <= SCAVENGED_AT_ONCE);
        }
        assert!(live(class).len() < many);
    }
}
