//! Channels and select, for goroutines and OS threads in any mixture.
//!
//! The interface is that of `crossbeam-channel` 0.5: porting is a change of `use`. Added to it is
//! Go's [`close`](Sender::close). Everything works in a process without a runtime too: where a
//! goroutine would be parked, a thread sleeps.
//!
//! ```
//! use marmot_channel::{bounded, select, unbounded};
//!
//! let (jobs, todo) = bounded(8);
//! let (done, results) = unbounded();
//! for _ in 0..3 {
//!     let (todo, done) = (todo.clone(), done.clone());
//!     std::thread::spawn(move || {
//!         for n in todo {
//!             done.send(n * n).unwrap();
//!         }
//!     });
//! }
//! drop(done);
//!
//! let mut sum = 0;
//! for n in 0..10_u64 {
//!     // Hand out a job or take a result, whatever can be done first.
//!     select! {
//!         send(jobs, n) -> sent => sent.unwrap(),
//!         recv(results) -> result => {
//!             sum += result.unwrap();
//!             jobs.send(n).unwrap();
//!         }
//!     }
//! }
//! jobs.close();
//! sum += results.iter().sum::<u64>();
//! assert_eq!(sum, 285);
//! ```
//!
//! # What to expect
//!
//! - Three kinds: [`bounded`] with a buffer, `bounded(0)` without one (a *rendezvous*: the sender
//!   waits until a receiver has the value), and [`unbounded`]. Besides, receivers that the clock
//!   fills ([`after`], [`at`], [`tick`]) and one that stays empty ([`never()`]).
//! - *Hand-off*: a value for which somebody waits goes straight into the waiter's frame. Waiters
//!   are served first come, first served; a select chooses among ready cases at random.
//! - Waiting allocates nothing: who waits stands in line with a node on its own stack. (Two exceptions: a
//!   select that may receive a value of more than 64 bytes, and a [`Select`] of more than 32
//!   operations, get memory for as long as they wait.)
//! - An unbounded channel that has been drained keeps about two kilobytes, whatever it held before.
//! - Closing, by [`close`](Sender::close) or by dropping the last [`Sender`], leaves what is in the
//!   buffer to the receivers. Dropping the last [`Receiver`] drops it.
//!
//! # How it is built
//!
//! From the bottom: `lock` (a word, with `turns` for those who fight over it), `wait_queue` (tasks in line),
//! `buffer` (values in blocks), `chan` (the three under one lock: send, receive, close, and the two-step
//! send of a select), `select` (a look at all cases, then one ticket in many lines), and the handles on top; beside them `flavors` and `alarm`, the
//! channels that the clock fills. The
//! protocol files name only `crate::sync` and `crate::task` for what synchronises, so that
//! `tests/models.rs` can run the very same files under loom.

mod alarm;
mod buffer;
mod chan;
mod err;
mod flavors;
#[cfg(test)]
mod flavors_tests;
mod handles;
mod iter;
#[cfg(test)]
mod layout_tests;
mod lock;
mod receiver;
mod select;
mod select_macro;
mod sender;
mod sync;
mod tag;
mod task;
mod turns;
mod wait_queue;
#[cfg(test)]
mod wait_queue_tests;

pub use crate::err::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use crate::iter::{IntoIter, Iter, TryIter};
pub use crate::receiver::{Receiver, after, at, never, tick};
pub use crate::select::{Select, SelectedOperation};
pub use crate::sender::{Sender, bounded, unbounded};

/// What the `select!` macro expands to, and what timers are made of.
#[doc(hidden)]
pub mod internal {
    pub use crate::receiver::AlarmHandle;
    pub use crate::select::{
        Case, ChosenSend, Landing, Look, begin_recv, begin_send, complete_recv, select,
        select_timeout, try_select,
    };
}
