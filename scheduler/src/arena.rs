//! Arenas: guarded stack slots of equal, power-of-two size, found again from any address in them.
//!
//! ```text
//! slot base                                                        slot end
//! | guard (64 KiB) | usable stack, grows down <------ | G | colour |
//! ```
//!
//! The control block (`G`) lives at the top of its own slot, so a fresh parked goroutine touches
//! one page: the control block, and the frames below it.
//!
//! **Colour.** If every control block had the same offset in its slot, all of them would compete
//! for the same few sets of the first-level cache. So slot `n` shifts its control block, and with
//! it the whole stack, down by `n % 32` cache lines.
//!
//! **Lookup.** Address space is taken in chunks of at least 64 MiB, aligned to their size, and a
//! table with one byte for every 64 MiB of user address space says which size of slot is there.
//! So "which goroutine does this stack pointer belong to" is one load, a shift and a mask, for the
//! current goroutine and for the fault handler alike; a thread's own stack finds 0 in the table.
//!
//! Giving memory back: `arena/scavenge.rs`. Address space and guards: `arena/space.rs`.
//!
//! # Invariants
//!
//! 1. A slot that was ever handed out stays mapped and guarded, and what a stale ticket or handle may
//!    look at there, at any time, is that of a `G`, for the rest of the process (type-stable): of a
//!    `G`, or of the zeroes that a `G` begins with (invariant 5 of `g.rs`).
//! 2. A slot is on one free list, or cold, or owned by one `Slot`, by the goroutine running in it, or
//!    by one scavenger.
//! 3. A table entry is set once, before any slot of its chunk is handed out.
//! 4. Memory is given back by the owner of a free slot alone; never that of a guard, and that of a
//!    control block only after `G::forget`. `G::begin` comes before a cold slot is handed out. The
//!    arena's lock passes the slot from the one to the other, so the numbers of waits go on above
//!    those that were forgotten.
//!
//! # Locks
//!
//! `Arena::state` guards the free lists and the unused part of the newest chunk. Under it the
//! system calls of growth are made (once per 64 MiB), nothing else.

mod scavenge;
mod space;

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::chunk::{Chunk, Chunks};
use crate::free_list::FreeList;
use crate::g::G;

pub use self::scavenge::scavenge_stacks;
pub(crate) use self::scavenge::{Trimmer, scavenge, wants_scavenging};
pub use self::space::force_mprotect_guards;
pub(crate) use self::space::guards_are_dear;
use self::space::{guard, guard_more, new_chunk};

/// log2 of the address range that one table entry describes, and of the least chunk.
const CHUNK_SHIFT: u32 = 26;
/// Addresses a process can have without asking for more by a hint.
const ADDRESS_BITS: u32 = if cfg!(target_arch = "x86_64") { 47 } else { 48 };
/// Bytes of guard below each stack. C code may jump over a single page; 64 KiB it rarely does.
pub(crate) const GUARD: usize = 64 * 1024;
/// The least stack size that can be asked for, in bytes.
pub const MIN_STACK_SIZE: usize = 64 * 1024;
/// The default stack size in bytes.
pub const DEFAULT_STACK_SIZE: usize = 192 * 1024;
/// The largest stack size that can be asked for, in bytes.
pub const MAX_STACK_SIZE: usize = 1 << 30;
const MIN_SHIFT: u32 = 17;
const MAX_SHIFT: u32 = 31;
const COLOURS: usize = 32;
/// Guards are made in groups: one call for many takes 0.8 us for each, and one for each 1.1. A group is an
/// eighth of the slots that there are, and at most so many.
const GUARDED_AT_ONCE: usize = 32;
pub(crate) const CACHE_LINE: usize = 64;

/// For each 64 MiB of address space: log2 of the size of the slots there, or 0.
static TABLE: [AtomicU8; 1 << (ADDRESS_BITS - CHUNK_SHIFT)] =
    [const { AtomicU8::new(0) }; 1 << (ADDRESS_BITS - CHUNK_SHIFT)];

