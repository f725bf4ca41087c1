//! The pollable descriptor: a non-blocking descriptor, and the loop that makes it block its task.
//!
//! Every blocking call is the same loop: look at the slot, look at the deadline, try the system call;
//! if it would block, wait, and begin again. What finds data makes one system call and touches no
//! lock, no clock and no shared line that somebody else writes to but the slot's, which it reads.
//!
//! # Invariants
//!
//! 1. The slot is looked at before the system call, and the deadline after the look. So an event
//!    that comes after the system call, and a deadline that is moved after it was read, both move
//!    the slot, and the task does not park.
//! 2. A task that was woken passes the event on, unless its system call would block again, or fails
//!    in a way that will be the next one's too.
//! 3. Memberships end before the descriptor is closed (order of the fields).
//!
//! # Where no event comes
//!
//! The kernel says nothing when the queue of a datagram's receiver has room again, or when the process
//! has a descriptor to spare. There the task pauses, for a time that doubles from one attempt to the
//! next ([`Manner::pauses`]). It does not stand in the slot meanwhile. A send that fails so frees the
//! buffer that it had taken, and that is an event: those who waited for it would never rest.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marmot_scheduler::wait::{Outcome, Publish, Reason, Wait, Why};

use crate::blocked::{Blocked, Entered};
use crate::limits::{Limits, Passed};
use crate::members::{Look, Members};
use crate::poller::Poller;
use crate::record::{Direction, Record};
use crate::slot::Registered;
use crate::sys;
use crate::waiter::Waiter;

/// A descriptor whose operations make the calling task wait: a goroutine parks in the poller of its
/// runtime, a plain thread blocks in `poll(2)`. Sockets, pipes and the like are thin wrappers of it.
///
/// The descriptor is registered with a poller at the first operation of a goroutine that would
/// block. It may outlive that runtime, be used from goroutines of several runtimes and from plain
/// threads, and any number of tasks may wait for it at once. In a runtime whose event source is not
/// a [`Poller`] a goroutine blocks its thread as a plain thread does.
///
/// ```
/// use marmot_netpoll::Pollable;
/// use std::io::{self, Read, Write};
///
/// let (reader, mut writer) = io::pipe()?;
/// let reader = Pollable::new(reader)?;
/// writer.write_all(b"hello")?;
/// let mut buf = [0; 16];
/// let n = reader.read_with(|mut pipe| pipe.read(&mut buf))?;
/// assert_eq!(&buf[..n], b"hello");
/// # io::Result::Ok(())
/// ```
pub struct Pollable<T: AsFd> {
    /// Before `io`: see invariant 3.
    pub(crate) members: Members,
    /// Tasks that wait outside any poller.
    blocked: Blocked,
    read: Limits,
    write: Limits,
    /// Whether the user wants `WouldBlock` instead of waiting. Relaxed: as racy as the flag that it
    /// stands for.
    nonblocking: AtomicBool,
    /// Whether a duplicate has left, and with it the say over `O_NONBLOCK`, which belongs to the
    /// open file and not to the descriptor. Set before it leaves; never cleared.
    has_left: AtomicBool,
    io: T,
}

