//! Select over operations that are known at run time: the builder, and what it returns.

mod case;
mod landing;
mod look;
mod run;

use std::fmt;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

pub use self::case::Case;
use self::case::Handle;
use self::landing::Choice;
pub use self::landing::Landing;
pub use self::look::Look;
use crate::chan::Patience;
use crate::err::{
    ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
};
use crate::receiver::Receiver;
use crate::sender::Sender;

/// For the macro: waits until one of the cases is chosen, and gives its position. There is one at least.
/// `looked`: none of them was ready just now.
#[inline]
pub fn select<'a>(
    cases: &mut [Case<'a>],
    landing: &mut Landing<'a>,
    biased: bool,
    looked: bool,
) -> usize {
    run::select(cases, Patience::Forever, biased, landing, looked)
        .expect("a select without a deadline ends with a choice")
}

/// For the macro: does not wait.
#[inline]
pub fn try_select<'a>(
    cases: &mut [Case<'a>],
    landing: &mut Landing<'a>,
    biased: bool,
) -> Option<usize> {
    run::select(cases, Patience::Now, biased, landing, false)
}

/// For the macro: waits for a time.
#[inline]
pub fn select_timeout<'a>(
    cases: &mut [Case<'a>],
    landing: &mut Landing<'a>,
    timeout: Duration,
    biased: bool,
    looked: bool,
) -> Option<usize> {
    run::select(cases, Patience::For(timeout), biased, landing, looked)
}

/// For the macro: chooses a receive, if it need not wait.
#[inline]
pub fn begin_recv<'a, T>(receiver: &'a Receiver<T>, landing: &mut Landing<'a>) -> bool {
    receiver.choose(landing)
}

/// For the macro: chooses a send, if it need not wait.
#[inline]
pub fn begin_send<'a, T>(sender: &'a Sender<T>, landing: &mut Landing<'a>) -> bool {
    sender.choose(landing)
}

/// For the macro: completes a receive.
///
/// # Panics
/// If another operation was chosen.
#[inline]
pub fn complete_recv<'a, T>(
    receiver: &'a Receiver<T>,
    landing: &mut Landing<'a>,
) -> Result<T, RecvError> {
    assert!(landing.is_for(receiver));
    // SAFETY: the choice was made for this very handle: it has its address, and is borrowed since then.
    unsafe { finish_recv(landing) }
}

/// For the macro: a send that has been chosen and must now be completed.
#[must_use]
pub struct ChosenSend<'c, 'a, T> {
    sender: &'a Sender<T>,
    landing: &'c mut Landing<'a>,
}

impl<'c, 'a, T> ChosenSend<'c, 'a, T> {
    /// Takes the choice over.
    ///
    /// # Panics
    /// If another operation was chosen.
    #[inline]
    pub fn new(sender: &'a Sender<T>, landing: &'c mut Landing<'a>) -> Self {
        assert!(landing.is_for(sender));
        ChosenSend { sender, landing }
    }

    /// Completes it.
    #[inline]
    pub fn send(self, msg: T) -> Result<(), SendError<T>> {
        // Nothing is left to be undone.
        let mut this = ManuallyDrop::new(self);
        let sender = this.sender;
        // SAFETY: the choice was made for this very handle (`new`).
        unsafe { finish_send(this.landing, sender, msg) }
    }
}

impl<T> fmt::Debug for ChosenSend<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("ChosenSend { .. }")
    }
}

impl<T> Drop for ChosenSend<'_, '_, T> {
    /// When the expression of the message panics, its case is given back.
    #[inline]
    fn drop(&mut self) {
        // SAFETY: they belong together.
        unsafe { undo(self.sender, self.landing) };
    }
}

