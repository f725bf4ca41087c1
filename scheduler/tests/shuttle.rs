//! Models of several protocols together, too large for loom: random schedules by shuttle.
//!
//! As in `models.rs` the protocol files are included as they are, and `crate::sync` means shuttle's
//! types. Shuttle knows no weak memory: what the fences are for is loom's part. Each test prints its
//! seed; `MARMOT_SEED=... cargo test -p marmot-scheduler --test shuttle` repeats it.

#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../src/flags.rs"]
mod flags;
#[path = "../src/handshake.rs"]
mod handshake;
#[path = "../src/home.rs"]
mod home;
#[path = "../src/idle.rs"]
mod idle;
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

/// What `crate::sync` means in the included files.
mod sync {
    pub fn null_pointers<T, const N: usize>() -> Box<[AtomicPtr<T>; N]> {
        Box::new(std::array::from_fn(
            |_| AtomicPtr::new(std::ptr::null_mut()),
        ))
    }

    pub use crate::deque::{Injector, Steal, Worker};
    pub use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
    pub use shuttle::sync::{Arc, Mutex, MutexGuard};
}

/// What `crate::barrier` means: nothing, since every step is seen by all at once.
mod barrier {
    pub fn light() {}

    pub fn heavy() {}

    pub fn wait_a_little(_: u32) {
        shuttle::thread::yield_now();
    }
}

/// What `crate::event` and `crate::wait` mean in `timers.rs`.
mod event {
    pub use crate::waiter::ReadyList;
}
mod wait {
    pub use crate::wait_word::Outcome;
    pub use crate::waiter::Ticket;
}

/// What `crate::sched` and `crate::processor` mean in `resize.rs`.
mod processor {
    pub use crate::house::P;
}
mod sched {
    pub use crate::house::Sched;
}

#[path = "models/deque.rs"]
mod deque;
#[path = "shuttle/house.rs"]
mod house;
#[path = "shuttle/machines.rs"]
mod machines;
#[path = "shuttle/parking.rs"]
mod parking;
#[path = "shuttle/stealing.rs"]
mod stealing;
#[path = "models/waiter.rs"]
mod waiter;

use std::time::UNIX_EPOCH;

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

/// Runs `model` under as many random schedules.
fn explore(iterations: usize, model: fn()) {
    let seed = match std::env::var("MARMOT_SEED") {
        Ok(text) => text.parse().expect("MARMOT_SEED is a number"),
        Err(_) => UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("MARMOT_SEED={seed}");
    let mut config = Config::new();
    // That it takes every ordering for the strongest.
    config.silence_warnings = true;
    let begin = std::time::Instant::now();
    Runner::new(RandomScheduler::new_from_seed(seed, iterations), config).run(model);
    println!("{iterations} schedules in {:?}", begin.elapsed());
}
