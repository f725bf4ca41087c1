//! Chunks of address space: which slots of each one are in use, and which are cold.
//!
//! | a slot's bits     | meaning                                                          |
//! |-------------------|------------------------------------------------------------------|
//! | none              | never made (or lost, its guard having failed): not to be touched |
//! | `live`            | holds a goroutine, or is free and ready for one                  |
//! | `cold`            | free, guarded, its memory given back or never touched: reads as zeroes |
//!
//! # Invariants
//!
//! 1. A chunk is never unmapped, and its record never freed.
//! 2. Bits are changed by those who own the slot, under the lock of its arena or before it is known
//!    to anybody else. They may be read at any time, for reports: a slot may go cold under the
//!    reader's eyes, and then reads as zeroes.
//! 3. Of the chunks with cold slots an arena keeps a list, and takes from the last of them alone: so
//!    only the last one can run out, and no list has to be searched.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::arena::StackClass;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Chunk {
    base: usize,
    class: StackClass,
    /// One bit for each slot, 64 to a word.
    live: Box<[AtomicU64]>,
    cold: Box<[AtomicU64]>,
    /// The chunk made before, of any arena. Constant once the chunk is on the list.
    next: AtomicPtr<Chunk>,
}

/// All chunks of all arenas, the newest first.
static ALL: AtomicPtr<Chunk> = AtomicPtr::new(ptr::null_mut());