impl<T: AsFd> Pollable<T> {
    /// Takes a descriptor and makes it non-blocking.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn new(io: T) -> io::Result<Self> {
        sys::set_nonblocking(io.as_fd(), true)?;
        Ok(Self::from_nonblocking(io))
    }

    /// Takes a descriptor that is non-blocking already, or whose operations never block.
    pub fn from_nonblocking(io: T) -> Self {
        Pollable {
            members: Members::default(),
            blocked: Blocked::default(),
            read: Limits::new(),
            write: Limits::new(),
            nonblocking: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            io,
        }
    }

    /// The object within.
    #[inline]
    pub fn get(&self) -> &T {
        &self.io
    }

    /// Gives the object back. Its descriptor is still non-blocking.
    pub fn into_inner(self) -> T {
        let Pollable { members, io, .. } = self;
        drop(members);
        io
    }

    /// Does an operation that takes data out, waiting while it says `WouldBlock`. It is repeated
    /// when a signal interrupts it.
    ///
    /// # Errors
    /// Those of the operation; `TimedOut` when the read deadline has passed, even if there is data;
    /// `WouldBlock` when the read timeout has, or in non-blocking mode; those of registering with
    /// the poller (`EPERM`, `ENOMEM`, `ENOSPC`).
    #[inline]
    pub fn read_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Manner::READ, |io, _| op(io))
    }

    /// `read_with` for a descriptor that may be a blocking one, because its mode is not ours to
    /// change: `op` is called only when the descriptor is ready. Should somebody else take what was
    /// there first, the thread blocks, while its processor goes elsewhere. What cannot be polled,
    /// such as a file, is ready always.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    ///
    /// ```
    /// use marmot_netpoll::Pollable;
    /// use std::io::{self, Read, Write};
    ///
    /// let (reader, mut writer) = io::pipe()?;
    /// // Still in blocking mode, for others who have it.
    /// let reader = Pollable::from_nonblocking(reader);
    /// writer.write_all(b"hello")?;
    /// let mut buf = [0; 16];
    /// let n = reader.read_ready_with(|mut pipe| pipe.read(&mut buf))?;
    /// assert_eq!(&buf[..n], b"hello");
    /// # io::Result::Ok(())
    /// ```
    pub fn read_ready_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.read_with(|io| match sys::is_readable(io.as_fd())? {
            true => marmot_scheduler::blocking(|| op(io)),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// `read_with` for an operation that takes up to `wanted` bytes out of a stream, and fewer only
    /// if there are no more.
    #[inline]
    pub(crate) fn receive_with(
        &self,
        wanted: usize,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.drain_with(wanted, |io| op(io).map(|n| (n, true)))
    }

    /// `receive_with` for an operation that also says whether the number of bytes proves anything.
    #[inline]
    pub(crate) fn drain_with(
        &self,
        wanted: usize,
        mut op: impl FnMut(&T) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        self.run(Manner::DRAIN, |io, look| {
            let (n, proves) = op(io)?;
            if 0 < n
                && n < wanted
                && proves
                && let Some(Look { record, seen }) = look
            {
                record.dry().mark(seen);
            }
            Ok(n)
        })
    }

    /// Does an operation that puts data in, waiting while it says `WouldBlock`.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with), with the limits of writing.
    #[inline]
    pub fn write_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.run(Manner::WRITE, |io, _| op(io))
    }

    /// Does an operation in the manner given.
    #[inline]
    pub(crate) fn do_with<R>(
        &self,
        manner: Manner,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run(manner, |io, _| op(io))
    }

    /// Whether operations give `WouldBlock` instead of waiting.
    pub fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// Makes later operations give `WouldBlock` instead of waiting, or wait again.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// A duplicate is about to leave: the descriptor may be made a blocking one at any time.
    pub(crate) fn set_left(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Whether the operations cannot rely on `O_NONBLOCK`.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Moves the read deadline. Operations that wait now go by the new one: a deadline in the past
    /// ends them. It stands until it is moved again.
    pub fn set_read_deadline(&self, at: Option<Instant>) {
        self.set_deadline(Direction::Read, at);
    }

    /// Moves the write deadline.
    pub fn set_write_deadline(&self, at: Option<Instant>) {
        self.set_deadline(Direction::Write, at);
    }

    /// The read deadline.
    pub fn read_deadline(&self) -> Option<Instant> {
        self.read.deadline()
    }

    /// The write deadline.
    pub fn write_deadline(&self) -> Option<Instant> {
        self.write.deadline()
    }

    /// How long each operation that reads may wait.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.read.timeout()
    }

    /// How long each operation that writes may wait.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.write.timeout()
    }

    /// Limits how long each later operation that reads may wait.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.read.set_timeout(timeout)
    }

    /// Limits how long each later operation that writes may wait.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.write.set_timeout(timeout)
    }

    pub(crate) fn limits(&self, direction: Direction) -> &Limits {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    fn set_deadline(&self, direction: Direction, at: Option<Instant>) {
        self.limits(direction).set_deadline(at);
        // Readied when no lock is held: readying may let other goroutines run first.
        let mut waiters = Vec::new();
        self.members.for_each(|record| {
            record
                .slot(direction)
                .notify_all(|waiter| waiters.extend(waiter.claim()));
        });
        for claimed in waiters {
            claimed.ready();
        }
        self.blocked.ring();
    }

    /// Does `op`, which is given the look that preceded it.
    #[inline]
    fn run<R>(
        &self,
        manner: Manner,
        mut op: impl FnMut(&T, Option<Look>) -> io::Result<R>,
    ) -> io::Result<R> {
        let look = self.members.look(manner.direction);
        if self.limits(manner.direction).is_past() {
            return Err(Passed::Deadline.error());
        }
        // Not in non-blocking mode: if nobody waits, nobody may poll, and no event move the slot.
        let is_dry = manner.trusts_dry
            && look.is_some_and(|look| look.record.dry().is_at(look.seen))
            && !self.nonblocking();
        let attempt = if is_dry {
            Err(io::Error::from_raw_os_error(libc::EAGAIN))
        } else {
            op(&self.io, look)
        };
        match attempt {
            Err(e) if manner.after(&e) != Next::Fail => {
                Poller::with_current(|poller| self.wait_and_run(manner, poller, look, e, op))
            }
            done => done,
        }
    }

    /// The rest of `run`, after a first attempt that failed with `error`.
    #[inline(never)]
    fn wait_and_run<R>(
        &self,
        manner: Manner,
        poller: Option<&Poller>,
        mut look: Option<Look>,
        mut error: io::Error,
        mut op: impl FnMut(&T, Option<Look>) -> io::Result<R>,
    ) -> io::Result<R> {
        let direction = manner.direction;
        let limits = self.limits(direction);
        let mut place: Option<Place<'_>> = None;
        let mut timeout: Option<Instant> = None;
        let mut pause = manner.first_pause;
        // Dropped on every way out: invariant 2.
        let mut baton = Baton(None);
        loop {
            let next = manner.after(&error);
            if next != Next::Repeat {
                if self.nonblocking() {
                    return Err(error);
                }
                if place.is_none() {
                    timeout = limits.timeout().and_then(|t| Instant::now().checked_add(t));
                    place = Some(self.place(direction, poller, &mut look)?);
                }
            }
            if let (Next::Await, Some(place)) = (next, &place) {
                baton.0 = None;
                // Only now: invariant 1 of `blocked.rs`, and a record that was just joined.
                let until = earlier(limits.deadline(), timeout);
                if self.wait(place, direction, look, until)? == Outcome::Cancelled {
                    return Err(io::Error::other("the wait was cancelled"));
                }
                if let Place::Poller(_, record) = *place {
                    baton.0 = Some((record, direction));
                }
            }
            if let (Next::Pause, Some(place)) = (next, &place) {
                // The baton is kept: others would fare alike, and have to be woken when that ends.
                let until = earlier(limits.deadline(), timeout);
                let until = earlier(until, Instant::now().checked_add(pause));
                pause = (2 * pause).min(manner.longest_pause);
                self.pause(place, direction, until)?;
            }
            if let Some(Place::Poller(_, record)) = place {
                let seen = record.slot(direction).epoch();
                look = Some(Look { record, seen });
            }
            if limits.is_past() {
                return Err(Passed::Deadline.error());
            }
            // Read before the attempt: what came in time is found by it.
            let is_last = timeout.is_some_and(|at| at <= Instant::now());
            match op(&self.io, look) {
                Err(e) if manner.after(&e) != Next::Fail => error = e,
                done => return done,
            }
            if is_last && manner.after(&error) != Next::Repeat {
                baton.0 = None;
                return Err(match error.kind() {
                    io::ErrorKind::WouldBlock => Passed::Timeout.error(),
                    _ => error,
                });
            }
        }
    }

    /// Where the current task waits. A look that belongs elsewhere is dropped.
    fn place<'a>(
        &'a self,
        direction: Direction,
        poller: Option<&'a Poller>,
        look: &mut Option<Look>,
    ) -> io::Result<Place<'a>> {
        let Some(poller) = poller else {
            return Ok(Place::Thread(self.blocked.enter()));
        };
        let fd = self.io.as_fd().as_raw_fd();
        let (record, fresh) = self.members.join(poller.shared(), fd, direction)?;
        if let Some(seen) = fresh {
            *look = Some(Look { record, seen });
        } else if look.is_some_and(|look| !std::ptr::eq(look.record, record)) {
            *look = None;
        }
        Ok(Place::Poller(poller, record))
    }

    /// Waits once; may return early.
    fn wait(
        &self,
        place: &Place<'_>,
        direction: Direction,
        look: Option<Look>,
        until: Option<Instant>,
    ) -> io::Result<Outcome> {
        match place {
            Place::Thread(entered) => {
                let fd = Some(self.io.as_fd());
                marmot_scheduler::blocking(|| entered.wait(fd, direction, until))
                    .map(|()| Outcome::Ready)
            }
            Place::Poller(poller, record) => Ok(match look {
                Some(Look { seen, .. }) => {
                    let _waiting = poller.shared().enter(self.io.as_fd().as_raw_fd());
                    park(record, direction, seen, until)
                }
                // Another task has registered since we looked: look, and try once more.
                None => Outcome::Ready,
            }),
        }
    }

    /// Waits for no event. A thread is rung when a deadline is moved; a goroutine notices at the end
    /// of its pause.
    #[cold]
    fn pause(
        &self,
        place: &Place<'_>,
        direction: Direction,
        until: Option<Instant>,
    ) -> io::Result<()> {
        match place {
            Place::Thread(entered) => {
                marmot_scheduler::blocking(|| entered.wait(None, direction, until))
            }
            Place::Poller(_, record) => {
                let why = Why::on(reason(direction), *record);
                let _ = Wait::new().park(why, until, || Publish::Published);
                Ok(())
            }
        }
    }
}

