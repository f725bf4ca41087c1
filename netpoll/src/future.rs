//! The operations of a pollable descriptor as futures, for any executor.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use marmot_scheduler::event::{EventSource, ReadyList, Wait};

use crate::limits::Passed;
use crate::pollable::{Manner, Next, Pollable};
use crate::poller::{Poller, Shared};
use crate::record::Record;
use crate::slot::Registered;
use crate::standing;
use crate::waiter::{Standing, Waiter};

impl<T: AsFd> Pollable<T> {
    /// [`read_with`](Self::read_with) as a future: where that would wait, it is pending.
    ///
    /// Polled on a goroutine it is woken by the poller of that runtime; elsewhere, by a thread of its
    /// own, of which there is one in the process. Tasks and futures may wait for one descriptor at
    /// once. A deadline that was moved wakes the future, but one that merely passes does not: let the
    /// executor's own timer do that. Timeouts do not count. Dropping the future gives the wait up.
    ///
    /// ```
    /// use marmot_netpoll::Pollable;
    /// use std::future::Future;
    /// use std::io::{self, Read, Write};
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let (reader, mut writer) = io::pipe()?;
    /// let reader = Pollable::new(reader)?;
    /// let mut buf = [0; 16];
    /// let mut reading = pin!(reader.read_async(|mut pipe| pipe.read(&mut buf)));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(reading.as_mut().poll(&mut context).is_pending());
    /// writer.write_all(b"hello")?;
    /// assert!(matches!(reading.as_mut().poll(&mut context), Poll::Ready(Ok(5))));
    /// # io::Result::Ok(())
    /// ```
    pub fn read_async<R, F>(&self, op: F) -> Attempt<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R> + Unpin,
    {
        Attempt::new(self, Manner::READ, op)
    }

    /// [`write_with`](Self::write_with) as a future, as [`read_async`](Self::read_async) is.
    ///
    /// ```
    /// use marmot_netpoll::Pollable;
    /// use std::future::Future;
    /// use std::io::{self, Write};
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let (_reader, writer) = io::pipe()?;
    /// let writer = Pollable::new(writer)?;
    /// let mut writing = pin!(writer.write_async(|mut pipe| pipe.write(b"hello")));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(matches!(writing.as_mut().poll(&mut context), Poll::Ready(Ok(5))));
    /// # io::Result::Ok(())
    /// ```
    pub fn write_async<R, F>(&self, op: F) -> Attempt<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<R> + Unpin,
    {
        Attempt::new(self, Manner::WRITE, op)
    }
}

/// An operation that is repeated until it does not say `WouldBlock`; see [`Pollable::read_async`].
#[must_use = "futures do nothing unless polled"]
pub struct Attempt<'a, T: AsFd, F> {
    pollable: &'a Pollable<T>,
    manner: Manner,
    op: F,
    id: u64,
    /// Where it has an entry, or had one that an event took.
    standing: Option<&'static Record>,
}

impl<'a, T: AsFd, F> Attempt<'a, T, F> {
    fn new(pollable: &'a Pollable<T>, manner: Manner, op: F) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Attempt {
            pollable,
            manner,
            op,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            standing: None,
        }
    }

    fn pass_on(&self, record: Option<&'static Record>) {
        if let Some(record) = record
            && let Some(claimed) = record.slot(self.manner.direction).pass_on(Waiter::claim)
        {
            claimed.ready();
        }
    }
}

impl<T, F, R> Future for Attempt<'_, T, F>
where
    T: AsFd,
    F: FnMut(&T) -> io::Result<R> + Unpin,
{
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.get_mut();
        let (pollable, direction, id) = (this.pollable, this.manner.direction, this.id);
        // Whose event has to be passed on, unless the attempt finds its end.
        let mut baton = None;
        let mut known = None;
        if let Some(record) = this.standing.take() {
            let slot = record.slot(direction);
            let (taken, inherited) = standing::leave(slot, |w| w.is_future(id), Waiter::claim);
            if let Some(claimed) = inherited {
                claimed.ready();
            }
            baton = taken.then_some(record);
            known = Some(record);
        }
        loop {
            let look = known.map(|record| (record, record.slot(direction).epoch()));
            let done = match pollable.limits(direction).is_past() {
                true => Err(Passed::Deadline.error()),
                false => (this.op)(pollable.get()),
            };
            match done {
                Err(error) if this.manner.after(&error) == Next::Repeat => continue,
                Err(error)
                    if this.manner.after(&error) == Next::Await && !pollable.nonblocking() => {}
                done => {
                    this.pass_on(baton);
                    return Poll::Ready(done);
                }
            }
            // It has seen the end of it.
            baton = None;
            let (shared, record) = match join(pollable, this.manner) {
                Ok(joined) => joined,
                Err(error) => return Poll::Ready(Err(error)),
            };
            known = Some(record);
            // The look has to come before the attempt, and before the deadline was read: whoever
            // moves it passes by those who have registered. So after joining all is done once more.
            let Some((_, seen)) = look.filter(|(looked, _)| std::ptr::eq(*looked, record)) else {
                continue;
            };
            let waiter = Waiter::Future(Box::new(Standing {
                id,
                waker: context.waker().clone(),
                _waiting: shared.enter_owned(pollable.as_fd().as_raw_fd()),
            }));
            match record.slot(direction).register(seen, waiter) {
                Registered::Waiting => {
                    this.standing = Some(record);
                    return Poll::Pending;
                }
                // An event came, and might have taken another than us.
                Registered::Moved(_) => baton = Some(record),
            }
        }
    }
}

impl<T: AsFd, F> Drop for Attempt<'_, T, F> {
    fn drop(&mut self) {
        if let Some(record) = self.standing.take() {
            let slot = record.slot(self.manner.direction);
            let id = self.id;
            let others = standing::abandon(slot, |w| w.is_future(id), Waiter::claim);
            for claimed in others.into_iter().flatten() {
                claimed.ready();
            }
        }
    }
}

impl<T: AsFd, F> fmt::Debug for Attempt<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The poller that is to wake us, and the descriptor's record there.
fn join<T: AsFd>(
    pollable: &Pollable<T>,
    manner: Manner,
) -> io::Result<(Arc<Shared>, &'static Record)> {
    let fd = pollable.as_fd().as_raw_fd();
    Poller::with_current(|poller| {
        let shared = match poller {
            Some(poller) => poller.shared(),
            None => service()?.shared(),
        };
        let (record, _) = pollable.members.join(shared, fd, manner.direction)?;
        Ok((shared.clone(), record))
    })
}

/// The poller for futures that are polled outside any runtime, on a thread of its own.
fn service() -> io::Result<&'static Poller> {
    static SERVICE: OnceLock<Poller> = OnceLock::new();
    /// Guards the making.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(poller) = SERVICE.get() {
        return Ok(poller);
    }
    let poller = Poller::with_shards(std::num::NonZeroUsize::MIN)?;
    let thread = std::thread::Builder::new().name("marmot-futures".to_owned());
    thread.spawn(|| {
        let poller = SERVICE.wait();
        loop {
            // It fails for want of kernel memory alone; then it is tried again.
            let _ = poller.poll(Wait::Forever, &mut ReadyList::new());
        }
    })?;
    Ok(SERVICE.get_or_init(|| poller))
}
