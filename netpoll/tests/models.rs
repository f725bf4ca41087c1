//! Model checks of the descriptor slot and the dry mark: every interleaving that loom finds, within a bound of
//! preemptions.
//!
//! The slot's own source is included, over loom's atomics; the kernel, the wait words and the
//! scheduler are modelled here in a few lines. Run by a plain `cargo test`.
//!
//! Each check was seen to fail on a planted fault:
//!
//! | fault planted                                                     | caught by                    |
//! |-------------------------------------------------------------------|------------------------------|
//! | `install` goes from `INSTALLING` to `WAITING` at any epoch        | `happy_race`                 |
//! | `register` does not compare the epoch first                       | `happy_race`                 |
//! | `enqueue` sets `QUEUED` without finding the epoch                 | `two_waiters_one_event`      |
//! | the task reads the epoch after its system call (in `Net::read`)   | `happy_race`                 |
//! | a woken task does not pass the event on (in `Net::read`)          | `two_waiters_one_event`      |
//! | `answer` gives up when the first claim fails                      | `timeout_against_event`      |
//! | `inspect` puts the waiter back at any epoch                       | `withdrawal_beside_a_baton`  |
//! | `pass_on` ignores the phase `TAKING`                              | `withdrawal_beside_a_baton`  |
//! | `count` does not compare the generation                           | `stale_event`                |
//! | `retire` leaves the generation                                    | both `stale_` models         |
//! | `notify_all` does not count an event                              | `moved_deadline`             |
//! | `Dry::never` does nothing                                         | `end_with_the_last_data`     |
//! | `never` after the slot was moved (in `Stream::poll`)              | `end_with_the_last_data`     |
//! | a full read marks, too (in `Stream::read`)                        | `data_after_a_short_read`    |
//! | the mark takes an epoch from after the read (in `Stream::read`)   | `data_after_a_short_read`    |
//! | a future registers anew without leaving first (in `Future::poll`)  | `two_wakers_of_one_future`   |
//! | a future does not mind that its entry was taken (in `leave`)      | `a_future_polled_again`      |
//! | `abandon` does not pass the event on                              | `a_future_is_dropped`        |
//! | `abandon` passes it on only if the entry was found                | `a_future_is_dropped`        |
//! | `withdraw` leaves what stands in the queue                        | `withdrawal_is_complete`     |
//! | `replace` frees without waiting; waits before it swaps            | `handlers_read_what_lives`   |
//! | `read` loads the pointer before it counts itself in               | `handlers_read_what_lives`   |
//! | `replace` loads the count, instead of adding nothing to it        | `handlers_read_what_lives`   |
//! | any of the accesses of `read` and `replace` relaxed               | `handlers_read_what_lives`   |
#![allow(missing_docs)]

mod sync {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
}

#[allow(dead_code)] // the models use one record each
#[path = "../src/dry.rs"]
mod dry;
#[path = "../src/signal/published.rs"]
mod published;
#[path = "../src/slot.rs"]
mod slot;
#[path = "../src/standing.rs"]
mod standing;

use dry::Dry;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;
use published::Published;
use slot::{Epoch, Registered, Slot};

const OPEN: usize = 0;
const READY: usize = 1;
const TIMED_OUT: usize = 2;

/// One wait of one task: the wait word, and what the task sleeps on.
struct Episode {
    task: usize,
    word: AtomicUsize,
    wake: Notify,
}

type Ticket = Arc<Episode>;

fn ticket(task: usize) -> Ticket {
    Arc::new(Episode {
        task,
        word: AtomicUsize::new(OPEN),
        wake: Notify::new(),
    })
}

