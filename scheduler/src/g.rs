//! `G`, the goroutine: its control block, its stack switch, and how the current one is found.
//!
//! This is one of the few files that handle raw goroutine pointers. Everything else holds a
//! [`Runnable`] (the right to queue or run a goroutine) or a `Parked` (the right to ready it);
//! both are linear.
//!
//! # Life of a goroutine
//!
//! ```text
//!             spawn                    execute                 returns
//! free slot --------> Runnable ------------------> running ---------------> free slot
//!                        ^                          |
//!                        |   ready      park        |
//!                        +-------- Parked <---------+
//! ```
//!
//! # Invariants
//!
//! 1. At any time one party owns a `G`: a free list, a `Runnable`, the machine that runs it, or
//!    (while its wait is open) whoever will claim it. The owner alone touches the fields that are
//!    not atomic.
//! 2. `machine` is valid exactly while the goroutine runs: the machine that runs it has set it.
//! 3. A goroutine's wait is opened on the machine's stack, when its own stack is at rest. So
//!    whoever claims the wait may resume it at once, anywhere.
//! 4. A stack is never unwound, dropped or freed while it is suspended (H7).
//! 5. What anybody may touch at any time, by a stale ticket or handle, is the wait word and the park
//!    token, and by a stale pointer in a run queue or of a [`Successor`] `frame`, `object` and
//!    `successor`, which are hints. In zeroed memory they answer as those of a free slot do; so the
//!    memory of a free slot may be given back (`G::forget`) and taken again (`G::begin`), and it is
//!    still type-stable.
//! 6. The current goroutine is found from the stack pointer alone: no thread-local is read on any
//!    path that can park, so none can be remembered across a switch (H1).

mod prefetch;

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::num::NonZeroUsize;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::arena::{self, Slot, StackClass};
use crate::clock;
use crate::goroutine_local::Locals;
use crate::machine::{M, MShared};
use crate::park_token::ParkToken;
use crate::sched::Sched;
use crate::spawned::{Header, Name, Newborn};
use crate::successor::Successor;
use crate::timers::TimerKey;
use crate::wait::{Outcome, Publish, Reason, Ticket, WaitHeader, Why};

pub(crate) use self::prefetch::prefetch_parked;

type Switch = Yielder<(), NonNull<Action>>;
type Body = Coroutine<(), NonNull<Action>, (), SlotStack>;

/// The greatest number of a wait in any slot whose memory was given back (`wait_word.rs`).
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

/// A goroutine's control block, at the top of its own stack slot.
///
/// Who writes which field: see each; "owner" is invariant 1.
#[repr(C, align(64))]
pub(crate) struct G {
    /// The wait word: opened by the machine, claimed by anyone. First, so that a ticket's pointer
    /// is a pointer to the `G`.
    header: WaitHeader,
    /// The machine that runs it. Owner.
    machine: Cell<*const M>,
    /// The way back to the machine's stack. Set once per life, on the goroutine's stack.
    switch: Cell<*const Switch>,
    /// The suspended stack. Owner.
    body: UnsafeCell<MaybeUninit<Body>>,
    /// The scheduler it belongs to, alive while the goroutine is. Written by the owner at spawn, read
    /// by anyone for reports.
    sched: AtomicPtr<Sched>,
    /// The machine it may run on, if it is bound to one; alive while it is. Owner.
    home: Cell<*const MShared>,
    /// Why it waits: written by itself before a wait, read by anyone for reports.
    reason: AtomicU8,
    /// Whether it has lost its processor and queues up for one. Owner.
    spent: Cell<bool>,
    /// How deep it is in `blocking` regions. Owner.
    pub(crate) blocking: Cell<u32>,
    object: AtomicUsize,
    /// Since when, about, on the runtime's clock.
    since: AtomicU64,
    /// Where on its stack the last switch left it, about: to be prefetched and no more. Written by the
    /// owner, read by anyone.
    frame: AtomicPtr<u8>,
    /// Whom it readies. A guess, of this life of the slot or an earlier one.
    successor: Successor<G>,
    /// 0 in a free slot. Written by the owner at spawn and end, read by anyone for reports.
    id: AtomicU64,
    /// The token of `goroutine::park`. Any thread, by its own protocol.
    pub(crate) park_token: ParkToken,
    /// Where it was spawned: written by the owner at spawn, read by anyone for reports.
    spawned_at: AtomicPtr<Location<'static>>,
    /// Its name. Owner, at spawn and end.
    name: UnsafeCell<Option<Arc<str>>>,
    /// What it shares with its handles. Owner; valid until its closure's result is left.
    shared: Cell<*const Header>,
    /// Its goroutine-local values. Owner.
    locals: UnsafeCell<Option<Box<Locals>>>,
    /// Constant while the slot is in use.
    class: StackClass,
}

