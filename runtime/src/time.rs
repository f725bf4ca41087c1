//! Points and spans of time, timers and tickers.
//!
//! [`Timer`] and [`Ticker`] are Go's, with the semantics of Go 1.23 and later: after `stop` or `reset`
//! has returned, no time is received that was due before it. They deliver through a
//! [`Receiver`], which can stand in a [`select!`](crate::select!) and be cloned. Nothing stands
//! behind them while nobody waits: no thread, no goroutine, no entry in a list of timers; making
//! one and dropping it costs an allocation. They work in a process without a runtime.
//!
//! For a timeout, [`channel::after`](crate::channel::after) or the `*_timeout` methods are simpler.

use std::panic::{RefUnwindSafe, UnwindSafe};

use marmot_channel::internal::AlarmHandle;
use marmot_channel::{Receiver, never};

pub use std::time::{Duration, Instant};

/// Delivers one point in time, or calls a function, when it has come; can be stopped and set again.
///
/// Dropping it does not stop it: clones of its receiver still get the time, and the function is
/// still called.
///
/// # Examples
///
/// ```
/// use marmot::channel::unbounded;
/// use marmot::time::{Duration, Timer};
///
/// let (tx, rx) = unbounded();
/// std::thread::spawn(move || (0..3).for_each(|n| tx.send(n).unwrap()));
///
/// // Gives up when nothing has come for a second.
/// let timer = Timer::new(Duration::from_secs(1));
/// let mut sum = 0;
/// loop {
///     marmot::select! {
///         recv(rx) -> n => match n {
///             Ok(n) => sum += n,
///             Err(_) => break,
///         },
///         recv(timer.receiver()) -> _ => panic!("too slow"),
///     }
///     timer.reset(Duration::from_secs(1));
/// }
/// assert_eq!(sum, 3);
/// ```
#[derive(Debug)]
pub struct Timer {
    alarm: AlarmHandle,
    /// Of the alarm, or, if that calls a function, one that never gets anything.
    receiver: Receiver<Instant>,
    calls: bool,
}

// Nothing of the user's runs while it changes.
impl UnwindSafe for Timer {}
impl RefUnwindSafe for Timer {}

impl Timer {
    /// A timer that delivers the time through its [`receiver`](Self::receiver) after `d`.
    ///
    /// A time beyond the end of time, some 500 years from now, never comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Instant, Timer};
    ///
    /// let begin = Instant::now();
    /// let timer = Timer::new(Duration::from_millis(5));
    /// let due = timer.receiver().recv().unwrap();
    /// assert!(due >= begin + Duration::from_millis(5));
    /// ```
    pub fn new(d: Duration) -> Timer {
        let alarm = AlarmHandle::new(d, false);
        Timer {
            receiver: alarm.receiver(),
            alarm,
            calls: false,
        }
    }

    /// Calls `f` after `d`, in a goroutine of its own; on a plain thread, in a thread of its own.
    ///
    /// After [`reset`](Self::reset) it is called again. The calls are one after the other: one that is
    /// due while the former still runs begins when that has ended. If `f` panics, that is the end of
    /// its goroutine and of the timer: it cannot be set again.
    ///
    /// The goroutine is there from the beginning, asleep, and ends after a call, or a stop, when the
    /// timer has been dropped. So each such timer costs what a goroutine does, and counts as one.
    /// A `Timer` made by [`new`](Self::new) costs far less.
    ///
    /// # Panics
    /// If there is no memory for a stack, or no thread to be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::channel::bounded;
    /// use marmot::time::{Duration, Timer};
    ///
    /// let (tx, rx) = bounded(1);
    /// Timer::after_func(Duration::from_millis(5), move || tx.send("late").unwrap());
    /// assert_eq!(rx.recv(), Ok("late"));
    /// ```
    #[track_caller]
    pub fn after_func<F>(d: Duration, f: F) -> Timer
    where
        F: FnMut() + Send + 'static,
    {
        let alarm = AlarmHandle::new(d, false);
        let caller = Caller {
            alarm: alarm.clone(),
            f,
        };
        if marmot_scheduler::wait::on_goroutine() {
            drop(marmot_scheduler::go(move || caller.run()));
        } else {
            let thread = std::thread::Builder::new().name("marmot-timer".to_owned());
            if let Err(error) = thread.spawn(move || caller.run()) {
                panic!("cannot start a thread for a timer: {error}");
            }
        }
        Timer {
            alarm,
            receiver: never(),
            calls: true,
        }
    }

