//! The hand-shake over a processor: it is the machine's or sysmon's, never both's.

use std::panic::catch_unwind;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::barrier::WITHOUT;
use crate::handshake::{Entry, Handshake};

/// A machine and its processor, whose content only its owner of the moment may touch.
struct Machine {
    handshake: Handshake,
    processor: UnsafeCell<u32>,
}

// SAFETY: whether the accesses are exclusive is what the model checks.
unsafe impl Sync for Machine {}
// SAFETY: as above.
unsafe impl Send for Machine {}

impl Machine {
    fn outside() -> Arc<Self> {
        let machine = Arc::new(Machine {
            handshake: Handshake::new(),
            processor: UnsafeCell::new(0),
        });
        machine.touch();
        machine.handshake.leave();
        machine
    }

    fn touch(&self) {
        self.processor.with_mut(|p| unsafe { *p += 1 });
    }

    /// Sysmon takes the processor if it can.
    fn retake(&self) -> bool {
        let Some(asked) = self.handshake.ask() else {
            return false;
        };
        self.touch();
        asked.taken();
        // It belongs to another machine now, which goes on touching it.
        self.touch();
        true
    }
}

/// The machine comes in, goes out and comes in again while sysmon takes its processor.
fn enter_against_retake() {
    let machine = Machine::outside();
    let sysmon = thread::spawn({
        let machine = machine.clone();
        move || machine.retake()
    });
    let mut lost = 0;
    for _ in 0..2 {
        match machine.handshake.enter() {
            Entry::Lost => lost += 1,
            Entry::Keeps if lost == 0 => machine.touch(),
            Entry::Keeps => {}
            Entry::Yields => panic!("nobody asked it to yield"),
        }
        machine.handshake.leave();
    }
    let taken = sysmon.join().unwrap();
    if let Entry::Lost = machine.handshake.enter() {
        lost += 1;
    }
    assert_eq!(lost, u32::from(taken), "the machine is told once");
}

/// Sysmon, refused, asks for a yield, and then asks for the processor again.
fn yield_against_retake() {
    let machine = Machine::outside();
    assert_eq!(machine.handshake.enter(), Entry::Keeps);
    machine.handshake.ask_to_yield();
    machine.handshake.leave();
    let sysmon = thread::spawn({
        let machine = machine.clone();
        move || machine.retake()
    });
    let entry = machine.handshake.enter();
    if entry != Entry::Lost {
        machine.touch();
    }
    machine.handshake.leave();
    let taken = sysmon.join().unwrap();
    let again = machine.handshake.enter();
    assert_eq!(entry == Entry::Lost || again == Entry::Lost, taken);
    assert!(!(entry == Entry::Yields && again == Entry::Yields), "once");
}

#[test]
fn all_models_hold() {
    loom::model(enter_against_retake);
    loom::model(yield_against_retake);
}

/// Takes each barrier out in turn; a model has to fail.
#[test]
fn both_barriers_are_needed() {
    for barrier in ["light", "heavy"] {
        WITHOUT.set(Some(barrier));
        let result = catch_unwind(|| loom::model(enter_against_retake));
        WITHOUT.set(None);
        assert!(result.is_err(), "no model needs the {barrier} barrier");
    }
}