/// How an operation waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) direction: Direction,
    /// Whether the first attempt is left out where the record knows that it would block.
    pub(crate) trusts_dry: bool,
    /// Which errors mean that the operation has to be repeated after a pause.
    pub(crate) pauses: fn(&io::Error) -> bool,
    pub(crate) first_pause: Duration,
    /// Pauses double up to this.
    pub(crate) longest_pause: Duration,
}

impl Manner {
    pub(crate) const READ: Manner = Manner {
        direction: Direction::Read,
        trusts_dry: false,
        pauses: |_| false,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    };

    const DRAIN: Manner = Manner {
        trusts_dry: true,
        ..Manner::READ
    };

    pub(crate) const WRITE: Manner = Manner {
        direction: Direction::Write,
        ..Manner::READ
    };

    #[inline]
    pub(crate) fn after(self, error: &io::Error) -> Next {
        if (self.pauses)(error) {
            return Next::Pause;
        }
        match error.kind() {
            io::ErrorKind::WouldBlock => Next::Await,
            io::ErrorKind::Interrupted => Next::Repeat,
            _ => Next::Fail,
        }
    }
}

/// What has to be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for an event, and try again.
    Await,
    /// Wait for a while, and try again.
    Pause,
    /// Try again.
    Repeat,
    /// Report it.
    Fail,
}

