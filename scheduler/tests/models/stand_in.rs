//! A scheduler without goroutines: the lists of the park lot, and what `sched.rs`, `sleep.rs` and
//! `bound.rs` do with them, around the real `idle.rs`, `home.rs`, `flags.rs` and `resize.rs`.
//!
//! The threads of a model do not really sleep, and a processor that was given to a sleeping machine
//! is on the way: what that machine will do with it begins at the head of a round.

use std::collections::VecDeque;

use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Arc, Mutex, MutexGuard};

use crate::flags::{Flags, SURPLUS, WANTED};
use crate::home::Rest;
use crate::idle::Idle;
use crate::resize::Size;

/// A processor.
#[derive(Debug)]
pub struct P;

/// The half of it that others see.
#[derive(Debug)]
pub struct PShared;

impl P {
    pub fn expose_next(&self) {}

    pub fn give_stacks_back(&self) {}

    pub fn take_any(&self) -> Option<()> {
        None
    }
}

/// The table of processors: how many were made.
pub struct Processors(Mutex<u32>);

impl Processors {
    pub fn made(&self) -> u32 {
        *self.0.lock().unwrap()
    }

    pub fn add(&self, more: Vec<Arc<PShared>>) {
        *self.0.lock().unwrap() += more.len() as u32;
    }
}

/// The half of a machine that others see.
pub struct Home {
    rest: Rest,
    /// How many goroutines are on the home queue. Relaxed throughout, for the protocol's own fences
    /// have to carry the argument.
    inbox: AtomicU64,
}

/// The lists, and the processors that machines were given or have taken.
#[expect(
    clippy::vec_box,
    reason = "a processor moves as a box, as in the crate"
)]
pub struct Lists {
    pub idle: Vec<Box<P>>,
    sleepers: Vec<usize>,
    pub line: VecDeque<usize>,
    retired: Vec<Box<P>>,
    /// What wakers have given to machines that slept.
    pub given: [Option<Box<P>>; 2],
    /// Processors in use: for ever, as far as a model goes.
    pub running: u32,
}

pub struct Lot(Mutex<Lists>);

impl Lot {
    pub fn lock(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap()
    }

    pub fn put_back(&self, p: Box<P>) {
        self.lock().idle.push(p);
    }

    pub fn retire(&self, p: Box<P>) {
        self.lock().retired.push(p);
    }

    pub fn take_retired(&self) -> Option<Box<P>> {
        self.lock().retired.pop()
    }

    pub fn take_reserved(&self) -> Box<P> {
        self.lock().idle.pop().expect("a processor was reserved")
    }
}

pub struct Sched {
    pub idle: Idle,
    pub flags: Flags,
    pub lot: Lot,
    pub size: Size,
    pub processors: Processors,
    pub homes: [Home; 2],
}

impl Sched {
    /// With `idle` processors on the list, and `busy` more in the hands of the model.
    pub fn new(idle: u32, busy: u32) -> Arc<Self> {
        let home = || Home {
            rest: Rest::new(),
            inbox: AtomicU64::new(0),
        };
        let all = idle + busy;
        Arc::new(Sched {
            idle: Idle::new(idle),
            flags: Flags::default(),
            lot: Lot(Mutex::new(Lists {
                idle: (0..idle).map(|_| Box::new(P)).collect(),
                sleepers: Vec::new(),
                line: VecDeque::new(),
                retired: Vec::new(),
                given: [None, None],
                running: 0,
            })),
            size: Size::new(all, false),
            processors: Processors(Mutex::new(all)),
            homes: [home(), home()],
        })
    }

    pub fn new_p(&self, _index: u32) -> (Box<P>, Arc<PShared>) {
        (Box::new(P), Arc::new(PShared))
    }

    pub fn alive(&self) -> u32 {
        self.size.alive()
    }

    /// There is no work but at home.
    pub fn push_global(&self, _: ()) {}

    pub fn work_visible(&self) -> bool {
        self.flags.has(WANTED)
    }

    pub fn wake_searcher(&self) -> bool {
        self.idle.submitted().is_some() && self.wake_machine()
    }

    pub fn wake_for_rest(&self) {
        if self.work_visible() && self.idle.wake_one().is_some() {
            self.wake_machine();
        }
    }

    pub fn wake_machine(&self) -> bool {
        let p = self.lot.take_reserved();
        self.give_to_machine(p);
        true
    }

