//! Waiting: how a goroutine or an OS thread stops, and how anyone makes it go on.
//!
//! This is the whole interface that channels, locks, timers and the poller are built on:
//!
//! 1. The task that may have to wait takes a [`Wait`], and from it a [`Ticket`], a plain name for
//!    the coming wait that may be copied into as many places as there are things to wait for.
//! 2. It calls [`Wait::park`]. The task leaves its stack, the wait is opened, and only then does
//!    the `publish` closure make the ticket reachable (release the lock of the queue it stands in,
//!    swap it into a slot ...). So nobody can wake a task that is still running.
//! 3. Whoever has something for the waiter *claims* the ticket ([`Ticket::claim`]). Exactly one
//!    claim of a ticket succeeds and yields the linear right [`Parked`]; while the winner holds it
//!    the waiter cannot run, so the winner may write into the waiter's frame. It ends by calling
//!    [`Parked::ready`].
//!
//! A deadline, a cancellation and a value race through the same claim, so each wait ends in one
//! way, and the waiter is told which ([`Outcome`]). Late claims fail without touching the waiter.
//!
//! ```
//! use marmot_scheduler::wait::{Outcome, Publish, Reason, Wait, Why};
//!
//! // A wait that finds, on looking once more, that it need not park after all.
//! let wait = Wait::new();
//! let ticket = wait.ticket();
//! let outcome = wait.park(Why::new(Reason::Other), None, || Publish::Withdrawn);
//! assert_eq!(outcome, Outcome::Ready);
//! // The wait is over: nobody can end it a second time.
//! assert!(ticket.claim(Outcome::Ready).is_none());
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::time::Instant;

use crate::thread_waiter::ThreadWaiter;
pub use crate::wait_word::Outcome;
use crate::wait_word::{WaitNumber, WaitWord};

/// What a task waits for, as shown in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Something without a name of its own.
    Other,
    /// A send on a channel.
    ChanSend,
    /// A receive from a channel.
    ChanRecv,
    /// A select over several channels.
    Select,
    /// The end of another goroutine.
    Join,
    /// The end of all goroutines of a scope.
    Scope,
    /// The end of the goroutine started by `Runtime::run`.
    Run,
    /// A point in time.
    Sleep,
    /// An `unpark`.
    Park,
    /// A descriptor that can be read.
    NetRead,
    /// A descriptor that can be written.
    NetWrite,
    /// A lock or another object of `sync`.
    Sync,
}

impl Reason {
    /// All of them, in the order of their numbers.
    const ALL: [Reason; 12] = [
        Reason::Other,
        Reason::ChanSend,
        Reason::ChanRecv,
        Reason::Select,
        Reason::Join,
        Reason::Scope,
        Reason::Run,
        Reason::Sleep,
        Reason::Park,
        Reason::NetRead,
        Reason::NetWrite,
        Reason::Sync,
    ];

    /// The inverse of `as u8`.
    pub(crate) fn from_number(number: u8) -> Option<Reason> {
        Reason::ALL.get(usize::from(number)).copied()
    }
}

/// As reports have it: in Go's words where Go has any.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Other => "wait",
            Reason::ChanSend => "chan send",
            Reason::ChanRecv => "chan receive",
            Reason::Select => "select",
            Reason::Join => "join",
            Reason::Scope => "end of scope",
            Reason::Run => "run",
            Reason::Sleep => "sleep",
            Reason::Park => "park",
            Reason::NetRead => "IO wait, read",
            Reason::NetWrite => "IO wait, write",
            Reason::Sync => "sync",
        })
    }
}

/// What a task waits for, and on which object: for deadlock reports and stack dumps.
#[derive(Clone, Copy, Debug)]
pub struct Why {
    pub(crate) reason: Reason,
    pub(crate) object: usize,
}

impl Why {
    /// A wait for `reason`, on no particular object.
    pub fn new(reason: Reason) -> Self {
        Why { reason, object: 0 }
    }

    /// The same, naming the object (by address only; it is never followed).
    pub fn on<T: ?Sized>(reason: Reason, object: *const T) -> Self {
        Why {
            reason,
            object: object.cast::<()>().addr(),
        }
    }
}

/// What a publish closure says when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Publish {
    /// The ticket is where wakers look: stay parked.
    Published,
    /// There is nothing to wait for after all; go on at once with [`Outcome::Ready`]. If the
    /// ticket was already claimed by somebody else, that claim stands.
    Withdrawn,
}

