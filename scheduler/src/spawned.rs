//! What a spawn makes: the closure, then the result, and what handles know of the goroutine.
//!
//! A goroutine that was spawned is a piece of memory of some 150 bytes in a run queue. It gets a
//! stack when it first runs ([`Runnable::bear`](crate::g::Runnable)): so a thousand that were
//! started at once and do not wait use one warm stack after the other, not a thousand cold ones,
//! and a million that have not begun are small.
//!
//! # Invariants
//!
//! 1. `Header` is the first part of `Whole`, and a pointer to it is a pointer to the whole.
//! 2. The body holds the closure until the goroutine takes it, and the result from its end on; who
//!    may touch that is settled by `life` (invariant 2 there).
//! 3. `place` is null until the goroutine has a stack, then its control block. `EARLY` in between:
//!    it was unparked before it had one. Only the goroutine's machine leaves `EARLY`.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::arena::{Slot, StackClass};
use crate::g::{Current, G};
use crate::life::Life;
use crate::records;
use crate::sched::Sched;
use crate::scope::ScopePointer;
use crate::wait::{Outcome, Reason, Ticket, Why};

/// What a goroutine gives back: its value, or the payload of its panic.
pub(crate) type Result<T> = std::thread::Result<T>;

/// The part that does not depend on the types of closure and result.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) life: Life<Ticket>,
    kind: &'static Kind,
    /// The scheduler it belongs to, alive while the goroutine is.
    pub(crate) sched: *const Sched,
    pub(crate) id: u64,
    pub(crate) at: &'static Location<'static>,
    pub(crate) name: Option<Arc<str>>,
    /// The scope to leave at the end, and to tell about a panic that nobody has joined.
    scope: Option<ScopePointer>,
    place: AtomicPtr<G>,
    /// Its stack, if it got one when it was spawned.
    slot: Cell<Option<Slot>>,
    pub(crate) class: StackClass,
}

impl Header {
    /// Tells the scope of a panic that nobody has joined, if this is one.
    fn note_panic<T>(&self, result: &Option<Result<T>>) {
        if let (Some(scope), Some(Err(_))) = (&self.scope, result) {
            // SAFETY: whoever may touch the result is within the scope.
            unsafe { scope.data() }.note_panic();
        }
    }
}

/// What depends on them.
struct Kind {
    /// Runs the closure and leaves the result. To be called once, on the goroutine's stack.
    run: unsafe fn(NonNull<Header>),
    /// The place of the result: an `Option<Result<T>>`.
    result: unsafe fn(NonNull<Header>) -> NonNull<()>,
    /// Frees the memory.
    free: unsafe fn(NonNull<Header>),
}

#[repr(C)]
struct Whole<F, T> {
    header: Header,
    body: UnsafeCell<Body<F, T>>,
}

#[repr(C)]
union Body<F, T> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<Option<Result<T>>>,
}

/// `Header::place` of a goroutine that was unparked before it had a stack.
const EARLY: *mut G = std::ptr::without_provenance_mut(1);

/// How a goroutine is to be.
pub(crate) struct Plan {
    pub(crate) sched: *const Sched,
    pub(crate) id: u64,
    pub(crate) at: &'static Location<'static>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) scope: Option<ScopePointer>,
    pub(crate) class: StackClass,
    pub(crate) slot: Option<Slot>,
}

/// Makes the memory of a goroutine: two holds, one for the [`Newborn`] and one for the [`Packet`].
///
/// # Safety
/// What `f` borrows stays valid until it has returned, or for ever; so does `T`.
#[inline]
pub(crate) unsafe fn prepare<F, T>(plan: Plan, f: F) -> (Newborn, Packet<T>)
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let whole = records::allocate::<Whole<F, T>>();
    let value = Whole {
        header: Header {
            life: Life::new(),
            kind: &const {
                Kind {
                    run: run::<F, T>,
                    result: result::<F, T>,
                    free: free::<F, T>,
                }
            },
            sched: plan.sched,
            id: plan.id,
            at: plan.at,
            name: plan.name,
            scope: plan.scope,
            place: AtomicPtr::new(std::ptr::null_mut()),
            slot: Cell::new(plan.slot),
            class: plan.class,
        },
        body: UnsafeCell::new(Body {
            closure: ManuallyDrop::new(f),
        }),
    };
    // SAFETY: memory for one, and nobody else's.
    unsafe { whole.write(value) };
    let header = whole.cast::<Header>();
    (Newborn(header), Packet(header, PhantomData))
}

