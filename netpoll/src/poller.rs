//! The poller: epoll, by way of mio, as the scheduler's event source.
//!
//! Descriptors are registered edge-triggered, once, for both directions, at the first system call
//! of a goroutine that would block; an event moves the slots of the descriptor's record, and the
//! goroutines that were claimed leave the poll as one list.
//!
//! The registry, the free records and the instance of epoll belong to a *shard*. A descriptor's number
//! says which shard it is in; tokens and records do not ask how many there are. With one shard, as
//! most machines have it, a poll is one `epoll_wait`. With several, a poll that does not wait looks at
//! them from a random one on, until it has found something; one that waits looks at all, and if there
//! is nothing sleeps in `poll(2)` on the shards' own descriptors, holding no driver.
//!
//! # Invariants
//!
//! 1. The lock of a shard's driver is held by whoever is in `epoll_wait`. A waiting poll may hold
//!    it for long, if there is one shard; so a poll with [`Wait::Now`] only tries, and leaves the
//!    events to the waiting one, which the kernel wakes.
//! 2. `interrupted` is set by `interrupt`, before it wakes, and cleared only by a poll that may wait,
//!    which then returns without waiting. The waker's event alone ends a wait, but proves nothing: a
//!    poll with `Wait::Now` may take it in passing. The bell is silenced by polls that may wait alone,
//!    before they look at the flag.
//! 3. An event for a record of another generation has no effect, though it be in the same batch as
//!    the events during whose handling the descriptor was closed.

use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use marmot_scheduler::event::{EventSource, ReadyList, Wait};
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token, Waker};

use crate::record::{self, Direction, Record, Stock};
use crate::slot::{Epoch, Found, Slot};
use crate::sys;
use crate::timer::Timer;
use crate::waiter::{Claimed, Waiter, wake};

/// No packed token of a record is as large as these.
const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Events per system call.
const BATCH: usize = 1024;

/// The event source of a runtime that does network I/O.
///
/// ```
/// use marmot_netpoll::Poller;
/// use marmot_scheduler::event::{EventSource, ReadyList, Wait};
/// use std::time::{Duration, Instant};
///
/// let poller = Poller::new()?;
/// let at = Instant::now() + Duration::from_millis(1);
/// poller.poll(Wait::Until(at), &mut ReadyList::new())?;
/// assert!(Instant::now() >= at);
/// # std::io::Result::Ok(())
/// ```
pub struct Poller {
    shared: Arc<Shared>,
}

/// What registrations refer to, weakly: sockets outlive their runtime.
pub(crate) struct Shared {
    /// Never empty.
    shards: Box<[Shard]>,
    /// See invariant 2.
    interrupted: CachePadded<AtomicBool>,
    alarm: Alarm,
}

/// What ends a poll that waits.
enum Alarm {
    /// Where there is one shard: registered there.
    Waker(Waker),
    /// Where there are several: by itself. A poll that does not wait would take a waker's event in
    /// passing, which is safe only if the one that waits keeps it out by the driver's lock.
    Bell(OwnedFd),
}

/// Processors per shard.
const PROCESSORS: usize = 8;
/// More would make a poll of all of them dear.
const MAX_SHARDS: usize = 16;

