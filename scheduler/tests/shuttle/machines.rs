//! Machines, processors and goroutines together: the idle protocol, home queues, the hand-shake, and a
//! number of processors that changes.
//!
//! Three machines, say, share two processors. Some goroutines may run anywhere, some at home on one machine
//! only; sysmon takes processors from machines that are outside; somebody changes their number.
//! Work that everybody sleeps over leaves all threads asleep, which shuttle reports.

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::flags::{SURPLUS, WANTED};
use crate::handshake::Entry;
use crate::house::{P, Sched, take};
use crate::sync::{Arc, Ordering::SeqCst};

fn coin() -> bool {
    thread_rng().r#gen()
}

/// A machine's own half.
struct M {
    sched: Arc<Sched>,
    me: usize,
    searching: bool,
    enlisted: bool,
}

impl M {
    /// `M::main` in `machine.rs`.
    fn main(mut self) {
        while !self.sched.stopping() {
            if !self.has_p() {
                if !std::mem::take(&mut self.enlisted) {
                    self.sched.enlist(self.me, None);
                }
                if !self.sleep() {
                    return;
                }
            }
            if !self.heed() {
                continue;
            }
            if self.find() {
                self.execute();
            }
        }
    }

    /// The processor is touched by one at a time.
    fn swap_p(&self, p: Option<Box<P>>) -> Option<Box<P>> {
        let place = &self.sched.machines[self.me].p;
        std::mem::replace(&mut *place.try_lock().expect("two use a processor"), p)
    }

    fn has_p(&self) -> bool {
        let place = &self.sched.machines[self.me].p;
        place.try_lock().expect("two use a processor").is_some()
    }

    fn has_work_at_home(&self) -> bool {
        self.sched.machines[self.me].inbox.load(SeqCst) > 0
    }

    fn stop_searching(&mut self) {
        if std::mem::take(&mut self.searching) && self.sched.idle.found_work() {
            self.sched.wake_for_rest();
        }
    }

    /// `M::sleep`, without the event source.
    fn sleep(&mut self) -> bool {
        let sched = self.sched.clone();
        loop {
            if sched.stopping() {
                return false;
            }
            let at_home = self.has_work_at_home();
            if at_home || sched.work_visible() {
                if sched.idle.reserve().is_some() {
                    let p = sched.delist(self.me).inspect(|_| sched.idle.release(true));
                    let p = p.unwrap_or_else(|| sched.lot.take_reserved());
                    self.swap_p(Some(p));
                    self.searching = true;
                    return true;
                }
                if at_home {
                    sched.call_home(self.me);
                }
            }
            sched.sleep_on_futex(self.me);
            if let Some(p) = sched.delist(self.me) {
                self.swap_p(Some(p));
                self.searching = true;
                return true;
            }
            sched.enlist(self.me, None);
        }
    }

    /// `M::heed`: false if the processor is gone.
    fn heed(&mut self) -> bool {
        let sched = self.sched.clone();
        if sched.flags.has(SURPLUS)
            && let Some(p) = self.swap_p(None)
        {
            let Some(p) = sched.retire_surplus(p) else {
                self.stop_searching();
                return false;
            };
            self.swap_p(Some(p));
        }
        // Its turn is over: it has nothing at home, or it has had its time.
        if sched.flags.has(WANTED)
            && (!self.has_work_at_home() || coin())
            && let Some(p) = self.swap_p(None)
        {
            if !std::mem::take(&mut self.searching) {
                sched.idle.begin_search();
            }
            sched.give_to_machine(p);
            return false;
        }
        true
    }

    /// `M::find_runnable`; if there is nothing, `M::release_p`.
    fn find(&mut self) -> bool {
        let sched = self.sched.clone();
        let inbox = &sched.machines[self.me].inbox;
        let home_first = coin();
        if (home_first && take(inbox)) || sched.take_global() || take(inbox) {
            self.stop_searching();
            return true;
        }
        if !self.searching {
            self.searching = sched.idle.try_search(sched.alive());
        }
        if self.searching && sched.take_global() {
            self.stop_searching();
            return true;
        }
        let p = self.swap_p(None);
        self.enlisted = true;
        sched.enlist(self.me, p);
        sched.idle.release(std::mem::take(&mut self.searching));
        if sched.flags.has(SURPLUS) {
            sched.shed();
        }
        false
    }

    /// The goroutine's own code is outside; then it calls in, and it ends.
    fn execute(&mut self) {
        let handshake = &self.sched.machines[self.me].handshake;
        handshake.leave();
        thread::yield_now();
        let lost = handshake.enter() == Entry::Lost;
        assert_eq!(lost, !self.has_p());
        // `regain_p`, for one that goes on.
        if lost && coin() && self.sched.idle.reserve().is_some() {
            let p = self.sched.lot.take_reserved();
            self.swap_p(Some(p));
            if self.sched.idle.found_work() {
                self.sched.wake_for_rest();
            }
        }
        self.sched.ran_one();
    }
}

/// Takes processors from machines that are outside, for no reason.
fn sysmon(sched: &Sched) {
    for _ in 0..3 {
        for machine in &sched.machines {
            let Some(asked) = machine.handshake.ask() else {
                if coin() {
                    machine.handshake.ask_to_yield();
                }
                continue;
            };
            let p = machine.p.try_lock().expect("two use a processor").take();
            match p {
                Some(p) => {
                    asked.taken();
                    sched.handoff_p(p);
                }
                None => asked.withdrawn(),
            }
        }
    }
}

/// Runs goroutines, so many anywhere and those at home, on so many machines; the number of processors
/// goes through `procs`.
fn run_all(machines: usize, procs: &'static [u32], anywhere: u64, homes: &'static [usize]) {
    let sched = Sched::new(procs[0], machines, anywhere + homes.len() as u64);
    let spawn = |part: Box<dyn FnOnce(&Sched) + Send>| {
        let sched = sched.clone();
        thread::spawn(move || part(&sched))
    };
    let mut threads = vec![
        spawn(Box::new(sysmon)),
        spawn(Box::new(move |sched| {
            (0..anywhere).for_each(|_| sched.inject());
        })),
        spawn(Box::new(|sched| {
            homes.iter().for_each(|home| sched.go_home(*home));
        })),
        spawn(Box::new(|sched| {
            for n in &procs[1..] {
                sched.set_max_procs(*n);
            }
        })),
    ];
    for me in 0..machines {
        let sched = sched.clone();
        threads.push(thread::spawn(move || {
            let m = M {
                sched,
                me,
                searching: false,
                enlisted: false,
            };
            m.main();
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let lists = sched.lot.lock();
    let held = |machine: &crate::house::MShared| machine.p.lock().unwrap().is_some();
    let held = sched.machines.iter().filter(|m| held(m)).count();
    let given = lists.given.iter().flatten().count();
    let there = lists.idle.len() + held + given;
    assert_eq!(there as u32, sched.alive(), "a processor is lost, or two");
}

#[test]
fn nobody_sleeps_over_work() {
    crate::explore(3000, || run_all(3, &[2, 1, 3, 2], 4, &[0, 1, 2, 0, 1]));
}

/// A processor often finds no machine that sleeps, and none can be made.
#[test]
fn one_machine_does_it_all() {
    crate::explore(3000, || run_all(1, &[1], 2, &[0, 0]));
    // Nobody comes later and puts it right.
    crate::explore(5000, || run_all(1, &[1], 1, &[0]));
}

#[test]
fn more_machines_than_work() {
    crate::explore(3000, || run_all(3, &[2], 1, &[0]));
}
