//! The receiving handle.

use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alarm::Alarm;
use crate::chan::{Chan, Core, Patience, RecvEnd};
use crate::err::{RecvError, RecvTimeoutError, TryRecvError};
use crate::flavors::{At, Clock, ClockChannel, Tick, wait_out};
use crate::handles::Share;
use crate::iter::{Iter, TryIter};

/// The receiving side of a channel.
///
/// Clone it to receive from several tasks: each value goes to one of them. When the last one is
/// dropped, sends fail, and the values that nobody has received are dropped.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::bounded(1);
/// std::thread::spawn(move || {
///     for n in 0..3 {
///         tx.send(n).unwrap();
///     }
/// });
/// assert_eq!(rx.recv(), Ok(0));
/// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2]);
/// assert!(rx.recv().is_err());
/// ```
pub struct Receiver<T> {
    flavor: Flavor<T>,
}

/// Where the values come from.
pub(crate) enum Flavor<T> {
    /// A channel with senders.
    Chan(Share<T, false>),
    /// The clock, once. `T` is [`Instant`].
    At(Arc<At>),
    /// The clock, again and again. `T` is [`Instant`].
    Tick(Arc<Tick>),
    /// The clock, as somebody sets it. `T` is [`Instant`].
    Alarm(Arc<Alarm>),
    /// Nowhere.
    Never,
}

// SAFETY: values move from thread to thread, hence `T: Send`; the channel synchronises itself.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}

