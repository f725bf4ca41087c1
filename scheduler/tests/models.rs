//! Models of the scheduler's protocols, explored by loom: every interleaving, and every value that
//! a weak memory model allows a load to return.
//!
//! The protocol files are included as they are; their `crate::sync` is the module below, which
//! means loom's types. So plain `cargo test` explores what ships, and no dependency has to be built
//! with a `cfg`.
//!
//! **The models can fail.** `every_fence_is_needed` takes the fences out one at a time, at run
//! time, and demands that some model then fails. The other planted faults are listed in
//! `docs/HACKING.md`.

#![allow(dead_code, missing_docs, unreachable_pub)]
// Accesses to cells are what loom checks.
#![allow(clippy::undocumented_unsafe_blocks)]

#[path = "../src/completion.rs"]
mod completion;
#[path = "../src/flags.rs"]
mod flags;
#[path = "../src/handshake.rs"]
mod handshake;
#[path = "../src/home.rs"]
mod home;
#[path = "../src/idle.rs"]
mod idle;
#[path = "../src/life.rs"]
mod life;
#[path = "../src/nursery.rs"]
mod nursery;
#[path = "../src/park_token.rs"]
mod park_token;
#[path = "../src/resize.rs"]
mod resize;
#[path = "../src/ring.rs"]
mod ring;
#[path = "../src/run_next.rs"]
mod run_next;
#[path = "../src/run_queue.rs"]
mod run_queue;
#[path = "../src/timer_heap.rs"]
mod timer_heap;
#[path = "../src/timers.rs"]
mod timers;
#[path = "../src/wait_word.rs"]
mod wait_word;

/// What `crate::sync` means in the included files: loom, with fences that can be taken out.
mod sync {
    pub fn null_pointers<T, const N: usize>() -> Box<[AtomicPtr<T>; N]> {
        Box::new(std::array::from_fn(
            |_| AtomicPtr::new(std::ptr::null_mut()),
        ))
    }

    pub use crate::deque::{Injector, Steal, Worker};
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
    pub use loom::sync::{Arc, Mutex, MutexGuard};

    use std::cell::Cell;
    use std::panic::Location;

    thread_local! {
        /// The file and the line of the fence that is taken out. Loom runs a model on one OS thread.
        pub static WITHOUT: Cell<Option<(&'static str, u32)>> = const { Cell::new(None) };
        /// Whether that fence was come by.
        pub static MISSED: Cell<bool> = const { Cell::new(false) };
    }

    #[track_caller]
    pub fn fence(ordering: Ordering) {
        let here = Location::caller();
        match WITHOUT.get() {
            Some((file, line)) if here.line() == line && here.file().ends_with(file) => {
                MISSED.set(true);
            }
            _ => loom::sync::atomic::fence(ordering),
        }
    }
}

/// What `crate::barrier` means: full fences on both sides, which is what the kernel promises of the
/// asymmetric pair. Either can be taken out.
mod barrier {
    use std::cell::Cell;

    use loom::sync::atomic::{Ordering, fence};

    thread_local! {
        /// The barrier that is taken out.
        pub static WITHOUT: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    fn unless_without(name: &str) {
        if WITHOUT.get() != Some(name) {
            fence(Ordering::SeqCst);
        }
    }

    pub fn light() {
        unless_without("light");
    }

    pub fn heavy() {
        unless_without("heavy");
    }

    pub fn wait_a_little(_: u32) {
        loom::thread::yield_now();
    }
}

/// What `crate::event` and `crate::wait` mean in `timers.rs`: waiters that are nothing but a word.
mod event {
    pub use crate::waiter::ReadyList;
}
mod wait {
    pub use crate::wait_word::Outcome;
    pub use crate::waiter::Ticket;
}

#[path = "models/deque.rs"]
mod deque;
#[path = "models/waiter.rs"]
mod waiter;

/// What `crate::sched` and `crate::processor` mean in `resize.rs`.
#[path = "models/stand_in.rs"]
mod stand_in;
mod processor {
    pub use crate::stand_in::P;
}
mod sched {
    pub use crate::stand_in::Sched;
}

#[path = "models/fences.rs"]
mod fences;
#[path = "models/handshake_models.rs"]
mod handshake_models;
#[path = "models/home_models.rs"]
mod home_models;
#[path = "models/idle_models.rs"]
mod idle_models;
#[path = "models/life_models.rs"]
mod life_models;
#[path = "models/nursery_models.rs"]
mod nursery_models;
#[path = "models/resize_models.rs"]
mod resize_models;
#[path = "models/run_queue_models.rs"]
mod run_queue_models;
#[path = "models/timer_models.rs"]
mod timer_models;
#[path = "models/wait_models.rs"]
mod wait_models;