/// Where a task waits for a descriptor.
#[derive(Debug)]
enum Place<'a> {
    Poller(&'a Poller, &'static Record),
    Thread(Entered<'a>),
}

fn reason(direction: Direction) -> Reason {
    match direction {
        Direction::Read => Reason::NetRead,
        Direction::Write => Reason::NetWrite,
    }
}

/// Parks the current task in the slot.
fn park(
    record: &'static Record,
    direction: Direction,
    seen: crate::slot::Epoch,
    until: Option<Instant>,
) -> Outcome {
    let slot = record.slot(direction);
    let wait = Wait::new();
    let ticket = wait.ticket();
    // The closure may run when this wait is over: it takes what it needs by value, and the record
    // lasts.
    let outcome = wait.park(
        Why::on(reason(direction), record),
        until,
        move || match slot.register(seen, Waiter::Task(ticket)) {
            Registered::Waiting => Publish::Published,
            Registered::Moved(_) => Publish::Withdrawn,
        },
    );
    if outcome != Outcome::Ready {
        let inherited = slot.withdraw(|other| other.is_task(ticket), Waiter::claim);
        if let Some(claimed) = inherited {
            claimed.ready();
        }
    }
    outcome
}

/// The duty to pass an event on.
struct Baton(Option<(&'static Record, Direction)>);

impl Drop for Baton {
    #[inline]
    fn drop(&mut self) {
        if let Some((record, direction)) = self.0
            && let Some(claimed) = record.slot(direction).pass_on(Waiter::claim)
        {
            claimed.ready();
        }
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl<T: AsFd> AsFd for Pollable<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Pollable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pollable").field(&self.io).finish()
    }
}