    /// `ParkLot::assign`. A machine is always to be had.
    pub fn give_to_machine(&self, p: Box<P>) {
        let mut lists = self.lot.lock();
        let machine = match lists.line.pop_front() {
            Some(first) => {
                if lists.line.is_empty() {
                    self.flags.clear(WANTED);
                }
                Some(first)
            }
            None => lists.sleepers.pop(),
        };
        match machine {
            Some(machine) => {
                self.homes[machine].rest.get_up();
                assert!(lists.given[machine].replace(p).is_none(), "given twice");
            }
            None => lists.running += 1,
        }
    }

    /// `Sched::handoff_p` of a processor that nobody waits for.
    pub fn hand_off(&self, p: Box<P>) {
        let Some(p) = self.retire_surplus(p) else {
            return;
        };
        if self.work_visible() {
            self.idle.begin_search();
            self.give_to_machine(p);
            return;
        }
        self.lot.put_back(p);
        self.idle.release(false);
        if self.flags.has(SURPLUS) {
            self.shed();
        }
        if self.work_visible() {
            self.wake_searcher();
        }
    }

    /// H1 to H6.
    pub fn go_home(&self, machine: usize) {
        let home = &self.homes[machine];
        home.inbox.fetch_add(1, Relaxed);
        if home.rest.must_be_called() {
            self.call_home(machine);
        }
    }

    /// H4 to H6; whether this was the one call.
    pub fn call_home(&self, machine: usize) -> bool {
        {
            let mut lists = self.lot.lock();
            if !self.homes[machine].rest.call() {
                return false;
            }
            lists.sleepers.retain(|other| *other != machine);
            lists.line.push_back(machine);
            self.flags.set(WANTED);
        }
        if self.idle.called().is_some() {
            self.wake_machine();
        }
        true
    }

    /// R1 to R3, `M::release_p`.
    pub fn release_p(&self, machine: usize, p: Box<P>, searching: bool) {
        self.enlist(machine, Some(p));
        self.idle.release(searching);
        if self.flags.has(SURPLUS) {
            self.shed();
        }
    }

    /// N1 and N2, with R1 if there is a processor.
    pub fn enlist(&self, machine: usize, p: Option<Box<P>>) {
        let mut lists = self.lot.lock();
        lists.idle.extend(p);
        self.homes[machine].rest.lie_down();
        lists.sleepers.push(machine);
    }

    /// N3.
    pub fn has_work_at_home(&self, machine: usize) -> bool {
        self.homes[machine].inbox.load(Relaxed) > 0
    }

    /// R6 and N3 of `M::sleep`, once; a processor if there is one to go on with.
    pub fn look(&self, machine: usize) -> Option<Box<P>> {
        let at_home = self.has_work_at_home(machine);
        if at_home || self.work_visible() {
            if self.idle.reserve().is_some() {
                return Some(match self.delist(machine) {
                    None => self.lot.take_reserved(),
                    Some(p) => {
                        self.idle.release(true);
                        p
                    }
                });
            }
            if at_home {
                self.call_home(machine);
            }
        }
        None
    }

    /// `ParkLot::delist`.
    pub fn delist(&self, machine: usize) -> Option<Box<P>> {
        let mut lists = self.lot.lock();
        let given = lists.given[machine].take();
        if given.is_none() {
            let stood = lists.line.contains(&machine);
            assert_eq!(self.homes[machine].rest.get_up(), stood, "invariant 2");
            lists.line.retain(|other| *other != machine);
            if lists.line.is_empty() {
                self.flags.clear(WANTED);
            }
            lists.sleepers.retain(|other| *other != machine);
        }
        given
    }

    /// The head of a round of a searching machine, `M::heed`; then all that is at home is run.
    pub fn go_on(&self, machine: usize, p: Box<P>) {
        let p = if self.flags.has(SURPLUS) {
            let Some(p) = self.retire_surplus(p) else {
                if self.idle.found_work() {
                    self.wake_for_rest();
                }
                return;
            };
            p
        } else {
            p
        };
        if self.flags.has(WANTED) && !self.has_work_at_home(machine) {
            return self.give_to_machine(p);
        }
        self.homes[machine].inbox.swap(0, Relaxed);
        self.lot.lock().running += 1;
        if self.idle.found_work() {
            self.wake_for_rest();
        }
    }

    /// When all threads are done: nobody is in line beside an idle processor, and no machine rests
    /// uncalled with work at home.
    pub fn check(&self) {
        let lists = self.lot.lock();
        assert!(
            lists.line.is_empty() || lists.idle.is_empty(),
            "in line, and a processor lies idle"
        );
        assert_eq!(self.flags.has(WANTED), !lists.line.is_empty(), "the flag");
        assert_eq!(self.idle.counts().idle() as usize, lists.idle.len());
        for machine in &lists.sleepers {
            assert!(!self.has_work_at_home(*machine), "it rests uncalled");
        }
    }
}