// SAFETY: cells are touched by the owner only (invariant 1), and ownership moves between threads
// by synchronised hand-over: run queues and the wait word.
unsafe impl Sync for G {}

// No user code runs while a control block is in an intermediate state.
impl std::panic::RefUnwindSafe for G {}

impl G {
    /// Makes a control block of zeroed memory: a slot that was never used, or whose memory was
    /// given back. Zeroes are what a stale ticket or handle may meet there, at any time; so what
    /// those touch is left as it is, but for the wait word, which is stored to atomically.
    ///
    /// # Safety
    /// The caller owns the slot, whose memory holds zeroes where others do not write.
    pub(crate) unsafe fn begin(ptr: NonNull<G>, class: StackClass) {
        let g = ptr.as_ptr();
        // SAFETY: the memory is a slot's and the caller's; nobody else touches this field.
        let name = unsafe { &raw mut (*g).name };
        // SAFETY: as above; there is nothing to drop.
        unsafe { name.write(UnsafeCell::new(None)) };
        // SAFETY: as above.
        let locals = unsafe { &raw mut (*g).locals };
        // SAFETY: as above.
        unsafe { locals.write(UnsafeCell::new(None)) };
        // SAFETY: as above.
        let field = unsafe { &raw mut (*g).class };
        // SAFETY: as above.
        unsafe { field.write(class) };
        // SAFETY: now it is a `G`: of the other fields zeroes are valid values.
        unsafe { ptr.as_ref() }.header.word.resume(&FORGOTTEN);
    }

