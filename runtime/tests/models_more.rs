//! Models of the semaphore and the wait group, explored by loom: who is served, what is seen, and the
//! races with a timeout.
//!
//! The files are included as they are; their `crate::atoms` is the module below, made of loom's
//! types. The waits are those of the channel's models, decided by the scheduler's own wait word. A
//! wait with a deadline may time out at any moment from its publication on.
//!
//! **The models can fail.** These faults were planted, one at a time, and each seen to fail here.
//!
//! | where | the fault |
//! |---|---|
//! | `line.rs` | the lock taken, or released, without its ordering; a failed claim taken for a success; a node left in line after a timeout |
//! | `semaphore.rs` | `QUEUED` set by load and store; permits taken by load and store; `give` or `try_take` relaxed; permits given in line that serve nobody; a leaver that serves nobody; `QUEUED` left set; permits not taken for who is served |
//! | `wait_group.rs` | the last `done` outside the lock; `WAITED` set by load and store; `done`, the last `done`, `is_zero` or `join` relaxed; the round not compared |

#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../src/sync/line.rs"]
mod line;
#[path = "../src/sync/semaphore.rs"]
mod semaphore;
#[path = "../../channel/tests/models/task.rs"]
mod task;
#[path = "../src/sync/wait_group.rs"]
mod wait_group;
#[path = "../../scheduler/src/wait_word.rs"]
mod wait_word;

pub use marmot_scheduler::go;

/// What `crate::sync` means in `wait_word.rs`.
mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

/// What `crate::atoms` means in the included files.
mod atoms {
    pub use crate::task::{Outcome, Parked, Publish, Reason, Ticket, Wait, Why};
    pub use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    pub const BATCH: usize = 1;

    pub fn pause(_step: u32) {
        loom::thread::yield_now();
    }
}

#[path = "models_more/sync_models.rs"]
mod sync_models;
