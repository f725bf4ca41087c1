//! Scopes: goroutines that borrow from the one that waits for them, as `std::thread::scope`.
//!
//! # Invariants
//!
//! 1. `running` counts the scope's body and its goroutines. Whoever takes it to zero completes
//!    `done`; nobody can raise it from zero.
//! 2. A goroutine leaves the scope as the last thing it does with anything borrowed.
//! 3. `scope` returns or unwinds only after `done`: a stack with borrowed frames below it is never
//!    freed or unwound, since parked stacks are leaked rather than unwound (H7, H15).
//! 4. `ScopeData` lies in the frame of `scope`. Goroutines touch it before they leave; handles, and
//!    results that nobody has taken, are dropped within the scope or never, for their types have its
//!    lifetime. Who leaves last reads the waiter after `done`, while that is parked until it is claimed.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::arena::StackClass;
use crate::completion::Completion;
use crate::goroutine::Goroutine;
use crate::sched::Sched;
use crate::spawn::{Spawn, spawn as spawn_goroutine, wait_for};
use crate::spawned::{Packet, Result};
use crate::wait::{Outcome, Reason, Ticket, Why};

/// What a scope shares with its goroutines.
#[derive(Debug)]
pub(crate) struct ScopeData {
    running: AtomicUsize,
    done: Completion<Ticket>,
    a_goroutine_panicked: AtomicBool,
}

impl ScopeData {
    fn enter(&self) {
        // Relaxed: the one who enters holds the count up already.
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// The body or a goroutine is done with everything it borrowed.
    pub(crate) fn leave(&self) {
        // Release: what it did is visible to the one who completes; acquire: we are that one.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(ticket) = self.done.complete()
            && let Some(parked) = ticket.claim(Outcome::Ready)
        {
            // As in `Packet::finish`.
            parked.ready_first();
        }
    }

    pub(crate) fn note_panic(&self) {
        self.a_goroutine_panicked.store(true, Ordering::Relaxed);
    }
}

/// A scope, as its goroutines know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScopePointer(NonNull<ScopeData>);

impl ScopePointer {
    /// # Safety
    /// The scope has not ended, and does not while the reference is used (invariant 4).
    #[inline]
    pub(crate) unsafe fn data<'a>(self) -> &'a ScopeData {
        // SAFETY: the caller's promise.
        unsafe { self.0.as_ref() }
    }
}

/// A place to spawn goroutines that may borrow what lives longer than `'scope`.
///
/// See [`scope`](crate::scope()).
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    sched: &'scope Sched,
    /// Invariance over both lifetimes, as in std: a scope must not be shrunk or grown.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An owned permission to wait for a scoped goroutine.
pub struct ScopedJoinHandle<'scope, T> {
    packet: Packet<T>,
    /// Lives by the packet's hold.
    goroutine: ManuallyDrop<Goroutine>,
    scope: PhantomData<&'scope ()>,
}

// SAFETY: as for `JoinHandle`.
unsafe impl<T> Send for ScopedJoinHandle<'_, T> {}
// SAFETY: as for `JoinHandle`.
unsafe impl<T> Sync for ScopedJoinHandle<'_, T> {}

/// Runs `f` with a scope on `sched`, and waits for all goroutines spawned in it.
pub(crate) fn scope_on<'env, F, T>(sched: &Sched, f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        data: ScopeData {
            running: AtomicUsize::new(1),
            done: Completion::new(),
            a_goroutine_panicked: AtomicBool::new(false),
        },
        // SAFETY: the caller keeps the scheduler alive until `scope_on` returns, and the scope
        // does not outlive that.
        sched: unsafe { &*std::ptr::from_ref(sched) },
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.data.leave();
    wait_for(&scope.data.done, Why::on(Reason::Scope, &scope.data));
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.data.a_goroutine_panicked.load(Ordering::Relaxed) => {
            panic!("a scoped goroutine panicked")
        }
        Ok(value) => value,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a goroutine that may borrow what outlives the scope.
    ///
    /// # Panics
    /// There is no memory for its stack. [`goroutine::Builder`](crate::goroutine::Builder) gives an
    /// error instead.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let options = self.options(Location::caller());
        match self.spawn_with(options, f) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn a goroutine: {error}"),
        }
    }

    /// The same as [`spawn`](Self::spawn), under Go's name.
    ///
    /// # Panics
    /// As for `spawn`.
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn(f)
    }

    pub(crate) fn options(&self, at: &'static Location<'static>) -> Spawn {
        Spawn {
            class: self.class(),
            name: None,
            at,
        }
    }

    fn class(&self) -> StackClass {
        self.sched.class
    }

    pub(crate) fn spawn_with<F, T>(
        &'scope self,
        options: Spawn,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.data.enter();
        let data = Some(ScopePointer(NonNull::from(&self.data)));
        // SAFETY: what `f` and `T` borrow outlives 'scope, which ends after the goroutine has left
        // the scope (invariants 2 and 3).
        match unsafe { spawn_goroutine(self.sched, options, data, f) } {
            Ok(packet) => Ok(ScopedJoinHandle {
                goroutine: Goroutine::of_packet(&packet),
                packet,
                scope: PhantomData,
            }),
            Err(error) => {
                self.data.leave();
                Err(error)
            }
        }
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the goroutine has ended, and gives its result.
    ///
    /// # Errors
    /// The payload of its panic, if it ended by one; the scope then does not panic for it.
    pub fn join(self) -> Result<T> {
        self.packet.wait(Reason::Join);
        self.packet
            .take()
            .expect("a goroutine leaves its result before it is done")
    }

    /// Whether the goroutine has ended. Never blocks.
    pub fn is_finished(&self) -> bool {
        self.packet.is_done()
    }

    /// The goroutine: its id, its name, where it was spawned.
    pub fn goroutine(&self) -> &Goroutine {
        &self.goroutine
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.data.running)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("goroutine", &self.goroutine)
            .finish_non_exhaustive()
    }
}