    /// Prepares a free slot for its memory to be given back: what others may touch is zero from
    /// now on, and what must not repeat is remembered elsewhere. By the owner of the slot.
    pub(crate) fn forget(&self) {
        self.header.word.forget(&FORGOTTEN);
        self.park_token.forget();
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// Whether it belongs to this scheduler (a snapshot).
    pub(crate) fn belongs_to(&self, sched: &Sched) -> bool {
        ptr::eq(self.sched.load(Ordering::Relaxed), sched)
    }

    /// If it waits: for what, on which object, and since when on the runtime's clock (a snapshot).
    pub(crate) fn waits(&self) -> Option<(Option<Reason>, usize, u64)> {
        if !self.header.word.is_open() {
            return None;
        }
        let reason = self.reason.load(Ordering::Relaxed).checked_sub(1);
        Some((
            reason.and_then(Reason::from_number),
            self.object.load(Ordering::Relaxed),
            self.since.load(Ordering::Relaxed),
        ))
    }

    pub(crate) fn spawned_at(&self) -> Option<&'static Location<'static>> {
        // SAFETY: null, or made from a `&'static Location`.
        unsafe { self.spawned_at.load(Ordering::Relaxed).as_ref() }
    }

    /// # Safety
    /// The caller is the goroutine itself, or a signal handler that interrupted it, or its owner.
    pub(crate) unsafe fn name(&self) -> Option<&Arc<str>> {
        // SAFETY: written by the owner at spawn and end only, and the caller is the owner.
        unsafe { &*self.name.get() }.as_ref()
    }

    /// Its goroutine-local values.
    ///
    /// # Safety
    /// The caller is the goroutine itself.
    pub(crate) unsafe fn locals(&self) -> &Locals {
        let locals = self.locals.get();
        // SAFETY: the caller is the owner, and shares what is there with itself alone.
        if unsafe { &*locals }.is_none() {
            // SAFETY: as owner; there is nothing yet that could be referred to.
            unsafe { *locals = Some(Box::default()) };
        }
        // SAFETY: as above. It stays until the goroutine ends.
        unsafe { &*locals }
            .as_deref()
            .expect("it has just been put in")
    }

    /// Destroys its goroutine-local values, on its own stack, when its closure has returned.
    ///
    /// # Safety
    /// The caller is the goroutine itself.
    #[inline]
    pub(crate) unsafe fn destroy_locals(&self) {
        // SAFETY: as for `locals`.
        if let Some(locals) = unsafe { &*self.locals.get() } {
            locals.destroy();
        }
        // SAFETY: as for `locals`; no reference is left.
        drop(unsafe { (*self.locals.get()).take() });
    }
}

/// The top of a slot's stack is the address of its control block.
struct SlotStack(NonNull<G>);

// SAFETY: `base` is aligned to a cache line and `limit` to a page; between them lie at least 60 KiB
// of memory that belongs to this slot, its low end a guard (`arena.rs`).
unsafe impl Stack for SlotStack {
    #[inline]
    fn base(&self) -> StackPointer {
        self.0.addr()
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(arena::stack_limit(self.0)).expect("no slot at address 0")
    }
}

/// What a goroutine asks the machine to do once it has left its stack. Lives on that stack.
#[repr(C)]
struct Action {
    run: unsafe fn(NonNull<Action>, &M, NonNull<G>) -> Next,
}

/// What the machine does after an action.
enum Next {
    /// Find something to run.
    Schedule,
    /// Go on with the same goroutine: it did not have to park.
    Resume,
}

/// The tag of a pointer to the header of a goroutine that has no stack yet.
const NEWBORN: usize = 1;

/// The right to queue or run one goroutine: a pointer to its control block, or, while it has no
/// stack, a tagged one to what it was spawned with.
#[derive(Debug)]
#[must_use = "a runnable goroutine that nobody queues never runs again"]
#[repr(transparent)]
pub(crate) struct Runnable(NonNull<G>);

// SAFETY: the right moves between threads; the queue that carries it synchronises (invariant 1).
unsafe impl Send for Runnable {}

impl Runnable {
    /// # Safety
    /// The caller owns the goroutine: it has just spawned it, or claimed its wait.
    pub(crate) unsafe fn from_g(g: NonNull<G>) -> Runnable {
        Runnable(g)
    }

    /// The right to a goroutine that has no stack yet.
    #[inline]
    pub(crate) fn newborn(newborn: Newborn) -> Runnable {
        let header = newborn.into_header();
        Runnable(header.map_addr(|a| a | NEWBORN).cast())
    }

    /// Whether the goroutine has no stack yet.
    #[inline(always)]
    pub(crate) fn is_newborn(&self) -> bool {
        self.0.addr().get() & NEWBORN != 0
    }

    /// Marks it as one that has had its time (`run_queue.rs`). A newborn one has not.
    pub(crate) fn mark_spent(&self) {
        if !self.is_newborn() {
            self.as_ref().spent.set(true);
        }
    }

    /// Whether it is marked; it is not from now on.
    pub(crate) fn take_mark(&self) -> bool {
        !self.is_newborn() && self.as_ref().spent.replace(false)
    }

    /// If the goroutine has no stack yet: what it is born from.
    #[inline(always)]
    fn header(&self) -> Option<NonNull<Header>> {
        if !self.is_newborn() {
            return None;
        }
        let address = |a: NonZeroUsize| {
            NonZeroUsize::new(a.get() & !NEWBORN).expect("nothing lies at address 0")
        };
        Some(self.0.map_addr(address).cast())
    }

