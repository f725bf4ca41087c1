//! Coming home: no goroutine is left on a home queue whose machine rests uncalled, and no machine is
//! left in line beside an idle processor.

use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::fences::{self, Model};
use crate::home::Rest;
use crate::stand_in::{P, Sched};

/// One machine and its home queue, without processors.
struct Machine {
    rest: Rest,
    /// What is on the home queue. Relaxed throughout, for the protocol's own fences have to carry
    /// the argument.
    inbox: AtomicU64,
    lot: Mutex<Lot>,
}

/// What the lock of the park lot guards.
#[derive(Default)]
struct Lot {
    /// Whether it is on the list of sleepers, or in line.
    listed: bool,
    /// How often it was put in line.
    calls: u32,
    /// Whether an ordinary waker has given it a processor.
    given: bool,
}

impl Machine {
    fn new() -> Arc<Self> {
        Arc::new(Machine {
            rest: Rest::new(),
            inbox: AtomicU64::new(0),
            lot: Mutex::default(),
        })
    }

    /// H1 to H4.
    fn ready(&self, goroutine: u64) {
        self.inbox.fetch_add(goroutine, Relaxed);
        if self.rest.must_be_called() {
            self.call();
        }
    }

    fn call(&self) {
        let mut lot = self.lot.lock().unwrap();
        if self.rest.call() {
            lot.calls += 1;
        }
    }

    /// N1 to N3.
    fn lie_down(&self) {
        let mut lot = self.lot.lock().unwrap();
        lot.listed = true;
        self.rest.lie_down();
        drop(lot);
        if self.inbox.load(Relaxed) > 0 {
            self.call();
        }
    }

    /// An ordinary waker: gives it a processor if it is on a list.
    fn wake(&self) {
        let mut lot = self.lot.lock().unwrap();
        if std::mem::take(&mut lot.listed) {
            // If it stood in line, this is the processor that it stood there for.
            lot.calls -= u32::from(self.rest.get_up());
            lot.given = true;
        }
    }

    /// After its sleep: if it was given a processor, it runs what is at home.
    fn go_on(&self) -> bool {
        let given = std::mem::take(&mut self.lot.lock().unwrap().given);
        if given {
            self.inbox.swap(0, Relaxed);
        }
        given
    }
}

/// A goroutine is readied at home while its machine lies down.
fn readied_while_it_lies_down() {
    let machine = Machine::new();
    let readier = thread::spawn({
        let machine = machine.clone();
        move || machine.ready(1)
    });
    machine.lie_down();
    readier.join().unwrap();
    assert_eq!(machine.lot.lock().unwrap().calls, 1, "called once");
}

/// Two are readied at once, while it lies down.
fn two_are_readied() {
    let machine = Machine::new();
    let readiers = [1, 10].map(|goroutine| {
        let machine = machine.clone();
        thread::spawn(move || machine.ready(goroutine))
    });
    machine.lie_down();
    for readier in readiers {
        readier.join().unwrap();
    }
    assert_eq!(machine.lot.lock().unwrap().calls, 1, "called once");
    assert_eq!(machine.inbox.load(Relaxed), 11);
}

/// It is called while an ordinary waker gives it a processor; it gets up, does what is there, and
/// lies down again.
fn called_while_it_gets_up() {
    let machine = Machine::new();
    let readier = thread::spawn({
        let machine = machine.clone();
        move || machine.ready(1)
    });
    let waker = thread::spawn({
        let machine = machine.clone();
        move || machine.wake()
    });
    machine.lie_down();
    if machine.go_on() {
        machine.lie_down();
    }
    waker.join().unwrap();
    readier.join().unwrap();
    let lot = machine.lot.lock().unwrap();
    let left = machine.inbox.load(Relaxed) > 0;
    assert!(!left || lot.given || lot.calls == 1, "it rests uncalled");
    assert!(lot.calls <= 1);
}

/// A machine that rests is called by a readier while another machine gives its processor up.
fn call_against_release() {
    let sched = Sched::new(0, 1);
    sched.enlist(0, None);
    let readier = thread::spawn({
        let sched = sched.clone();
        move || sched.go_home(0)
    });
    sched.release_p(1, Box::new(P), false);
    if let Some(p) = sched.look(1) {
        sched.go_on(1, p);
    }
    readier.join().unwrap();
    sched.check();
}

/// The same while the one that is called only lies down.
fn call_against_release_and_lying_down() {
    let sched = Sched::new(0, 1);
    let readier = thread::spawn({
        let sched = sched.clone();
        move || sched.go_home(0)
    });
    let sleeper = thread::spawn({
        let sched = sched.clone();
        move || {
            sched.enlist(0, None);
            if let Some(p) = sched.look(0) {
                sched.go_on(0, p);
            }
        }
    });
    sched.release_p(1, Box::new(P), false);
    if let Some(p) = sched.look(1) {
        sched.go_on(1, p);
    }
    readier.join().unwrap();
    sleeper.join().unwrap();
    sched.check();
}

/// A machine is called while sysmon, which has taken a processor, finds nothing to do with it, and
/// the last searcher finds work: a searcher that stops looks at the line as well.
fn call_against_hand_off() {
    let sched = Sched::new(0, 2);
    assert!(sched.idle.try_search(2));
    sched.enlist(0, None);
    let readier = thread::spawn({
        let sched = sched.clone();
        move || sched.go_home(0)
    });
    let sysmon = thread::spawn({
        let sched = sched.clone();
        move || sched.hand_off(Box::new(P))
    });
    if sched.idle.found_work() {
        sched.wake_for_rest();
    }
    readier.join().unwrap();
    sysmon.join().unwrap();
    sched.check();
}

/// Two stand in line for one processor: the flag stays for the second.
fn two_in_line() {
    let sched = Sched::new(0, 1);
    for machine in [0, 1] {
        sched.enlist(machine, None);
        sched.go_home(machine);
    }
    sched.hand_off(Box::new(P));
    assert_eq!(sched.lot.lock().line.len(), 1);
    sched.check();
}

pub const MODELS: [Model; 7] = [
    Model::full("readied while it lies down", readied_while_it_lies_down),
    Model::bounded(3, "two are readied", two_are_readied),
    Model::bounded(3, "called while it gets up", called_while_it_gets_up),
    Model::full("two in line", two_in_line),
    Model::full("call against release", call_against_release),
    Model::bounded(
        3,
        "call against release and lying down",
        call_against_release_and_lying_down,
    ),
    Model::bounded(3, "call against hand-off", call_against_hand_off),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}
