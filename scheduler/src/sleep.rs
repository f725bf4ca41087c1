//! How a machine without work sleeps, and comes back: steps R1 to R7 and L1 to L3 of `idle.rs`, N1 to
//! N3 of `home.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::event::Wait;
use crate::flags::SURPLUS;
use crate::idle::FOREVER;
use crate::machine::M;
use crate::park_lot::Woken;

/// Sleeping machines that are kept for the next goroutines that block their threads.
const SPARES: usize = 32;
/// How long one beyond those sleeps before it ends.
const SPARE_TIME: Duration = Duration::from_secs(5);
/// Timers wake a machine at most once in so many nanoseconds. To lie down until a timer and to come
/// back takes some 20 us of processor time, as much as to fire a hundred; so a crowd of sleepers would
/// keep a machine busy with nothing but that.
const PACE: u64 = 100_000;

impl M {
    /// R1 to R3: gives the processor up, having found nothing. [`sleep`](Self::sleep) follows.
    pub(crate) fn release_p(&self) {
        let p = self.take_p();
        if let Some(p) = &p {
            p.trim_stacks();
        }
        self.enlisted.set(true);
        self.sched.lot.enlist(self.shared.sleeper.clone(), p);
        self.sched.idle.release(self.searching.replace(false));
        if self.sched.flags.has(SURPLUS) {
            self.sched.shed();
        }
    }

    /// Lies down without a processor.
    pub(crate) fn enlist_without_p(&self) {
        let sleeper = self.shared.sleeper.clone();
        if self.locked.get() > 0 {
            self.sched.lot.enlist_reserved(sleeper);
        } else {
            self.sched.lot.enlist(sleeper, None);
        }
    }

    /// R4 to R7, until there is a processor again. The machine is on a list of the park lot. False
    /// when the machine is to end: the scheduler stops, or there are too many spare ones.
    pub(crate) fn sleep(&self) -> bool {
        let sched = &*self.sched;
        let sleeper = &self.shared.sleeper;
        // A goroutine has locked the thread: other work and events are not for this machine.
        let reserved = self.locked.get() > 0;
        // Only a machine that has just given up a processor needs to watch for events: one that
        // has none to run them with leaves that to those that do.
        let mut may_poll = !reserved && sched.idle.counts().idle() > 0;
        loop {
            let polling = may_poll && sched.idle.try_poll();
            if sched.stopping() {
                if polling {
                    sched.idle.leave_poll();
                }
                if let Woken::With(p) = sched.lot.delist(sleeper, &sched.flags) {
                    sched.lot.put_back(p);
                }
                return false;
            }
            // R6 and N3.
            let at_home = self.has_work_at_home();
            let next = if reserved {
                FOREVER
            } else {
                sched.next_deadline()
            };
            if at_home || !reserved && (sched.work_visible() || next <= clock::now()) {
                let p_reserved = if polling {
                    sched.idle.leave_poll_without_p()
                } else {
                    sched.idle.reserve()
                };
                if p_reserved.is_some() {
                    sched.note_busy();
                    match sched.lot.delist(sleeper, &sched.flags) {
                        Woken::Without => self.set_p(sched.lot.take_reserved()),
                        Woken::With(p) => {
                            // A waker was faster. The one reserved stays idle after all, and the
                            // search that now begins looks after its work.
                            sched.idle.release(true);
                            if sched.flags.has(SURPLUS) {
                                sched.shed();
                            }
                            self.set_p(p);
                        }
                    }
                    self.set_searching();
                    return true;
                }
                // No processor is idle: those that run see the work.
                may_poll = false;
                if at_home {
                    sched.call_home(sleeper);
                }
            } else if polling {
                if self.sleep_in_poll(next) {
                    return true;
                }
                may_poll = false;
                continue;
            }
            let spare = self.residents.get() == 0 && sched.lot.has_spares_beyond(SPARES);
            sleeper.sleep_on_futex(spare.then_some(SPARE_TIME));
            match sched.lot.delist(sleeper, &sched.flags) {
                Woken::With(p) => {
                    self.set_p(p);
                    self.set_searching();
                    return true;
                }
                // It has slept for long, or was signalled late; there are enough without it.
                Woken::Without if spare && sched.lot.has_spares_beyond(SPARES) => return false,
                // The scheduler stops, or a signal came late: its waker's processor had been found
                // on the list by an earlier look.
                Woken::Without => self.enlist_without_p(),
            }
        }
    }

    /// R7 with the poll word: waits for events until the timers at `next` are to be fired. True if
    /// there is a processor after it; if not, the machine is on the list of sleepers again.
    ///
    /// That is at `next`, unless timers have woken a machine less than [`PACE`] before: a lone ticker
    /// is served to the microsecond, a crowd once in a while.
    fn sleep_in_poll(&self, next: u64) -> bool {
        let sched = &*self.sched;
        let mut ready = self.ready.borrow_mut();
        let paced = sched.last_timed.load(Ordering::Relaxed) + PACE;
        // Before `paced` nothing that is added is a reason to interrupt.
        sched.idle.poll_until(if next <= paced { 0 } else { next });
        let sleeper = &self.shared.sleeper;
        sleeper.sleep_in_poll(|| {
            let wait = match next {
                FOREVER => Wait::Forever,
                at => Wait::Until(clock::instant_of(at.max(paced))),
            };
            self.poll(wait, &mut ready);
        });
        let now = clock::now();
        sched.last_poll.store(now, Ordering::Relaxed);
        if next <= now {
            sched.last_timed.store(now, Ordering::Relaxed);
        }
        let p = match sched.lot.delist(sleeper, &sched.flags) {
            Woken::With(p) => {
                sched.idle.leave_poll();
                p
            }
            Woken::Without => match sched.idle.leave_poll_without_p() {
                Some(_reserved) => {
                    sched.note_busy();
                    sched.lot.take_reserved()
                }
                None => {
                    // All processors are busy: whoever gets to it first takes the events.
                    for parked in ready.drain() {
                        parked.ready();
                    }
                    drop(ready);
                    self.enlist_without_p();
                    return false;
                }
            },
        };
        self.set_p(p);
        self.set_searching();
        self.queue_ready(&mut ready);
        true
    }
}