    /// Gives a goroutine that has none a stack, from the processor of the calling machine.
    ///
    /// # Errors
    /// There is no memory for it now. The right is given back.
    #[inline]
    pub(crate) fn bear(self, m: &M) -> Result<Runnable, (Runnable, io::Error)> {
        match self.header() {
            None => Ok(self),
            Some(header) => {
                // SAFETY: made by `newborn`; the right goes from one to the other.
                let newborn = unsafe { Newborn::from_header(header) };
                let slot = match newborn.take_slot() {
                    Some(slot) => slot,
                    None => match m.p().take_stack(newborn.header().class) {
                        Ok(slot) => slot,
                        Err(error) => return Err((self, error)),
                    },
                };
                Ok(spawn_in(slot, newborn))
            }
        }
    }

    /// Gives the right up as a bare pointer, to be stored in an atomic.
    pub(crate) fn into_g(self) -> NonNull<G> {
        ManuallyDrop::new(self).0
    }

    /// Only of a goroutine that has a stack.
    #[inline(always)]
    fn as_ref(&self) -> &G {
        // SAFETY: control blocks are never unmapped.
        unsafe { self.0.as_ref() }
    }

    /// The scheduler of a goroutine that has a stack, as everything has that waits, and whether it is bound
    /// to a machine.
    #[inline(always)]
    pub(crate) fn place_of_begun(&self) -> (*const Sched, bool) {
        debug_assert!(!self.is_newborn());
        let g = self.as_ref();
        (g.sched.load(Ordering::Relaxed), !g.home.get().is_null())
    }

    /// The scheduler that the goroutine belongs to.
    #[inline(always)]
    pub(crate) fn sched(&self) -> *const Sched {
        match self.header() {
            None => self.as_ref().sched.load(Ordering::Relaxed),
            // SAFETY: it has a hold.
            Some(header) => unsafe { header.as_ref() }.sched,
        }
    }

    /// The machine it is bound to. A newborn one is bound to none.
    #[inline]
    pub(crate) fn home(&self) -> Option<NonNull<MShared>> {
        if self.header().is_some() {
            return None;
        }
        NonNull::new(self.as_ref().home.get().cast_mut())
    }

    /// Binds it to a machine, which has to outlive it.
    pub(crate) fn set_home(&self, home: &MShared) {
        self.as_ref().home.set(home);
    }

