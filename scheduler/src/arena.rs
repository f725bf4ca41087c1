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
//! **Guards.** `MADV_GUARD_INSTALL` (Linux 6.13) marks the guard inside the one big mapping. On
//! older kernels `mprotect` does, at the price of two mappings per stack, so that
//! `vm.max_map_count` ends it at about 32,000 stacks: an error that names the limit.
//!
//! # Invariants
//!
//! 1. A slot that was ever handed out stays mapped, guarded, and holds a valid `G` for the rest of
//!    the process (type-stable: stale tickets may look at it at any time).
//! 2. A slot is on one free list, or owned by one `Slot`, or by the goroutine running in it.
//! 3. A table entry is set once, before any slot of its chunk is handed out.
//!
//! # Locks
//!
//! `Arena::state` guards the free list and the unused part of the newest chunk. Under it the
//! system calls of growth are made (once per 64 MiB), nothing else.

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::g::G;
use crate::sys;

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
const CACHE_LINE: usize = 64;

/// For each 64 MiB of address space: log2 of the size of the slots there, or 0.
static TABLE: [AtomicU8; 1 << (ADDRESS_BITS - CHUNK_SHIFT)] =
    [const { AtomicU8::new(0) }; 1 << (ADDRESS_BITS - CHUNK_SHIFT)];

static ARENAS: [Arena; (MAX_SHIFT - MIN_SHIFT + 1) as usize] =
    [const { Arena::new() }; (MAX_SHIFT - MIN_SHIFT + 1) as usize];

/// Whether guards have to be made with `mprotect` (found out at the first guard).
static MPROTECT: AtomicBool = AtomicBool::new(false);

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
        class.arena().lock().free.push(self.0);
    }
}

struct Arena {
    state: Mutex<State>,
}

struct State {
    /// Slots whose goroutine has ended, last in first out.
    free: Vec<NonNull<G>>,
    /// The part of the newest chunk that was never handed out, growing down: base and end.
    fresh: (usize, usize),
}

// SAFETY: the pointers name slots that nobody uses (invariant 2).
unsafe impl Send for State {}

