//! The buffer: values in the channel, in blocks of slots.
//!
//! Bounded and unbounded channels share one layout, so that the common push and pop ask no
//! question about the kind: *is there a slot left in this block?* A bounded channel has a single
//! block whose successor is itself: a ring. An unbounded one has a chain that grows at the tail and
//! is given back at the head.
//!
//! ```text
//!        read.index            write.index
//!             v                     v
//!   [next | . . x x x] -> [next | x x . . .] -> null      x = a value
//! ```
//!
//! # Invariants
//!
//! 1. The buffer does not count: its owner knows how many values it holds, and pops only when
//!    there is one, pushes to a ring only when there is room.
//! 2. Slots from `read` up to `write` hold values, all others do not.
//! 3. Without a value both cursors are in the same block, at the same index.
//! 4. Nothing here allocates or frees by itself except the constructor and the destructors of
//!    [`Block`] and [`Buffer`]: blocks are passed in and out, so that it can be done without the
//!    lock.
//!
//! # Rejected
//!
//! A growing ring for the unbounded channel: doubling copies every value under the lock, and a
//! shrinking policy would do it again. Here a drained channel keeps two small blocks at most.

use std::alloc::{self, Layout};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// What precedes the slots of a block. The block's address names its header.
struct Header {
    /// The block after this one; itself in a ring; null at the end of a chain.
    next: *mut Header,
    /// How many slots follow.
    span: usize,
}

/// A block that is in no buffer. Owns the memory, no values.
pub(crate) struct Block<T> {
    header: NonNull<Header>,
    _slots: PhantomData<T>,
}

// SAFETY: a block is plain memory without values.
unsafe impl<T> Send for Block<T> {}

impl<T> Block<T> {
    /// Slots per block of a chain: about a kilobyte, at least 4 and at most 64 values.
    const SPAN: usize = {
        let size = if size_of::<T>() == 0 {
            1
        } else {
            size_of::<T>()
        };
        let fit = 1024 / size;
        if fit < 4 {
            4
        } else if fit > 64 {
            64
        } else {
            fit
        }
    };

    /// Where the slots begin, from the header.
    const SLOTS: usize = {
        let align = align_of::<T>();
        size_of::<Header>().div_ceil(align) * align
    };

    fn layout(span: usize) -> Layout {
        let (layout, _) = Layout::array::<T>(span)
            .and_then(|slots| Layout::new::<Header>().extend(slots))
            .expect("capacity overflow");
        layout
    }

    fn allocate(span: usize) -> Self {
        let layout = Self::layout(span);
        // SAFETY: the layout contains a header, so its size is not zero.
        let memory = unsafe { alloc::alloc(layout) }.cast::<Header>();
        let Some(header) = NonNull::new(memory) else {
            alloc::handle_alloc_error(layout)
        };
        // SAFETY: fresh memory, large and aligned enough for a header.
        unsafe {
            header.write(Header {
                next: ptr::null_mut(),
                span,
            });
        }
        Block {
            header,
            _slots: PhantomData,
        }
    }

    /// A block for a chain.
    pub(crate) fn new() -> Self {
        Self::allocate(Self::SPAN)
    }

    /// The slot at `index`.
    ///
    /// # Safety
    /// `header` starts a block of this type, which has that slot.
    #[inline]
    unsafe fn slot(header: *mut Header, index: usize) -> *mut T {
        // SAFETY: the caller's promise; slots follow the header at this offset (`layout`).
        unsafe { header.byte_add(Self::SLOTS).cast::<T>().add(index) }
    }

    fn into_header(self) -> *mut Header {
        std::mem::ManuallyDrop::new(self).header.as_ptr()
    }

    /// # Safety
    /// `header` came from `into_header`, and this is its only use from now on.
    unsafe fn from_header(header: *mut Header) -> Option<Self> {
        NonNull::new(header).map(|header| Block {
            header,
            _slots: PhantomData,
        })
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: the header is initialised and ours.
        let span = unsafe { self.header.as_ref() }.span;
        // SAFETY: allocated with this very layout.
        unsafe { alloc::dealloc(self.header.as_ptr().cast(), Self::layout(span)) };
    }
}

/// A place in a block.
#[derive(Clone, Copy)]
struct Cursor {
    block: *mut Header,
    index: usize,
}

/// See the module's documentation.
///
/// The cursors, which each push and pop moves, come last: the channel has its lock behind them.
#[repr(C)]
pub(crate) struct Buffer<T> {
    /// An empty block of the chain kept for the next push that needs one, or null.
    spare: *mut Header,
    /// Slots in each block.
    span: usize,
    /// Where the next value goes. At `span`, or without a block, room has to be made first.
    write: Cursor,
    /// Where the oldest value is. At `span` it is the first of the next block.
    read: Cursor,
    _values: PhantomData<T>,
}

// SAFETY: a buffer owns its values and its blocks; the pointers are not shared with anything.
unsafe impl<T: Send> Send for Buffer<T> {}

