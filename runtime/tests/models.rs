//! Models of the locks, explored by loom: no two owners, no lost wake-up, no lost notification, the
//! hand-over to the starved, the races with timeouts and cancellations.
//!
//! The protocol files of `src/sync` are included as they are; their `super::atomics` and
//! `super::task` are the modules below, made of loom's types. The wait word is the scheduler's own
//! file. A wait with a deadline may time out at any moment from its publication on, and so may a wait
//! be cancelled that a model marks. Whether a task spins, and whether it has waited long, is set by
//! the model.
//!
//! Models of two threads are explored with two or three preemptions, those of three with one or two.

#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../src/sync/raw_barrier.rs"]
mod raw_barrier;
#[path = "../src/sync/raw_condvar.rs"]
mod raw_condvar;
#[path = "../src/sync/raw_mutex.rs"]
mod raw_mutex;
#[path = "../src/sync/raw_once.rs"]
mod raw_once;
#[path = "../src/sync/raw_rwlock.rs"]
mod raw_rwlock;
#[path = "../src/sync/wait_list.rs"]
mod wait_list;
#[path = "../../scheduler/src/wait_word.rs"]
mod wait_word;

/// What `super::atomics` means in the included files.
mod atomics {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    /// Loom's types have no `const` constructors.
    macro_rules! const_fn {
        ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
            $(#[$attribute])* $visibility fn $($rest)*
        };
    }
    pub(crate) use const_fn;

    pub fn pause(_step: u32) {
        loom::thread::yield_now();
    }
}

/// What `crate::sync` means in the wait word's file.
mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "models/task.rs"]
mod task;

#[path = "models/sync_models.rs"]
mod sync_models;
