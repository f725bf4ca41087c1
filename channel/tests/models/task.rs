//! What `crate::task` means in the models: waits of loom's threads, decided by the wait word.

use std::time::Instant;

use loom::sync::{Condvar, Mutex};

pub use crate::wait_word::Outcome;
use crate::wait_word::{WaitNumber, WaitWord};

#[derive(Clone, Copy, Debug)]
pub enum Reason {
    ChanSend,
    ChanRecv,
    Select,
    Sync,
}

#[derive(Clone, Copy, Debug)]
pub struct Why;

impl Why {
    pub fn new(_: Reason) -> Self {
        Why
    }

    pub fn on<T: ?Sized>(_: Reason, _: *const T) -> Self {
        Why
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Publish {
    Published,
    Withdrawn,
}

/// One per thread and execution, leaked: type-stable, as the scheduler's are.
#[derive(Debug)]
pub struct Header {
    word: WaitWord,
    signal: Mutex<bool>,
    changed: Condvar,
}

loom::thread_local! {
    static HEADER: &'static Header = Box::leak(Box::new(Header {
        word: WaitWord::new(),
        signal: Mutex::new(false),
        changed: Condvar::new(),
    }));
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

    pub fn ready_after(self) {
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
        // From here on the deadline may pass, before, between or after all that others do.
        if deadline.is_some() && header.word.claim(number, Outcome::TimedOut) {
            return Outcome::TimedOut;
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

/// Nobody waits for a processor.
pub fn yield_to_few() -> bool {
    false
}

/// No choice: loom explores the schedules, and has to see the same choices again.
pub fn next_u32() -> u32 {
    0
}