/// Selects from a set of channel operations that is made up at run time.
///
/// Add operations, then ask for one that is ready: `select` and its siblings choose one and begin
/// it, and it must be completed on the [`SelectedOperation`] that comes back; `ready` and its
/// siblings only name one that seems to be ready. Among several ready ones the choice is random,
/// unless it is [biased](Select::new_biased). For a fixed set [`select!`](crate::select!) is
/// simpler.
///
/// A channel may be in it several times, and with both sides; an operation never meets one of the
/// same select.
///
/// # Examples
///
/// ```
/// use marmot_channel::{unbounded, Select};
///
/// let channels: Vec<_> = (0..3).map(|_| unbounded()).collect();
/// channels[1].0.send("hello").unwrap();
///
/// let mut sel = Select::new();
/// for (_, rx) in &channels {
///     sel.recv(rx);
/// }
/// let oper = sel.select();
/// let index = oper.index();
/// assert_eq!(index, 1);
/// assert_eq!(oper.recv(&channels[index].1), Ok("hello"));
/// ```
///
/// The operation must be completed with the channel it was made with:
///
/// ```should_panic
/// use marmot_channel::{unbounded, Select};
///
/// let ((tx, rx), (_tx2, rx2)) = (unbounded::<i32>(), unbounded::<i32>());
/// tx.send(1).unwrap();
/// let mut sel = Select::new();
/// sel.recv(&rx);
/// let _ = sel.select().recv(&rx2);
/// ```
///
/// and the channels must outlive the select:
///
/// ```compile_fail
/// use marmot_channel::{unbounded, Select};
///
/// let mut sel = Select::new();
/// {
///     let (_tx, rx) = unbounded::<i32>();
///     sel.recv(&rx);
/// }
/// sel.select();
/// ```
pub struct Select<'a> {
    cases: Vec<Case<'a>>,
    /// What the user knows each of them by.
    indices: Vec<usize>,
    next_index: usize,
    biased: bool,
}

