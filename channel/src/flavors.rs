//! Receivers without a sender: the clock sends.
//!
//! No timer and no thread stands behind them. Whoever looks compares the clock; whoever waits does
//! so with a deadline. What is received is claimed with one compare-and-swap, so each instant is
//! received once, however many handles there are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::chan::{Limit, Patience};
use crate::task::{Publish, Reason, Wait, Why};

/// The time, read at most once for one look at several channels.
#[derive(Debug, Default)]
pub(crate) struct Clock(Option<Instant>);

impl Clock {
    pub(crate) fn now(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }
}

/// Waits on nothing until patience is over.
pub(crate) fn wait_out(mut patience: Patience) {
    while let Limit::At(deadline) = patience.limit() {
        let _ = Wait::new().park(Why::new(Reason::ChanRecv), deadline, || Publish::Published);
    }
}

/// What a clock channel can be asked.
pub(crate) trait ClockChannel {
    /// When the next instant can be received; `None` is never.
    fn next(&self) -> Option<Instant>;

    /// Receives the next instant if it has come.
    fn try_recv(&self) -> Option<Instant>;

    /// Whether there is something to receive.
    fn is_ready(&self, clock: &mut Clock) -> bool {
        self.next().is_some_and(|next| clock.now() >= next)
    }

    /// Receives the next instant, waiting for it.
    fn recv(&self, mut patience: Patience) -> Option<Instant> {
        loop {
            if let Some(at) = self.try_recv() {
                return Some(at);
            }
            let Limit::At(limit) = patience.limit() else {
                return None;
            };
            let deadline = earlier(limit, self.next());
            let _ = Wait::new().park(Why::new(Reason::ChanRecv), deadline, || Publish::Published);
        }
    }
}

/// The earlier of two points in time, of which `None` is never.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Delivers one instant, when it has come: `after` and `at`.
#[derive(Debug)]
pub(crate) struct At {
    when: Instant,
    received: AtomicBool,
}

impl At {
    pub(crate) fn new(when: Instant) -> Self {
        At {
            when,
            received: AtomicBool::new(false),
        }
    }
}

impl ClockChannel for At {
    fn next(&self) -> Option<Instant> {
        // Relaxed: nothing else is told by it.
        (!self.received.load(Ordering::Relaxed)).then_some(self.when)
    }

    fn try_recv(&self) -> Option<Instant> {
        let due = self.next().is_some_and(|when| Instant::now() >= when);
        // SeqCst: a receive is a receive, and users may order other things by it.
        (due && !self.received.swap(true, Ordering::SeqCst)).then_some(self.when)
    }
}

/// Delivers instants at least one period apart: `tick`.
///
/// A tick that nobody takes in time delays those after it; ticks do not pile up.
#[derive(Debug)]
pub(crate) struct Tick {
    start: Instant,
    /// In nanoseconds.
    period: u64,
    /// The next delivery, in nanoseconds from `start`.
    next: AtomicU64,
}

impl Tick {
    /// `None` if the first tick would be beyond the end of time (of some 500 years).
    pub(crate) fn new(period: Duration) -> Option<Self> {
        let start = Instant::now();
        start.checked_add(period)?;
        let period = u64::try_from(period.as_nanos()).ok()?;
        Some(Tick {
            start,
            period,
            next: AtomicU64::new(period),
        })
    }

    fn instant(&self, nanos: u64) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(nanos))
    }
}

impl ClockChannel for Tick {
    fn next(&self) -> Option<Instant> {
        // Relaxed: nothing else is told by it.
        self.instant(self.next.load(Ordering::Relaxed))
    }

    fn try_recv(&self) -> Option<Instant> {
        loop {
            // Relaxed: `compare_exchange` decides.
            let next = self.next.load(Ordering::Relaxed);
            let at = self.instant(next)?;
            let now = Instant::now();
            if now < at {
                return None;
            }
            let elapsed = now.saturating_duration_since(self.start).as_nanos();
            let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
            let after = elapsed.saturating_add(self.period);
            // SeqCst: as in `At`.
            let won = self
                .next
                .compare_exchange(next, after, Ordering::SeqCst, Ordering::Relaxed);
            if won.is_ok() {
                return Some(at);
            }
        }
    }
}
