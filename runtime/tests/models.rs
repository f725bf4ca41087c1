//! Models of the locks, explored by loom: no two owners, no lost wake-up, no lost notification, the
//! hand-over to the starved, the races with timeouts and cancellations.
//!
//! The protocol files of `src/sync` are included as they are; their `super::atomics` and
//! `super::task` are the modules below, made of loom's types. The wait word is the scheduler's own
//! file. A wait with a deadline may time out at any moment from its publication on, and so may a wait
//! be cancelled that a model marks. Whether a task spins, and whether it has waited long, is set by
//! the model.
//!
//! **The models can fail.** These faults were planted, one at a time, and each seen to fail here:
//!
//! - *line*: its lock taken, or released, without its ordering
//! - *mutex*: locked, locked after a wait, unlocked or handed over without its ordering; handed over
//!   without `LOCKED`; handed over although locked; `WOKEN` kept by one who locks, or who joins the
//!   line; joining the line without a look at `LOCKED`; `QUEUED` cleared while somebody is in line; a
//!   cancelled waiter that stays in line; waiters taken in without `QUEUED`, or without waking one if
//!   the mutex is free
//! - *reader-writer lock*: each ordering relaxed; a barred reader that does not look at the phase, or
//!   a writer that does not look at `leaving`, under the line's lock; readers let in before the phase
//!   changes, or not at all; the next writer let in before; a downgrade that does not count as a
//!   reader; a cancelled reader that stays in line; a `try_write` that ignores readers; a writer that
//!   is let in by the last reader of an earlier one
//! - *condition variable*: joining the line after the mutex is let go; marking it after that; a
//!   waiter that times out and stays in line; a line marked empty that is not
//! - *once*: completion seen, or waited for, or announced without its ordering; those in line not
//!   readied, readied before the end is announced, or forgotten when another run begins; joining the
//!   line without a look at the phase
//! - *barrier*: a round that does not end, or whose count goes on; one that goes when its wait is
//!   cancelled; not all let go
//!
//! Models of two threads are explored with two or three preemptions, those of three with one or two.
//! Where a race takes more, the model brings it about by stages.

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

#[path = "models/once_models.rs"]
mod once_models;
#[path = "models/sync_models.rs"]
mod sync_models;
