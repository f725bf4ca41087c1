//! Timers: each processor's pending deadlines, which any machine may fire or cancel.
//!
//! A timer is a ticket and a deadline. Firing it claims the ticket as timed out, so a timer that
//! fires late, or twice, or after its waiter has gone on, has no effect.
//!
//! # Locks
//!
//! `Timers::heap` guards one processor's heap. It is taken by the processor's own machine when it
//! adds, by whichever machine a goroutine runs on when it cancels, and by whoever fires. Under it
//! tickets are claimed; nothing is readied, and no system call is made.

use crate::event::ReadyList;
use crate::idle::FOREVER;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::timer_heap::{Key, TimerHeap};
use crate::wait::{Outcome, Ticket};

/// Timers that are taken out before their tickets are claimed.
const BATCH: usize = 16;

/// Names one pending timer of the scheduler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerKey {
    /// The processor whose heap holds it.
    pub(crate) processor: u32,
    key: Key,
}

/// One processor's timers.
#[derive(Debug)]
pub(crate) struct Timers {
    heap: Mutex<TimerHeap<Ticket>>,
    /// The earliest deadline, or `FOREVER`. Written under the lock, read by anyone.
    next: AtomicU64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers {
            heap: Mutex::new(TimerHeap::new()),
            next: AtomicU64::new(FOREVER),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TimerHeap<Ticket>> {
        self.heap.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The earliest deadline, or `FOREVER` (a snapshot).
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Step T1: adds a timer to the heap of `processor`, telling `on_key` its key before it can
    /// fire. True if it is now the earliest.
    #[must_use]
    pub(crate) fn add(
        &self,
        processor: u32,
        deadline: u64,
        ticket: Ticket,
        on_key: impl FnOnce(TimerKey),
    ) -> bool {
        // A deadline that is "never" for the idle protocol is 584 years away.
        let deadline = deadline.min(FOREVER - 1);
        let mut heap = self.lock();
        let key = heap.add(deadline, ticket);
        on_key(TimerKey { processor, key });
        let earliest = deadline < self.next.load(Ordering::Relaxed);
        if earliest {
            self.next.store(deadline, Ordering::Relaxed);
        }
        earliest
    }

    /// Removes a timer, if it has not fired.
    pub(crate) fn cancel(&self, key: TimerKey) {
        let mut heap = self.lock();
        if heap.remove(key.key).is_some() {
            self.publish(&heap);
        }
    }

    /// Fires what is due at `now`; the waiters that were still waiting are added to `ready`.
    pub(crate) fn fire_due(&self, now: u64, ready: &mut ReadyList) {
        if self.next() > now {
            return;
        }
        let mut heap = self.lock();
        let mut due = [const { None }; BATCH];
        let mut count = BATCH;
        // Some at once: the waiters of a crowd of sleepers lie all over memory, and the processor looks
        // for several side by side if nothing else comes between.
        while count == BATCH {
            count = 0;
            while count < BATCH
                && let Some(ticket) = heap.pop_due(now)
            {
                due[count] = Some(ticket);
                count += 1;
            }
            for ticket in due[..count].iter().flatten() {
                ticket.prefetch();
            }
            for ticket in due[..count].iter_mut().filter_map(Option::take) {
                if let Some(parked) = ticket.claim(Outcome::TimedOut) {
                    ready.push(parked);
                }
            }
        }
        self.publish(&heap);
    }

    fn publish(&self, heap: &TimerHeap<Ticket>) {
        let next = heap.earliest().unwrap_or(FOREVER);
        if next != self.next.load(Ordering::Relaxed) {
            self.next.store(next, Ordering::Relaxed);
        }
    }
}