impl<T> Buffer<T> {
    fn with(block: *mut Header, span: usize, index: usize) -> Self {
        let cursor = Cursor { block, index };
        Buffer {
            spare: ptr::null_mut(),
            span,
            write: cursor,
            read: cursor,
            _values: PhantomData,
        }
    }

    /// A chain without a block.
    pub(crate) fn chain() -> Self {
        let span = Block::<T>::SPAN;
        Self::with(ptr::null_mut(), span, span)
    }

    /// A ring of `cap` slots.
    ///
    /// # Panics
    /// If they would not fit into the address space.
    pub(crate) fn ring(cap: usize) -> Self {
        if cap == 0 {
            return Self::with(ptr::null_mut(), 0, 0);
        }
        let block = Block::<T>::allocate(cap).into_header();
        // SAFETY: the block is ours.
        unsafe { (*block).next = block };
        Self::with(block, cap, 0)
    }

    /// Whether the write cursor stands at a slot: [`push`](Self::push) may be called.
    #[inline]
    pub(crate) fn has_slot(&self) -> bool {
        self.write.index != self.span
    }

    /// Moves the write cursor to a slot, if it is not at one. `false`: a chain needs a block, see
    /// [`give`](Self::give).
    pub(crate) fn make_slot(&mut self, is_empty: bool) -> bool {
        if self.has_slot() {
            return true;
        }
        if self.write.block.is_null() {
            return self.use_spare();
        }
        if is_empty {
            // Both cursors stand at the end of one block (3): use it once more.
            self.write.index = 0;
            self.read.index = 0;
            return true;
        }
        // SAFETY: the block is in the buffer.
        let next = unsafe { (*self.write.block).next };
        if next.is_null() {
            return self.use_spare();
        }
        self.write = Cursor {
            block: next,
            index: 0,
        };
        true
    }

    /// Appends the spare block to the chain, if there is one.
    fn use_spare(&mut self) -> bool {
        let block = std::mem::replace(&mut self.spare, ptr::null_mut());
        if block.is_null() {
            return false;
        }
        // SAFETY: the spare block is ours.
        unsafe { (*block).next = ptr::null_mut() };
        let start = Cursor { block, index: 0 };
        if self.write.block.is_null() {
            self.read = start;
        } else {
            // SAFETY: the block is in the buffer.
            unsafe { (*self.write.block).next = block };
        }
        self.write = start;
        true
    }

    /// Gives a chain a block to grow by. If it has a spare one already, that comes back.
    #[must_use]
    pub(crate) fn give(&mut self, block: Block<T>) -> Option<Block<T>> {
        let old = std::mem::replace(&mut self.spare, block.into_header());
        // SAFETY: spare blocks come from `into_header`, and it has just been taken out.
        unsafe { Block::from_header(old) }
    }

    /// Appends the value at `value` by moving it.
    ///
    /// # Safety
    /// [`has_slot`](Self::has_slot) holds, in a ring there is room, and the value may be moved.
    #[inline]
    pub(crate) unsafe fn push(&mut self, value: *const T) {
        debug_assert!(self.has_slot());
        // SAFETY: the cursor stands at a slot, which holds no value (2) since there is room.
        unsafe {
            let slot = Block::slot(self.write.block, self.write.index);
            ptr::copy_nonoverlapping(value, slot, 1);
        }
        self.write.index += 1;
    }

    /// Whether the oldest value is in the read cursor's block: [`pop`](Self::pop) may be called.
    #[inline]
    pub(crate) fn has_value_here(&self) -> bool {
        self.read.index != self.span
    }

    /// Moves the read cursor on to the block of the oldest value, if it is not there yet. Returns
    /// the block it has left for good, if that is to be freed.
    ///
    /// # Safety
    /// There is a value.
    #[must_use]
    pub(crate) unsafe fn advance(&mut self) -> Option<Block<T>> {
        if self.has_value_here() {
            return None;
        }
        let old = self.read.block;
        // SAFETY: there is a value and none of it here, so the block has a successor.
        let next = unsafe { (*old).next };
        self.read = Cursor {
            block: next,
            index: 0,
        };
        if next == old {
            return None;
        }
        if self.spare.is_null() {
            self.spare = old;
            return None;
        }
        // SAFETY: it came from `into_header` and has left the chain.
        unsafe { Block::from_header(old) }
    }

    /// Moves the oldest value to `out`.
    ///
    /// # Safety
    /// There is a value, [`has_value_here`](Self::has_value_here) holds, and `out` may be written.
    #[inline]
    pub(crate) unsafe fn pop(&mut self, out: *mut T) {
        debug_assert!(self.has_value_here());
        // SAFETY: the slot holds a value (2), which is ours to move.
        unsafe {
            let slot = Block::<T>::slot(self.read.block, self.read.index);
            ptr::copy_nonoverlapping(slot, out, 1);
        }
        self.read.index += 1;
    }
}

