//! Records: the memory of what a spawn makes, kept by each machine's thread for its next spawns.
//!
//! A spawn takes one piece of memory, and its goroutine, or whoever joins it, gives it back soon
//! after. The system's allocator keeps a few pieces of each size near; a batch of a thousand goes
//! through its slower parts, which was a fifth of a spawn. So the threads of machines keep some more.
//!
//! # Invariants
//!
//! 1. What is kept was made with the layout of its class, and is nobody's.
//! 2. Only threads of machines keep anything, and they let it go when they end ([`close`]).
//! 3. A list is reached within one call of [`allocate`] or [`free`], neither of which parks; and they
//!    are not inlined, so no caller that parks remembers where the thread's lists are (H1).

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Sizes of classes are multiples of this.
const UNIT: usize = 64;
/// The number of classes: from one unit on.
const CLASSES: usize = 4;
/// The alignment of all classes.
const ALIGN: usize = 16;
/// Pieces that a thread keeps of each class: of the most used, 128 KiB. Of the threads that are spare for
/// some seconds all but 32 end.
const KEPT: u32 = 1024;

/// The pieces of one class that a thread keeps: a list through their first words.
struct List {
    first: Cell<*mut Free>,
    /// How many more may be kept. 0 where nothing is kept.
    room: Cell<u32>,
}

/// A piece that is kept.
struct Free {
    next: *mut Free,
}

thread_local! {
    static LISTS: [List; CLASSES] = const {
        [const {
            List {
                first: Cell::new(ptr::null_mut()),
                room: Cell::new(0),
            }
        }; CLASSES]
    };
}

/// The class of a layout, if it has one.
const fn class(layout: Layout) -> Option<usize> {
    if layout.align() > ALIGN || layout.size() == 0 || layout.size() > CLASSES * UNIT {
        return None;
    }
    Some((layout.size() - 1) / UNIT)
}

const fn layout_of(class: usize) -> Layout {
    match Layout::from_size_align((class + 1) * UNIT, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a class has a layout"),
    }
}

/// Memory for a `T`.
#[inline]
pub(crate) fn allocate<T>() -> NonNull<T> {
    let piece = match const { class(Layout::new::<T>()) } {
        Some(class) => allocate_class(class),
        // SAFETY: it is not empty: only that, or a large one, has no class.
        None => unsafe { from_system(const { at_least_one(Layout::new::<T>()) }) },
    };
    piece.cast()
}

/// Frees what `allocate` gave.
///
/// # Safety
/// `piece` is from `allocate::<T>`, holds nothing that is to be dropped, and nobody uses it.
#[inline]
pub(crate) unsafe fn free<T>(piece: NonNull<T>) {
    match const { class(Layout::new::<T>()) } {
        // SAFETY: the caller's promise.
        Some(class) => unsafe { free_class(class, piece.cast()) },
        // SAFETY: the caller's promise: made with that layout.
        None => unsafe { dealloc(piece.as_ptr().cast(), at_least_one(Layout::new::<T>())) },
    }
}

/// The system gives no empty piece.
const fn at_least_one(layout: Layout) -> Layout {
    if layout.size() == 0 {
        return layout_of(0);
    }
    layout
}

/// # Safety
/// The layout has a size.
unsafe fn from_system(layout: Layout) -> NonNull<u8> {
    // SAFETY: the caller's promise.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

#[inline(never)]
fn allocate_class(class: usize) -> NonNull<u8> {
    let kept = LISTS.with(|lists| {
        let list = &lists[class];
        let first = NonNull::new(list.first.get())?;
        // SAFETY: what is kept is this list's (invariant 1), and as large as its link.
        list.first.set(unsafe { first.as_ref() }.next);
        list.room.set(list.room.get() + 1);
        Some(first.cast())
    });
    // SAFETY: a class has a size.
    kept.unwrap_or_else(|| unsafe { from_system(layout_of(class)) })
}

/// # Safety
/// The piece is of that class, and nobody's.
#[inline(never)]
unsafe fn free_class(class: usize, piece: NonNull<u8>) {
    let is_kept = LISTS.with(|lists| {
        let list = &lists[class];
        let room = list.room.get();
        if room == 0 {
            return false;
        }
        list.room.set(room - 1);
        let piece = piece.cast::<Free>();
        let next = list.first.replace(piece.as_ptr());
        // SAFETY: as large as a link and aligned for it, and nobody's.
        unsafe { piece.write(Free { next }) };
        true
    });
    if !is_kept {
        // SAFETY: the caller's promise: made with the layout of its class.
        unsafe { dealloc(piece.as_ptr(), layout_of(class)) };
    }
}

/// From now on the thread keeps what is freed there. To be called once, by the thread of a machine.
pub(crate) fn open() {
    LISTS.with(|lists| lists.iter().for_each(|list| list.room.set(KEPT)));
}

/// Lets go of what the thread has kept; it keeps nothing from now on.
pub(crate) fn close() {
    LISTS.with(|lists| {
        for (class, list) in lists.iter().enumerate() {
            list.room.set(0);
            let mut first = list.first.replace(ptr::null_mut());
            while let Some(piece) = NonNull::new(first) {
                // SAFETY: as in `allocate_class`.
                first = unsafe { piece.as_ref() }.next;
                // SAFETY: made with the layout of its class (invariant 1).
                unsafe { dealloc(piece.as_ptr().cast(), layout_of(class)) };
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(class: usize) -> u32 {
        LISTS.with(|lists| match lists[class].room.get() {
            0 if lists[class].first.get().is_null() => 0,
            room => KEPT - room,
        })
    }

    #[test]
    fn a_plain_thread_keeps_nothing() {
        let piece = allocate::<[u64; 3]>();
        // SAFETY: it has just been made.
        unsafe { free(piece) };
        assert_eq!(kept(0), 0);
    }

    #[test]
    fn a_machine_keeps_some_of_each_class() {
        open();
        let pieces: Vec<_> = (0..KEPT + 10).map(|_| allocate::<[u64; 16]>()).collect();
        let other = allocate::<[u64; 17]>();
        for piece in pieces {
            // SAFETY: made above, and used here only.
            unsafe {
                piece.write([7; 16]);
                free(piece);
            }
        }
        assert_eq!((kept(1), kept(2)), (KEPT, 0));
        // SAFETY: as above.
        unsafe { free(other) };
        assert_eq!((kept(1), kept(2)), (KEPT, 1));
        let again = allocate::<[u64; 16]>();
        assert_eq!(kept(1), KEPT - 1);
        // SAFETY: as above.
        unsafe { free(again) };
        close();
        assert_eq!((kept(1), kept(2)), (0, 0));
    }

    #[test]
    fn what_has_no_class_comes_from_the_system() {
        #[repr(align(128))]
        struct Aligned([u8; 128]);

        open();
        let (large, aligned, empty) = (
            allocate::<[u64; 1000]>(),
            allocate::<Aligned>(),
            allocate::<()>(),
        );
        assert!(aligned.cast::<Aligned>().is_aligned());
        // SAFETY: made above, and large enough.
        unsafe {
            large.write([1; 1000]);
            aligned.write(Aligned([2; 128]));
            assert_eq!(aligned.as_ref().0[127], 2);
            free(large);
            free(aligned);
            free(empty);
        }
        assert!((0..CLASSES).all(|class| kept(class) == 0));
        close();
    }
}
