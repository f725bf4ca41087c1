//! The waiter that is an OS thread: a wait word and a private futex.
//!
//! This is the file that touches thread-local storage, behind `#[inline(never)]`. Plain threads get
//! here, and goroutines that unwind, which stay on their thread until they have (H1 and H5 in
//! `docs/CAVEATS.md`).
//!
//! # Invariants
//!
//! 1. A `ThreadWaiter` is never freed: it goes back to a pool when its thread ends (type-stable,
//!    as tickets require). There are as many as there ever were waiting threads at once.
//! 2. `signal` is 1 only between `signal()` and the waiter's own reset, once per wait: only the
//!    one holder of `Parked` signals.
//!
//! # Rejected
//!
//! `std::thread::park`: its token belongs to the user (H9), who may spend it between our waits.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::sys;
use crate::wait::{Kind, Outcome, Publish, WaitHeader};

/// See the module's documentation.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ThreadWaiter {
    /// First field: `Parked` and `Ticket` name the waiter by it.
    header: WaitHeader,
    /// Futex word. Set by the holder of `Parked`, reset by the waiter.
    signal: AtomicU32,
}

/// Waiters whose thread has ended. Guards the list alone; nothing else is done under it.
static POOL: Mutex<Vec<&'static ThreadWaiter>> = Mutex::new(Vec::new());

/// Keeps the thread's waiter, and gives it back when the thread ends.
struct Slot(Cell<Option<&'static ThreadWaiter>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(waiter) = self.0.take() {
            give_back(waiter);
        }
    }
}

thread_local! {
    static SLOT: Slot = const { Slot(Cell::new(None)) };
}

fn give_back(waiter: &'static ThreadWaiter) {
    POOL.lock().unwrap_or_else(|e| e.into_inner()).push(waiter);
}

fn take() -> &'static ThreadWaiter {
    let pooled = POOL.lock().unwrap_or_else(|e| e.into_inner()).pop();
    pooled.unwrap_or_else(|| {
        Box::leak(Box::new(ThreadWaiter {
            header: WaitHeader::new(Kind::Thread),
            signal: AtomicU32::new(0),
        }))
    })
}

impl ThreadWaiter {
    /// The waiter of the current thread.
    ///
    /// During the destruction of thread-locals the slot may be gone; then a waiter is taken that
    /// is not given back: bounded by the waits a program does inside such destructors.
    #[inline(never)]
    pub(crate) fn current() -> &'static ThreadWaiter {
        SLOT.try_with(|slot| match slot.0.get() {
            Some(waiter) => waiter,
            None => {
                let waiter = take();
                slot.0.set(Some(waiter));
                waiter
            }
        })
        .unwrap_or_else(|_| take())
    }

    pub(crate) fn header(&'static self) -> NonNull<WaitHeader> {
        // The pointer is cast back to `ThreadWaiter` by `Parked::ready`, so it is made from a
        // reference to the whole.
        NonNull::from(self).cast()
    }

    /// Wakes the thread. Only the holder of its `Parked` calls this, once.
    pub(crate) fn signal(&self) {
        // Release: what the claimer wrote for the waiter comes before it runs.
        self.signal.store(1, Ordering::Release);
        // The waiter may already be gone, and the word with it be in use by the next wait of the
        // same or another thread: that is a spurious wake-up there, which `block` allows for.
        sys::futex_wake(&self.signal, 1);
    }

    /// `Wait::park` for a thread.
    pub(crate) fn park<F>(&'static self, deadline: Option<Instant>, publish: F) -> Outcome
    where
        F: FnOnce() -> Publish,
    {
        let number = self.header.word.open();
        if publish() == Publish::Withdrawn && self.header.word.claim(number, Outcome::Ready) {
            return Outcome::Ready;
        }
        if !self.block(deadline) {
            // The deadline passed first, unless somebody has just claimed: then it is for him to
            // finish, which he does without waiting for anything.
            if self.header.word.claim(number, Outcome::TimedOut) {
                return Outcome::TimedOut;
            }
            self.block(None);
        }
        self.header.word.outcome()
    }

    /// Waits for the signal and resets it; false if the deadline passed before.
    fn block(&self, deadline: Option<Instant>) -> bool {
        loop {
            // Acquire: pairs with `signal`.
            if self.signal.load(Ordering::Acquire) == 1 {
                self.signal.store(0, Ordering::Relaxed);
                return true;
            }
            let timeout = match deadline {
                None => None,
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return false,
                },
            };
            sys::futex_wait(&self.signal, 0, timeout);
        }
    }
}