impl Poller {
    /// A poller with a shard for each eight processors that this process may use, at least one and
    /// at most 16.
    ///
    /// # Errors
    /// Those of the operating system, out of descriptors above all: a poller takes two per shard, and
    /// one or two.
    pub fn new() -> io::Result<Poller> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shards = (processors / PROCESSORS).clamp(1, MAX_SHARDS);
        Self::with_shards(NonZeroUsize::new(shards).unwrap_or(NonZeroUsize::MIN))
    }

    /// A poller with so many shards, at most 16.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use marmot_netpoll::Poller;
    /// use marmot_scheduler::event::EventSource;
    ///
    /// let poller = Poller::with_shards(std::num::NonZeroUsize::new(2).unwrap())?;
    /// assert!(!poller.has_waiters());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn with_shards(shards: NonZeroUsize) -> io::Result<Poller> {
        let len = shards.get().min(MAX_SHARDS);
        let shards = (0..len)
            .map(|_| Shard::new(len == 1))
            .collect::<io::Result<Box<[Shard]>>>()?;
        let alarm = match &*shards {
            [only] => Alarm::Waker(Waker::new(&only.registry, WAKER)?),
            _ => Alarm::Bell(sys::event()?),
        };
        Ok(Poller {
            shared: Arc::new(Shared {
                shards,
                interrupted: CachePadded::new(AtomicBool::new(false)),
                alarm,
            }),
        })
    }

    /// Calls `f` with the poller of the runtime that the current goroutine belongs to, or `None` on
    /// a plain thread and in a runtime that was built with another event source.
    ///
    /// `f` may park: a runtime's event source outlives its goroutines.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Poller>) -> R) -> R {
        let mut f = Some(f);
        let on_goroutine = marmot_scheduler::with_event_source(|source| {
            let source: &dyn Any = &**source;
            f.take().map(|f| f(source.downcast_ref()))
        });
        match (on_goroutine.flatten(), f) {
            (Some(done), _) => done,
            (None, Some(f)) => f(None),
            (None, None) => unreachable!("`f` was called, and its result is there"),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl EventSource for Poller {
    #[inline]
    fn has_waiters(&self) -> bool {
        // Relaxed: a hint. Who must not miss a waiter has been told of its park.
        let mut shards = self.shared.shards.iter();
        shards.any(|shard| shard.waiters.load(Ordering::Relaxed) != 0)
    }

    fn poll(&self, wait: Wait, ready: &mut ReadyList) -> io::Result<()> {
        match &self.shared.alarm {
            Alarm::Waker(_) => self.shared.poll_only(&self.shared.shards[0], wait, ready),
            Alarm::Bell(bell) => self.shared.poll_all(bell.as_fd(), wait, ready),
        }
    }

    fn interrupt(&self) {
        // Release: what the caller did before is seen by the poll that clears the flag. While the
        // flag is up there is nothing left to do: whoever set it wakes the poller.
        if !self.shared.interrupted.swap(true, Ordering::AcqRel) {
            match &self.shared.alarm {
                Alarm::Waker(waker) => waker
                    .wake()
                    .expect("adding one to an eventfd of our own cannot fail"),
                Alarm::Bell(bell) => sys::signal_event(bell.as_fd()),
            }
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("has_waiters", &self.has_waiters())
            .field("shards", &self.shared.shards.len())
            .finish()
    }
}

impl Shared {
    /// Clears a pending interrupt; whether there was one.
    fn take_interrupt(&self) -> bool {
        // The load first: most polls find nothing, and need not take the line from the others.
        self.interrupted.load(Ordering::Acquire) && self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// A poll where there is one shard.
    fn poll_only(&self, shard: &Shard, wait: Wait, ready: &mut ReadyList) -> io::Result<()> {
        let Some(mut driver) = shard.lock(wait) else {
            return Ok(());
        };
        loop {
            let timeout = match wait {
                Wait::Now => Some(Duration::ZERO),
                _ if self.take_interrupt() => Some(Duration::ZERO),
                Wait::Forever => None,
                Wait::Until(at) => driver.timeout(at)?,
            };
            let woken = match driver.collect(timeout, ready) {
                Ok(woken) => woken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                Err(error) => return Err(error),
            };
            if !driver.wakers.is_empty() {
                // Not under the lock. What they have set going need not come by us, so this is the
                // end of the wait.
                let wakers = std::mem::take(&mut driver.wakers);
                drop(driver);
                wakers.into_iter().for_each(wake);
                return Ok(());
            }
            let interrupted = wait != Wait::Now && woken && self.take_interrupt();
            if timeout.is_some() || interrupted || !ready.is_empty() {
                return Ok(());
            }
            if matches!(wait, Wait::Until(at) if at <= Instant::now()) {
                return Ok(());
            }
            // It was an event nobody waits for, or the timer of an earlier wait: go on.
        }
    }

    /// A poll where there are several.
    fn poll_all(&self, bell: BorrowedFd<'_>, wait: Wait, ready: &mut ReadyList) -> io::Result<()> {
        let shards = &self.shards;
        let first = marmot_scheduler::random::next_u32() as usize % shards.len();
        loop {
            let interrupted = wait != Wait::Now && self.take_interrupt();
            for i in 0..shards.len() {
                let shard = &shards[(first + i) % shards.len()];
                // Held by others for as long as they collect; what they find is not lost.
                let Some(mut driver) = shard.lock(Wait::Now) else {
                    continue;
                };
                match driver.collect(Some(Duration::ZERO), ready) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
                if !driver.wakers.is_empty() {
                    let wakers = std::mem::take(&mut driver.wakers);
                    drop(driver);
                    wakers.into_iter().for_each(wake);
                    return Ok(());
                }
                if wait == Wait::Now && !ready.is_empty() {
                    return Ok(());
                }
            }
            let over = match wait {
                Wait::Now => true,
                Wait::Forever => false,
                Wait::Until(at) => at <= Instant::now(),
            };
            if over || interrupted || !ready.is_empty() {
                return Ok(());
            }
            let left = match wait {
                Wait::Until(at) => Some(at.saturating_duration_since(Instant::now())),
                _ => None,
            };
            let ask = |fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            let mut fds = [ask(-1); MAX_SHARDS + 1];
            for (place, shard) in fds[1..].iter_mut().zip(shards.iter()) {
                *place = ask(shard.registry.as_raw_fd());
            }
            fds[0] = ask(bell.as_raw_fd());
            sys::poll(&mut fds[..=shards.len()], left)?;
            if fds[0].revents != 0 {
                sys::drain_event(bell);
            }
        }
    }

    fn shard_of(&self, fd: RawFd) -> usize {
        // No division where there is but one.
        match self.shards.len() {
            1 => 0,
            n => fd.unsigned_abs() as usize % n,
        }
    }

    /// Counts a goroutine as waiting for this descriptor, for as long as the guard lives.
    #[inline]
    pub(crate) fn enter(&self, fd: RawFd) -> Waiting<'_> {
        let waiters = &*self.shards[self.shard_of(fd)].waiters;
        waiters.fetch_add(1, Ordering::Relaxed);
        Waiting(waiters)
    }

    /// The same for a future, whose entry owns the guard.
    pub(crate) fn enter_owned(self: &Arc<Self>, fd: RawFd) -> OwnedWaiting {
        let shard = self.shard_of(fd);
        self.shards[shard].waiters.fetch_add(1, Ordering::Relaxed);
        OwnedWaiting {
            shared: Arc::downgrade(self),
            shard,
        }
    }

    /// Registers a descriptor, for both directions and all of its life. The epoch, of the slot for
    /// `direction`, is older than anything the kernel may report: if the descriptor is ready now,
    /// an event will say so.
    ///
    /// # Errors
    /// `EPERM` for what cannot be polled, such as a regular file; `ENOSPC` and `ENOMEM`.
    pub(crate) fn register(
        self: &Arc<Self>,
        fd: RawFd,
        direction: Direction,
    ) -> io::Result<(Membership, Epoch)> {
        let shard = self.shard_of(fd);
        let record = self.shards[shard].records.take();
        let membership = Membership {
            shared: Arc::downgrade(self),
            shard,
            record,
            fd,
        };
        let seen = record.slot(direction).epoch();
        self.shards[shard].register(fd, record)?;
        Ok((membership, seen))
    }
}

/// A goroutine that counts as waiting.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// The lock of a driver may be poisoned, and is then used nevertheless; the rest is atomic.
impl std::panic::UnwindSafe for Shared {}
impl std::panic::RefUnwindSafe for Shared {}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A future that counts as waiting. It may outlive the poller.
#[derive(Debug)]
pub(crate) struct OwnedWaiting {
    shared: Weak<Shared>,
    shard: usize,
}

impl Drop for OwnedWaiting {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.shards[self.shard]
                .waiters
                .fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A descriptor's membership in one shard. Dropping it ends the membership; the descriptor must
/// still be open then.
#[derive(Debug)]
pub(crate) struct Membership {
    shared: Weak<Shared>,
    shard: usize,
    record: &'static Record,
    fd: RawFd,
}

impl Membership {
    #[inline]
    pub(crate) fn record(&self) -> &'static Record {
        self.record
    }

    /// Whether it is with this poller. The memory of a poller that is gone is not used again while
    /// a `Weak` points there.
    #[inline]
    pub(crate) fn is_with(&self, shared: &Arc<Shared>) -> bool {
        std::ptr::eq(self.shared.as_ptr(), Arc::as_ptr(shared))
    }

    /// Whether the poller still exists.
    pub(crate) fn is_alive(&self) -> bool {
        self.shared.strong_count() != 0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        match self.shared.upgrade() {
            Some(shared) => shared.shards[self.shard].deregister(self.fd, self.record),
            None => record::give_back_to_all(self.record),
        }
    }
}

/// One instance of epoll, with what belongs to it.
struct Shard {
    /// See invariant 1.
    driver: Mutex<Driver>,
    /// For registering while another thread polls.
    registry: Registry,
    /// Goroutines that are parked here, or about to park, or just woken. Written by each of them.
    waiters: CachePadded<AtomicUsize>,
    records: Stock,
}

/// What a poll needs for itself.
struct Driver {
    poll: mio::Poll,
    /// Kept for its memory; empty between polls.
    events: Events,
    /// Events that have been counted and are still to be answered. Empty whenever the lock is free.
    found: Vec<(&'static Slot<Waiter>, Found<Waiter>)>,
    /// Of futures whose event was just collected. Empty whenever the lock is free.
    wakers: Vec<std::task::Waker>,
    /// Only where there is one shard.
    timer: Option<Timer>,
}

impl Shard {
    fn new(is_only: bool) -> io::Result<Shard> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let timer = match is_only {
            true => Some(Timer::new(&registry, TIMER)?),
            false => None,
        };
        Ok(Shard {
            driver: Mutex::new(Driver {
                poll,
                events: Events::with_capacity(BATCH),
                found: Vec::new(),
                wakers: Vec::new(),
                timer,
            }),
            registry,
            waiters: CachePadded::new(AtomicUsize::new(0)),
            records: Stock::default(),
        })
    }

    fn register(&self, fd: RawFd, record: &'static Record) -> io::Result<()> {
        self.registry.register(
            &mut SourceFd(&fd),
            Token(record.token()),
            // Priority for the sake of `dry.rs`; it would not be reported with the others.
            Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY,
        )
    }

    fn deregister(&self, fd: RawFd, record: &'static Record) {
        // Needed although the descriptor is about to be closed: a duplicate somewhere would keep
        // the registration alive, and its events coming. It fails only for what is not registered:
        // then the registration itself has failed.
        let _ = self.registry.deregister(&mut SourceFd(&fd));
        self.records.give_back(record);
    }

    fn lock(&self, wait: Wait) -> Option<MutexGuard<'_, Driver>> {
        if wait != Wait::Now {
            // Held up only by polls with `Wait::Now`.
            return Some(self.driver.lock().unwrap_or_else(|e| e.into_inner()));
        }
        match self.driver.try_lock() {
            Ok(driver) => Some(driver),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Driver {
    /// The timeout for a wait until `at`.
    fn timeout(&mut self, at: Instant) -> io::Result<Option<Duration>> {
        match &mut self.timer {
            Some(timer) => timer.timeout(at),
            None => Ok(Some(at.saturating_duration_since(Instant::now()))),
        }
    }

    /// One `epoll_wait`; whether the waker was among the events.
    ///
    /// First all events are counted, then all waiters claimed. Each record and each waiter lies
    /// somewhere else, in no near cache if there are many, on a page whose translation is not at hand
    /// either; the processor looks for several side by side if nothing else comes between.
    fn collect(&mut self, timeout: Option<Duration>, ready: &mut ReadyList) -> io::Result<bool> {
        self.poll.poll(&mut self.events, timeout)?;
        for event in &self.events {
            record::Token::prefetch(event.token().0);
        }
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKER => woken = true,
                TIMER => {
                    if let Some(timer) = &mut self.timer {
                        timer.fired();
                    }
                }
                Token(token) => {
                    let Some((record, generation)) = record::Token::resolve(token) else {
                        continue;
                    };
                    let ended = event.is_error() || event.is_read_closed();
                    if ended || event.is_priority() {
                        record.dry().never();
                    }
                    if event.is_readable() || ended {
                        count(record.slot(Direction::Read), generation, &mut self.found);
                    }
                    if event.is_writable() || event.is_error() || event.is_write_closed() {
                        count(record.slot(Direction::Write), generation, &mut self.found);
                    }
                }
            }
        }
        for (_, found) in &self.found {
            if let Some(Waiter::Task(ticket)) = &found.first {
                ticket.prefetch();
            }
        }
        for (slot, found) in self.found.drain(..) {
            match slot.answer(found, Waiter::claim) {
                Some(Claimed::Task(parked)) => ready.push(parked),
                Some(Claimed::Future(waker)) => self.wakers.push(waker),
                None => {}
            }
        }
        Ok(woken)
    }
}

/// Counts an event, and notes whom it may wake.
#[inline]
fn count(
    slot: &'static Slot<Waiter>,
    generation: u32,
    found: &mut Vec<(&'static Slot<Waiter>, Found<Waiter>)>,
) {
    if let Some(waiters) = slot.count(generation) {
        found.push((slot, waiters));
    }
}