impl Chunk {
    /// A record for the chunk from `base` to `end`, all of whose slots are still to be made.
    pub(crate) fn new(base: usize, end: usize, class: StackClass) -> &'static Chunk {
        let words = || {
            let count = ((end - base) / class.slot_size()).div_ceil(64);
            (0..count).map(|_| AtomicU64::new(0)).collect()
        };
        let chunk = Box::leak(Box::new(Chunk {
            base,
            class,
            live: words(),
            cold: words(),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut head = ALL.load(Ordering::Relaxed);
        loop {
            chunk.next.store(head, Ordering::Relaxed);
            // Release: pairs with the acquire in `each`.
            match ALL.compare_exchange_weak(head, chunk, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return chunk,
                Err(now) => head = now,
            }
        }
    }

    /// Calls `f` with every chunk there is.
    pub(crate) fn each(mut f: impl FnMut(&'static Chunk)) {
        let mut next = ALL.load(Ordering::Acquire);
        // SAFETY: null or a chunk, which is never freed.
        while let Some(chunk) = unsafe { next.as_ref() } {
            f(chunk);
            next = chunk.next.load(Ordering::Relaxed);
        }
    }

    /// The size of its slots.
    pub(crate) fn class(&self) -> StackClass {
        self.class
    }

    /// Calls `f` with the base address of each slot that is live.
    pub(crate) fn each_live(&self, mut f: impl FnMut(usize)) {
        for (at, word) in self.live.iter().enumerate() {
            // Acquire: whoever sees the bit sees the control block.
            let mut left = word.load(Ordering::Acquire);
            while left != 0 {
                let index = at * 64 + left.trailing_zeros() as usize;
                f(self.slot(index));
                left &= left - 1;
            }
        }
    }

    fn place(&self, slot: usize) -> (usize, u64) {
        let index = (slot - self.base) / self.class.slot_size();
        (index / 64, 1 << (index % 64))
    }

    fn slot(&self, index: usize) -> usize {
        self.base + index * self.class.slot_size()
    }

    /// The slot at this address holds a control block from now on.
    pub(crate) fn set_live(&self, slot: usize) {
        let (word, bit) = self.place(slot);
        self.live[word].fetch_or(bit, Ordering::Release);
    }

    /// The memory of the slot at this address is about to be given back: reports pass it by.
    pub(crate) fn clear_live(&self, slot: usize) {
        let (word, bit) = self.place(slot);
        self.live[word].fetch_and(!bit, Ordering::Relaxed);
    }

    fn has_cold(&self) -> bool {
        self.cold
            .iter()
            .any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Takes a cold slot out, the one at the highest address: slots are made from there down.
    fn take_cold(&self) -> Option<usize> {
        let words = self.cold.iter().enumerate().rev();
        let (at, word) = words
            .map(|(at, word)| (at, word.load(Ordering::Relaxed)))
            .find(|&(_, word)| word != 0)?;
        let bit = 63 - word.leading_zeros();
        self.cold[at].store(word & !(1 << bit), Ordering::Relaxed);
        Some(self.slot(at * 64 + bit as usize))
    }
}

/// The chunks of one arena. Under its lock.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// By address.
    all: Vec<&'static Chunk>,
    /// Those that have cold slots.
    with_cold: Vec<&'static Chunk>,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Chunks {
            all: Vec::new(),
            with_cold: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, chunk: &'static Chunk) {
        let at = self.all.partition_point(|other| other.base < chunk.base);
        self.all.insert(at, chunk);
    }

    /// The chunk that the slot at this address lies in.
    pub(crate) fn of(&self, slot: usize) -> &'static Chunk {
        let after = self.all.partition_point(|chunk| chunk.base <= slot);
        self.all[after - 1]
    }

    /// The memory of the slot at this address was given back.
    pub(crate) fn put_cold(&mut self, slot: usize) {
        let chunk = self.of(slot);
        if !chunk.has_cold() {
            self.with_cold.push(chunk);
        }
        let (word, bit) = chunk.place(slot);
        chunk.cold[word].fetch_or(bit, Ordering::Relaxed);
    }

    /// Takes a cold slot: its address and its chunk.
    pub(crate) fn take_cold(&mut self) -> Option<(usize, &'static Chunk)> {
        let chunk = *self.with_cold.last()?;
        let slot = chunk.take_cold().expect("it has cold slots");
        if !chunk.has_cold() {
            self.with_cold.pop();
        }
        Some((slot, chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 128 * 1024;

    /// Of addresses that are not used, and a size that no other test uses.
    fn chunk(base: usize, slots: usize) -> &'static Chunk {
        let class = StackClass::for_size(SIZE / 2).unwrap();
        Chunk::new(base, base + slots * SIZE, class)
    }

    #[test]
    fn cold_slots_come_back_once_each() {
        let mut chunks = Chunks::new();
        // Out of order, as the kernel may give them; one slot in the last, as for a large class.
        for (base, slots) in [(1 << 30, 512), (1 << 28, 512), (1 << 32, 1)] {
            chunks.add(chunk(base, slots));
        }
        let mut put = Vec::new();
        for (base, slots) in [(1_usize << 28, 512_usize), (1 << 32, 1), (1 << 30, 512)] {
            for slot in (0..slots).step_by(3) {
                put.push(base + slot * SIZE);
            }
        }
        for &slot in &put {
            chunks.put_cold(slot);
        }
        let mut taken = Vec::new();
        while let Some((slot, chunk)) = chunks.take_cold() {
            assert_eq!(chunk.base, chunks.of(slot).base);
            taken.push(slot);
            // One goes back and forth.
            if taken.len() == 100 {
                chunks.put_cold(slot);
                taken.pop();
                taken.push(chunks.take_cold().unwrap().0);
            }
        }
        put.sort_unstable();
        taken.sort_unstable();
        assert_eq!(taken, put);
    }

    #[test]
    fn live_slots_are_listed() {
        let chunk = chunk(3 << 33, 130);
        let slot = |index: usize| chunk.slot(index);
        for index in [0, 63, 64, 129] {
            chunk.set_live(slot(index));
        }
        chunk.clear_live(slot(63));
        let mut seen = Vec::new();
        chunk.each_live(|slot| seen.push(slot));
        assert_eq!(seen, [slot(0), slot(64), slot(129)]);
        let mut found = 0;
        Chunk::each(|other| found += usize::from(ptr::eq(other, chunk)));
        assert_eq!(found, 1);
    }
}
