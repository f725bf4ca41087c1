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
//! **Giving memory back.** The pages of a stack stay with it when its goroutine ends, for the next
//! one, and three things are done about that. A processor looks at a few of the stacks in its cache,
//! every tenth of a second at most, and gives their deep part back ([`Trimmer`]), so that a recursion
//! that was deep once does not hold its pages for ever. What an idle processor has beyond a few goes
//! to the arena (`chores.rs`). And [`scavenge`] takes the free slots that were not used for a second
//! (`free_list.rs`): it keeps some, with shallow stacks, and gives the memory of the others back, the
//! page of the control block included; they are *cold* then. What stays of a cold slot is its part of
//! the page tables, 512 bytes, which hold its guard.
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
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::chunk::{Chunk, Chunks};
use crate::clock;
use crate::free_list::{Fate, FreeList};
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
/// The part of a stack that it keeps when its deep part is given back, from the top of its slot.
const SHALLOW: usize = 16 * 1024;
/// Stacks that a processor looks at in one visit, and the nanoseconds between two visits.
const TRIMMED_AT_ONCE: usize = 16;
const TRIM_PAUSE: u64 = 100_000_000;
/// Slots that the scavenger takes from a list at once.
const SCAVENGED_AT_ONCE: usize = 32;
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
    /// The parts of chunks that were never handed out, growing down: base, end and chunk.
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
}

/// A slot that [`take`] has found.
enum Found {
    Ready(Slot),
    /// Its memory was given back: its base address and its chunk.
    Cold(usize, &'static Chunk),
    /// It was never used, and has no guard yet.
    Fresh(usize, &'static Chunk),
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
        let last = state.fresh.last_mut().expect("a chunk has room");
        last.1 -= class.slot_size();
        let (base, end, chunk) = *last;
        if base == end {
            state.fresh.pop();
        }
        Ok::<_, io::Error>(Found::Fresh(end, chunk))
    })?;
    // The rest outside the lock: the guard costs most of a microsecond, the first page as much.
    match found {
        Found::Ready(slot) => Ok(slot),
        Found::Cold(base, chunk) => Ok(begin(base, class, chunk)),
        Found::Fresh(base, chunk) => match guard(at(base)) {
            Ok(()) => {
                SLOTS.fetch_add(1, Ordering::Relaxed);
                Ok(begin(base, class, chunk))
            }
            Err(error) => {
                // To be tried again, some time.
                class.arena().with(|state| {
                    state.fresh.push((base, base + class.slot_size(), chunk));
                });
                Err(error)
            }
        },
    }
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

/// Whether each guard takes mappings, of which there is a limit.
pub(crate) fn guards_are_dear() -> bool {
    MPROTECT.load(Ordering::Relaxed)
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
