//! Timers: a wait with a deadline ends once, its timer is gone then or harmless, and the earliest
//! deadline that is published is never later than a timer that is set.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use loom::thread;

use crate::fences::{self, Model};
use crate::idle::FOREVER;
use crate::timers::{TimerKey, Timers};
use crate::wait_word::{Outcome, WaitWord};
use crate::waiter::{ReadyList, Ticket};

/// A goroutine that waits with a deadline, as far as `ParkFrame` and `park` in `g.rs` go.
struct Goroutine {
    word: Arc<WaitWord>,
    /// On its stack: whoever goes on as the goroutine has it alone.
    timer: UnsafeCell<Option<TimerKey>>,
    /// Where a waker looks for it.
    published: AtomicU64,
}

// SAFETY: whether the frame is used by one at a time is what the models check.
unsafe impl Sync for Goroutine {}
// SAFETY: as above.
unsafe impl Send for Goroutine {}

impl Goroutine {
    fn new() -> Arc<Self> {
        Arc::new(Goroutine {
            word: Arc::new(WaitWord::new()),
            timer: UnsafeCell::new(None),
            published: AtomicU64::new(0),
        })
    }

    /// Its machine, when it has left its stack.
    fn park(&self, timers: &Timers, deadline: u64) {
        let number = self.word.open();
        let ticket = Ticket {
            word: self.word.clone(),
            number,
        };
        let _ = timers.add(0, deadline, ticket, |key| {
            self.timer.with_mut(|timer| unsafe { *timer = Some(key) });
        });
        self.published.store(number.as_u64(), Release);
    }

    /// A waker: whether it has ended the wait, if it was published.
    fn claim(&self) -> bool {
        let number = self.published.load(Acquire);
        number > 0 && {
            let number = crate::wait_word::WaitNumber::from_u64(number);
            self.word.claim(number, Outcome::Ready)
        }
    }

    /// It goes on, on the thread of whoever has ended its wait.
    fn resume(&self, timers: &Timers) -> Outcome {
        let outcome = self.word.outcome();
        let key = self.timer.with_mut(|timer| unsafe { (*timer).take() });
        let key = key.expect("told before the timer can fire");
        if outcome != Outcome::TimedOut {
            timers.cancel(key);
        }
        outcome
    }
}

/// Fires what is due; the waits it has ended.
fn fire(timers: &Timers, now: u64) -> ReadyList {
    let mut ready = ReadyList::default();
    timers.fire_due(now, &mut ready);
    ready
}

/// A goroutine parks with a deadline; it is readied and goes on, while another machine fires its
/// timer.
fn ready_against_fire() {
    let timers = Arc::new(Timers::new());
    let goroutine = Goroutine::new();
    let waker = thread::spawn({
        let (goroutine, timers) = (goroutine.clone(), timers.clone());
        move || {
            goroutine.claim() && {
                assert_eq!(goroutine.resume(&timers), Outcome::Ready);
                true
            }
        }
    });
    let firer = thread::spawn({
        let (goroutine, timers) = (goroutine.clone(), timers.clone());
        move || {
            let fired = fire(&timers, 10).0.len();
            if fired == 1 {
                assert_eq!(goroutine.resume(&timers), Outcome::TimedOut);
            }
            fired
        }
    });
    goroutine.park(&timers, 5);
    let ended = usize::from(waker.join().unwrap()) + firer.join().unwrap();
    assert!(ended <= 1, "the wait has ended twice");
    let left = if ended == 0 { 5 } else { FOREVER };
    assert_eq!(timers.next(), left);
    assert_eq!(fire(&timers, 10).0.len(), 1 - ended, "a timer is left");
}

/// A goroutine that is readied waits again, with a later deadline, while another machine fires the
/// first timer: that one has no effect on the second wait.
fn the_next_wait_against_fire() {
    let timers = Arc::new(Timers::new());
    let goroutine = Goroutine::new();
    goroutine.park(&timers, 5);
    let firer = thread::spawn({
        let timers = timers.clone();
        move || fire(&timers, 10).0.len()
    });
    if goroutine.claim() {
        assert_eq!(goroutine.resume(&timers), Outcome::Ready);
        goroutine.park(&timers, 20);
        assert_eq!(firer.join().unwrap(), 0, "a timer of a wait that is over");
        assert_eq!(timers.next(), 20);
        assert_eq!(fire(&timers, 20).0.len(), 1);
        assert_eq!(goroutine.resume(&timers), Outcome::TimedOut);
    } else {
        assert_eq!(firer.join().unwrap(), 1);
        assert_eq!(goroutine.resume(&timers), Outcome::TimedOut);
    }
    assert_eq!(timers.next(), FOREVER);
}

/// Two machines add a timer to one heap: one of them may have lost its own.
fn two_add() {
    let timers = Arc::new(Timers::new());
    let other = thread::spawn({
        let timers = timers.clone();
        move || Goroutine::new().park(&timers, 3)
    });
    Goroutine::new().park(&timers, 5);
    other.join().unwrap();
    assert_eq!(timers.next(), 3, "the earliest");
}

/// A timer is added while another is cancelled and a third is fired.
fn add_against_cancel_and_fire() {
    let timers = Arc::new(Timers::new());
    let cancelled = Goroutine::new();
    cancelled.park(&timers, 3);
    Goroutine::new().park(&timers, 4);
    assert!(cancelled.claim());
    let canceller = thread::spawn({
        let timers = timers.clone();
        move || cancelled.resume(&timers)
    });
    let firer = thread::spawn({
        let timers = timers.clone();
        move || fire(&timers, 4).0.len()
    });
    Goroutine::new().park(&timers, 5);
    assert_eq!(canceller.join().unwrap(), Outcome::Ready);
    assert_eq!(firer.join().unwrap(), 1);
    assert_eq!(timers.next(), 5, "the earliest that is left");
}

const MODELS: [Model; 4] = [
    Model::bounded(3, "ready against fire", ready_against_fire),
    Model::full("the next wait against fire", the_next_wait_against_fire),
    Model::full("two add", two_add),
    Model::bounded(
        3,
        "add against cancel and fire",
        add_against_cancel_and_fire,
    ),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}
