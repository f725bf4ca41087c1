//! Spawning and joining: how a closure becomes a goroutine, and its result comes back.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::Arc;

use crate::arena::{self, StackClass};
use crate::completion::Completion;
use crate::g::{Current, Runnable};
use crate::goroutine::Goroutine;
use crate::life::Life;
use crate::processor::take_ids;
use crate::sched::Sched;
use crate::scope::ScopePointer;
use crate::spawned::{Packet, Plan, Result, prepare};
use crate::wait::{Outcome, Publish, Reason, Ticket, Wait, Why};

/// How a goroutine is to be spawned.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) class: StackClass,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) at: &'static Location<'static>,
}

/// An event that one task may wait for.
pub(crate) trait Event {
    fn is_done(&self) -> bool;

    /// Says who waits. False if it has happened.
    ///
    /// # Safety
    /// The caller is the one waiter, and is not registered.
    unsafe fn subscribe(&self, ticket: Ticket) -> bool;

    /// Takes that back. False if it has happened.
    fn unsubscribe(&self) -> bool;
}

macro_rules! event {
    ($kind:ident) => {
        impl Event for $kind<Ticket> {
            #[inline]
            fn is_done(&self) -> bool {
                self.is_done()
            }

            unsafe fn subscribe(&self, ticket: Ticket) -> bool {
                // SAFETY: the caller's promise.
                unsafe { self.subscribe(ticket) }
            }

            fn unsubscribe(&self) -> bool {
                self.unsubscribe()
            }
        }
    };
}

event!(Completion);
event!(Life);

/// Waits until `done` has happened. The caller is its one waiter.
pub(crate) fn wait_for(done: &impl Event, why: Why) {
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

/// Spawns `f` on `sched`.
///
/// # Errors
/// There is no address space for its stack.
///
/// # Safety
/// What `f` borrows stays valid until it has returned, or for ever; so does `T`.
#[inline]
pub(crate) unsafe fn spawn<F, T>(
    sched: &Sched,
    spawn: Spawn,
    scope: Option<ScopePointer>,
    f: F,
) -> io::Result<Packet<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Spawn { class, name, at } = spawn;
    let plan = |id, slot| Plan {
        sched,
        id,
        at,
        name,
        scope,
        class,
        slot,
    };
    let here = Current::get().filter(|here| std::ptr::eq(here.sched(), sched));
    let packet = match here.as_ref().map(Current::machine) {
        Some(m) if m.enter() => {
            let slot = match m.p().promise_stack(class) {
                Ok(slot) => slot,
                Err(error) => {
                    m.leave();
                    return Err(error);
                }
            };
            // SAFETY: the caller's promise.
            let (newborn, packet) = unsafe { prepare(plan(m.p().next_id(), slot), f) };
            m.ready(Runnable::newborn(newborn));
            m.leave();
            packet
        }
        _ => {
            let slot = arena::promise_one(class)?;
            sched.count_spawned_outside();
            // SAFETY: as above.
            let (newborn, packet) = unsafe { prepare(plan(take_ids(1), slot), f) };
            sched.inject(Runnable::newborn(newborn));
            packet
        }
    };
    if let Some(here) = here {
        here.attend();
    }
    Ok(packet)
}

/// An owned permission to wait for a goroutine, as `std::thread::JoinHandle`. Dropping it detaches
/// the goroutine, which goes on.
pub struct JoinHandle<T> {
    packet: Packet<T>,
    /// Lives by the packet's hold.
    goroutine: ManuallyDrop<Goroutine>,
}

// SAFETY: as for std's: the handle gives out a `T` once, on whichever thread it is.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives out nothing of type `T`.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(packet: Packet<T>) -> Self {
        let goroutine = Goroutine::of_packet(&packet);
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
    let packet = match spawned {
        Ok(packet) => packet,
        Err(error) => panic!("cannot run a goroutine: {error}"),
    };
    packet.wait(Reason::Run);
    let result = packet.take();
    match result.expect("a goroutine leaves its result before it is done") {
        Ok(value) => value,
        Err(payload) => resume(payload),
    }
}

fn resume(payload: Box<dyn Any + Send>) -> ! {
    std::panic::resume_unwind(payload)
}
