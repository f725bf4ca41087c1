//! What a select has in hand between choosing a case and completing it.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

use crate::chan::Pledge;
use crate::receiver::Receiver;

/// What has become of the chosen case, and room for a received value whose type the select does not
/// know.
///
/// Exactly one case of a select is chosen, so one room serves them all. Small values stay in it;
/// for larger ones it allocates, once per select.
///
/// It must not move while a waiter's slot points to it. In the expansion of the macro it does not move
/// at all; a [`SelectedOperation`](crate::SelectedOperation) takes it along.
///
/// It borrows the handles, so that the address of one is a name for it as long as there is a landing. That
/// says nothing of its end: it has no `Drop` itself, and the body of a `select!` may drop a channel.
pub struct Landing<'a> {
    pub(crate) choice: Choice,
    /// The handle whose operation was chosen last, if any was.
    of: *const (),
    /// For as long as these are borrowed, no longer and no shorter.
    handles: PhantomData<Cell<&'a ()>>,
    heap: Heap,
    inline: Inline,
}

/// Room that was allocated.
struct Heap(Option<(NonNull<u8>, Layout)>);

const INLINE: usize = 64;

#[repr(align(16))]
struct Inline(
    // Only reached by address.
    #[allow(dead_code)] [MaybeUninit<u8>; INLINE],
);

/// Whether values of `T` need no other room than that in the landing itself.
pub(crate) const fn fits_inline<T>() -> bool {
    fits(Layout::new::<T>(), Layout::new::<Inline>())
}

const fn fits(value: Layout, room: Layout) -> bool {
    value.size() <= room.size() && value.align() <= room.align()
}

impl<'a> Landing<'a> {
    /// Room for a small value.
    #[inline]
    #[allow(clippy::new_without_default)] // for the macro only
    pub fn new() -> Self {
        Landing {
            choice: Choice::None,
            of: ptr::null(),
            handles: PhantomData,
            heap: Heap(None),
            inline: Inline([MaybeUninit::uninit(); INLINE]),
        }
    }

    /// Makes room for a value of that layout. What was in it is forgotten.
    #[inline]
    pub(crate) fn reserve(&mut self, layout: Layout) {
        let room = match self.heap.0 {
            Some((_, room)) => room,
            None => Layout::new::<Inline>(),
        };
        if !fits(layout, room) {
            self.grow(layout);
        }
    }

    #[cold]
    fn grow(&mut self, layout: Layout) {
        let layout = match self.heap.0 {
            Some((_, room)) => union(room, layout),
            None => layout,
        };
        self.heap.free();
        // Never of size zero, which an alignment alone may have brought here.
        let layout = union(layout, Layout::new::<u8>());
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc::alloc(layout) };
        let Some(memory) = NonNull::new(memory) else {
            alloc::handle_alloc_error(layout)
        };
        self.heap.0 = Some((memory, layout));
    }

    /// Where the value goes, or is.
    #[inline]
    pub(crate) fn place(&mut self) -> *mut u8 {
        match self.heap.0 {
            Some((memory, _)) => memory.as_ptr(),
            None => ptr::from_mut(&mut self.inline).cast(),
        }
    }

    /// Notes the choice of an operation of that handle.
    #[inline]
    pub(crate) fn choose<H>(&mut self, handle: &'a H, choice: Choice) {
        debug_assert!(matches!(self.choice, Choice::None), "one case is chosen");
        self.of = ptr::from_ref(handle).cast();
        self.choice = choice;
    }

    /// Whether the choice is that of an operation of this very handle.
    #[inline]
    pub(crate) fn is_for<H>(&self, handle: &'a H) -> bool {
        self.of == ptr::from_ref(handle).cast()
    }

    /// Notes that a `T` has been received into it.
    #[inline]
    pub(crate) fn received<T>(&mut self, receiver: &'a Receiver<T>) {
        /// # Safety
        /// `value` points to a `T` that is not used again.
        unsafe fn drop_value<T>(value: *mut u8) {
            // SAFETY: the caller's promise.
            unsafe { value.cast::<T>().drop_in_place() };
        }
        self.choose(receiver, Choice::Received(drop_value::<T>));
    }
}

/// A layout that holds values of either.
fn union(a: Layout, b: Layout) -> Layout {
    let align = a.align().max(b.align());
    let size = a.size().max(b.size());
    // A size that fits with the larger alignment of one may exceed the limit with that of the
    // other only within an alignment of the end of the address space.
    Layout::from_size_align(size, align).expect("capacity overflow")
}

impl fmt::Debug for Landing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Landing { .. }")
    }
}

impl Heap {
    fn free(&mut self) {
        if let Some((memory, layout)) = self.0.take() {
            // SAFETY: allocated in `grow` with that layout.
            unsafe { alloc::dealloc(memory.as_ptr(), layout) };
        }
    }
}

impl Drop for Heap {
    #[inline]
    fn drop(&mut self) {
        self.free();
    }
}

/// What the chosen case has come to.
#[must_use]
pub(crate) enum Choice {
    /// Nothing is chosen, or all is done.
    None,
    /// A value has been received; it is in the landing. With the way to drop it.
    Received(unsafe fn(*mut u8)),
    /// A receive on an empty and closed channel.
    Closed,
    /// A send; its value is still to be made.
    Pledged(Pledge),
}

impl Choice {
    #[inline]
    pub(crate) fn take(&mut self) -> Choice {
        mem::replace(self, Choice::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_landing_grows_and_keeps_alignment() {
        #[repr(align(64))]
        struct Wide;
        let mut landing = Landing::new();
        landing.reserve(Layout::new::<[u8; 64]>());
        assert!(landing.heap.0.is_none());
        landing.reserve(Layout::new::<[u8; 65]>());
        assert!(landing.heap.0.is_some());
        landing.reserve(Layout::new::<Wide>());
        assert_eq!(landing.place().addr() % 64, 0);
        landing.reserve(Layout::new::<[u64; 100]>());
        assert_eq!(landing.place().addr() % 64, 0);
        landing.reserve(Layout::new::<u8>());
        assert_eq!(landing.place().addr() % 64, 0);
    }

    #[test]
    fn alignment_without_size() {
        #[repr(align(64))]
        struct Wide;
        let mut landing = Landing::new();
        landing.reserve(Layout::new::<Wide>());
        assert_eq!(landing.place().addr() % 64, 0);
    }
}
