//! Nothing is allocated to lock, to wait or to wake, however contended.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use marmot::Runtime;
use marmot::sync::{Barrier, Condvar, Mutex, Once, RwLock};

struct Counting;

static COUNTED: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Those of them that were made on a goroutine's stack.
static BY_GOROUTINES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTED.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            if marmot_scheduler::wait::on_goroutine() {
                BY_GOROUTINES.fetch_add(1, Ordering::Relaxed);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Objects {
    mutex: Mutex<u64>,
    lock: RwLock<u64>,
    changed: Condvar,
}

/// Uses them so that others have to wait.
fn use_all(objects: &Objects, barrier: &Barrier, rounds: u64) {
    for n in 0..rounds {
        let mut count = objects.mutex.lock().unwrap();
        marmot::yield_now(); // with the lock held, so that others wait for it
        *count += 1;
        objects.changed.notify_one();
        if n % 8 == 0 {
            let limit = Duration::from_micros(50);
            count = objects.changed.wait_timeout(count, limit).unwrap().0;
        }
        drop(count);
        if n % 4 == 0 {
            let mut count = objects.lock.write().unwrap();
            marmot::yield_now();
            *count += 1;
        } else {
            let count = objects.lock.read().unwrap();
            let before = *count;
            marmot::yield_now();
            assert_eq!(*count, before);
        }
        barrier.wait();
    }
    Once::new().call_once(|| ());
}

#[test]
fn nothing_is_allocated() {
    const TASKS: usize = 8;
    for max_procs in [1, 2, 4] {
        // SAFETY: the goroutines use no thread-local.
        let rt = unsafe { Runtime::builder().max_procs(max_procs).build_migrating() }.unwrap();
        let (objects, barrier) = (Objects::default(), Barrier::new(TASKS + 1));
        let counted = rt.run(|| {
            marmot::scope(|s| {
                for _ in 0..TASKS {
                    s.go(|| {
                        // Before it is counted: timers, queues and the threads' waiters are made.
                        use_all(&objects, &barrier, 50);
                        barrier.wait();
                        use_all(&objects, &barrier, 200);
                        barrier.wait();
                        barrier.wait();
                    });
                }
                for _ in 0..50 {
                    barrier.wait();
                }
                ALLOCATIONS.store(0, Ordering::Relaxed);
                COUNTED.store(true, Ordering::Relaxed);
                barrier.wait();
                for _ in 0..200 {
                    barrier.wait();
                }
                barrier.wait();
                COUNTED.store(false, Ordering::Relaxed);
                let counted = ALLOCATIONS.load(Ordering::Relaxed);
                barrier.wait();
                counted
            })
        });
        // Now and then a run queue grows, or a machine is started, which is a handful at a time. Of
        // locks, waits and wake-ups there were thousands: had one kind of them allocated, it would
        // show. (Seen with a box in the mutex' slow path: 1725.)
        let by_goroutines = BY_GOROUTINES.swap(0, Ordering::Relaxed);
        assert!(by_goroutines < 200, "{by_goroutines} allocations");
        assert!(counted < 500, "{counted} allocations");
        assert_eq!(*objects.mutex.lock().unwrap(), 8 * 250);
    }
}
