//! A scheduler whose goroutines are mere numbers: what `sched.rs`, `park_lot.rs`, `sleep.rs`, `find.rs`
//! and `bound.rs` do with processors, around the real `idle.rs`, `home.rs`, `handshake.rs`,
//! `flags.rs` and `resize.rs`.
//!
//! There are as many threads as there are machines, so that a processor may find none.

use std::collections::VecDeque;

use shuttle::sync::Condvar;

use crate::flags::{Flags, STOPPING, SURPLUS, WANTED};
use crate::handshake::Handshake;
use crate::home::Rest;
use crate::idle::Idle;
use crate::resize::Size;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering::SeqCst};

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
pub struct Processors(AtomicU64);

impl Processors {
    pub fn made(&self) -> u32 {
        self.0.load(SeqCst) as u32
    }

    pub fn add(&self, more: Vec<Arc<PShared>>) {
        self.0.fetch_add(more.len() as u64, SeqCst);
    }
}

/// The half of a machine that others see.
pub struct MShared {
    pub handshake: Handshake,
    pub rest: Rest,
    /// How many goroutines are on the home queue.
    pub inbox: AtomicU64,
    /// Touched by one at a time, as the hand-shake has it.
    pub p: Mutex<Option<Box<P>>>,
}

#[expect(
    clippy::vec_box,
    reason = "a processor moves as a box, as in the crate"
)]
pub struct Lists {
    pub idle: Vec<Box<P>>,
    pub sleepers: Vec<usize>,
    pub line: VecDeque<usize>,
    pub retired: Vec<Box<P>>,
    /// What wakers have given to machines that slept.
    pub given: Vec<Option<Box<P>>>,
}

pub struct Lot {
    lists: Mutex<Lists>,
    /// The futex of all machines.
    signal: Condvar,
}

impl Lot {
    pub fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap()
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
    pub machines: Vec<MShared>,
    /// How many goroutines are on the global queue.
    global: AtomicU64,
    /// How many have not run yet.
    left: AtomicU64,
}

/// Takes one off a queue.
pub fn take(queue: &AtomicU64) -> bool {
    queue
        .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

impl Sched {
    pub fn new(procs: u32, machines: usize, goroutines: u64) -> Arc<Self> {
        let machine = |_| MShared {
            handshake: Handshake::new(),
            rest: Rest::new(),
            inbox: AtomicU64::new(0),
            p: Mutex::new(None),
        };
        Arc::new(Sched {
            idle: Idle::new(procs),
            flags: Flags::default(),
            lot: Lot {
                lists: Mutex::new(Lists {
                    idle: (0..procs).map(|_| Box::new(P)).collect(),
                    sleepers: Vec::new(),
                    line: VecDeque::new(),
                    retired: Vec::new(),
                    given: (0..machines).map(|_| None).collect(),
                }),
                signal: Condvar::new(),
            },
            size: Size::new(procs, false),
            processors: Processors(AtomicU64::new(procs.into())),
            machines: (0..machines).map(machine).collect(),
            global: AtomicU64::new(0),
            left: AtomicU64::new(goroutines),
        })
    }

    pub fn new_p(&self, _index: u32) -> (Box<P>, Arc<PShared>) {
        (Box::new(P), Arc::new(PShared))
    }

    pub fn alive(&self) -> u32 {
        self.size.alive()
    }

    pub fn stopping(&self) -> bool {
        self.flags.has(STOPPING)
    }

    /// A goroutine has run; the last one stops everything.
    pub fn ran_one(&self) {
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.flags.set(STOPPING);
            drop(self.lot.lock());
            self.lot.signal.notify_all();
        }
    }

    pub fn inject(&self) {
        self.push_global(());
        if self.idle.submitted().is_some() {
            self.wake_machine();
        }
    }

    pub fn push_global(&self, (): ()) {
        self.global.fetch_add(1, SeqCst);
    }

    pub fn take_global(&self) -> bool {
        take(&self.global)
    }

    pub fn work_visible(&self) -> bool {
        self.global.load(SeqCst) > 0 || self.flags.has(WANTED)
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
        self.give_to_machine(self.lot.take_reserved())
    }

    pub fn give_to_machine(&self, p: Box<P>) -> bool {
        let Err(p) = self.assign(p) else {
            return true;
        };
        self.lot.put_back(p);
        self.idle.release(true);
        if self.flags.has(SURPLUS) {
            self.shed();
        }
        let spares = !self.lot.lock().sleepers.is_empty();
        (spares || self.flags.has(WANTED)) && self.work_visible() && self.wake_searcher()
    }

    fn assign(&self, p: Box<P>) -> Result<(), Box<P>> {
        let mut lists = self.lot.lock();
        let machine = match lists.line.pop_front() {
            Some(first) => {
                if lists.line.is_empty() {
                    self.flags.clear(WANTED);
                }
                first
            }
            None => match lists.sleepers.pop() {
                Some(last) => last,
                None => return Err(p),
            },
        };
        self.machines[machine].rest.get_up();
        assert!(lists.given[machine].replace(p).is_none(), "given twice");
        self.lot.signal.notify_all();
        Ok(())
    }

    pub fn handoff_p(&self, p: Box<P>) {
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

    pub fn go_home(&self, machine: usize) {
        let home = &self.machines[machine];
        home.inbox.fetch_add(1, SeqCst);
        if home.rest.must_be_called() {
            self.call_home(machine);
        }
    }

    pub fn call_home(&self, machine: usize) {
        {
            let mut lists = self.lot.lock();
            if !self.machines[machine].rest.call() {
                return;
            }
            lists.sleepers.retain(|other| *other != machine);
            lists.line.push_back(machine);
            self.flags.set(WANTED);
        }
        if self.idle.called().is_some() {
            self.wake_machine();
        }
    }

    pub fn enlist(&self, machine: usize, p: Option<Box<P>>) {
        let mut lists = self.lot.lock();
        lists.idle.extend(p);
        self.machines[machine].rest.lie_down();
        lists.sleepers.push(machine);
    }

    pub fn delist(&self, machine: usize) -> Option<Box<P>> {
        let mut lists = self.lot.lock();
        let given = lists.given[machine].take();
        if given.is_none() {
            let stood = lists.line.contains(&machine);
            assert_eq!(self.machines[machine].rest.get_up(), stood, "the line");
            lists.line.retain(|other| *other != machine);
            if lists.line.is_empty() {
                self.flags.clear(WANTED);
            }
            lists.sleepers.retain(|other| *other != machine);
        }
        given
    }

    /// R7.
    pub fn sleep_on_futex(&self, machine: usize) {
        let mut lists = self.lot.lock();
        while lists.given[machine].is_none() && !self.stopping() {
            lists = self.lot.signal.wait(lists).unwrap();
        }
    }
}
