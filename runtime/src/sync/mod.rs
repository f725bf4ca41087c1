//! What goroutines share, and wait for each other by. Mirrors `std::sync`, poisoning included.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # // SAFETY: nothing in this program uses a thread-local on both sides of a wait.
//! # let rt = unsafe { marmot::Runtime::migrating() }?;
//! use marmot::sync::{Arc, Mutex};
//!
//! let visits = Arc::new(Mutex::new(Vec::new()));
//! rt.run(|| {
//!     marmot::scope(|s| {
//!         for visitor in 0..10 {
//!             let visits = &visits;
//!             s.go(move || visits.lock().unwrap().push(visitor));
//!         }
//!     });
//! });
//! assert_eq!(visits.lock().unwrap().len(), 10); // from a plain thread
//! # Ok(())
//! # }
//! ```
//!
//! Whoever has to wait parks, if it is a goroutine; its thread runs another. Goroutines of any
//! runtime and plain threads may share one object, in a process without a runtime even. A lock may
//! be held over anything that waits, unlike std's (H3 in `docs/CAVEATS.md`). Nothing here allocates
//! for an operation. A task that is unwinding waits as a thread does (H5).
//!
//! Locks and unlocks of what is free never enter the scheduler. Unlocking what another waits for
//! makes that other run soon; a goroutine that has had its time slice may have to queue up there.
//!
//! # How it is made
//!
//! Each object is a *protocol* (the files `raw_*.rs`) in a coat of std's interface. The protocols are
//! written against atomics and waits that loom's models replace, and share one line of waiting tasks
//! (`wait_list.rs`).

mod atomics;
mod barrier;
mod condvar;
mod lazy_lock;
mod line;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod raw_barrier;
mod raw_condvar;
mod raw_mutex;
#[cfg(test)]
mod raw_mutex_tests;
mod raw_once;
mod raw_rwlock;
mod rwlock;
mod semaphore;
mod task;
mod wait_group;
mod wait_list;

pub use self::barrier::{Barrier, BarrierWaitResult};
pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use self::lazy_lock::LazyLock;
pub use self::mutex::{Mutex, MutexGuard};
#[allow(deprecated)] // for code that uses it still, as std has it
pub use self::once::ONCE_INIT;
pub use self::once::{Once, OnceState};
pub use self::once_lock::OnceLock;
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use self::semaphore::{Semaphore, SemaphorePermit};
pub use self::wait_group::WaitGroup;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};