impl<T> Drop for Buffer<T> {
    /// Frees the memory. Values left in it are leaked: see [`Leftovers`].
    fn drop(&mut self) {
        let mut block = self.read.block;
        // SAFETY: blocks come from `into_header`; the chain is walked once, a ring has one block.
        unsafe {
            drop(Block::<T>::from_header(self.spare));
            while !block.is_null() {
                let next = (*block).next;
                drop(Block::<T>::from_header(block));
                block = if next == block { ptr::null_mut() } else { next };
            }
        }
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// A buffer taken out of its channel, with the number of values in it: drops them.
#[derive(Debug)]
pub(crate) struct Leftovers<T> {
    buffer: Buffer<T>,
    len: usize,
}

impl<T> Leftovers<T> {
    /// # Safety
    /// The buffer holds `len` values.
    pub(crate) unsafe fn new(buffer: Buffer<T>, len: usize) -> Self {
        Leftovers { buffer, len }
    }

    fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        self.len -= 1;
        let mut out = MaybeUninit::uninit();
        // SAFETY: there is a value, and `advance` has gone to it.
        unsafe {
            drop(self.buffer.advance());
            self.buffer.pop(out.as_mut_ptr());
            Some(out.assume_init())
        }
    }
}

impl<T> Drop for Leftovers<T> {
    /// Drops the values. If a destructor panics, those after it are leaked, as in crossbeam-channel;
    /// the memory of the buffer is freed all the same.
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            while let Some(value) = self.pop() {
                drop(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A buffer with its count, against a `VecDeque`.
    struct Checked {
        buffer: Buffer<Box<u32>>,
        model: VecDeque<u32>,
        blocks: usize,
    }

    impl Checked {
        fn push(&mut self, n: u32) {
            let value = std::mem::ManuallyDrop::new(Box::new(n));
            while !self.buffer.make_slot(self.model.is_empty()) {
                assert!(self.buffer.give(Block::new()).is_none());
                self.blocks += 1;
            }
            // SAFETY: a slot was made; rings are pushed to by these tests only when not full.
            unsafe { self.buffer.push(&*value) };
            self.model.push_back(n);
        }

        fn pop(&mut self) {
            let Some(expected) = self.model.pop_front() else {
                return;
            };
            let mut out = MaybeUninit::uninit();
            // SAFETY: the model says that there is a value.
            let value = unsafe {
                if self.buffer.advance().is_some() {
                    self.blocks -= 1;
                }
                self.buffer.pop(out.as_mut_ptr());
                out.assume_init()
            };
            assert_eq!(*value, expected);
        }
    }

    impl Drop for Checked {
        fn drop(&mut self) {
            let buffer = std::mem::replace(&mut self.buffer, Buffer::ring(0));
            // SAFETY: the model counts.
            drop(unsafe { Leftovers::new(buffer, self.model.len()) });
        }
    }

    fn checked(buffer: Buffer<Box<u32>>) -> Checked {
        Checked {
            buffer,
            model: VecDeque::new(),
            blocks: 0,
        }
    }

    #[test]
    fn ring_and_chain_are_queues() {
        for cap in [Some(1), Some(3), Some(64), None] {
            let mut c = checked(cap.map_or_else(Buffer::chain, Buffer::ring));
            let mut state = 1u32;
            for n in 0..20_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Runs of pushes and of pops, so that the chain grows and drains.
                let pushing = (n / 300) % 2 == 0 || state >> 31 == 0;
                if pushing && cap.is_none_or(|cap| c.model.len() < cap) {
                    c.push(n);
                } else {
                    c.pop();
                }
            }
        }
    }

    #[test]
    fn a_drained_chain_keeps_two_blocks_at_most() {
        let mut c = checked(Buffer::chain());
        for n in 0..100_000 {
            c.push(n);
        }
        assert!(c.blocks > 1000);
        while !c.model.is_empty() {
            c.pop();
        }
        assert!(c.blocks <= 2);
        // And one value at a time needs no further block.
        for n in 0..1000 {
            c.push(n);
            c.pop();
        }
        assert!(c.blocks <= 2);
    }

    #[test]
    fn values_without_size_and_with_large_alignment() {
        #[repr(align(64))]
        struct Wide(u8);
        let mut b = Buffer::<Wide>::ring(2);
        let mut out = MaybeUninit::uninit();
        for n in 0..5 {
            assert!(b.make_slot(n == 0));
            // SAFETY: room for two, one is in it at a time.
            unsafe {
                b.push(&Wide(n));
                assert!(b.advance().is_none());
                b.pop(out.as_mut_ptr());
                let got: Wide = out.assume_init_read();
                assert_eq!(got.0, n);
            }
        }
        let mut b = Buffer::<()>::ring(usize::MAX);
        assert!(b.make_slot(true));
        // SAFETY: there is room for it.
        unsafe { b.push(&()) };
        let _ = Buffer::<()>::chain().give(Block::new());
    }

    #[test]
    #[should_panic(expected = "capacity overflow")]
    fn a_ring_that_cannot_be() {
        let _ = Buffer::<u64>::ring(usize::MAX);
    }
}