static ARENAS: [Arena; (MAX_SHIFT - MIN_SHIFT + 1) as usize] =
    [const { Arena::new() }; (MAX_SHIFT - MIN_SHIFT + 1) as usize];

/// How many slots were ever made: for reports and tests.
static SLOTS: AtomicU64 = AtomicU64::new(0);

/// A size class of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackClass {
    shift: u32,
}

impl StackClass {
    /// The class for stacks of `size` usable bytes. Less than [`MIN_STACK_SIZE`] is rounded up;
    /// more than [`MAX_STACK_SIZE`] has no class.
    ///
    /// The control block and the colour (together less than 3 KiB) come out of the usable bytes.
    pub(crate) fn for_size(size: usize) -> Option<StackClass> {
        if size > MAX_STACK_SIZE {
            return None;
        }
        let slot = (size.max(MIN_STACK_SIZE) + GUARD).next_power_of_two();
        Some(StackClass {
            shift: slot.trailing_zeros(),
        })
    }

    /// Bytes of a slot: guard and stack.
    pub(crate) fn slot_size(self) -> usize {
        1 << self.shift
    }

    /// Usable bytes of a stack.
    pub(crate) fn stack_size(self) -> usize {
        self.slot_size() - GUARD
    }

    fn arena(self) -> &'static Arena {
        &ARENAS[(self.shift - MIN_SHIFT) as usize]
    }
}

/// The goroutine slot that holds `address`, if one does: its base address and class.
#[inline(always)]
fn slot_of(address: usize) -> Option<(usize, StackClass)> {
    let entry = TABLE.get(address >> CHUNK_SHIFT)?;
    // Relaxed: an address in a slot comes from code running there, or from a fault of such code,
    // to which the slot was handed out after its entry was set (invariant 3).
    let shift = u32::from(entry.load(Ordering::Relaxed));
    if shift == 0 {
        return None;
    }
    Some((address >> shift << shift, StackClass { shift }))
}

/// The control block for the slot at `base`. The slot need not have been handed out yet.
#[inline(always)]
fn control_block(base: usize, class: StackClass) -> usize {
    let colour = (base >> class.shift) % COLOURS;
    base + class.slot_size() - size_of::<G>() - colour * CACHE_LINE
}

/// The control block of the goroutine whose stack holds `address`.
#[inline(always)]
pub(crate) fn g_of(address: usize) -> Option<NonNull<G>> {
    let (base, class) = slot_of(address)?;
    // The arenas expose the provenance of their chunks.
    NonNull::new(std::ptr::with_exposed_provenance_mut(control_block(
        base, class,
    )))
}

/// The control block of the goroutine in whose guard `address` lies: it has overflowed.
pub(crate) fn g_of_guard(address: usize) -> Option<(NonNull<G>, StackClass)> {
    let (base, class) = slot_of(address)?;
    if address - base >= GUARD {
        return None;
    }
    Some((g_of(address)?, class))
}

/// The lowest usable address of the stack whose control block is `g`.
pub(crate) fn stack_limit(g: NonNull<G>) -> usize {
    let (base, _) = slot_of(g.as_ptr().addr()).expect("a G lies in a slot");
    base
}

/// Ownership of one stack slot. It must be given back with [`give_back`] or passed on.
#[derive(Debug)]
pub(crate) struct Slot(NonNull<G>);

// SAFETY: a slot is memory that nobody else uses.
unsafe impl Send for Slot {}

impl Slot {
    /// The control block, whose address is the top of the stack as well.
    pub(crate) fn into_g(self) -> NonNull<G> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// The goroutine in the slot has ended and left the stack; the caller owns it.
    pub(crate) unsafe fn from_g(g: NonNull<G>) -> Slot {
        Slot(g)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (_, class) = slot_of(self.0.as_ptr().addr()).expect("a G lies in a slot");
        class.arena().with(|state| state.free.push(self.0));
    }
}