    /// Where the time is delivered: the one at which it was due. It is there until it is received, or
    /// the timer is stopped or reset. Nothing is ever delivered by a timer that calls a function.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Timer};
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.receiver().try_recv().is_ok());
    /// assert!(timer.receiver().try_recv().is_err(), "once");
    /// ```
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops the timer, unless it is stopped already. `true`: it was pending, and by this call its time
    /// will not be delivered, its function not be called. `false`: the time had been received before,
    /// the function been called (it may still run), or the timer been stopped.
    ///
    /// A time that is due but not yet received is taken back. Who waits at the receiver waits on.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Timer};
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.stop());
    /// assert!(timer.receiver().try_recv().is_err());
    /// assert!(!timer.stop());
    /// ```
    pub fn stop(&self) -> bool {
        self.alarm.stop()
    }

    /// Sets the timer to `d` from now, whether it is pending, or stopped, or has delivered its time.
    /// Whether it was pending, as [`stop`](Self::stop) says it.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Timer};
    ///
    /// let timer = Timer::new(Duration::ZERO);
    /// assert!(timer.reset(Duration::from_secs(3600)));
    /// assert!(timer.receiver().try_recv().is_err());
    /// assert!(timer.reset(Duration::ZERO));
    /// assert!(timer.receiver().recv().is_ok());
    /// assert!(!timer.reset(Duration::ZERO));
    /// assert!(timer.receiver().recv().is_ok());
    /// ```
    pub fn reset(&self, d: Duration) -> bool {
        self.alarm.reset(d)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.calls {
            // Nobody can set it again: the goroutine ends after a last call.
            self.alarm.end(false);
        }
    }
}

/// What the goroutine of [`Timer::after_func`] does.
struct Caller<F> {
    alarm: AlarmHandle,
    f: F,
}

impl<F: FnMut()> Caller<F> {
    fn run(mut self) {
        /// However the goroutine ends, the timer ends with it.
        struct End(AlarmHandle);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.end(true);
            }
        }
        let _end = End(self.alarm.clone());
        while self.alarm.next().is_some() {
            (self.f)();
        }
    }
}

/// Delivers points in time, again and again.
///
/// The times lie on a grid of the period, from the moment at which it was made or reset: there is no
/// drift. At most one of them is kept: for a receiver that is slow the others are left out, and
/// nothing ever waits for it.
///
/// # Examples
///
/// ```
/// use marmot::time::{Duration, Instant, Ticker};
///
/// let begin = Instant::now();
/// let ticker = Ticker::new(Duration::from_millis(2));
/// for tick in ticker.receiver().iter().take(3) {
///     assert!(tick <= Instant::now());
/// }
/// assert!(begin.elapsed() >= Duration::from_millis(6));
/// ```
#[derive(Debug)]
pub struct Ticker {
    alarm: AlarmHandle,
    receiver: Receiver<Instant>,
}

// As for `Timer`.
impl UnwindSafe for Ticker {}
impl RefUnwindSafe for Ticker {}

impl Ticker {
    /// A ticker of the period `d`. The first time is after `d`.
    ///
    /// # Panics
    /// If `d` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Ticker};
    ///
    /// let ticker = Ticker::new(Duration::from_millis(2));
    /// let first = ticker.receiver().recv().unwrap();
    /// let second = ticker.receiver().recv().unwrap();
    /// assert_eq!((second - first).as_millis() % 2, 0);
    /// ```
    #[track_caller]
    pub fn new(d: Duration) -> Ticker {
        assert!(!d.is_zero(), "a ticker needs a period above zero");
        let alarm = AlarmHandle::new(d, true);
        Ticker {
            receiver: alarm.receiver(),
            alarm,
        }
    }

    /// Where the times are delivered: those at which they were due.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Ticker};
    ///
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// assert!(ticker.receiver().is_empty());
    /// ```
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops the ticker: after it has returned, nothing is received until a [`reset`](Self::reset). The
    /// channel is not closed; who waits at the receiver waits on.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Ticker};
    ///
    /// let ticker = Ticker::new(Duration::from_nanos(1));
    /// ticker.stop();
    /// assert!(ticker.receiver().try_recv().is_err());
    /// ```
    pub fn stop(&self) {
        self.alarm.stop();
    }

    /// Starts anew with the period `d`: the next time is `d` from now.
    ///
    /// # Panics
    /// If `d` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use marmot::time::{Duration, Ticker};
    ///
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// ticker.reset(Duration::from_millis(2));
    /// assert!(ticker.receiver().recv().is_ok());
    /// ```
    #[track_caller]
    pub fn reset(&self, d: Duration) {
        assert!(!d.is_zero(), "a ticker needs a period above zero");
        self.alarm.reset(d);
    }
}
