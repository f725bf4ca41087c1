//! What `super::task` means in the models: waits of loom's threads, decided by the wait word.

use std::cell::Cell;
use std::time::Instant;

use loom::sync::{Condvar, Mutex};

pub use crate::wait_word::Outcome;
use crate::wait_word::{WaitNumber, WaitWord};

/// What a model sets for all its threads. (Loom runs a model's threads on one OS thread.)
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// How often a task looks again before it waits.
    pub spins: u32,
    /// Whether whoever has waited has waited long.
    pub long: bool,
}

thread_local! {
    static SETTINGS: Cell<Settings> = const { Cell::new(Settings { spins: 0, long: false }) };
}

pub fn set(settings: Settings) {
    SETTINGS.set(settings);
}

loom::thread_local! {
    static HEADER: &'static Header = Box::leak(Box::new(Header {
        word: WaitWord::new(),
        signal: Mutex::new(false),
        changed: Condvar::new(),
    }));
    static CANCEL: Cell<bool> = Cell::new(false);
}

/// The next wait of the calling thread may be cancelled at any moment.
pub fn cancel_next_wait() {
    CANCEL.with(|cancel| cancel.set(true));
}

#[derive(Clone, Copy, Debug)]
pub struct Since;

impl Since {
    pub fn now() -> Self {
        Since
    }

    pub fn is_long(self) -> bool {
        SETTINGS.get().long
    }
}

#[derive(Debug)]
pub struct Spin(u32);

impl Spin {
    pub fn new() -> Self {
        Spin(SETTINGS.get().spins)
    }

    pub fn more(&self) -> bool {
        self.0 > 0
    }

    pub fn turn(&mut self) {
        self.0 -= 1;
        loom::thread::yield_now();
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Reason {
    Sync,
}

#[derive(Clone, Copy, Debug)]
pub struct Why;

impl Why {
    pub fn on<T: ?Sized>(_: Reason, _: *const T) -> Self {
        Why
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Publish {
    Published,
}

/// One per thread and execution, leaked: type-stable, as the scheduler's are.
#[derive(Debug)]
pub struct Header {
    word: WaitWord,
    signal: Mutex<bool>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    header: &'static Header,
    number: WaitNumber,
}

impl Ticket {
    pub fn claim(self, outcome: Outcome) -> Option<Parked> {
        let won = self.header.word.claim(self.number, outcome);
        won.then(|| Parked(self.header))
    }
}

#[derive(Debug)]
#[must_use]
pub struct Parked(&'static Header);

impl Parked {
    pub fn ready_first(self) {
        self.ready();
    }

    pub fn ready(self) {
        let header = self.0;
        std::mem::forget(self);
        *header.signal.lock().unwrap() = true;
        header.changed.notify_one();
        // The one made ready may run before its waker does anything else.
        loom::thread::yield_now();
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the right to ready a parked task was dropped");
        }
    }
}

#[derive(Debug)]
pub struct Wait(&'static Header);

impl Wait {
    pub fn new() -> Self {
        Wait(HEADER.with(|header| *header))
    }

    pub fn ticket(&self) -> Ticket {
        Ticket {
            header: self.0,
            number: self.0.word.next(),
        }
    }

    pub fn park<F>(self, _: Why, deadline: Option<Instant>, publish: F) -> Outcome
    where
        F: FnOnce() -> Publish,
    {
        let header = self.0;
        let number = header.word.open();
        assert_eq!(publish(), Publish::Published);
        // From here on the wait may end by itself, before, between or after all that others do.
        let cancelled = CANCEL.with(|cancel| cancel.replace(false));
        let by_itself = match (deadline, cancelled) {
            (Some(_), _) => Some(Outcome::TimedOut),
            (None, true) => Some(Outcome::Cancelled),
            (None, false) => None,
        };
        if let Some(outcome) = by_itself
            && header.word.claim(number, outcome)
        {
            return outcome;
        }
        let mut signal = header.signal.lock().unwrap();
        while !*signal {
            signal = header.changed.wait(signal).unwrap();
        }
        *signal = false;
        drop(signal);
        header.word.outcome()
    }
}
