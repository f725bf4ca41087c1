//! The alarm: a clock channel that can be stopped and set again. Timers and tickers are made of it.
//!
//! As with the other clock channels no timer and no thread stands behind it: who looks compares the
//! clock, who waits does so until the next delivery. What is new is that this may change meanwhile;
//! so those who wait are in line, and a reset makes them look again.
//!
//! # Invariants
//!
//! 1. `next` and `period` are written under the core's lock only. Whoever delivers does so under it as
//!    well: so each delivery is before a stop or a reset, or never happens, and after one has
//!    returned nothing is received that was due before it.
//! 2. A task that waits has found its deadline in `next` under the lock, and is in the line of
//!    observers from then on. A reset wakes all of them; after a stop they may sleep on, and if
//!    they wake at the time that was `next`, they find nothing and wait on.
//! 3. Deliveries of a repeating alarm lie on the grid of its period, from the reset on. Those that
//!    nobody has taken in time are left out: at most one is kept.

use std::time::{Duration, Instant};

use crate::chan::{Core, Limit, Patience, Side};
use crate::flavors::{ClockChannel, earlier};
use crate::sync::{AtomicU64, Ordering};
use crate::task::{Outcome, Publish, Reason, Wait, Why};
use crate::wait_queue::{Offer, Waiter, WakeList};

/// In `next`: nothing will be delivered.
const IDLE: u64 = u64::MAX;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// The lock, the line of observers, and the mark of a closed alarm. The gauges stay at zero.
    core: Core,
    /// What the times count from.
    base: Instant,
    /// The next delivery, in nanoseconds from `base`, or `IDLE`.
    next: AtomicU64,
    /// In nanoseconds; 0 is once.
    period: AtomicU64,
}

/// A time too far away to be counted is one of 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(IDLE - 1, |n| n.min(IDLE - 1))
}

impl Alarm {
    /// An alarm that will deliver after `delay`, once, or again and again.
    pub(crate) fn new(delay: Duration, repeats: bool) -> Self {
        let delay = nanos(delay);
        Alarm {
            core: Core::new(Some(1)),
            base: Instant::now(),
            next: AtomicU64::new(delay),
            period: AtomicU64::new(if repeats { delay } else { 0 }),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn instant(&self, nanos: u64) -> Option<Instant> {
        self.base.checked_add(Duration::from_nanos(nanos))
    }

    fn elapsed(&self) -> u64 {
        nanos(self.base.elapsed())
    }

    /// Calls the next delivery off; whether there was one to come.
    pub(crate) fn stop(&self) -> bool {
        self.core.lock();
        let pending = self.next.load(Ordering::Relaxed) != IDLE;
        self.next.store(IDLE, Ordering::Relaxed);
        // SAFETY: locked above.
        unsafe { self.core.lock.unlock() };
        pending
    }

    /// Sets the next delivery, and the period if it repeats, to `delay` from now; whether there was
    /// one to come. Without effect on an alarm that has ended.
    pub(crate) fn reset(&self, delay: Duration) -> bool {
        let delay = nanos(delay);
        let next = self.elapsed().saturating_add(delay).min(IDLE - 1);
        let mut wakes = WakeList::new();
        self.core.lock();
        let pending = self.next.load(Ordering::Relaxed) != IDLE;
        if !self.core.is_closed() {
            self.next.store(next, Ordering::Relaxed);
            if self.period.load(Ordering::Relaxed) != 0 {
                self.period.store(delay, Ordering::Relaxed);
            }
            if self.core.is_observed(Side::Recv) {
                // SAFETY: locked above.
                unsafe { self.core.wake_observers(Side::Recv, &mut wakes) };
            }
        }
        // SAFETY: locked above.
        unsafe { self.core.lock.unlock() };
        wakes.wake();
        pending
    }

    /// Ends the alarm: it will not be set again. What is to come still will, unless it is to be
    /// called off too.
    pub(crate) fn end(&self, call_off: bool) {
        let mut wakes = WakeList::new();
        self.core.lock();
        if call_off {
            self.next.store(IDLE, Ordering::Relaxed);
        }
        // SAFETY: locked above. Nobody waits in another line.
        unsafe {
            self.core.mark_closed();
            self.core.wake_observers(Side::Recv, &mut wakes);
            self.core.lock.unlock();
        }
        wakes.wake();
    }

    /// Stands in line, under the lock, until something changes or the time has come.
    fn wait(&self, limit: Option<Instant>) {
        self.core.lock();
        if self.has_ended() {
            // SAFETY: locked above.
            unsafe { self.core.lock.unlock() };
            return;
        }
        let deadline = earlier(limit, self.next());
        let wait = Wait::new();
        let mut waiter = Waiter::new(wait.ticket(), Offer::Value, std::ptr::null_mut());
        let waiter = &raw mut waiter;
        // SAFETY: the lock is held. The frame is left below, when the node is out of the line by a
        // claimer's hand or our own.
        unsafe { self.core.enqueue_observer(Side::Recv, waiter) };
        let why = Why::on(Reason::ChanRecv, &self.core);
        let lock = &raw const self.core.lock;
        let outcome = wait.park(why, deadline, move || {
            // SAFETY: locked above; the task does not leave before it has found the lock free, or
            // was woken by somebody who had.
            unsafe { (*lock).unlock() };
            Publish::Published
        });
        if outcome != Outcome::Ready {
            self.core.lock();
            // SAFETY: locked here; the node is in that line or in none.
            unsafe {
                self.core.withdraw_observer(Side::Recv, waiter);
                self.core.lock.unlock();
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.core.is_closed() && self.next.load(Ordering::Relaxed) == IDLE
    }
}

impl ClockChannel for Alarm {
    fn next(&self) -> Option<Instant> {
        match self.next.load(Ordering::Relaxed) {
            IDLE => None,
            next => self.instant(next),
        }
    }

    fn try_recv(&self) -> Option<Instant> {
        let elapsed = self.elapsed();
        // A look without the lock first. `IDLE` is never reached.
        if self.next.load(Ordering::Relaxed) > elapsed {
            return None;
        }
        self.core.lock();
        let next = self.next.load(Ordering::Relaxed);
        let due = next <= elapsed;
        if due {
            let after = match self.period.load(Ordering::Relaxed) {
                0 => IDLE,
                period => {
                    let passed = (elapsed - next) / period;
                    let steps = period.saturating_mul(passed.saturating_add(1));
                    next.saturating_add(steps).min(IDLE - 1)
                }
            };
            self.next.store(after, Ordering::Relaxed);
        }
        // SAFETY: locked above.
        unsafe { self.core.lock.unlock() };
        due.then(|| self.instant(next)).flatten()
    }

    /// As for the others, but `None` also if the alarm has ended.
    fn recv(&self, mut patience: Patience) -> Option<Instant> {
        loop {
            if let Some(at) = self.try_recv() {
                return Some(at);
            }
            let Limit::At(limit) = patience.limit() else {
                return None;
            };
            if self.has_ended() {
                return None;
            }
            self.wait(limit);
        }
    }
}
