//! Address space for stacks, and the guards in it.
//!
//! `MADV_GUARD_INSTALL` (Linux 6.13) marks the guard inside the one big mapping. On older kernels
//! `mprotect` does, at the price of two mappings per stack, so that `vm.max_map_count` ends it at
//! about 32,000 stacks: an error that names the limit.

use std::io;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CHUNK_SHIFT, GUARD, StackClass, TABLE, slots_made};
use crate::sys;

/// Whether guards have to be made with `mprotect` (found out at the first guard).
static MPROTECT: AtomicBool = AtomicBool::new(false);

/// Whether each guard takes mappings, of which there is a limit.
pub(crate) fn guards_are_dear() -> bool {
    MPROTECT.load(Ordering::Relaxed)
}

/// Makes the guard at the low end of a new slot.
pub(super) fn guard(low: NonNull<u8>) -> io::Result<()> {
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

/// Makes the guards of further new slots, after that of one. How many were made, from the first on: none is
/// not an error, for whoever needs the next slot will say so.
pub(super) fn guard_more(lows: impl Iterator<Item = NonNull<u8>>) -> usize {
    if guards_are_dear() {
        return 0;
    }
    let ranges: Vec<_> = lows
        .map(|low| libc::iovec {
            iov_base: low.as_ptr().cast(),
            iov_len: GUARD,
        })
        .collect();
    // SAFETY: the low ends of slots that nobody uses yet.
    unsafe { sys::install_guards(&ranges) }
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
pub(super) fn new_chunk(class: StackClass) -> io::Result<(usize, usize)> {
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
