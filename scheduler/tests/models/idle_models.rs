//! The idle protocol: no work, no timer and no event source is left with nobody to look after it.
//!
//! The threads of a model do not really sleep. Each says in the end what it did, and the model
//! checks that nothing is forgotten: work that is left has somebody on the way to it.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use crate::fences::{self, Model};
use crate::idle::{FOREVER, Idle};

/// The queues, as far as the protocol sees them: whether there is work. Relaxed throughout, for
/// the protocol's own fences have to carry the argument.
#[derive(Default)]
struct Work(AtomicU64);

impl Work {
    /// S1.
    fn push(&self) {
        self.0.store(1, Relaxed);
    }

    /// R6, F3.
    fn visible(&self) -> bool {
        self.0.load(Relaxed) == 1
    }
}

/// One goroutine is submitted while the last searcher goes to sleep.
fn submit_against_sleep() {
    let idle = Arc::new(Idle::new(0));
    assert!(idle.try_search(1));
    let work = Arc::new(Work::default());
    let submitter = thread::spawn({
        let (idle, work) = (idle.clone(), work.clone());
        move || {
            work.push();
            idle.submitted().is_some()
        }
    });
    idle.release(true);
    let stays = work.visible() && idle.reserve().is_some();
    let woken = submitter.join().unwrap();
    assert!(stays || woken, "work is left, and everybody sleeps");
    assert!(!(stays && woken), "one processor went to two machines");
}

/// A goroutine is submitted while the last searcher, having found another, stops searching. A
/// second processor is idle.
fn submit_against_found_work() {
    let idle = Arc::new(Idle::new(1));
    assert!(idle.try_search(3));
    let work = Arc::new(Work::default());
    let submitter = thread::spawn({
        let (idle, work) = (idle.clone(), work.clone());
        move || {
            work.push();
            idle.submitted().is_some()
        }
    });
    let called = idle.found_work() && work.visible() && idle.wake_one().is_some();
    let woken = submitter.join().unwrap();
    assert!(called || woken, "work is left, and a processor lies idle");
    assert!(!(called && woken), "one processor went to two machines");
}

/// Two searchers, one of which finds work while the other gives up: whoever of them is the last
/// looks after what was submitted meanwhile.
fn submit_against_two_searchers() {
    let idle = Arc::new(Idle::new(0));
    assert!(idle.try_search(4) && idle.try_search(4));
    let work = Arc::new(Work::default());
    let submitter = thread::spawn({
        let (idle, work) = (idle.clone(), work.clone());
        move || {
            work.push();
            idle.submitted().is_some()
        }
    });
    let finder = thread::spawn({
        let (idle, work) = (idle.clone(), work.clone());
        move || idle.found_work() && work.visible() && idle.wake_one().is_some()
    });
    idle.release(true);
    let stays = work.visible() && idle.reserve().is_some();
    let called = finder.join().unwrap();
    let woken = submitter.join().unwrap();
    assert!(
        stays || called || woken,
        "work is left, and a processor lies idle"
    );
}

/// Two submit at once, and two processors are idle: one machine is woken, and it will find the
/// other's work or call for help.
fn one_is_woken_at_a_time() {
    let idle = Arc::new(Idle::new(2));
    let other = thread::spawn({
        let idle = idle.clone();
        move || idle.submitted().is_some()
    });
    let mine = idle.submitted().is_some();
    let theirs = other.join().unwrap();
    assert!(mine != theirs, "both or neither woke a machine");
    assert_eq!((idle.counts().idle(), idle.counts().searching()), (1, 1));
}

/// A reserved processor is on the list (invariant 1): R1 comes before R2.
fn the_reserved_is_listed() {
    let idle = Arc::new(Idle::new(0));
    let listed = Arc::new(AtomicU64::new(0));
    let releaser = thread::spawn({
        let (idle, listed) = (idle.clone(), listed.clone());
        move || {
            // R1.
            listed.store(1, Relaxed);
            idle.release(false);
        }
    });
    if idle.submitted().is_some() {
        assert_eq!(listed.load(Relaxed), 1, "no processor on the list");
    }
    releaser.join().unwrap();
}

/// A timer is added on a busy processor while a machine goes to wait in the event source.
fn timer_against_poll() {
    const DEADLINE: u64 = 5;
    let idle = Arc::new(Idle::new(0));
    let next = Arc::new(AtomicU64::new(FOREVER));
    let adder = thread::spawn({
        let (idle, next) = (idle.clone(), next.clone());
        move || {
            // T1.
            next.store(DEADLINE, Relaxed);
            idle.timer_added(DEADLINE)
        }
    });
    idle.release(false);
    assert!(idle.try_poll());
    // R6.
    let until = next.load(Relaxed);
    idle.poll_until(until);
    let interrupted = adder.join().unwrap();
    assert!(
        until <= DEADLINE || interrupted,
        "it sleeps through the timer"
    );
}

/// The machine that waited for events comes back and finds no idle processor, while another gives
/// its processor up and sleeps on the futex because the poll word is taken.
fn leave_poll_against_sleep() {
    let idle = Arc::new(Idle::new(0));
    assert!(idle.try_poll());
    let sleeper = thread::spawn({
        let idle = idle.clone();
        move || {
            idle.release(false);
            idle.try_poll()
        }
    });
    let reserved = idle.leave_poll_without_p().is_some();
    let polls = sleeper.join().unwrap();
    assert!(
        reserved || polls,
        "a processor is idle, and nobody waits for events"
    );
}

/// A processor becomes busy while sysmon lies down because all were idle.
fn busy_against_sysmon() {
    let idle = Arc::new(Idle::new(1));
    let busy = thread::spawn({
        let idle = idle.clone();
        move || idle.reserve().is_some() && idle.must_wake_sysmon()
    });
    let sleeps = idle.sysmon_lies_down(1);
    let woken = busy.join().unwrap();
    assert!(!sleeps || woken, "sysmon sleeps beside a busy processor");
}

pub const MODELS: [Model; 8] = [
    Model::full("submit against sleep", submit_against_sleep),
    Model::full("submit against found work", submit_against_found_work),
    // Without the bound it takes half a minute.
    Model::bounded(
        3,
        "submit against two searchers",
        submit_against_two_searchers,
    ),
    Model::full("one is woken at a time", one_is_woken_at_a_time),
    Model::full("the reserved is listed", the_reserved_is_listed),
    Model::full("timer against poll", timer_against_poll),
    Model::full("leave poll against sleep", leave_poll_against_sleep),
    Model::full("busy against sysmon", busy_against_sysmon),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}

#[test]
fn at_most_half_of_the_busy_search() {
    loom::model(|| {
        let idle = Idle::new(0);
        assert!(idle.try_search(4));
        assert!(idle.try_search(4));
        assert!(!idle.try_search(4));
        idle.release(true);
        assert_eq!((idle.counts().idle(), idle.counts().searching()), (1, 1));
    });
}

#[test]
fn the_poll_word_has_one_owner_and_knows_its_deadline() {
    loom::model(|| {
        let idle = Idle::new(1);
        assert!(!idle.timer_added(5), "nobody polls");
        assert!(idle.try_poll());
        assert!(!idle.try_poll());
        assert!(idle.timer_added(5));
        idle.poll_until(5);
        assert!(!idle.timer_added(5));
        assert!(idle.timer_added(4));
        assert!(idle.leave_poll_without_p().is_some());
        assert!(idle.try_poll());
    });
}
