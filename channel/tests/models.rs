//! Models of the channel, explored by loom: the wait queue, the hand-off, the close, the races with
//! a timeout, and the commit of a select.
//!
//! All files of the channel but the macro are included as they are; their `crate::sync` and
//! `crate::task` are the modules below, made of loom's types. The wait word is the scheduler's own
//! file. A wait with a deadline may time out at any moment from its publication on.
//!
//! **The models can fail.** These faults were planted, one at a time, and each seen to fail here:
//! a claim that always succeeds (`Ticket::claim`); a waiter readied before its value is moved (in
//! `attempt_send`, in `attempt_recv`); a waiter that times out and stays in the queue
//! (`leave`); a lock let go of between queueing and the park (`queue`); a select that leaves its
//! losing nodes in line (`run::wait`); a close that takes waiters out and does not wake them
//! (`expel`); a lock released, by either way, or taken, without its ordering; one that is held taken from its
//! tenant (`Lock::win`); one who has waited for a turn and does not take the lock (`lock_slow`); and in `alarm.rs`: a reset or an end
//! that wakes nobody; a stop, or a reset, that stores without the lock; a deadline read before the
//! lock is taken; a delivery without a second look under the lock; an end not looked for under the
//! lock; a select that does not stand in line for it.
//!
//! Models of two threads are explored with two preemptions, those of three with one: with two these
//! take minutes.

#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../src/alarm.rs"]
mod alarm;
#[path = "../src/buffer.rs"]
mod buffer;
#[path = "../src/chan/mod.rs"]
mod chan;
#[path = "../src/err.rs"]
mod err;
#[path = "../src/flavors.rs"]
mod flavors;
#[path = "../src/handles.rs"]
mod handles;
#[path = "../src/iter.rs"]
mod iter;
#[path = "../src/lock.rs"]
mod lock;
#[path = "../src/receiver.rs"]
mod receiver;
#[path = "../src/select/mod.rs"]
mod select;
#[path = "../src/sender.rs"]
mod sender;
#[path = "../src/turns.rs"]
mod turns;
#[path = "../src/wait_queue.rs"]
mod wait_queue;
#[path = "../../scheduler/src/wait_word.rs"]
mod wait_word;

pub use receiver::{Receiver, after, at, never, tick};
pub use select::{Select, SelectedOperation};
pub use sender::{Sender, bounded, unbounded};

/// What `crate::sync` means in the included files.
mod sync {
    pub use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

    use std::cell::RefCell;

    thread_local! {
        /// The locks met in this execution, in order. Loom runs a model on one OS thread.
        static LOCKS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    /// Locks rank in the order in which they are first met: the same in each execution.
    pub fn rank<T>(lock: &T) -> usize {
        let address = std::ptr::from_ref(lock).addr();
        LOCKS.with_borrow_mut(|locks| {
            let known = locks.iter().position(|&lock| lock == address);
            known.unwrap_or_else(|| {
                locks.push(address);
                locks.len() - 1
            }) + 1
        })
    }

    pub fn forget_ranks() {
        LOCKS.with_borrow_mut(Vec::clear);
    }

    pub fn pause(_step: u32) {
        loom::thread::yield_now();
    }

    /// What `tag.rs` makes of a thread.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Tag(u32);

    impl Tag {
        pub const SPARE_BIT: u32 = 1;

        pub fn current() -> Tag {
            // "ThreadId(n)".
            let id = format!("{:?}", loom::thread::current().id());
            let digits = id.chars().filter(char::is_ascii_digit).collect::<String>();
            Tag(digits.parse().expect("threads are numbered"))
        }

        pub fn bits(self) -> u32 {
            (self.0 + 1) << 1
        }
    }

    /// Time stands still, but where somebody waits for it.
    pub fn now() -> u64 {
        0
    }

    pub fn spin_until(until: u64) -> u64 {
        loom::thread::yield_now();
        until
    }
}

#[path = "models/task.rs"]
mod task;

#[path = "models/alarm_models.rs"]
mod alarm_models;
#[path = "models/channel_models.rs"]
mod channel_models;