// SAFETY: the cases hold shared borrows of senders and receivers, as in crossbeam-channel: the
// operation is completed with a handle that the caller must hold, and moving a value is up to it.
unsafe impl Send for Select<'_> {}
// SAFETY: nothing can be done with a shared `Select` but cloning it.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// An empty list of operations.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut sel = marmot_channel::Select::new();
    /// assert!(sel.try_select().is_err());
    /// ```
    pub fn new() -> Self {
        Select {
            cases: Vec::with_capacity(4),
            indices: Vec::with_capacity(4),
            next_index: 0,
            biased: false,
        }
    }

    /// An empty list of operations, of which the first ready one will always be taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, Select};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(1).unwrap();
    /// let mut sel = Select::new_biased();
    /// let first = sel.recv(&rx);
    /// sel.send(&tx);
    /// let oper = sel.select();
    /// assert_eq!(oper.index(), first);
    /// assert_eq!(oper.recv(&rx), Ok(1));
    /// ```
    pub fn new_biased() -> Self {
        Select {
            biased: true,
            ..Self::new()
        }
    }

    /// Adds a send. Returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, Select};
    ///
    /// let (tx, rx) = unbounded();
    /// let mut sel = Select::new();
    /// assert_eq!(sel.send(&tx), 0);
    /// sel.select().send(&tx, 5).unwrap();
    /// assert_eq!(rx.recv(), Ok(5));
    /// ```
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(Case::send(s))
    }

    /// Adds a receive. Returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{never, Select};
    ///
    /// let rx = never::<i32>();
    /// let mut sel = Select::new();
    /// assert_eq!(sel.recv(&rx), 0);
    /// assert!(sel.try_select().is_err());
    /// ```
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(Case::recv(r))
    }

    fn add(&mut self, case: Case<'a>) -> usize {
        let index = self.next_index;
        self.cases.push(case);
        self.indices.push(index);
        self.next_index += 1;
        index
    }

    /// Removes the operation with that index. The others keep theirs.
    ///
    /// # Panics
    /// If there is no such operation, or not any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, Select};
    ///
    /// let (tx, rx) = unbounded::<i32>();
    /// drop(tx);
    /// let mut sel = Select::new();
    /// let closed = sel.recv(&rx);
    /// sel.remove(closed);
    /// assert!(sel.try_select().is_err());
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next_index,
            "index out of bounds; {index} >= {}",
            self.next_index
        );
        let position = self.indices.iter().position(|&known| known == index);
        let position = position.expect("no operation with this index");
        // The order counts only in a biased select; there it is kept.
        if self.biased {
            self.cases.remove(position);
            self.indices.remove(position);
        } else {
            self.cases.swap_remove(position);
            self.indices.swap_remove(position);
        }
    }

    /// Selects an operation that is ready now.
    ///
    /// # Errors
    /// [`TrySelectError`] if there is none.
    ///
    /// # Panics
    /// The returned operation panics when it is dropped without being completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, Select};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(10).unwrap();
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// match sel.try_select() {
    ///     Ok(oper) => assert_eq!(oper.recv(&rx), Ok(10)),
    ///     Err(_) => unreachable!(),
    /// }
    /// assert!(sel.try_select().is_err());
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.select_within(Patience::Now).ok_or(TrySelectError)
    }

    /// Selects an operation, waiting until one is ready. An operation is ready also when it will
    /// fail, the channel being closed.
    ///
    /// # Panics
    /// If there are no operations. The returned operation panics when it is dropped without being
    /// completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, Select};
    ///
    /// let (tx, rx) = bounded(0);
    /// std::thread::spawn(move || tx.send(10).unwrap());
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert_eq!(sel.select().recv(&rx), Ok(10));
    /// ```
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        assert!(
            !self.cases.is_empty(),
            "no operations have been added to `Select`"
        );
        self.select_within(Patience::Forever)
            .expect("a select without a deadline ends with a choice")
    }

    fn select_within(&mut self, patience: Patience) -> Option<SelectedOperation<'a>> {
        let mut landing = Landing::new();
        let position = run::select(&mut self.cases, patience, self.biased, &mut landing, false)?;
        Some(SelectedOperation {
            handle: self.cases[position].handle,
            index: self.indices[position],
            landing,
        })
    }

    /// Selects an operation, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`SelectTimeoutError`] if the time passed first.
    ///
    /// # Panics
    /// The returned operation panics when it is dropped without being completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use marmot_channel::{bounded, Select};
    ///
    /// let (_tx, rx) = bounded::<i32>(0);
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert!(sel.select_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.select_within(Patience::For(timeout))
            .ok_or(SelectTimeoutError)
    }

    /// Selects an operation, waiting until `deadline` at the latest.
    ///
    /// # Errors
    /// [`SelectTimeoutError`] if the time passed first.
    ///
    /// # Panics
    /// The returned operation panics when it is dropped without being completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use marmot_channel::{bounded, Select};
    ///
    /// let (_tx, rx) = bounded::<i32>(0);
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert!(sel.select_deadline(Instant::now()).is_err());
    /// ```
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.select_within(Patience::Until(deadline))
            .ok_or(SelectTimeoutError)
    }

    /// The index of an operation that seems ready now. Somebody else may be quicker to use it.
    ///
    /// # Errors
    /// [`TryReadyError`] if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{unbounded, Select};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(10).unwrap();
    /// let mut sel = Select::new();
    /// let index = sel.recv(&rx);
    /// assert_eq!(sel.try_ready(), Ok(index));
    /// assert_eq!(rx.try_recv(), Ok(10));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.ready_within(Patience::Now).ok_or(TryReadyError)
    }

    /// The index of an operation that seems ready, waiting until there is one. Somebody else may be
    /// quicker to use it, so try it without waiting.
    ///
    /// # Panics
    /// If there are no operations.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, Select};
    ///
    /// let (tx, rx) = bounded(1);
    /// std::thread::spawn(move || tx.send(10).unwrap());
    /// let mut sel = Select::new();
    /// let index = sel.recv(&rx);
    /// assert_eq!(sel.ready(), index);
    /// assert_eq!(rx.try_recv(), Ok(10));
    /// ```
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        assert!(
            !self.cases.is_empty(),
            "no operations have been added to `Select`"
        );
        self.ready_within(Patience::Forever)
            .expect("a wait without a deadline ends with a ready operation")
    }

    /// As [`ready`](Self::ready), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`ReadyTimeoutError`] if the time passed first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use marmot_channel::{never, Select};
    ///
    /// let rx = never::<i32>();
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert!(sel.ready_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.ready_within(Patience::For(timeout))
            .ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Self::ready), waiting until `deadline` at the latest.
    ///
    /// # Errors
    /// [`ReadyTimeoutError`] if the time passed first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Instant;
    /// use marmot_channel::{never, Select};
    ///
    /// let rx = never::<i32>();
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert!(sel.ready_deadline(Instant::now()).is_err());
    /// ```
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.ready_within(Patience::Until(deadline))
            .ok_or(ReadyTimeoutError)
    }

    fn ready_within(&mut self, patience: Patience) -> Option<usize> {
        let position = run::ready(&mut self.cases, patience, self.biased)?;
        Some(self.indices[position])
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Select {
            cases: self.cases.clone(),
            indices: self.indices.clone(),
            next_index: self.next_index,
            biased: self.biased,
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// Completes a send that was chosen.
///
/// # Safety
/// The choice was made for this very handle.
#[inline]
unsafe fn finish_send<T>(
    landing: &mut Landing<'_>,
    s: &Sender<T>,
    msg: T,
) -> Result<(), SendError<T>> {
    let Choice::Pledged(pledge) = landing.choice.take() else {
        unreachable!("a selected send holds a pledge");
    };
    let msg = ManuallyDrop::new(msg);
    // SAFETY: the pledge is of the channel of this handle; the value may be moved out of its
    // wrapper, and is used below only if it was not.
    if unsafe { s.chan().redeem(pledge, &raw const *msg) } {
        Ok(())
    } else {
        Err(SendError(ManuallyDrop::into_inner(msg)))
    }
}

/// Completes a receive that was chosen.
///
/// # Safety
/// The choice was made for a receiver of `T`.
#[inline]
unsafe fn finish_recv<T>(landing: &mut Landing<'_>) -> Result<T, RecvError> {
    match landing.choice.take() {
        // SAFETY: the landing holds a value received for this choice, hence a `T`, which nobody else
        // takes, for the choice is gone.
        Choice::Received(_) => Ok(unsafe { landing.place().cast::<T>().read() }),
        Choice::Closed => Err(RecvError),
        Choice::None | Choice::Pledged(_) => {
            unreachable!("a selected receive holds its result")
        }
    }
}

/// Undoes what was chosen, if it has not been completed; whether there was something to undo.
///
/// # Safety
/// The choice was made for this handle.
#[inline]
unsafe fn undo(handle: &dyn Handle, landing: &mut Landing<'_>) -> bool {
    match landing.choice.take() {
        Choice::None => return false,
        // SAFETY: the landing holds the value, and the choice that said so is gone.
        Choice::Received(drop_value) => unsafe { drop_value(landing.place()) },
        Choice::Closed => {}
        Choice::Pledged(pledge) => handle.renounce(pledge),
    }
    true
}

/// An operation that a select has chosen and that must now be completed, by [`send`](Self::send) or
/// by [`recv`](Self::recv). It cannot fail to be ready any more.
///
/// # Panics
/// When it is dropped without being completed; except while the thread is unwinding already: then
/// the operation is undone, and a value that it had received is dropped.
///
/// # Examples
///
/// ```
/// use marmot_channel::{bounded, Select};
///
/// let (tx, rx) = bounded(1);
/// let mut sel = Select::new();
/// sel.send(&tx);
/// let oper = sel.select();
/// // The place is set aside while the value is being made.
/// assert!(tx.is_full());
/// oper.send(&tx, 1 + 1).unwrap();
/// assert_eq!(rx.recv(), Ok(2));
/// ```
#[must_use]
pub struct SelectedOperation<'a> {
    handle: &'a dyn Handle,
    index: usize,
    landing: Landing<'a>,
}

impl SelectedOperation<'_> {
    /// Which operation it is: what [`Select::send`] or [`Select::recv`] returned for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, Select};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut sel = Select::new();
    /// let send = sel.send(&tx);
    /// let oper = sel.select();
    /// assert_eq!(oper.index(), send);
    /// oper.send(&tx, ()).unwrap();
    /// # drop(rx);
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Completes a send. Does not wait.
    ///
    /// # Errors
    /// [`SendError`], with the value, if the channel is closed.
    ///
    /// # Panics
    /// If the operation was not made with this very handle.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, Select, SendError};
    ///
    /// let (tx, rx) = bounded(0);
    /// drop(rx);
    /// let mut sel = Select::new();
    /// sel.send(&tx);
    /// assert_eq!(sel.select().send(&tx, 1), Err(SendError(1)));
    /// ```
    #[track_caller]
    pub fn send<T>(mut self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(
            std::ptr::addr_eq(self.handle, s),
            "passed a sender that wasn't selected"
        );
        // SAFETY: the handle is the one that was chosen.
        unsafe { finish_send(&mut self.landing, s, msg) }
    }

    /// Completes a receive. Does not wait.
    ///
    /// # Errors
    /// [`RecvError`] if the channel is empty and closed.
    ///
    /// # Panics
    /// If the operation was not made with this very handle.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot_channel::{bounded, RecvError, Select};
    ///
    /// let (tx, rx) = bounded::<i32>(0);
    /// drop(tx);
    /// let mut sel = Select::new();
    /// sel.recv(&rx);
    /// assert_eq!(sel.select().recv(&rx), Err(RecvError));
    /// ```
    #[track_caller]
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            std::ptr::addr_eq(self.handle, r),
            "passed a receiver that wasn't selected"
        );
        // SAFETY: the handle is the one that was chosen.
        unsafe { finish_recv(&mut self.landing) }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        // SAFETY: they belong together.
        let undone = unsafe { undo(self.handle, &mut self.landing) };
        assert!(
            !undone || std::thread::panicking(),
            "dropped `SelectedOperation` without completing the operation"
        );
    }
}
