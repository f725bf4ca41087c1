//! What can go wrong, one type per operation; where a value was to be sent, it comes back.

use std::error::Error;
use std::fmt;

/// [`Sender::send`](crate::Sender::send) failed: the channel is closed. Holds the value.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::bounded(1);
/// drop(rx);
/// assert_eq!(tx.send("hello").unwrap_err().into_inner(), "hello");
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T>(pub T);

/// [`Sender::try_send`](crate::Sender::try_send) failed. Holds the value.
///
/// # Examples
///
/// ```
/// let (tx, _rx) = marmot_channel::bounded(0);
/// assert!(tx.try_send(1).unwrap_err().is_full());
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum TrySendError<T> {
    /// It would have had to wait.
    Full(T),
    /// The channel is closed.
    Disconnected(T),
}

/// [`Sender::send_timeout`](crate::Sender::send_timeout) or its sibling with a deadline failed.
/// Holds the value.
///
/// # Examples
///
/// ```
/// let (tx, _rx) = marmot_channel::bounded(0);
/// let error = tx.send_deadline(1, std::time::Instant::now()).unwrap_err();
/// assert!(error.is_timeout());
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum SendTimeoutError<T> {
    /// The time passed first.
    Timeout(T),
    /// The channel is closed.
    Disconnected(T),
}

/// [`Receiver::recv`](crate::Receiver::recv) failed: the channel is empty and closed.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::bounded::<i32>(1);
/// drop(tx);
/// assert_eq!(rx.recv(), Err(marmot_channel::RecvError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct RecvError;

/// [`Receiver::try_recv`](crate::Receiver::try_recv) failed.
///
/// # Examples
///
/// ```
/// let (_tx, rx) = marmot_channel::bounded::<i32>(1);
/// assert!(rx.try_recv().unwrap_err().is_empty());
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TryRecvError {
    /// There is no value now.
    Empty,
    /// There is no value, and the channel is closed.
    Disconnected,
}

/// [`Receiver::recv_timeout`](crate::Receiver::recv_timeout) or its sibling with a deadline failed.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::bounded::<i32>(1);
/// drop(tx);
/// let error = rx.recv_timeout(std::time::Duration::from_secs(1)).unwrap_err();
/// assert!(error.is_disconnected());
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvTimeoutError {
    /// The time passed first.
    Timeout,
    /// There is no value, and the channel is closed.
    Disconnected,
}

/// [`Select::try_select`](crate::Select::try_select) failed: no operation is ready.
///
/// # Examples
///
/// ```
/// let mut sel = marmot_channel::Select::new();
/// assert_eq!(sel.try_select().unwrap_err(), marmot_channel::TrySelectError);
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TrySelectError;

/// [`Select::select_timeout`](crate::Select::select_timeout) or its sibling with a deadline failed:
/// the time passed before an operation was ready.
///
/// # Examples
///
/// ```
/// let mut sel = marmot_channel::Select::new();
/// let error = sel.select_deadline(std::time::Instant::now()).unwrap_err();
/// assert_eq!(error, marmot_channel::SelectTimeoutError);
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct SelectTimeoutError;

/// [`Select::try_ready`](crate::Select::try_ready) failed: no operation is ready.
///
/// # Examples
///
/// ```
/// let mut sel = marmot_channel::Select::new();
/// assert_eq!(sel.try_ready(), Err(marmot_channel::TryReadyError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TryReadyError;

/// [`Select::ready_timeout`](crate::Select::ready_timeout) or its sibling with a deadline failed:
/// the time passed before an operation was ready.
///
/// # Examples
///
/// ```
/// let mut sel = marmot_channel::Select::new();
/// let error = sel.ready_deadline(std::time::Instant::now());
/// assert_eq!(error, Err(marmot_channel::ReadyTimeoutError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct ReadyTimeoutError;

const SEND_CLOSED: &str = "sending on a disconnected channel";
const RECV_CLOSED: &str = "receiving on an empty and disconnected channel";

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(SEND_CLOSED)
    }
}

impl<T: Send> Error for SendError<T> {}

impl<T> SendError<T> {
    /// The value that could not be sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TrySendError::Full(_) => "sending on a full channel",
            TrySendError::Disconnected(_) => SEND_CLOSED,
        })
    }
}

impl<T: Send> Error for TrySendError<T> {}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(SendError(msg): SendError<T>) -> Self {
        TrySendError::Disconnected(msg)
    }
}

impl<T> TrySendError<T> {
    /// The value that could not be sent.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(msg) | TrySendError::Disconnected(msg) => msg,
        }
    }

    /// Whether it failed because it would have had to wait.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Whether it failed because the channel is closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TrySendError::Disconnected(_))
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendTimeoutError(..)")
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SendTimeoutError::Timeout(_) => "timed out waiting on send operation",
            SendTimeoutError::Disconnected(_) => SEND_CLOSED,
        })
    }
}

impl<T: Send> Error for SendTimeoutError<T> {}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(SendError(msg): SendError<T>) -> Self {
        SendTimeoutError::Disconnected(msg)
    }
}

impl<T> SendTimeoutError<T> {
    /// The value that could not be sent.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(msg) | SendTimeoutError::Disconnected(msg) => msg,
        }
    }

    /// Whether it failed because the time passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Whether it failed because the channel is closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendTimeoutError::Disconnected(_))
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(RECV_CLOSED)
    }
}

impl Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TryRecvError::Empty => "receiving on an empty channel",
            TryRecvError::Disconnected => RECV_CLOSED,
        })
    }
}

impl Error for TryRecvError {}

impl From<RecvError> for TryRecvError {
    fn from(RecvError: RecvError) -> Self {
        TryRecvError::Disconnected
    }
}

impl TryRecvError {
    /// Whether it failed because there is no value now.
    pub fn is_empty(&self) -> bool {
        matches!(self, TryRecvError::Empty)
    }

    /// Whether it failed because the channel is empty and closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TryRecvError::Disconnected)
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RecvTimeoutError::Timeout => "timed out waiting on receive operation",
            RecvTimeoutError::Disconnected => "channel is empty and disconnected",
        })
    }
}

impl Error for RecvTimeoutError {}

impl From<RecvError> for RecvTimeoutError {
    fn from(RecvError: RecvError) -> Self {
        RecvTimeoutError::Disconnected
    }
}

impl RecvTimeoutError {
    /// Whether it failed because the time passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, RecvTimeoutError::Timeout)
    }

    /// Whether it failed because the channel is empty and closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, RecvTimeoutError::Disconnected)
    }
}

impl fmt::Display for TrySelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("all operations in select would block")
    }
}

impl Error for TrySelectError {}

impl fmt::Display for SelectTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("timed out waiting on select")
    }
}

impl Error for SelectTimeoutError {}