struct Arena {
    state: Mutex<State>,
    /// Length of the list that the scavenger works on. Written under the lock, read by anyone.
    used: AtomicUsize,
    /// Slots that there is address space for. Grows under the lock, read by anyone.
    capacity: AtomicUsize,
    /// Slots that goroutines have, or will have when they first run. Not above `capacity`.
    promised: AtomicUsize,
}

struct State {
    /// Slots whose goroutine has ended.
    free: FreeList<NonNull<G>>,
    /// The parts of chunks that have no guards yet, growing down: base, end and chunk.
    fresh: Vec<(usize, usize, &'static Chunk)>,
    chunks: Chunks,
}

// SAFETY: the pointers name slots that nobody uses (invariant 2).
unsafe impl Send for State {}

impl Arena {
    const fn new() -> Self {
        Arena {
            state: Mutex::new(State {
                free: FreeList::new(),
                fresh: Vec::new(),
                chunks: Chunks::new(),
            }),
            used: AtomicUsize::new(0),
            capacity: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
        }
    }

    /// Calls `f` under the lock.
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let result = f(&mut state);
        self.used.store(state.free.used(), Ordering::Relaxed);
        result
    }
}

impl Arena {
    /// Takes address space for more slots.
    fn grow(&self, state: &mut State, class: StackClass) -> io::Result<()> {
        let (base, end) = new_chunk(class)?;
        let chunk = Chunk::new(base, end, class);
        state.chunks.add(chunk);
        // Older ones are used up first.
        state.fresh.insert(0, (base, end, chunk));
        let slots = (end - base) / class.slot_size();
        self.capacity.fetch_add(slots, Ordering::Relaxed);
        Ok(())
    }

    /// How many slots have a guard, or are about to get one.
    fn made(&self, state: &State, class: StackClass) -> usize {
        let fresh: usize = state.fresh.iter().map(|&(base, end, _)| end - base).sum();
        self.capacity.load(Ordering::Relaxed) - fresh / class.slot_size()
    }
}