// As for `Sender`.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    pub(crate) fn from_share(share: Share<T, false>) -> Self {
        Receiver {
            flavor: Flavor::Chan(share),
        }
    }

    /// A channel that never delivers anything.
    pub(crate) const fn never() -> Self {
        Receiver {
            flavor: Flavor::Never,
        }
    }

    /// The channel behind it, if it has senders.
    pub(crate) fn chan(&self) -> Option<&Chan<T>> {
        match &self.flavor {
            Flavor::Chan(share) => Some(share),
            _ => None,
        }
    }

    /// The clock behind it, if it has one.
    pub(crate) fn clock(&self) -> Option<&dyn ClockChannel> {
        match &self.flavor {
            Flavor::At(at) => Some(&**at),
            Flavor::Tick(tick) => Some(&**tick),
            Flavor::Alarm(alarm) => Some(&**alarm),
            Flavor::Chan(_) | Flavor::Never => None,
        }
    }

    /// Where to stand in line, if that is of use: not with a clock that nobody sets.
    pub(crate) fn core(&self) -> Option<&Core> {
        match &self.flavor {
            Flavor::Chan(share) => Some(share.core()),
            Flavor::Alarm(alarm) => Some(alarm.core()),
            Flavor::At(_) | Flavor::Tick(_) | Flavor::Never => None,
        }
    }

    /// Receives a value into `out`.
    ///
    /// # Safety
    /// `out` may be written; it has been if the answer is [`RecvEnd::Received`].
    #[inline(always)]
    pub(crate) unsafe fn recv_into(&self, out: *mut T, patience: Patience) -> RecvEnd {
        match &self.flavor {
            // SAFETY: the caller's promise.
            Flavor::Chan(share) => unsafe { share.recv(out, patience) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.recv_clock(out, patience) },
        }
    }

    /// [`recv_into`](Self::recv_into) for the flavors without a sender.
    ///
    /// # Safety
    /// As there.
    #[cold]
    #[inline(never)]
    unsafe fn recv_clock(&self, out: *mut T, patience: Patience) -> RecvEnd {
        let Some(clock) = self.clock() else {
            wait_out(patience);
            return RecvEnd::Empty;
        };
        let received = if patience == Patience::Now {
            clock.try_recv()
        } else {
            clock.recv(patience)
        };
        match received {
            Some(at) => {
                // SAFETY: with a clock behind it `T` is `Instant`; the caller's `out`.
                unsafe { out.cast::<Instant>().write(at) };
                RecvEnd::Received
            }
            None => RecvEnd::Empty,
        }
    }

    #[inline(always)]
    fn recv_with(&self, patience: Patience) -> Result<T, RecvEnd> {
        let mut out = MaybeUninit::uninit();
        // SAFETY: `out` is ours to write.
        match unsafe { self.recv_into(out.as_mut_ptr(), patience) } {
            // SAFETY: received, hence written.
            RecvEnd::Received => Ok(unsafe { out.assume_init() }),
            end => Err(end),
        }
    }

    /// Receives a value if there is one to be had without waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if there is none now, [`TryRecvError::Disconnected`] if there is
    /// none and the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, TryRecvError};
    ///
    /// let (tx, rx) = unbounded();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(5).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Ok(5));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_with(Patience::Now).map_err(|end| match end {
            RecvEnd::Closed => TryRecvError::Disconnected,
            _ => TryRecvError::Empty,
        })
    }

    /// Receives a value, waiting until there is one.
    ///
    /// While it waits, a goroutine is parked and a thread sleeps.
    ///
    /// # Errors
    /// [`RecvError`] if the channel is empty and closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, RecvError};
    ///
    /// let (tx, rx) = bounded(0);
    /// std::thread::spawn(move || tx.send(5).unwrap());
    /// assert_eq!(rx.recv(), Ok(5));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_with(Patience::Forever).map_err(|_| RecvError)
    }

    /// Receives a value, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`] if the time passed first, [`RecvTimeoutError::Disconnected`]
    /// if the channel is empty and closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use marmot_channel::{unbounded, RecvTimeoutError};
    ///
    /// let (tx, rx) = unbounded::<i32>();
    /// let received = rx.recv_timeout(Duration::from_millis(5));
    /// assert_eq!(received, Err(RecvTimeoutError::Timeout));
    /// # drop(tx);
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_within(Patience::For(timeout))
    }

    /// Receives a value, waiting until `deadline` at the latest.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use marmot_channel::{unbounded, RecvTimeoutError};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(1).unwrap();
    /// // What is there is received, even after the deadline.
    /// assert_eq!(rx.recv_deadline(Instant::now()), Ok(1));
    /// let received = rx.recv_deadline(Instant::now());
    /// assert_eq!(received, Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(Patience::Until(deadline))
    }

    fn recv_within(&self, patience: Patience) -> Result<T, RecvTimeoutError> {
        self.recv_with(patience).map_err(|end| match end {
            RecvEnd::Closed => RecvTimeoutError::Disconnected,
            _ => RecvTimeoutError::Timeout,
        })
    }

    /// An iterator over the values, waiting for each. It ends when the channel is empty and closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded(0);
    /// std::thread::spawn(move || (1..=3).for_each(|n| tx.send(n).unwrap()));
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// An iterator over the values that are there, waiting for none.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// Closes the channel, as [`Sender::close`](crate::Sender::close) does.
    ///
    /// Returns `true` if it was this call that closed it. A channel without a sender ([`after`],
    /// [`at`], [`tick`], [`never`]) cannot be closed: `false`, and no effect.
    ///
    /// [`after`]: crate::after
    /// [`at`]: crate::at
    /// [`tick`]: crate::tick
    /// [`never`]: crate::never()
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded(1);
    /// assert!(rx.close());
    /// assert!(tx.send(1).is_err());
    /// assert!(!marmot_channel::never::<i32>().close());
    /// ```
    pub fn close(&self) -> bool {
        self.chan().is_some_and(Chan::close)
    }

    /// Whether the channel is closed, or has no sender left: no value will come but those that are
    /// in the buffer. `false` for channels that never had a sender.
    ///
    /// Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded(1);
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// assert_eq!(rx.recv(), Ok(1));
    /// ```
    pub fn is_closed(&self) -> bool {
        self.chan().is_some_and(|chan| chan.core().is_closed())
    }

    /// Whether the channel holds no value. A rendezvous channel never holds one. Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::unbounded();
    /// assert!(rx.is_empty());
    /// tx.send(0).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel has no room. A rendezvous channel never has any. Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded(1);
    /// assert!(!rx.is_full());
    /// tx.send(0).unwrap();
    /// assert!(rx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        match &self.flavor {
            Flavor::Chan(share) => share.core().is_full(),
            Flavor::Never => true,
            _ => !self.is_empty(),
        }
    }

    /// How many values the channel holds. Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Chan(share) => share.core().len(),
            Flavor::Never => 0,
            _ => {
                let ready = |clock: &dyn ClockChannel| clock.is_ready(&mut Clock::default());
                usize::from(self.clock().is_some_and(ready))
            }
        }
    }

    /// How many values the channel can hold; `None` if there is no bound.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = marmot_channel::unbounded::<i32>();
    /// assert_eq!(rx.capacity(), None);
    /// let (_tx, rx) = marmot_channel::bounded::<i32>(0);
    /// assert_eq!(rx.capacity(), Some(0));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Chan(share) => share.core().cap(),
            Flavor::Never => Some(0),
            Flavor::At(_) | Flavor::Tick(_) | Flavor::Alarm(_) => Some(1),
        }
    }

    /// Whether both receive from the same channel. All channels made by [`never`](crate::never()) are
    /// the same.
    ///
    /// # Examples
    ///
    /// ```
    /// let (_tx, rx) = marmot_channel::unbounded::<i32>();
    /// let (_tx2, rx2) = marmot_channel::unbounded::<i32>();
    /// assert!(rx.same_channel(&rx.clone()));
    /// assert!(!rx.same_channel(&rx2));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Chan(a), Flavor::Chan(b)) => a.same(b),
            (Flavor::At(a), Flavor::At(b)) => Arc::ptr_eq(a, b),
            (Flavor::Tick(a), Flavor::Tick(b)) => Arc::ptr_eq(a, b),
            (Flavor::Alarm(a), Flavor::Alarm(b)) => Arc::ptr_eq(a, b),
            (Flavor::Never, Flavor::Never) => true,
            _ => false,
        }
    }
}

