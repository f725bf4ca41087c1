//! Spawning and joining: how a closure becomes a goroutine, and its result comes back.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use crate::arena::{self, StackClass};
use crate::completion::Completion;
use crate::g::{Birth, Current, spawn_in};
use crate::goroutine::Goroutine;
use crate::processor::take_ids;
use crate::sched::Sched;
use crate::scope::ScopeData;
use crate::wait::{Outcome, Publish, Reason, Ticket, Wait, Why};

/// What a goroutine gives back: its value, or the payload of its panic.
pub(crate) type Result<T> = std::thread::Result<T>;

/// How a goroutine is to be spawned.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) class: StackClass,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) at: &'static Location<'static>,
}

/// Where a goroutine leaves its result, shared by it and its handle.
pub(crate) struct Packet<T> {
    done: Completion<Ticket>,
    /// Written by the goroutine before it completes `done`; then the handle's.
    result: UnsafeCell<Option<Result<T>>>,
    /// The scope to tell about a panic that nobody has joined.
    scope: Option<Arc<ScopeData>>,
}

// SAFETY: `result` is passed from the goroutine to the handle by `done`.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    fn new(scope: Option<Arc<ScopeData>>) -> Arc<Self> {
        Arc::new(Packet {
            done: Completion::new(),
            result: UnsafeCell::new(None),
            scope,
        })
    }

    /// Goroutine: leaves the result and wakes whoever waits for it.
    fn finish(&self, result: Result<T>) {
        // SAFETY: nobody else touches `result` before `done`.
        unsafe { *self.result.get() = Some(result) };
        if let Some(ticket) = self.done.complete()
            && let Some(parked) = ticket.claim(Outcome::Ready)
        {
            // The runtime may end as soon as this is known: nothing may stop us before our end.
            parked.ready_first();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.is_done()
    }

    /// Handle: waits for the result.
    pub(crate) fn wait(&self, reason: Reason) {
        wait_for(&self.done, Why::on(reason, self));
    }

    /// Handle, after [`wait`](Self::wait): takes the result.
    ///
    /// # Safety
    /// The caller is the one handle.
    pub(crate) unsafe fn take(&self) -> Option<Result<T>> {
        // SAFETY: the goroutine is done with `result`, and the handle is the only other user.
        unsafe { (*self.result.get()).take() }
    }
}

/// Destroys the goroutine-local values of the current goroutine.
#[inline]
fn destroy_locals() {
    if let Some(here) = Current::get() {
        // SAFETY: the caller is the goroutine itself.
        unsafe { here.block().destroy_locals() };
    }
}

/// Waits until `done` has happened. The caller is its one waiter.
pub(crate) fn wait_for(done: &Completion<Ticket>, why: Why) {
    while !done.is_done() {
        let wait = Wait::new();
        let ticket = wait.ticket();
        let outcome = wait.park(why, None, move || {
            // SAFETY: one waiter, which is not registered: it has just begun to wait.
            if unsafe { done.subscribe(ticket) } {
                Publish::Published
            } else {
                Publish::Withdrawn
            }
        });
        if outcome != Outcome::Ready {
            // Nothing cancels such a wait today. If it were, the registration has to go first;
            // one that cannot be taken back means that it is done.
            let _ = done.unsubscribe();
        }
    }
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        if let (Some(scope), Some(Err(_))) = (&self.scope, self.result.get_mut()) {
            scope.note_panic();
        }
    }
}