/// A goroutine that was spawned and has not run: the right to run it, and its hold.
pub(crate) struct Newborn(NonNull<Header>);

impl Newborn {
    /// Gives the right up as a bare pointer.
    #[inline]
    pub(crate) fn into_header(self) -> NonNull<Header> {
        self.0
    }

    /// # Safety
    /// The pointer is from `into_header`, and this is called once for it.
    #[inline]
    pub(crate) unsafe fn from_header(header: NonNull<Header>) -> Newborn {
        Newborn(header)
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: it has a hold.
        unsafe { self.0.as_ref() }
    }

    /// The stack that it was given when it was spawned.
    #[inline]
    pub(crate) fn take_slot(&self) -> Option<Slot> {
        self.header().slot.take()
    }

    /// It has a stack now, and an empty token in it.
    #[inline]
    pub(crate) fn settle(&self, g: NonNull<G>) {
        let header = self.header();
        // Release: who finds the place sees the control block. Acquire: what was done before an early
        // `unpark` is visible to the goroutine.
        if header.place.swap(g.as_ptr(), Ordering::AcqRel) == EARLY {
            // SAFETY: control blocks are never unmapped.
            let nobody = unsafe { g.as_ref() }.park_token.notify(header.id);
            debug_assert!(nobody.is_none(), "it has not parked yet");
        }
    }

    /// Runs it, to its very end: its hold is gone then. On its own stack.
    ///
    /// # Safety
    /// The caller is the goroutine.
    #[inline]
    pub(crate) unsafe fn run(self) {
        // SAFETY: the caller's promise; the right is given up here.
        unsafe { (self.header().kind.run)(self.0) };
    }
}

/// Runs the closure of a goroutine, leaves its result, and tells whoever waits.
///
/// # Safety
/// `header` begins a `Whole<F, T>` whose closure was not run, and the caller is its goroutine.
unsafe fn run<F, T>(header: NonNull<Header>)
where
    F: FnOnce() -> T,
{
    let whole = header.cast::<Whole<F, T>>();
    // SAFETY: the goroutine has a hold until `finish`.
    let whole = unsafe { whole.as_ref() };
    let body = whole.body.get();
    // SAFETY: the body holds the closure, and this happens once (invariant 2).
    let f = unsafe { ManuallyDrop::take(&mut (*body).closure) };
    let result: Result<T> = catch_unwind(AssertUnwindSafe(f));
    // A destructor that panics has been reported by the panic hook, and changes nothing else.
    destroy_locals();
    let filled = Body {
        result: ManuallyDrop::new(Some(result)),
    };
    // SAFETY: the body is empty, and the goroutine's until `finish`.
    unsafe { body.write(filled) };
    let scope = whole.header.scope;
    let ended = whole.header.life.finish(|| {
        // SAFETY: nobody wants it: it is the goroutine's still.
        let result = unsafe { take::<T>(header) };
        whole.header.note_panic(&result);
        // That may panic. It has been reported by the panic hook, and concerns nobody else.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            // Its own destructor might panic again.
            std::mem::forget(payload);
        }
        // It may have used goroutine-local values again, and the slot must go on without them.
        destroy_locals();
    });
    if ended.last {
        // SAFETY: nobody else has a hold.
        unsafe { free::<F, T>(header) };
    }
    if let Some(ticket) = ended.waiter
        && let Some(parked) = ticket.claim(Outcome::Ready)
    {
        // The runtime may end as soon as this is known: nothing may stop us before our end.
        parked.ready_first();
    }
    // Last of all: the scope may end now, and with it what the goroutine borrowed.
    if let Some(scope) = scope {
        // SAFETY: it does not end before the goroutine has left it.
        unsafe { scope.data() }.leave();
    }
}

/// # Safety
/// `header` begins a `Whole<F, T>`.
unsafe fn result<F, T>(header: NonNull<Header>) -> NonNull<()> {
    let whole = header.cast::<Whole<F, T>>().as_ptr();
    // SAFETY: a place in the same memory.
    let body = unsafe { &raw mut (*whole).body };
    // SAFETY: it is not null. The body of a union begins where the union does.
    unsafe { NonNull::new_unchecked(body) }.cast()
}

