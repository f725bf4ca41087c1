//! The sending handle.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::chan::{Chan, Patience, SendEnd};
use crate::err::{SendError, SendTimeoutError, TrySendError};
use crate::handles::{Share, shares};
use crate::receiver::Receiver;

/// The sending side of a channel.
///
/// Clone it to send from several tasks. When the last one is dropped the channel is closed.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::unbounded();
/// let tx2 = tx.clone();
///
/// std::thread::spawn(move || tx.send(1).unwrap());
/// std::thread::spawn(move || tx2.send(2).unwrap());
///
/// assert_eq!(rx.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    share: Share<T, true>,
}

// SAFETY: values move from thread to thread, hence `T: Send`; the channel synchronises itself.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}

// A panic never leaves a channel in a state that anybody could see: nothing of the user's runs while
// it changes.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    fn from_share(share: Share<T, true>) -> Self {
        Sender { share }
    }

    pub(crate) fn chan(&self) -> &Chan<T> {
        &self.share
    }

    /// Sends, and gives the value back if that did not work.
    #[inline(always)]
    fn send_with(&self, value: T, patience: Patience) -> Result<(), (T, SendEnd)> {
        let value = ManuallyDrop::new(value);
        // SAFETY: the value may be moved out of its wrapper; below it is used only if it was not.
        match unsafe { self.share.send(&raw const *value, patience) } {
            SendEnd::Sent => Ok(()),
            end => Err((ManuallyDrop::into_inner(value), end)),
        }
    }

    /// Sends a value if that is possible without waiting.
    ///
    /// On a rendezvous channel it is possible only while a receiver waits.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if it would have to wait, [`TrySendError::Disconnected`] if the
    /// channel is closed; both give the value back.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, TrySendError};
    ///
    /// let (tx, rx) = bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        self.send_with(msg, Patience::Now).map_err(|(msg, end)| {
            if end == SendEnd::Full {
                TrySendError::Full(msg)
            } else {
                TrySendError::Disconnected(msg)
            }
        })
    }

    /// Sends a value, waiting until there is room for it or a receiver takes it.
    ///
    /// While it waits, a goroutine is parked and a thread sleeps.
    ///
    /// # Errors
    /// [`SendError`], with the value, if the channel is closed before it could be sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, SendError};
    ///
    /// let (tx, rx) = bounded(0);
    /// let receiver = std::thread::spawn(move || rx.recv());
    /// assert_eq!(tx.send(1), Ok(()));
    /// assert_eq!(receiver.join().unwrap(), Ok(1));
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.send_with(msg, Patience::Forever)
            .map_err(|(msg, _)| SendError(msg))
    }

    /// Sends a value, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`SendTimeoutError::Timeout`] if the time passed first, [`SendTimeoutError::Disconnected`]
    /// if the channel is closed first; both give the value back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use marmot_channel::{bounded, SendTimeoutError};
    ///
    /// let (tx, _rx) = bounded(0);
    /// let sent = tx.send_timeout(1, Duration::from_millis(5));
    /// assert_eq!(sent, Err(SendTimeoutError::Timeout(1)));
    /// ```
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_within(msg, Patience::For(timeout))
    }

    /// Sends a value, waiting until `deadline` at the latest.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use marmot_channel::{bounded, SendTimeoutError};
    ///
    /// let (tx, rx) = bounded(1);
    /// // What is possible at once is done, even after the deadline.
    /// assert_eq!(tx.send_deadline(1, Instant::now()), Ok(()));
    /// let sent = tx.send_deadline(2, Instant::now());
    /// assert_eq!(sent, Err(SendTimeoutError::Timeout(2)));
    /// # drop(rx);
    /// ```
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_within(msg, Patience::Until(deadline))
    }

    fn send_within(&self, msg: T, patience: Patience) -> Result<(), SendTimeoutError<T>> {
        self.send_with(msg, patience).map_err(|(msg, end)| {
            if end == SendEnd::Full {
                SendTimeoutError::Timeout(msg)
            } else {
                SendTimeoutError::Disconnected(msg)
            }
        })
    }

    /// Closes the channel, as Go's `close` does. Never waits.
    ///
    /// From now on no value gets in: sends give it back, those that wait included. Values in the
    /// buffer can still be received; then receives fail as disconnected.
    ///
    /// Returns `true` if it was this call that closed the channel, `false` if it was closed before
    /// (closing twice is no error, other than in Go), be it because one side has no handle left.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, RecvError, SendError};
    ///
    /// let (tx, rx) = bounded(2);
    /// tx.send(1).unwrap();
    /// assert!(tx.close());
    /// assert!(!rx.close());
    /// assert_eq!(tx.send(2), Err(SendError(2)));
    /// assert_eq!(rx.recv(), Ok(1));
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    pub fn close(&self) -> bool {
        self.share.close()
    }

    /// Whether the channel is closed, or has no receiver left: no send can succeed any more.
    ///
    /// Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded::<i32>(1);
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.share.core().is_closed()
    }

    /// Whether the channel holds no value. A rendezvous channel never holds one. Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::unbounded();
    /// assert!(tx.is_empty());
    /// tx.send(0).unwrap();
    /// assert!(!tx.is_empty());
    /// # drop(rx);
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel has no room. A rendezvous channel never has any. Takes no lock.
    ///
    /// Places that a select has chosen to fill, but has not filled yet, count as taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::bounded(1);
    /// assert!(!tx.is_full());
    /// tx.send(0).unwrap();
    /// assert!(tx.is_full());
    /// # drop(rx);
    /// ```
    pub fn is_full(&self) -> bool {
        self.share.core().is_full()
    }

    /// How many values the channel holds. Takes no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = marmot_channel::unbounded();
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(tx.len(), 2);
    /// # drop(rx);
    /// ```
    pub fn len(&self) -> usize {
        self.share.core().len()
    }

    /// How many values the channel can hold; `None` if there is no bound.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = marmot_channel::unbounded::<i32>();
    /// assert_eq!(tx.capacity(), None);
    /// let (tx, _rx) = marmot_channel::bounded::<i32>(5);
    /// assert_eq!(tx.capacity(), Some(5));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.share.core().cap()
    }

    /// Whether both send into the same channel.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = marmot_channel::unbounded::<i32>();
    /// let (tx2, _rx2) = marmot_channel::unbounded::<i32>();
    /// assert!(tx.same_channel(&tx.clone()));
    /// assert!(!tx.same_channel(&tx2));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.share.same(&other.share)
    }
}

/// Makes a channel that holds at most `cap` values.
///
/// With a `cap` of 0 it holds none: a send waits until a receive takes the value, and the other way
/// round (a *rendezvous*). The memory for the values is allocated here, once and for all.
///
/// # Panics
/// If `cap` values do not fit into the address space.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::bounded(1);
/// std::thread::spawn(move || {
///     tx.send(1).unwrap();
///     tx.send(2).unwrap(); // waits until the first has been received
/// });
/// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    handles(Chan::bounded(cap))
}

/// Makes a channel that holds any number of values. Sending never waits.
///
/// Memory is allocated as needed, and given back as values are received.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::unbounded();
/// for n in 0..1000 {
///     tx.send(n).unwrap();
/// }
/// drop(tx);
/// assert_eq!(rx.iter().count(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    handles(Chan::unbounded())
}

fn handles<T>(chan: Chan<T>) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = shares(chan);
    (Sender::from_share(sender), Receiver::from_share(receiver))
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: nothing follows.
        let _ = unsafe { self.share.release(Chan::close) };
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender {
            share: self.share.another(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