    /// Runs the goroutine on the calling machine until it parks, yields or ends. If it ended, gives
    /// its slot, ready for reuse. Whether the machine has hooks to tell is settled beforehand: most
    /// have none, and the switch is the hottest path there is.
    #[inline]
    pub(crate) fn run<const TELL: bool>(self, m: &M) -> Option<(Slot, StackClass)> {
        let ptr = self.into_g();
        // SAFETY: control blocks are never unmapped; the right just given up makes us the owner.
        let g = unsafe { ptr.as_ref() };
        loop {
            g.machine.set(m);
            // SAFETY: the owner may touch `body`, which a spawn has initialised. The reference ends
            // with `resume`, before anybody else can own the goroutine.
            let body = unsafe { (*g.body.get()).assume_init_mut() };
            // From here the goroutine's code runs, until it calls in again: by `suspend`, or by the
            // end of its entry.
            if TELL && let Some(hooks) = &m.hooks {
                hooks.tell(g.id(), |hooks, id| hooks.resumed(id));
            }
            m.leave();
            let result = body.resume(());
            match result {
                CoroutineResult::Return(()) => {
                    if TELL && let Some(hooks) = &m.hooks {
                        hooks.tell(g.id(), |hooks, id| hooks.ended(id));
                    }
                    // SAFETY: it has just ended here.
                    return Some(unsafe { retire(ptr) });
                }
                CoroutineResult::Yield(action) => {
                    g.frame.store(action.as_ptr().cast(), Ordering::Relaxed);
                    if TELL && let Some(hooks) = &m.hooks {
                        hooks.tell(g.id(), |hooks, id| hooks.suspended(id));
                    }
                    // SAFETY: the action lies on the suspended stack, and we are its owner.
                    let run = unsafe { action.as_ref() }.run;
                    // SAFETY: `run` was stored next to the data it expects (see `suspend`).
                    match unsafe { run(action, m, ptr) } {
                        Next::Schedule => return None,
                        Next::Resume => {}
                    }
                }
            }
        }
    }
}

/// Empties the control block of a goroutine that has ended.
///
/// # Safety
/// The goroutine has returned from its stack on the calling machine.
#[inline]
unsafe fn retire(ptr: NonNull<G>) -> (Slot, StackClass) {
    // SAFETY: control blocks are never unmapped.
    let g = unsafe { ptr.as_ref() };
    g.id.store(0, Ordering::Relaxed);
    g.park_token.retire();
    // SAFETY: we own the ended goroutine.
    drop(unsafe { (*g.name.get()).take() });
    // A finished body holds nothing, so it needs no drop.
    // SAFETY: the caller's promise.
    (unsafe { Slot::from_g(ptr) }, g.class)
}

/// Gives a goroutine a slot to live in. It runs what it was spawned with when it is first resumed.
#[inline]
fn spawn_in(slot: Slot, newborn: Newborn) -> Runnable {
    let ptr = slot.into_g();
    // SAFETY: control blocks are never unmapped; the slot made us the owner.
    let g = unsafe { ptr.as_ref() };
    let header = newborn.header();
    g.sched.store(header.sched.cast_mut(), Ordering::Relaxed);
    g.home.set(ptr::null());
    g.blocking.set(0);
    g.id.store(header.id, Ordering::Relaxed);
    g.park_token.begin(header.id);
    g.reason.store(REASON_NONE, Ordering::Relaxed);
    g.spawned_at
        .store(ptr::from_ref(header.at).cast_mut(), Ordering::Relaxed);
    g.shared.set(header);
    if header.name.is_some() {
        // SAFETY: we own the goroutine; `retire` left `None` here.
        unsafe { *g.name.get() = header.name.clone() };
    }
    newborn.settle(ptr);
    let entry = move |switch: &Switch, (): ()| {
        let g = Current::get().expect("a goroutine runs on its own stack");
        g.block().switch.set(switch);
        // SAFETY: we are the goroutine.
        unsafe { newborn.run() };
        // What the machine does next may need its processor; whether it still has one, it sees.
        let _ = g.machine().enter();
    };
    // SAFETY: who spawned it has promised that what it borrows lasts. The stack is not in use: we own
    // the slot.
    let body = unsafe { Body::with_stack_unchecked(SlotStack(ptr), entry) };
    // SAFETY: as owner. The former body is finished and holds nothing.
    unsafe { (*g.body.get()).write(body) };
    // SAFETY: it was just made.
    unsafe { Runnable::from_g(ptr) }
}

/// `Why::reason` as stored in the control block; 0 means that it never waited.
const REASON_NONE: u8 = 0;

/// The goroutine that the caller runs on. Never outlives a call made on its stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current(NonNull<G>);

impl Current {
    /// The current goroutine; `None` on a plain thread and on a machine's own stack.
    #[inline(always)]
    pub(crate) fn get() -> Option<Current> {
        arena::g_of(stack_pointer()).map(Current)
    }

    #[inline(always)]
    pub(crate) fn block(&self) -> &G {
        // SAFETY: control blocks are never unmapped.
        unsafe { self.0.as_ref() }
    }

    /// A name of it.
    ///
    /// # Safety
    /// The caller is the goroutine itself, and its result is not left yet.
    pub(crate) unsafe fn name(self) -> Name {
        let header = self.block().shared.get().cast_mut();
        let header = NonNull::new(header).expect("a goroutine was spawned");
        // SAFETY: the caller's promise.
        unsafe { Name::of(header) }
    }