/// Which kind of task a wait header belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The header is the first field of a `G`. 0, for zeroed memory is a `G` that was never used.
    #[allow(dead_code)] // never written: it is what the memory holds
    Goroutine = 0,
    /// The header is the first field of a `ThreadWaiter`.
    Thread = 1,
}

/// The part of a waiting task that wakers touch.
///
/// Headers are *type-stable*: once made, the memory holds a `WaitHeader` of that kind for the rest
/// of the process. So a ticket may be claimed at any time, by anybody, without keeping anything
/// alive. (That of a free slot may be zeroed: that is a goroutine's header, which nothing claims.)
#[repr(C)]
#[derive(Debug)]
pub(crate) struct WaitHeader {
    /// Written by the waiter (open) and by claimers.
    pub(crate) word: WaitWord,
    /// Constant.
    pub(crate) kind: Kind,
}

impl WaitHeader {
    pub(crate) fn new(kind: Kind) -> Self {
        WaitHeader {
            word: WaitWord::new(),
            kind,
        }
    }
}

/// The name of one wait of one task: copy it freely, claim it when there is something to say.
#[derive(Clone, Copy)]
pub struct Ticket {
    header: NonNull<WaitHeader>,
    number: WaitNumber,
}

// SAFETY: the header is type-stable (never freed) and only its atomic word is touched through a
// ticket, from whichever thread.
unsafe impl Send for Ticket {}
// SAFETY: as above.
unsafe impl Sync for Ticket {}

impl Ticket {
    pub(crate) fn new(header: NonNull<WaitHeader>, number: WaitNumber) -> Self {
        Ticket { header, number }
    }

    /// Tries to end the wait with `outcome`.
    ///
    /// For exactly one caller per wait this gives the right to ready the waiter. `None` means that
    /// the wait has ended in another way, or has not begun: the caller must take it that the
    /// waiter knows nothing of it, and may not touch the waiter's memory.
    #[inline]
    pub fn claim(self, outcome: Outcome) -> Option<Parked> {
        // SAFETY: headers are type-stable, so the reference is valid whenever this runs.
        let header = unsafe { self.header.as_ref() };
        header
            .word
            .claim(self.number, outcome)
            .then(|| Parked(self.header))
    }

    /// Has the processor fetch the memory that a claim will need. Costs an instruction or two, and
    /// changes nothing: for whoever is about to claim many.
    #[inline(always)]
    pub fn prefetch(&self) {
        crate::sys::prefetch(self.header.as_ptr());
    }

    /// Whether both name the same task, be it in the same wait or not. A select that meets its own
    /// entry in a queue must not serve itself.
    #[inline]
    pub fn same_task(self, other: Ticket) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("task", &self.header)
            .field("wait", &self.number)
            .finish()
    }
}

/// The right to make a parked task run, won by claiming its ticket. Linear: it must be used.
#[must_use = "a parked task that nobody readies never runs again"]
pub struct Parked(NonNull<WaitHeader>);

// SAFETY: `Parked` is a right, not a borrow: whoever holds it may ready the task from any thread.
unsafe impl Send for Parked {}

impl Parked {
    pub(crate) fn header(&self) -> NonNull<WaitHeader> {
        self.0
    }

    /// Makes the task runnable: a goroutine is put on a run queue of its runtime, a thread is
    /// woken.
    ///
    /// Never waits for anything. But the calling goroutine may have had its time slice, or have lost
    /// its processor; then it lets others run before it goes on. So hold no lock over this call that
    /// does not park.
    #[inline]
    pub fn ready(self) {
        let here = crate::g::Current::get();
        self.ready_from::<false>(here);
        if let Some(here) = here {
            here.attend();
        }
    }

    /// The same for a task that was only let go: it does not take the place of one that was readied just
    /// before, and runs next only if there is none.
    ///
    /// For who has handed something over, where others were handed something: what there is is then worked
    /// off before more is begun. In a row of two thousand filters that saves a tenth of the messages, and a
    /// quarter of the time.
    #[inline]
    pub fn ready_after(self) {
        let here = crate::g::Current::get();
        self.ready_from::<true>(here);
        if let Some(here) = here {
            here.attend();
        }
    }

    /// The same for a caller that is not done: more are to be readied, a lock is held, or its
    /// goroutine has left its result and ends. It surely goes on.
    #[inline]
    pub fn ready_first(self) {
        self.ready_from::<false>(crate::g::Current::get());
    }