/// A slot that [`take`] has found.
enum Found {
    Ready(Slot),
    /// Its memory was given back: its base address and its chunk.
    Cold(usize, &'static Chunk),
    /// It was never used, and has no guard yet, with others below it of which the same is true: the base
    /// address of the lowest, and its own end.
    Fresh(usize, usize, &'static Chunk),
}

/// Takes a slot: one that was used before, or else a new one.
///
/// # Errors
/// No address space, no memory, or too many mappings; the message names the limit.
pub(crate) fn take(class: StackClass) -> io::Result<Slot> {
    let found = class.arena().with(|state| {
        if let Some(g) = state.free.pop() {
            return Ok(Found::Ready(Slot(g)));
        }
        if let Some((base, chunk)) = state.chunks.take_cold() {
            return Ok(Found::Cold(base, chunk));
        }
        // Free slots may lie in the caches of processors, so this may need more than was promised.
        if state.fresh.is_empty() {
            class.arena().grow(state, class)?;
        }
        // From the top down, towards where the kernel puts the next chunk.
        let made = class.arena().made(state, class);
        let group = (made / 8).clamp(1, GUARDED_AT_ONCE);
        let last = state.fresh.last_mut().expect("a chunk has room");
        let (base, end, chunk) = *last;
        let low = base.max(end.saturating_sub(group * class.slot_size()));
        last.1 = low;
        if base == low {
            state.fresh.pop();
        }
        Ok::<_, io::Error>(Found::Fresh(low, end, chunk))
    })?;
    // The rest outside the lock: the guard costs most of a microsecond, the first page as much.
    match found {
        Found::Ready(slot) => Ok(slot),
        Found::Cold(base, chunk) => Ok(begin(base, class, chunk)),
        Found::Fresh(low, end, chunk) => take_fresh(class, low, end, chunk),
    }
}

/// Makes the guards of new slots. Gives the highest; the others are cold then, as if their memory had been
/// given back: it reads as zeroes.
fn take_fresh(
    class: StackClass,
    low: usize,
    end: usize,
    chunk: &'static Chunk,
) -> io::Result<Slot> {
    let arena = class.arena();
    let size = class.slot_size();
    // Those without a guard, to be tried again, some time.
    let put_back = |state: &mut State, end: usize| {
        if low < end {
            state.fresh.push((low, end, chunk));
        }
    };
    let base = end - size;
    if let Err(error) = guard(at(base)) {
        arena.with(|state| put_back(state, end));
        return Err(error);
    }
    SLOTS.fetch_add(1, Ordering::Relaxed);
    let others = || (low..base).step_by(size).rev();
    if low < base {
        let made = guard_more(others().map(at));
        SLOTS.fetch_add(made as u64, Ordering::Relaxed);
        arena.with(|state| {
            others()
                .take(made)
                .for_each(|base| state.chunks.put_cold(base));
            put_back(state, base - made * size);
        });
    }
    Ok(begin(base, class, chunk))
}

/// Promises a stack each to some goroutines, at most `want`, which get it by [`take`] when they first
/// run. Gives how many; [`unpromise`] follows when they have ended. What is promised is address space:
/// memory may be wanting by then, as for any page.
///
/// # Errors
/// No address space.
pub(crate) fn promise(class: StackClass, want: usize) -> io::Result<usize> {
    let arena = class.arena();
    let mut promised = arena.promised.load(Ordering::Relaxed);
    loop {
        let room = arena
            .capacity
            .load(Ordering::Relaxed)
            .saturating_sub(promised);
        if room == 0 {
            arena.with(|state| {
                // Somebody else may have been here.
                if arena.capacity.load(Ordering::Relaxed) > promised {
                    return Ok(());
                }
                arena.grow(state, class)
            })?;
            promised = arena.promised.load(Ordering::Relaxed);
            continue;
        }
        let some = room.min(want);
        match arena.promised.compare_exchange_weak(
            promised,
            promised + some,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(_) => return Ok(some),
            Err(now) => promised = now,
        }
    }
}

/// The same for one goroutine. Where a guard may be refused for lack of mappings, gives the stack
/// itself.
///
/// # Errors
/// No address space, or too many mappings.
pub(crate) fn promise_one(class: StackClass) -> io::Result<Option<Slot>> {
    promise(class, 1)?;
    if !guards_are_dear() {
        return Ok(None);
    }
    take(class).map(Some).inspect_err(|_| unpromise(class, 1))
}

/// Goroutines that were promised a stack have ended, or will not be.
pub(crate) fn unpromise(class: StackClass, count: usize) {
    class.arena().promised.fetch_sub(count, Ordering::Relaxed);
}

/// Takes up to `want` used slots into `into`: one visit for many. Makes no new ones.
pub(crate) fn take_used(class: StackClass, want: usize, into: &mut Vec<Slot>) {
    class.arena().with(|state| {
        struct Into<'a>(&'a mut Vec<Slot>);
        impl Extend<NonNull<G>> for Into<'_> {
            fn extend<I: IntoIterator<Item = NonNull<G>>>(&mut self, slots: I) {
                self.0.extend(slots.into_iter().map(Slot));
            }
        }
        state.free.pop_many(want, &mut Into(into));
    });
}

/// Gives many slots back in one visit.
pub(crate) fn give_back(class: StackClass, slots: impl Iterator<Item = Slot>) {
    class
        .arena()
        .with(|state| state.free.extend(slots.map(Slot::into_g)));
}

/// How many slots of all sizes were ever made.
pub(crate) fn slots_made() -> u64 {
    SLOTS.load(Ordering::Relaxed)
}

/// Calls `f` with the control block of every slot, in use or free, that is not cold: for reports.
/// Only atomics of it may be read, and that at any time, for it may be put to another use meanwhile.
pub(crate) fn each_slot(mut f: impl FnMut(NonNull<G>)) {
    Chunk::each(|chunk| {
        chunk.each_live(|base| f(at(control_block(base, chunk.class()))));
    });
}