/// Spawns `f` on `sched`.
///
/// # Errors
/// There is no memory or address space for its stack.
///
/// # Safety
/// What `f` borrows stays valid until it has returned, or for ever; so does `T`.
#[inline]
pub(crate) unsafe fn spawn<F, T>(
    sched: &Sched,
    spawn: Spawn,
    scope: Option<Arc<ScopeData>>,
    f: F,
) -> io::Result<(Arc<Packet<T>>, Goroutine)>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let packet = Packet::new(scope);
    let theirs = packet.clone();
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        // A destructor that panics has been reported by the panic hook, and changes nothing else.
        destroy_locals();
        theirs.finish(result);
        let scope = theirs.scope.clone();
        // If nobody holds the handle the result is dropped here, which may panic. It has been
        // reported by the panic hook, and concerns nobody else.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(theirs))) {
            // Its own destructor might panic again.
            std::mem::forget(payload);
        }
        // That may have used goroutine-local values again, and the slot must go on without them.
        destroy_locals();
        // Last of all: the scope may end now, and with it what the goroutine borrowed.
        if let Some(scope) = scope {
            scope.leave();
        }
    };
    let Spawn { class, name, at } = spawn;
    let birth = |id| Birth {
        sched,
        id,
        name: name.clone(),
        spawned_at: at,
    };
    let here = Current::get().filter(|here| std::ptr::eq(here.sched(), sched));
    let goroutine = match here.as_ref().map(Current::machine) {
        Some(m) if m.enter() => {
            let slot = match m.p().take_stack(class) {
                Ok(slot) => slot,
                Err(error) => {
                    m.leave();
                    return Err(error);
                }
            };
            let id = m.p().next_id();
            // SAFETY: the caller's promise; `body` catches every unwind.
            let r = unsafe { spawn_in(slot, birth(id), body) };
            let goroutine = Goroutine::new(r.g(), id, name, at);
            m.ready(r);
            m.leave();
            goroutine
        }
        _ => {
            let slot = arena::take(class)?;
            let id = take_ids(1);
            sched.count_spawned_outside();
            // SAFETY: as above.
            let r = unsafe { spawn_in(slot, birth(id), body) };
            let goroutine = Goroutine::new(r.g(), id, name, at);
            sched.inject(r);
            goroutine
        }
    };
    if let Some(here) = here {
        here.attend();
    }
    Ok((packet, goroutine))
}

/// An owned permission to wait for a goroutine, as `std::thread::JoinHandle`. Dropping it detaches
/// the goroutine, which goes on.
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
    goroutine: Goroutine,
}

// SAFETY: as for std's: the handle gives out a `T` once, on whichever thread it is.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives out nothing of type `T`.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(packet: Arc<Packet<T>>, goroutine: Goroutine) -> Self {
        JoinHandle { packet, goroutine }
    }

    /// Waits until the goroutine has ended, and gives its result.
    ///
    /// # Errors
    /// The payload of its panic, if it ended by one.
    ///
    /// ```
    /// # let rt = marmot_scheduler::doc_runtime();
    /// let sum = rt.go(|| (1..=10).sum::<u32>());
    /// assert_eq!(sum.join().unwrap(), 55);
    /// ```
    pub fn join(self) -> Result<T> {
        self.packet.wait(Reason::Join);
        // SAFETY: `self` is the one handle.
        unsafe { self.packet.take() }.expect("a goroutine leaves its result before it is done")
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

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("goroutine", &self.goroutine)
            .finish_non_exhaustive()
    }
}

/// Runs `f` as a goroutine of `sched` on a large stack, and waits for it.
pub(crate) fn run<F, T>(sched: &Sched, at: &'static Location<'static>, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let options = Spawn {
        class: sched.main_class,
        name: None,
        at,
    };
    let in_progress = sched.runs.begin(Current::get().is_none());
    let f = move || {
        let _in_progress = in_progress;
        f()
    };
    // SAFETY: what `f` borrows outlives this call, which returns after `f` has.
    let spawned = unsafe { spawn(sched, options, None, f) };
    let (packet, _) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => panic!("cannot run a goroutine: {error}"),
    };
    packet.wait(Reason::Run);
    // SAFETY: nobody else has a handle.
    match unsafe { packet.take() }.expect("a goroutine leaves its result before it is done") {
        Ok(value) => value,
        Err(payload) => resume(payload),
    }
}

fn resume(payload: Box<dyn Any + Send>) -> ! {
    std::panic::resume_unwind(payload)
}