    #[inline(always)]
    fn ready_from<const AFTER: bool>(self, here: Option<crate::g::Current>) {
        let header = self.into_header();
        // SAFETY: type-stable, see `WaitHeader`.
        match unsafe { header.as_ref() }.kind {
            // SAFETY: the kind says that the header starts a `G`, and this token is the only right
            // to it.
            Kind::Goroutine => unsafe { crate::sched::ready_header::<AFTER>(header, here) },
            // SAFETY: the kind says that the header starts a `ThreadWaiter`, which is type-stable.
            Kind::Thread => unsafe { header.cast::<ThreadWaiter>().as_ref() }.signal(),
        }
    }

    /// Gives the header up without dropping the right.
    pub(crate) fn into_header(self) -> NonNull<WaitHeader> {
        ManuallyDrop::new(self).0
    }

    pub(crate) fn kind(&self) -> Kind {
        // SAFETY: type-stable, see `WaitHeader`.
        unsafe { self.0.as_ref() }.kind
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // Only reachable by a bug in a waker. Losing a goroutine silently is the worst answer.
        crate::fatal::throw("the right to ready a parked task was dropped");
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parked").field(&self.0).finish()
    }
}

/// The coming wait of the current task, goroutine or thread. A goroutine that is unwinding counts
/// as a thread, unless it is bound to its thread anyway.
#[derive(Debug)]
pub struct Wait {
    task: Task,
    /// Neither `Send` nor `Sync`: it speaks of the task that made it.
    not_send: PhantomData<*mut ()>,
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Goroutine(crate::g::Current),
    Thread(&'static ThreadWaiter),
}

impl Wait {
    /// Prepares a wait of the current task. Costs nothing that has to be undone.
    ///
    /// At most one `Wait` of a task may be in use at a time: the next one has the same ticket.
    #[inline]
    pub fn new() -> Self {
        let task = match crate::g::Current::get() {
            Some(g) if !g.must_stay() => Task::Goroutine(g),
            // A goroutine that unwinds waits as a thread does, and blocks its machine (H5).
            _ => Task::Thread(ThreadWaiter::current()),
        };
        Wait {
            task,
            not_send: PhantomData,
        }
    }

    /// The ticket of the wait that [`park`](Self::park) will open. It may be stored anywhere now,
    /// but must not become reachable for wakers before `publish` runs: a claim before that fails.
    #[inline]
    pub fn ticket(&self) -> Ticket {
        let header = match self.task {
            Task::Goroutine(g) => g.header(),
            Task::Thread(t) => t.header(),
        };
        // SAFETY: type-stable, see `WaitHeader`.
        let number = unsafe { header.as_ref() }.word.next();
        Ticket { header, number }
    }

    /// The bare number of that ticket.
    pub(crate) fn number(&self) -> u64 {
        self.ticket().number.as_u64()
    }

    /// Leaves the task's stack, opens the wait, runs `publish`, and comes back when the wait was
    /// claimed and the task readied, or when `deadline` passed.
    ///
    /// `publish` runs on the scheduler's own stack (for a thread: on the thread's). It must be
    /// short and must not wait or panic. **It may run when the wait has already ended** by its
    /// deadline or by a cancellation, the task being on its way again on another thread: so it may
    /// touch the task's frame only if the task takes, before it leaves that frame, the very lock
    /// that `publish` releases. What `publish` captures by value is moved out of the frame first; so
    /// it should be a `move` closure, for a captured reference to a local variable is one into the
    /// frame.
    #[inline(always)]
    pub fn park<F>(self, why: Why, deadline: Option<Instant>, publish: F) -> Outcome
    where
        F: FnOnce() -> Publish,
    {
        match self.task {
            Task::Goroutine(g) => g.park(why, deadline, publish),
            // A plain thread, or an unwinding goroutine, whose processor goes elsewhere meanwhile.
            Task::Thread(t) => crate::blocking(|| t.park(deadline, publish)),
        }
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the caller runs on a goroutine (of any runtime), as opposed to a plain OS thread.
#[inline]
pub fn on_goroutine() -> bool {
    crate::g::Current::get().is_some()
}

/// Nanoseconds of the runtime's clock, which never goes back and is the same on all threads.
#[inline]
pub fn now() -> u64 {
    crate::clock::now()
}

/// If a few goroutines wait here that take a short time, lets them run, and says so: for a caller to whom
/// waiting is dear, and for whom they may have something. On a plain thread, while it unwinds, or bound to its
/// thread, it does nothing.
///
/// ```
/// // Nobody waits behind a plain thread.
/// assert!(!marmot_scheduler::wait::yield_to_few());
/// ```
#[inline]
pub fn yield_to_few() -> bool {
    match crate::g::Current::get() {
        Some(here) if !here.must_stay() => here.yield_to_few(),
        _ => false,
    }
}