/// A pointer to an address in a chunk, whose provenance was exposed when it was made.
fn at<T>(address: usize) -> NonNull<T> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("not at address 0")
}

/// Puts a control block into a slot that has a guard and nothing else.
fn begin(base: usize, class: StackClass, chunk: &Chunk) -> Slot {
    let g = at::<G>(control_block(base, class));
    // SAFETY: we own the slot (invariant 2). It was never used, or its memory was given back: it
    // holds zeroes.
    unsafe { G::begin(g, class) };
    chunk.set_live(base);
    Slot(g)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_was_asked_for() {
        assert_eq!(
            StackClass::for_size(0).unwrap().stack_size(),
            MIN_STACK_SIZE
        );
        let default = StackClass::for_size(DEFAULT_STACK_SIZE).unwrap();
        assert_eq!(default.slot_size(), 256 * 1024);
        for size in [1 << 16, (1 << 16) + 1, 200 << 10, 1 << 20, 8 << 20, 1 << 30] {
            let class = StackClass::for_size(size).unwrap();
            assert!(class.stack_size() >= size);
        }
        assert!(StackClass::for_size(MAX_STACK_SIZE + 1).is_none());
    }

    #[test]
    fn a_stack_address_finds_its_control_block() {
        for size in [MIN_STACK_SIZE, DEFAULT_STACK_SIZE, 100 << 20] {
            let class = StackClass::for_size(size).unwrap();
            let slot = take(class).unwrap();
            let g = slot.0;
            let top = g.as_ptr().addr();
            let (base, found) = slot_of(top).unwrap();
            assert_eq!(found, class);
            assert_eq!(g_of(top - 1), Some(g));
            assert_eq!(g_of(base + GUARD), Some(g));
            assert_eq!(g_of_guard(base + GUARD - 1), Some((g, class)));
            assert_eq!(g_of_guard(base + GUARD), None);
            assert_eq!(top % CACHE_LINE, 0);
        }
        let local = 0_u8;
        assert_eq!(g_of((&raw const local).addr()), None);
        assert_eq!(g_of(usize::MAX), None);
    }

    /// Whether the kernel can read there.
    fn is_readable(address: usize) -> bool {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        // SAFETY: the kernel looks at the address before it reads there.
        let wrote = unsafe { libc::write(ends[1], at::<libc::c_void>(address).as_ptr(), 1) };
        for end in ends {
            // SAFETY: ours.
            unsafe { libc::close(end) };
        }
        wrote == 1
    }

    #[test]
    fn slots_made_in_groups_are_guarded_each() {
        // A size that no other test uses.
        let class = StackClass::for_size(400 << 10).unwrap();
        let many = GUARDED_AT_ONCE * 10;
        let mut slots = Vec::new();
        while slots.len() < many {
            slots.push(take(class).unwrap());
            let arena = class.arena();
            let made = arena.with(|state| arena.made(state, class));
            assert!(made - slots.len() < GUARDED_AT_ONCE.min(1 + made / 8));
        }
        let mut bases: Vec<_> = slots.iter().map(|slot| stack_limit(slot.0)).collect();
        for &base in &bases {
            assert!(!is_readable(base) && !is_readable(base + GUARD - 1));
            assert!(is_readable(base + GUARD) && is_readable(base + class.slot_size() - 1));
        }
        bases.sort_unstable();
        bases.dedup();
        assert_eq!(bases.len(), many);
    }

    #[test]
    fn neighbours_differ_in_colour() {
        let class = StackClass::for_size(DEFAULT_STACK_SIZE).unwrap();
        let slots: Vec<Slot> = (0..COLOURS).map(|_| take(class).unwrap()).collect();
        let mut offsets: Vec<usize> = slots
            .iter()
            .map(|s| s.0.as_ptr().addr() % class.slot_size())
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        // Other tests may take slots in between.
        assert!(offsets.len() > COLOURS / 2, "{offsets:?}");
    }
}
