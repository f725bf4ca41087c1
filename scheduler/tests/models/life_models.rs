//! Models of a goroutine's life as its handles see it: the end, the waiter, and the holds.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::life::Life;

/// The memory that goroutine, handle and names share. Loom checks who touches what when.
struct Memory {
    life: Life<u32>,
    /// Written by the goroutine; taken once, by whose it is.
    result: UnsafeCell<u32>,
    /// Read by whoever has a hold, written by who frees.
    rest: UnsafeCell<u32>,
}

impl Memory {
    fn new() -> Arc<Memory> {
        Arc::new(Memory {
            life: Life::new(),
            result: UnsafeCell::new(0),
            rest: UnsafeCell::new(0),
        })
    }

    fn look(&self) {
        // SAFETY: with a hold, which loom checks.
        self.rest
            .with(|rest| assert_eq!(unsafe { *rest }, 0, "freed"));
    }

    fn take(&self) {
        // SAFETY: by whose it is, which loom checks.
        self.result.with_mut(|result| {
            assert_eq!(unsafe { *result }, 7, "not there, or taken twice");
            unsafe { *result = 8 };
        });
    }

    fn free(&self) {
        // SAFETY: by the last one, which loom checks.
        self.rest.with_mut(|rest| {
            assert_eq!(unsafe { *rest }, 0, "freed twice");
            unsafe { *rest = 1 };
        });
    }

    /// The goroutine: whom it told.
    fn end(&self) -> Option<u32> {
        self.look();
        // SAFETY: nobody else touches it yet, which loom checks.
        self.result.with_mut(|result| unsafe { *result = 7 });
        let ended = self.life.finish(|| self.take());
        if ended.last {
            self.free();
        }
        ended.waiter
    }

    fn drop_handle(&self) {
        self.look();
        if self.life.drop_handle(|| self.take()) {
            self.free();
        }
    }

    fn check(&self) {
        // SAFETY: all threads have ended.
        self.result
            .with(|result| assert_eq!(unsafe { *result }, 8, "never taken"));
        // SAFETY: as above.
        self.rest
            .with(|rest| assert_eq!(unsafe { *rest }, 1, "never freed"));
    }
}

/// The handle is dropped while the goroutine ends: one of them drops the result, one frees.
#[test]
fn a_detached_goroutine_leaves_nothing() {
    loom::model(|| {
        let memory = Memory::new();
        let goroutine = thread::spawn({
            let memory = memory.clone();
            move || memory.end()
        });
        memory.drop_handle();
        assert_eq!(goroutine.join().unwrap(), None);
        memory.check();
    });
}

/// The handle waits, is told or finds it done, and takes the result.
#[test]
fn an_end_is_never_missed() {
    loom::model(|| {
        let memory = Memory::new();
        let goroutine = thread::spawn({
            let memory = memory.clone();
            move || memory.end()
        });
        // SAFETY: the one waiter.
        let registered = unsafe { memory.life.subscribe(9) };
        if registered {
            // As if parked until it is told.
            assert_eq!(goroutine.join().unwrap(), Some(9), "never told");
            memory.drop_handle();
        } else {
            assert!(memory.life.is_done());
            memory.drop_handle();
            assert_eq!(goroutine.join().unwrap(), None, "told without need");
        }
        memory.check();
    });
}

/// The waiter gives up while the goroutine ends, registers again, or drops the handle.
#[test]
fn a_wait_is_taken_back_or_told() {
    for again in [false, true] {
        loom::model(move || {
            let memory = Memory::new();
            // SAFETY: the one waiter.
            assert!(unsafe { memory.life.subscribe(9) });
            let goroutine = thread::spawn({
                let memory = memory.clone();
                move || memory.end()
            });
            let withdrawn = memory.life.unsubscribe();
            // SAFETY: the one waiter, which is not registered.
            let told = if withdrawn && again && unsafe { memory.life.subscribe(10) } {
                Some(10)
            } else if withdrawn {
                None
            } else {
                Some(9)
            };
            if told == Some(10) {
                assert_eq!(goroutine.join().unwrap(), told);
                memory.drop_handle();
            } else {
                memory.drop_handle();
                assert_eq!(goroutine.join().unwrap(), told);
            }
            memory.check();
        });
    }
}

/// Names come and go beside the end and the handle: the memory stays as long as any of them.
#[test]
fn a_name_keeps_the_memory() {
    loom::model(|| {
        let memory = Memory::new();
        memory.life.hold();
        let name = thread::spawn({
            let memory = memory.clone();
            move || {
                memory.look();
                if memory.life.drop_hold() {
                    memory.free();
                }
            }
        });
        let goroutine = thread::spawn({
            let memory = memory.clone();
            move || memory.end()
        });
        memory.drop_handle();
        name.join().unwrap();
        goroutine.join().unwrap();
        memory.check();
    });
}