/// A channel that delivers one instant after `duration`.
///
/// It holds one value from then on, until it is received; the value is the time it was due. No
/// timer stands behind it: dropping it costs nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use marmot_channel::{after, select, unbounded};
///
/// let (_tx, rx) = unbounded::<i32>();
/// let timeout = after(Duration::from_millis(5));
/// select! {
///     recv(rx) -> _ => unreachable!("nobody sends"),
///     recv(timeout) -> due => assert!(due.is_ok()),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    // Beyond the end of time is never.
    Instant::now().checked_add(duration).map_or_else(never, at)
}

/// A channel that delivers one instant at the time `when`, as [`after`] does.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(marmot_channel::at(when).recv(), Ok(when));
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver {
        flavor: Flavor::At(Arc::new(At::new(when))),
    }
}

/// Sets the clock behind a receiver. What timers and tickers are made of.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct AlarmHandle(Arc<Alarm>);

impl AlarmHandle {
    /// An alarm that goes off after `delay`: once, or, with that period, again and again.
    pub fn new(delay: Duration, repeats: bool) -> Self {
        AlarmHandle(Arc::new(Alarm::new(delay, repeats)))
    }

    /// A receiver of the times.
    pub fn receiver(&self) -> Receiver<Instant> {
        Receiver {
            flavor: Flavor::Alarm(self.0.clone()),
        }
    }

    /// Waits for the next time. `None`: it will not come, the alarm has ended.
    pub fn next(&self) -> Option<Instant> {
        self.0.recv(Patience::Forever)
    }

    /// Calls the next time off; whether there was one to come.
    pub fn stop(&self) -> bool {
        self.0.stop()
    }

    /// Sets the next time, and the period if there is one, to `delay` from now; whether there was one
    /// to come before.
    pub fn reset(&self, delay: Duration) -> bool {
        self.0.reset(delay)
    }

    /// Ends the alarm: from now on [`reset`](Self::reset) has no effect, and `call_off` tells whether
    /// the time to come is the last, or does not come either.
    pub fn end(&self, call_off: bool) {
        self.0.end(call_off);
    }
}

/// A channel that never delivers a value and never closes. Useful to leave a case of a select out.
///
/// # Examples
///
/// ```
/// use marmot_channel::{never, select, unbounded};
///
/// let (tx, rx) = unbounded();
/// tx.send(1).unwrap();
/// let optional = None;
/// select! {
///     recv(rx) -> n => assert_eq!(n, Ok(1)),
///     recv(optional.unwrap_or(&never::<i32>())) -> _ => unreachable!(),
/// }
/// ```
pub const fn never<T>() -> Receiver<T> {
    Receiver::never()
}

/// A channel that delivers instants, `duration` apart, the first after `duration`.
///
/// It holds one value at most: a tick that is not received in time delays the next ones. The value
/// is the time it was due.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = marmot_channel::tick(Duration::from_millis(2));
/// ticker.recv().unwrap();
/// ticker.recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(4));
/// ```
pub fn tick(duration: Duration) -> Receiver<Instant> {
    Tick::new(duration).map_or_else(never, |tick| Receiver {
        flavor: Flavor::Tick(Arc::new(tick)),
    })
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Flavor::Chan(share) = &mut self.flavor {
            // What is left in the channel is dropped last: its destructors may do anything.
            // SAFETY: the share is not used again.
            drop(unsafe { share.release(Chan::abandon) });
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let flavor = match &self.flavor {
            Flavor::Chan(share) => Flavor::Chan(share.another()),
            Flavor::At(at) => Flavor::At(at.clone()),
            Flavor::Tick(tick) => Flavor::Tick(tick.clone()),
            Flavor::Alarm(alarm) => Flavor::Alarm(alarm.clone()),
            Flavor::Never => Flavor::Never,
        };
        Receiver { flavor }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
