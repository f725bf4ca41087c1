//! Unbounded channels: sends never wait, order holds over many blocks, memory comes back.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::everywhere;
use marmot_channel::{RecvError, unbounded};

/// Counts the bytes in large allocations, of which this test makes all.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
const LARGE: usize = 4096;

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test, for the count is of the whole process.
#[test]
fn order_and_memory() {
    // Four values to a block, which makes each block large.
    type Big = [u64; 256];
    let (tx, rx) = unbounded::<Big>();
    let before = BYTES.load(Ordering::Relaxed);
    for n in 0..10_000 {
        tx.send([n; 256]).unwrap();
    }
    assert_eq!(rx.len(), 10_000);
    assert!(BYTES.load(Ordering::Relaxed) > before + 10_000 * size_of::<Big>());
    for n in 0..10_000 {
        assert_eq!(rx.recv(), Ok([n; 256]));
    }
    let kept = BYTES.load(Ordering::Relaxed) - before;
    assert!(kept < 3 * 5 * size_of::<Big>(), "{kept} bytes are kept");
    drop((tx, rx));
    assert_eq!(BYTES.load(Ordering::Relaxed), before);

    everywhere(|tasks| {
        let (tx, rx) = unbounded();
        let senders: Vec<_> = (0..3_u64)
            .map(|who| {
                let tx = tx.clone();
                tasks.spawn(move || (0..3000).for_each(|n| tx.send((who, n)).unwrap()))
            })
            .collect();
        drop(tx);
        let mut next = [0; 3];
        for (who, n) in &rx {
            assert_eq!(next[who as usize], n, "each sender's values are in order");
            next[who as usize] += 1;
        }
        assert_eq!(next, [3000; 3]);
        assert_eq!(rx.recv(), Err(RecvError));
        senders.into_iter().for_each(common::Task::join);
    });
}