/// `Ticket::claim` and `Parked::ready` in one.
fn end(ticket: &Ticket, outcome: usize) -> bool {
    let won = ticket
        .word
        .compare_exchange(OPEN, outcome, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok();
    if won {
        ticket.wake.notify();
    }
    won
}

fn claim(ticket: Ticket) -> Option<()> {
    end(&ticket, READY).then_some(())
}

fn wait(ticket: &Ticket) -> usize {
    loop {
        // loom's `wait` may return spuriously.
        match ticket.word.load(Ordering::Acquire) {
            OPEN => ticket.wake.wait(),
            outcome => return outcome,
        }
    }
}

/// One direction of a descriptor: the kernel's buffer, and the slot.
struct Net {
    bytes: AtomicUsize,
    slot: Slot<Ticket>,
}

impl Net {
    fn new() -> Arc<Net> {
        Arc::new(Net {
            bytes: AtomicUsize::new(0),
            slot: Slot::new(),
        })
    }

    /// The system call: takes one byte, or would block.
    fn recv(&self) -> bool {
        self.bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
            .is_ok()
    }

    /// Bytes arrive: the kernel fills its buffer, then the poller hears of it.
    fn arrive(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.slot.notify_one(0, claim);
    }

    /// The loop of every blocking call.
    fn read(&self, task: usize) {
        let mut woken = false;
        loop {
            let seen = self.slot.epoch();
            if self.recv() {
                if woken {
                    self.slot.pass_on(claim);
                }
                return;
            }
            let ticket = ticket(task);
            if let Registered::Waiting = self.slot.register(seen, ticket.clone()) {
                assert_eq!(wait(&ticket), READY);
            }
            woken = true;
        }
    }

    /// Whether nobody stands in the slot.
    fn is_vacant(&self) -> bool {
        let mut found = false;
        self.slot.notify_all(|_| found = true);
        !found
    }
}

fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

/// A reader and one event. A lost wake-up is a deadlock, which loom reports.
#[test]
fn happy_race() {
    model(4, || {
        let net = Net::new();
        let reader = {
            let net = net.clone();
            thread::spawn(move || net.read(1))
        };
        net.arrive(1);
        reader.join().unwrap();
        assert!(net.is_vacant());
    });
}

/// Two events, each with a byte: as many as the reader needs, in two polls.
#[test]
fn two_events() {
    model(3, || {
        let net = Net::new();
        let reader = {
            let net = net.clone();
            thread::spawn(move || {
                net.read(1);
                net.read(1);
            })
        };
        net.arrive(1);
        net.arrive(1);
        reader.join().unwrap();
        assert!(net.is_vacant());
    });
}

/// Two readers, and one event that has something for both: the first must pass it on.
#[test]
fn two_waiters_one_event() {
    model(2, || {
        let net = Net::new();
        let readers: Vec<_> = (1..=2)
            .map(|task| {
                let net = net.clone();
                thread::spawn(move || net.read(task))
            })
            .collect();
        net.arrive(2);
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(net.is_vacant());
    });
}

/// A deadline ends the first wait while an event comes, and another task waits behind: the event
/// must not be lost on the one who has left.
#[test]
fn timeout_against_event() {
    model(3, || {
        let net = Net::new();
        let first = ticket(1);
        let seen = net.slot.epoch();
        let registered = net.slot.register(seen, first.clone());
        assert!(matches!(registered, Registered::Waiting));
        let second = ticket(2);
        let registered = net.slot.register(seen, second.clone());
        assert!(matches!(registered, Registered::Waiting));

        let timer = {
            let (net, first) = (net.clone(), first.clone());
            thread::spawn(move || {
                // The timer fires and the task, woken by it, withdraws.
                if end(&first, TIMED_OUT) {
                    net.slot.withdraw(|t| t.task == 1, claim);
                }
            })
        };
        net.arrive(1);
        timer.join().unwrap();
        if first.word.load(Ordering::Acquire) == TIMED_OUT {
            // The second is the one to have it, and nobody stands in the slot.
            assert_eq!(wait(&second), READY);
            assert!(net.is_vacant());
        } else {
            assert_eq!(second.word.load(Ordering::Acquire), OPEN);
        }
    });
}

/// A task whose registration failed or is late withdraws, and looks at another's entry for a
/// moment: an event meanwhile must reach that other.
#[test]
fn withdrawal_beside_a_waiter() {
    model(4, || {
        let net = Net::new();
        let withdrawing = {
            let net = net.clone();
            thread::spawn(move || {
                net.slot.withdraw(|t| t.task == 2, claim);
            })
        };
        let reader = {
            let net = net.clone();
            thread::spawn(move || net.read(1))
        };
        net.arrive(1);
        withdrawing.join().unwrap();
        reader.join().unwrap();
        assert!(net.is_vacant());
    });
}

/// The same while the event comes from a task that passes it on.
#[test]
fn withdrawal_beside_a_baton() {
    model(4, || {
        let net = Net::new();
        let waiter = ticket(1);
        let registered = net.slot.register(net.slot.epoch(), waiter.clone());
        assert!(matches!(registered, Registered::Waiting));
        let withdrawing = {
            let net = net.clone();
            thread::spawn(move || {
                net.slot.withdraw(|t| t.task == 2, claim);
            })
        };
        // A thread of its own: loom does not preempt the first step after a spawn.
        let passing = {
            let net = net.clone();
            thread::spawn(move || {
                net.slot.pass_on(claim);
            })
        };
        passing.join().unwrap();
        withdrawing.join().unwrap();
        assert_eq!(wait(&waiter), READY);
    });
}

/// A withdrawal takes the entry out wherever it stands, and leaves the other's.
#[test]
fn withdrawal_is_complete() {
    model(3, || {
        let net = Net::new();
        let seen = net.slot.epoch();
        let tickets: Vec<_> = (1..=2).map(ticket).collect();
        let handles: Vec<_> = tickets
            .iter()
            .map(|t| {
                let (net, t) = (net.clone(), t.clone());
                thread::spawn(move || {
                    assert!(matches!(
                        net.slot.register(seen, t.clone()),
                        Registered::Waiting
                    ));
                    if t.task == 1 {
                        net.slot.withdraw(|t| t.task == 1, claim);
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        let mut left = Vec::new();
        net.slot.notify_all(|t| left.push(t.task));
        assert_eq!(left, [2]);
    });
}

/// An event of the former descriptor arrives while the record passes to the next one: the new
/// reader is not woken by it, and does not miss its own event.
#[test]
fn stale_event() {
    model(3, || {
        let net = Net::new();
        let stale = {
            let net = net.clone();
            thread::spawn(move || {
                net.slot.notify_one(0, claim);
            })
        };
        net.slot.retire(|_| {});
        let generation = net.slot.generation();
        let seen = net.slot.epoch();
        let waiter = ticket(1);
        let registered = net.slot.register(seen, waiter.clone());
        assert!(matches!(registered, Registered::Waiting));
        stale.join().unwrap();
        assert_eq!(net.slot.epoch(), seen);
        assert_eq!(waiter.word.load(Ordering::Acquire), OPEN);
        net.slot.notify_one(generation, claim);
        assert_eq!(wait(&waiter), READY);
    });
}

/// A registration comes late: its wait is over, and the record has passed to the next descriptor.
/// Nothing of it may stay there, and the next reader gets its event.
#[test]
fn stale_registration() {
    model(4, || {
        let net = Net::new();
        let seen: Epoch = net.slot.epoch();
        let late = {
            let net = net.clone();
            thread::spawn(move || {
                let ticket = ticket(1);
                assert!(end(&ticket, TIMED_OUT));
                let _ = net.slot.register(seen, ticket);
            })
        };
        net.slot.retire(|_| {});
        let generation = net.slot.generation();
        let waiter = ticket(2);
        let registered = net.slot.register(net.slot.epoch(), waiter.clone());
        assert!(matches!(registered, Registered::Waiting));
        net.slot.notify_one(generation, claim);
        late.join().unwrap();
        assert_eq!(wait(&waiter), READY);
        assert!(net.is_vacant());
    });
}

/// A deadline is moved while a task goes to sleep: it must read the new one before it does, or be
/// woken to read it.
#[test]
fn moved_deadline() {
    model(4, || {
        let net = Net::new();
        let deadline = Arc::new(AtomicUsize::new(0));
        let reader = {
            let (net, deadline) = (net.clone(), deadline.clone());
            thread::spawn(move || {
                loop {
                    let seen = net.slot.epoch();
                    if deadline.load(Ordering::Relaxed) == 1 {
                        return;
                    }
                    let ticket = ticket(1);
                    if let Registered::Waiting = net.slot.register(seen, ticket.clone()) {
                        wait(&ticket);
                    }
                }
            })
        };
        deadline.store(1, Ordering::Relaxed);
        net.slot.notify_all(|t| {
            claim(t);
        });
        reader.join().unwrap();
    });
}

/// The count wraps within its field: neither into the generation, nor to a former epoch.
#[test]
fn epochs_differ() {
    model(1, || {
        let slot: Slot<usize> = Slot::new();
        let before = slot.epoch();
        slot.notify_one(0, Some);
        let after = slot.epoch();
        assert_ne!(before, after);
        slot.retire(|_| {});
        assert_ne!(after, slot.epoch());
        assert_eq!(slot.generation(), 1);
    });
}

/// A stream of bytes with an end, read through the dry mark.
struct Stream {
    /// Bytes in the kernel's buffer, and `END`.
    kernel: AtomicUsize,
    slot: Slot<Ticket>,
    dry: Dry,
}

const END: usize = 1 << 8;
/// What a read asks for.
const WANTED: usize = 2;

impl Stream {
    fn new() -> Arc<Stream> {
        Arc::new(Stream {
            kernel: AtomicUsize::new(0),
            slot: Slot::new(),
            dry: Dry::new(),
        })
    }

    fn arrive(&self, what: usize) {
        self.kernel.fetch_add(what, Ordering::AcqRel);
    }

    /// The poller gets one event for all that has arrived.
    fn poll(&self) {
        if self.kernel.load(Ordering::Acquire) >= END {
            self.dry.never();
        }
        self.slot.notify_one(0, claim);
    }

    /// Up to `WANTED` bytes, 0 at the end, `None` if it would block.
    fn recv(&self) -> Option<usize> {
        let taken = self
            .kernel
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |k| {
                Some(k - (k % END).min(WANTED))
            })
            .unwrap();
        match (taken % END).min(WANTED) {
            0 if taken < END => None,
            n => Some(n),
        }
    }

    fn read(&self) -> usize {
        let mut attempt = false;
        loop {
            let seen = self.slot.epoch();
            if (attempt || !self.dry.is_at(seen))
                && let Some(n) = self.recv()
            {
                if 0 < n && n < WANTED {
                    self.dry.mark(seen);
                }
                return n;
            }
            attempt = true;
            let ticket = ticket(1);
            if let Registered::Waiting = self.slot.register(seen, ticket.clone()) {
                assert_eq!(wait(&ticket), READY);
            }
        }
    }

    fn read_to_end(&self) -> usize {
        let mut sum = 0;
        loop {
            match self.read() {
                0 => return sum,
                n => sum += n,
            }
        }
    }
}

/// The end arrives together with, or just after, the last data: one event, or two.
#[test]
fn end_with_the_last_data() {
    model(3, || {
        let stream = Stream::new();
        let reader = {
            let stream = stream.clone();
            thread::spawn(move || stream.read_to_end())
        };
        stream.arrive(1);
        stream.arrive(END);
        stream.poll();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

/// Data comes while the reader marks the stream dry, and is the last to come.
#[test]
fn data_after_a_short_read() {
    model(3, || {
        let stream = Stream::new();
        let reader = {
            let stream = stream.clone();
            thread::spawn(move || {
                let mut sum = 0;
                while sum < 4 {
                    sum += stream.read();
                }
            })
        };
        stream.arrive(3);
        stream.poll();
        stream.arrive(1);
        stream.poll();
        reader.join().unwrap();
    });
}

/// A value whose life loom watches.
struct Watched(loom::cell::UnsafeCell<usize>);

impl Drop for Watched {
    fn drop(&mut self) {
        // Taken for a write: a read that is not ordered before it is a race.
        self.0.with_mut(|value| {
            // SAFETY: it is ours alone, or loom says that it is not.
            unsafe { *value = usize::MAX }
        });
    }
}

/// Signal handlers on two threads read a table that is replaced meanwhile: none sees one that is
/// freed, and whoever begins after the replacement sees the new one.
#[test]
fn handlers_read_what_lives() {
    model(3, || {
        let published = Arc::new(Published::new(Watched(loom::cell::UnsafeCell::new(0))));
        let read = |published: &Published<Watched>| {
            published.read(|watched| {
                // SAFETY: nobody writes while a reader is counted, or loom says that he does.
                watched.0.with(|value| unsafe { *value })
            })
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let published = published.clone();
                thread::spawn(move || assert!(read(&published) <= 1))
            })
            .collect();
        published.replace(Watched(loom::cell::UnsafeCell::new(1)), thread::yield_now);
        assert_eq!(read(&published), 1);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// A future that reads one byte: as in `future.rs`, its entries being tickets.
struct Future {
    net: Arc<Net>,
    task: usize,
    stands: bool,
}

impl Future {
    fn new(net: &Arc<Net>, task: usize) -> Future {
        Future {
            net: net.clone(),
            task,
            stands: false,
        }
    }

    /// Polls with a waker: true if it has its byte.
    fn poll(&mut self, waker: &Ticket) -> bool {
        let (slot, task) = (&self.net.slot, self.task);
        let mut baton = false;
        if std::mem::take(&mut self.stands) {
            (baton, _) = standing::leave(slot, |t| t.task == task, claim);
        }
        loop {
            let seen = slot.epoch();
            if self.net.recv() {
                if baton {
                    slot.pass_on(claim);
                }
                return true;
            }
            if let Registered::Waiting = slot.register(seen, waker.clone()) {
                self.stands = true;
                return false;
            }
            baton = true;
        }
    }

    /// Polls with a new waker each time that it is woken.
    fn finish(mut self) {
        loop {
            let waker = ticket(self.task);
            if self.poll(&waker) {
                return;
            }
            assert_eq!(wait(&waker), READY);
        }
    }
}

impl Drop for Future {
    fn drop(&mut self) {
        if std::mem::take(&mut self.stands) {
            let task = self.task;
            let _ = standing::abandon(&self.net.slot, |t| t.task == task, claim);
        }
    }
}

/// A future that was pending is dropped while an event comes, and another waits behind it.
#[test]
fn a_future_is_dropped() {
    model(3, || {
        let net = Net::new();
        let mut first = Future::new(&net, 1);
        let mut second = Future::new(&net, 2);
        let (one, two) = (ticket(1), ticket(2));
        assert!(!first.poll(&one));
        assert!(!second.poll(&two));
        let dropping = thread::spawn(move || drop(first));
        net.arrive(1);
        dropping.join().unwrap();
        assert_eq!(wait(&two), READY);
        second.finish();
        assert!(net.is_vacant());
    });
}

/// A future is polled again, with another waker and without having been woken, while an event comes:
/// the last waker is woken, or the byte is there, and nothing stays behind.
#[test]
fn two_wakers_of_one_future() {
    model(3, || {
        let net = Net::new();
        let mut future = Future::new(&net, 1);
        let old = ticket(1);
        assert!(!future.poll(&old));
        let polling = thread::spawn(move || future.finish());
        net.arrive(1);
        polling.join().unwrap();
        assert!(net.is_vacant());
    });
}

/// A future that was woken takes its byte, and passes the event on to one who waits behind it.
#[test]
fn a_future_polled_again() {
    model(3, || {
        let net = Net::new();
        let mut first = Future::new(&net, 1);
        let mut second = Future::new(&net, 2);
        let (one, two) = (ticket(1), ticket(2));
        assert!(!first.poll(&one));
        assert!(!second.poll(&two));
        let polling = thread::spawn(move || first.finish());
        net.arrive(2);
        // Whichever is woken, the other one is in its turn.
        assert_eq!(wait(&two), READY);
        second.finish();
        polling.join().unwrap();
        assert!(net.is_vacant());
    });
}
