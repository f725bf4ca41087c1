//! The run queue: an owner and two thieves, for longer than loom can follow.

use std::ptr::NonNull;

use shuttle::thread;

use crate::run_queue::{Far, Item, RunQueue};
use crate::sync::{Arc, AtomicU32, Injector, Ordering::SeqCst};

const GOROUTINES: usize = 8;
const NEWBORN: usize = 1;

/// The right to run one of the goroutines of a model: its place in a table, tagged if it has not begun.
struct Runnable(NonNull<AtomicU32>);

// SAFETY: the tables outlive the threads, and hold atomics.
unsafe impl Send for Runnable {}

impl Item for Runnable {
    type Target = AtomicU32;

    fn into_pointer(self) -> NonNull<AtomicU32> {
        self.0
    }

    unsafe fn from_pointer(pointer: NonNull<AtomicU32>) -> Self {
        Runnable(pointer)
    }

    fn is_newborn(&self) -> bool {
        self.0.addr().get() & NEWBORN != 0
    }

    // None of them goes to the global queue.
    fn mark_spent(&self) {}

    fn take_mark(&self) -> bool {
        false
    }
}

impl Runnable {
    fn run(self) {
        let place = self.0.as_ptr().map_addr(|a| a & !NEWBORN);
        // SAFETY: the table outlives the threads.
        unsafe { &*place }.fetch_add(1, SeqCst);
    }
}

fn steal(far: &Far<Runnable>) {
    let own = RunQueue::new(Arc::new(Injector::new()));
    for _ in 0..3 {
        if let Some(first) = far.steal_half(&own) {
            first.run();
            while let Some(next) = own.pop() {
                next.run();
            }
        }
        if let Some(next) = far.steal_stuck_next(2) {
            next.run();
        }
    }
}

/// The owner readies, yields, exposes and runs, by turns, while two thieves search.
fn owner_against_thieves() {
    let table: Arc<[AtomicU32; GOROUTINES]> = Arc::default();
    let queue = RunQueue::new(Arc::new(Injector::new()));
    let thieves = [(), ()].map(|()| {
        let far = queue.far().clone();
        thread::spawn(move || steal(&far))
    });
    for (n, goroutine) in table.iter().enumerate() {
        queue.next_tick();
        let mut runnable = Runnable(NonNull::from(goroutine));
        if n % 4 != 3 {
            runnable.0 = runnable.0.map_addr(|a| a | NEWBORN);
        }
        if n % 3 == 2 {
            queue.push(runnable);
        } else {
            let _ = queue.put_next(runnable);
        }
        match n {
            3 => queue.expose_next(),
            5 => queue.end_slice(),
            _ => {}
        }
        if n % 2 == 1
            && let Some(next) = queue.pop()
        {
            next.run();
        }
    }
    while let Some(next) = queue.pop() {
        next.run();
    }
    for thief in thieves {
        thief.join().unwrap();
    }
    assert!(queue.has_nothing());
    for runs in table.iter() {
        assert_eq!(runs.load(SeqCst), 1, "each runs once");
    }
}

#[test]
fn each_goroutine_runs_once() {
    crate::explore(3000, owner_against_thieves);
}