    #[inline(always)]
    pub(crate) fn header(self) -> NonNull<WaitHeader> {
        self.0.cast()
    }

    /// The machine that runs it. Not to be kept over anything that can park.
    #[inline(always)]
    pub(crate) fn machine(&self) -> &M {
        // SAFETY: invariant 2; the machine outlives the run.
        unsafe { &*self.block().machine.get() }
    }

    /// Its scheduler.
    #[inline(always)]
    pub(crate) fn sched(&self) -> &Sched {
        // SAFETY: alive while the goroutine is.
        unsafe { &*self.block().sched.load(Ordering::Relaxed) }
    }

    /// Whether it is bound to the machine that runs it.
    #[inline(always)]
    pub(crate) fn is_bound(&self) -> bool {
        !self.block().home.get().is_null()
    }

    /// Binds it to the machine that runs it, or lets it go. The machine keeps count.
    pub(crate) fn set_home(self, home: *const MShared) {
        self.block().home.set(home);
    }

    /// Whether it must neither change threads nor let others run on this one: it is unwinding, and
    /// std counts panics by thread (H5). One that is bound to its machine parks as usual: its counts
    /// stay with it.
    #[inline(always)]
    pub(crate) fn must_stay(&self) -> bool {
        std::thread::panicking() && !self.is_bound()
    }

    /// Leaves the stack and has the machine run `action`; returns when resumed.
    ///
    /// # Safety
    /// `action.run` accepts `action`, and puts the goroutine where somebody will resume it, or
    /// says `Next::Resume`.
    #[inline(always)]
    unsafe fn suspend(self, action: NonNull<Action>) {
        // What the machine does next may need its processor; whether it still has one, it sees.
        let _ = self.machine().enter();
        // SAFETY: set at the goroutine's entry, and it points to the base of this very stack.
        let switch = unsafe { &*self.block().switch.get() };
        switch.suspend(action);
    }

    /// Goes behind those that wait at its processor, and lets them run.
    ///
    /// Inlined into its caller, as `park` is: the processor predicts a return by the call it
    /// remembers last, which after a switch is the machine's call of the goroutine. Each return
    /// between the switch and the user's code is mispredicted, at 5 ns.
    #[inline(always)]
    pub(crate) fn yield_now(self) {
        unsafe fn run(_: NonNull<Action>, m: &M, g: NonNull<G>) -> Next {
            // SAFETY: it has left its stack, and nobody else knows of it: we own it.
            m.yielded(unsafe { Runnable::from_g(g) });
            Next::Schedule
        }
        let action = Action { run };
        // SAFETY: `run` queues the goroutine.
        unsafe { self.suspend(NonNull::from(&action)) };
    }

    /// Goes behind those that wait at its processor, if they are few and take a short time. Whether it
    /// did. Inlined, as `yield_now` is.
    #[inline(always)]
    pub(crate) fn yield_to_few(self) -> bool {
        if self.is_bound() {
            return false;
        }
        if self.machine().few_wait() {
            self.yield_now();
            return true;
        }
        self.attend();
        false
    }