/// Frees what `prepare` has made. Closure and result were taken, or are leaked.
///
/// # Safety
/// `header` begins a `Whole<F, T>`, and nobody has a hold.
unsafe fn free<F, T>(header: NonNull<Header>) {
    // SAFETY: nobody has a hold, so it is the caller's.
    unsafe { header.drop_in_place() };
    // SAFETY: made by `prepare`; what is left has been taken or is leaked.
    unsafe { records::free(header.cast::<Whole<F, T>>()) };
}

/// Takes the result, if it was not taken. A panic that nobody joins is noted in the scope.
///
/// # Safety
/// The result is there, it is a `T`, and the caller's (invariant 2).
unsafe fn take<T>(header: NonNull<Header>) -> Option<Result<T>> {
    // SAFETY: the caller has a hold, or is the goroutine.
    let kind = unsafe { header.as_ref() }.kind;
    // SAFETY: made by the same call as `kind`.
    let place = unsafe { (kind.result)(header) }.cast::<Option<Result<T>>>();
    // SAFETY: the caller's promise.
    unsafe { &mut *place.as_ptr() }.take()
}

/// Destroys the goroutine-local values of the current goroutine.
#[inline]
fn destroy_locals() {
    if let Some(here) = Current::get() {
        // SAFETY: the caller is the goroutine itself.
        unsafe { here.block().destroy_locals() };
    }
}

/// The handle's end: the one right to wait for the goroutine and to take its result.
pub(crate) struct Packet<T>(NonNull<Header>, PhantomData<T>);

impl<T> Packet<T> {
    fn header(&self) -> &Header {
        // SAFETY: it has a hold.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.header().life.is_done()
    }

    /// Waits for the result.
    pub(crate) fn wait(&self, reason: Reason) {
        let life = &self.header().life;
        crate::spawn::wait_for(life, Why::on(reason, life));
    }

    /// After [`wait`](Self::wait): takes the result.
    pub(crate) fn take(&self) -> Option<Result<T>> {
        debug_assert!(self.is_done(), "the result is not there yet");
        // SAFETY: the goroutine has ended while this handle was there, so the result is its.
        unsafe { take(self.0) }
    }

    /// A name of the goroutine that lives as long as this handle does.
    pub(crate) fn name(&self) -> ManuallyDrop<Name> {
        ManuallyDrop::new(Name(self.0))
    }
}

impl<T> Drop for Packet<T> {
    #[inline]
    fn drop(&mut self) {
        let mut left = None;
        let last = self.header().life.drop_handle(|| {
            // SAFETY: it is there, and the handle's.
            left = unsafe { take::<T>(self.0) };
            self.header().note_panic(&left);
        });
        if last {
            // SAFETY: nobody else has a hold.
            unsafe { (self.header().kind.free)(self.0) };
        }
        // Last, for it may panic.
        drop(left);
    }
}

/// A name of a goroutine: keeps what is known of it, not the goroutine and not its result.
pub(crate) struct Name(NonNull<Header>);

// SAFETY: of the header, only what is constant and what is atomic is touched.
unsafe impl Send for Name {}
// SAFETY: as above.
unsafe impl Sync for Name {}

impl Name {
    /// A name of the goroutine that runs with this header.
    ///
    /// # Safety
    /// The caller is that goroutine.
    pub(crate) unsafe fn of(header: NonNull<Header>) -> Name {
        // SAFETY: the goroutine has a hold.
        unsafe { header.as_ref() }.life.hold();
        Name(header)
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: it has a hold.
        unsafe { self.0.as_ref() }
    }

    /// Where the goroutine lives, or lived. If it has no place yet, notes that it was unparked.
    pub(crate) fn place_to_unpark(&self) -> Option<NonNull<G>> {
        let place = &self.header().place;
        // Acquire: the control block is there.
        let mut now = place.load(Ordering::Acquire);
        while now.is_null() || now == EARLY {
            // Also from EARLY: what this caller did must be visible to the goroutine.
            match place.compare_exchange(now, EARLY, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return None,
                Err(other) => now = other,
            }
        }
        NonNull::new(now)
    }
}

impl Clone for Name {
    fn clone(&self) -> Self {
        self.header().life.hold();
        Name(self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.header().life.drop_hold() {
            // SAFETY: nobody else has a hold.
            unsafe { (self.header().kind.free)(self.0) };
        }
    }
}