impl Arena {
    const fn new() -> Self {
        Arena {
            state: Mutex::new(State {
                free: Vec::new(),
                fresh: (0, 0),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Takes a slot: one that was used before, or else a new one.
///
/// # Errors
/// No address space, no memory, or too many mappings; the message names the limit.
pub(crate) fn take(class: StackClass) -> io::Result<Slot> {
    let base = {
        let mut state = class.arena().lock();
        if let Some(g) = state.free.pop() {
            return Ok(Slot(g));
        }
        if state.fresh.0 == state.fresh.1 {
            state.fresh = new_chunk(class)?;
        }
        // From the top down, towards where the kernel puts the next chunk.
        state.fresh.1 -= class.slot_size();
        state.fresh.1
    };
    // The guard is made outside the lock: it costs most of a microsecond.
    match make_slot(base, class) {
        Ok(slot) => Ok(slot),
        Err(error) => {
            let mut state = class.arena().lock();
            // Put the unguarded slot back if it is still the last one taken. If not, its address
            // space is lost, as rarely as two threads run out of mappings in one microsecond.
            if state.fresh.1 == base {
                state.fresh.1 += class.slot_size();
            }
            Err(error)
        }
    }
}

/// Takes up to `want` used slots into `into`: one visit for many. Makes no new ones.
pub(crate) fn take_used(class: StackClass, want: usize, into: &mut Vec<Slot>) {
    let mut state = class.arena().lock();
    let from = state.free.len().saturating_sub(want);
    into.extend(state.free.drain(from..).map(Slot));
}

/// Gives many slots back in one visit.
pub(crate) fn give_back(class: StackClass, slots: impl Iterator<Item = Slot>) {
    let mut state = class.arena().lock();
    state.free.extend(slots.map(Slot::into_g));
}

/// How many slots of all sizes were ever made.
pub(crate) fn slots_made() -> u64 {
    SLOTS.load(Ordering::Relaxed)
}

/// Guards the slot at `base` and puts a control block into it.
fn make_slot(base: usize, class: StackClass) -> io::Result<Slot> {
    let low =
        NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(base)).expect("not at address 0");
    guard(low)?;
    let g = NonNull::new(std::ptr::with_exposed_provenance_mut::<G>(control_block(
        base, class,
    )))
    .expect("not at address 0");
    // SAFETY: fresh zeroed memory of this slot, aligned to a cache line, which nobody else uses.
    unsafe { g.write(G::new(class)) };
    SLOTS.fetch_add(1, Ordering::Relaxed);
    Ok(Slot(g))
}

fn guard(low: NonNull<u8>) -> io::Result<()> {
    if !MPROTECT.load(Ordering::Relaxed) {
        // SAFETY: the low end of a slot that nobody uses yet.
        match unsafe { sys::install_guard(low, GUARD) } {
            Ok(()) => return Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                MPROTECT.store(true, Ordering::Relaxed);
            }
            Err(e) => {
                return Err(io::Error::new(
                    e.kind(),
                    format!("cannot guard a goroutine's stack: {e}"),
                ));
            }
        }
    }
    // SAFETY: as above.
    unsafe { sys::protect(low, GUARD) }.map_err(|e| {
        io::Error::new(
            e.kind(),
            format!(
                "cannot guard a goroutine's stack ({} stacks made so far): {e}; this kernel needs \
                 two mappings per stack, raise the limit with `sysctl vm.max_map_count` or use \
                 Linux 6.13 or later, where one mapping serves all",
                slots_made()
            ),
        )
    })
}

/// Makes guards with `mprotect` from now on, as on a kernel before 6.13: for tests of that path.
#[doc(hidden)]
pub fn force_mprotect_guards() {
    MPROTECT.store(true, Ordering::Relaxed);
}

/// Where the next chunk is tried first: right below the last one, so that the kernel merges them
/// into one mapping and no address space is cut off for alignment.
static NEXT_HINT: Mutex<usize> = Mutex::new(0);

/// Reserves a chunk of slots: its first address and its end.
fn new_chunk(class: StackClass) -> io::Result<(usize, usize)> {
    let size = class.slot_size().max(1 << CHUNK_SHIFT);
    let mut hint = NEXT_HINT.lock().unwrap_or_else(|e| e.into_inner());
    let explain = |e: io::Error| {
        io::Error::new(
            e.kind(),
            format!(
                "cannot reserve {} MiB of address space for goroutine stacks: {e}; look at the \
                 limit on address space (`ulimit -v`) and at vm.overcommit_memory",
                size >> 20
            ),
        )
    };
    let wanted = hint.checked_sub(size).map_or(0, |at| at & !(size - 1));
    let mut at = None;
    if wanted != 0 {
        let got = sys::reserve(wanted, size).map_err(explain)?;
        if got.as_ptr().addr() % size == 0 {
            at = Some(got);
        } else {
            // SAFETY: just reserved, and not used.
            unsafe { sys::release(got, size) };
        }
    }
    let at = match at {
        Some(at) => at,
        None => reserve_aligned(size).map_err(explain)?,
    };
    sys::no_huge_pages(at, size);
    let base = at.as_ptr().expose_provenance();
    *hint = base;
    for entry in base >> CHUNK_SHIFT..(base + size) >> CHUNK_SHIFT {
        let Some(entry) = TABLE.get(entry) else {
            // SAFETY: just reserved, and not used.
            unsafe { sys::release(at, size) };
            return Err(io::Error::other(
                "the kernel gave address space beyond the usual range",
            ));
        };
        entry.store(class.shift as u8, Ordering::Relaxed);
    }
    Ok((base, base + size))
}

/// Reserves `size` bytes aligned to `size`, by reserving twice as much and cutting.
fn reserve_aligned(size: usize) -> io::Result<NonNull<u8>> {
    let wide = sys::reserve(0, 2 * size)?;
    let start = wide.as_ptr().addr();
    let aligned = start.next_multiple_of(size);
    let before = aligned - start;
    let after = size - before;
    // SAFETY: `before <= size`, so this stays in the reservation.
    let at = unsafe { wide.add(before) };
    if before > 0 {
        // SAFETY: the part below the aligned chunk; nobody uses it.
        unsafe { sys::release(wide, before) };
    }
    if after > 0 {
        // SAFETY: `at + size` is inside the reservation, whose end is `after` further on.
        let end = unsafe { at.add(size) };
        // SAFETY: the part above the aligned chunk; nobody uses it.
        unsafe { sys::release(end, after) };
    }
    Ok(at)
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