    /// At the end of a call into the runtime, when nothing of the caller is half done: if the
    /// machine has lost its processor it wins one back, or else the goroutine queues up for one; if
    /// the goroutine has had its time slice, it lets others run.
    #[inline(always)]
    pub(crate) fn attend(self) {
        if self.machine().needs_attention() {
            self.attend_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn attend_slow(self) {
        unsafe fn requeue(_: NonNull<Action>, m: &M, g: NonNull<G>) -> Next {
            // SAFETY: it has left its stack, and nobody else knows of it: we own it.
            m.requeued(unsafe { Runnable::from_g(g) });
            Next::Schedule
        }
        let stays = self.must_stay();
        let m = self.machine();
        if m.enter() {
            if stays {
                m.leave();
            } else {
                self.yield_now();
            }
            return;
        }
        if m.regain_p() {
            // At the limit of threads the processor lay idle with its work: that comes first.
            if stays || !self.sched().work_visible() {
                m.leave();
            } else {
                self.yield_now();
            }
            return;
        }
        if stays {
            return;
        }
        let action = Action { run: requeue };
        // SAFETY: `requeue` queues the goroutine.
        unsafe { self.suspend(NonNull::from(&action)) };
    }

    /// `Wait::park` for a goroutine.
    #[inline(always)]
    pub(crate) fn park<F>(self, why: Why, deadline: Option<Instant>, publish: F) -> Outcome
    where
        F: FnOnce() -> Publish,
    {
        let g = self.block();
        g.reason.store(why.reason as u8 + 1, Ordering::Relaxed);
        g.object.store(why.object, Ordering::Relaxed);
        g.since.store(clock::lately(), Ordering::Relaxed);
        let mut frame = ParkFrame {
            action: Action {
                run: ParkFrame::<F>::run,
            },
            publish: ManuallyDrop::new(publish),
            deadline: deadline.map(clock::nanos_of),
            timer: None,
        };
        // SAFETY: `ParkFrame::run` expects a `ParkFrame<F>` whose first field is the action; the
        // pointer is made from the whole frame. It opens a wait that a waker or timer will claim.
        unsafe { self.suspend(NonNull::from(&mut frame).cast()) };
        let outcome = g.header.word.outcome();
        if deadline.is_some()
            && let Some(timer) = frame.timer
            && outcome != Outcome::TimedOut
        {
            self.sched().cancel_timer(timer);
        }
        outcome
    }
}

/// The part of a parking goroutine's frame that the machine reads.
#[repr(C)]
struct ParkFrame<F> {
    action: Action,
    publish: ManuallyDrop<F>,
    /// Nanoseconds of the runtime's clock.
    deadline: Option<u64>,
    /// Set by the machine before the timer can fire.
    timer: Option<TimerKey>,
}

impl<F: FnOnce() -> Publish> ParkFrame<F> {
    /// Opens the wait and publishes it.
    unsafe fn run(action: NonNull<Action>, m: &M, ptr: NonNull<G>) -> Next {
        let frame = action.cast::<ParkFrame<F>>().as_ptr();
        // SAFETY: control blocks are never unmapped.
        let g = unsafe { ptr.as_ref() };
        // Everything is taken out of the frame before the wait is open: from then on somebody may
        // resume the goroutine, whose frame is its own again.
        // SAFETY: the frame lies on the suspended stack, which we own; `publish` is moved out once.
        let publish = unsafe { ManuallyDrop::take(&mut (*frame).publish) };
        // SAFETY: as above.
        let deadline = unsafe { (*frame).deadline };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*frame).timer };
        let number = g.header.word.open();
        if let Some(deadline) = deadline {
            // SAFETY: nothing is published yet, so the goroutine is at rest and its frame in place.
            unsafe { add_timer(m, deadline, Ticket::new(ptr.cast(), number), place) };
        }
        if publish() == Publish::Withdrawn && g.header.word.claim(number, Outcome::Ready) {
            return Next::Resume;
        }
        Next::Schedule
    }
}

/// Adds a timer for a wait and leaves its key at `place`. Not inlined, so that a park without a deadline
/// needs no registers for it.
///
/// # Safety
/// The place may be written until the timer can fire.
#[inline(never)]
unsafe fn add_timer(m: &M, deadline: u64, ticket: Ticket, place: *mut Option<TimerKey>) {
    m.add_timer(deadline, ticket, |key| {
        // SAFETY: this is under the timer lock, before the timer can fire.
        unsafe { place.write(Some(key)) }
    });
}

/// The stack pointer of the caller.
#[inline(always)]
fn stack_pointer() -> usize {
    let sp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let local = 0_u8;
        sp = std::hint::black_box(&raw const local).addr();
    }
    sp
}
