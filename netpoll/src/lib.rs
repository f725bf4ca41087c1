//! Marmot's network poller, and the sockets that wait in it.
//!
//! Users of Marmot meet the sockets as `marmot::net`; the runtime passes a [`Poller`] to the
//! scheduler, which asks it for events when a processor has nothing to run. Imports point one way:
//! this crate knows the scheduler's waits and its hook for events, and the scheduler knows no
//! descriptor.
//!
//! # How a read waits
//!
//! 1. A socket makes its system call at once, without waiting. If there is data, nothing else
//!    happens. (It is not made when the read before has drained the socket and nothing has come
//!    since: it could only say that it would block.)
//! 2. If the call would block, the descriptor is registered with the poller of the goroutine's
//!    runtime, once in its life: edge-triggered, for both directions.
//! 3. The goroutine parks. Off its stack, its ticket is put into the descriptor's read slot, unless
//!    an event has come since it looked there before the system call.
//! 4. A machine that polls gets the event, counts it in the slot, claims the ticket, and takes the
//!    goroutine along in its list of ready ones.
//! 5. The goroutine makes its system call again. If others wait, and there may be something left,
//!    it passes the event on.
//!
//! A plain thread blocks in `poll(2)` in place of 2 to 4, and so does a goroutine in a runtime whose
//! event source is not a [`Poller`]. So sockets work in every process, with runtimes or without.
//!
//! # Code map
//!
//! | file          | concept                                                                    |
//! |---------------|----------------------------------------------------------------------------|
//! | `slot.rs`     | who waits for a direction, and what has happened there: the protocol       |
//! | `dry.rs`      | when a read need not try before it waits: a protocol, too                  |
//! | `waiter.rs`   | who waits: a task or a future                                              |
//! | `standing.rs` | how a future leaves a slot: a protocol                                     |
//! | `future.rs`   | the operations as futures                                                  |
//! | `record.rs`   | the two slots of each descriptor, in type-stable memory; tokens            |
//! | `poller.rs`   | epoll, by way of mio, as the scheduler's event source                      |
//! | `timer.rs`    | timed polls to the microsecond                                             |
//! | `pollable.rs` | the loop that makes a non-blocking descriptor block its task               |
//! | `members.rs`  | the pollers a descriptor is registered with                                |
//! | `blocked.rs`  | threads that wait outside any poller                                       |
//! | `limits.rs`   | deadlines and timeouts                                                     |
//! | `socket/`     | what all sockets share: clones, coming and leaving, common methods         |
//! | `accept.rs`   | accepting, and going on when there are no descriptors                      |
//! | `address.rs`  | addresses, and names that are looked up                                    |
//! | `tcp/`        | `std::net`'s TCP types                                                     |
//! | `udp.rs`      | `std::net`'s UDP socket                                                    |
//! | `unix/`       | `std::os::unix::net`'s types                                               |
//! | `signal/`     | signals, from the handler to who subscribed                                |
//! | `pipe.rs`     | the ends of pipes                                                          |
//! | `child.rs`    | the end of a child process                                                 |
//! | `sys.rs`      | system calls                                                               |
//! | `sync.rs`     | the seam for model checks of the protocols                                 |
//!
//! # What blocks what
//!
//! Reading, writing, accepting and connecting park the goroutine. Looking up a name, in
//! [`TcpListener::bind`], [`TcpStream::connect`] and the like, blocks the thread. All else returns at once.
//! No lock is held over a park. Locks, outer first: a shard's driver, or a descriptor's list of
//! memberships; then a slot's queue; then a shard's stock of records; then the common stock.

mod accept;
mod address;
mod blocked;
mod child;
mod dry;
mod future;
mod limits;
mod members;
mod pipe;
mod pollable;
mod poller;
mod record;
pub mod signal;
mod slot;
mod socket;
mod standing;
mod sync;
mod sys;
mod tcp;
mod timer;
mod udp;
pub mod unix;
mod waiter;

pub use child::child_end;
pub use future::Attempt;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use pollable::Pollable;
pub use poller::Poller;
pub use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
pub use tcp::{Incoming, IntoIncoming, TcpListener, TcpStream};
pub use udp::UdpSocket;
