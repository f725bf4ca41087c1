//! Park, unpark and timeout together: three goroutines on two machines, one queue, two unparkers and
//! whoever fires the timers.
//!
//! A goroutine parks, two of three with deadlines at first, until both unparkers have told it what it waits for.
//! Then it ends, and its slot gets another one, which does the same. An unpark that is lost leaves
//! everybody asleep, which shuttle reports.

use std::collections::VecDeque;

use shuttle::sync::{Condvar, MutexGuard};
use shuttle::thread;

use crate::idle::FOREVER;
use crate::park_token::ParkToken;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering::SeqCst};
use crate::timers::{TimerKey, Timers};
use crate::wait_word::{Outcome, WaitNumber, WaitWord};
use crate::waiter::{ReadyList, Ticket};

const SLOTS: usize = 3;
const LIVES: usize = 2;
const UNPARKERS: usize = 2;
/// How many of its first parks have deadlines, by slot: one is saved by no deadline.
const DEADLINES: [u64; SLOTS] = [0, 1, 4];

/// A slot for goroutines, one after the other.
struct Slot {
    word: Arc<WaitWord>,
    token: ParkToken,
    /// On the goroutine's stack, and written there before the timer can fire.
    timer: Mutex<Option<TimerKey>>,
    /// What only whoever runs the goroutine may touch.
    life: Mutex<Life>,
    /// What each unparker has told each of the goroutines.
    told: [[AtomicBool; UNPARKERS]; LIVES],
}

#[derive(Default)]
struct Life {
    /// How many goroutines have lived here before.
    number: usize,
    parks: u64,
    parked: bool,
}

/// Everybody, and the queue of those who can run.
struct World {
    slots: [Slot; SLOTS],
    timers: Timers,
    /// The time that has come.
    now: AtomicU64,
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    runnable: VecDeque<usize>,
    /// Slots that are still in use.
    left: usize,
}

fn id(slot: usize, life: usize) -> u64 {
    (1 + slot + life * SLOTS) as u64
}

impl World {
    fn new() -> Arc<Self> {
        let slots = [0, 1, 2].map(|slot| {
            let token = ParkToken::new();
            token.begin(id(slot, 0));
            Slot {
                word: Arc::new(WaitWord::new()),
                token,
                timer: Mutex::new(None),
                life: Mutex::default(),
                told: Default::default(),
            }
        });
        Arc::new(World {
            slots,
            timers: Timers::new(),
            now: AtomicU64::new(0),
            queue: Mutex::new(Queue {
                runnable: (0..SLOTS).collect(),
                left: SLOTS,
            }),
            changed: Condvar::new(),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap()
    }

    /// `Parked::ready`.
    fn ready(&self, slot: usize) {
        self.queue().runnable.push_back(slot);
        self.changed.notify_all();
    }

    fn machine(&self) {
        loop {
            let slot = {
                let mut queue = self.queue();
                loop {
                    if queue.left == 0 {
                        return;
                    }
                    match queue.runnable.pop_front() {
                        Some(slot) => break slot,
                        None => queue = self.changed.wait(queue).unwrap(),
                    }
                }
            };
            self.run(slot);
        }
    }

    /// Runs a goroutine until it parks or there is none in the slot any more.
    fn run(&self, index: usize) {
        let slot = &self.slots[index];
        loop {
            let mut life = slot.life.try_lock().expect("two machines run it");
            if std::mem::take(&mut life.parked) {
                self.unparked(slot);
            }
            let (id, parks) = loop {
                let id = id(index, life.number);
                if slot.told[life.number].iter().all(|told| told.load(SeqCst)) {
                    slot.token.retire();
                    if life.number + 1 == LIVES {
                        drop(life);
                        return self.end();
                    }
                    life.number += 1;
                    life.parks = 0;
                    slot.token.begin(self::id(index, life.number));
                } else if !slot.token.consume(id) {
                    break (id, life.parks);
                }
            };
            life.parked = true;
            life.parks += 1;
            drop(life);
            let has_deadline = parks < DEADLINES[index];
            if !self.park(slot, id, has_deadline.then_some(1 + parks % 2)) {
                return;
            }
        }
    }

    /// `ParkFrame::run`, and `park_until`'s `publish`. True if it goes on at once.
    fn park(&self, slot: &Slot, id: u64, timeout: Option<u64>) -> bool {
        let number = slot.word.open();
        if let Some(timeout) = timeout {
            let ticket = Ticket {
                word: slot.word.clone(),
                number,
            };
            let deadline = self.now.load(SeqCst) + timeout;
            let earliest = self.timers.add(0, deadline, ticket, |key| {
                *slot.timer.lock().unwrap() = Some(key);
            });
            if earliest {
                drop(self.queue());
                self.changed.notify_all();
            }
        }
        !slot.token.publish(id, number.as_u64()) && slot.word.claim(number, Outcome::Ready)
    }

    /// The goroutine is back.
    fn unparked(&self, slot: &Slot) {
        let outcome = slot.word.outcome();
        let timer = slot.timer.lock().unwrap().take();
        if let Some(key) = timer
            && outcome != Outcome::TimedOut
        {
            self.timers.cancel(key);
        }
        slot.token.leave();
    }

    fn end(&self) {
        self.queue().left -= 1;
        self.changed.notify_all();
    }

    /// Lets time pass to the next deadline, and fires it.
    fn clock(&self) {
        loop {
            let next = {
                let mut queue = self.queue();
                loop {
                    if queue.left == 0 {
                        return;
                    }
                    let next = self.timers.next();
                    if next != FOREVER {
                        break next;
                    }
                    queue = self.changed.wait(queue).unwrap();
                }
            };
            self.now.fetch_max(next, SeqCst);
            let mut ready = ReadyList::default();
            self.timers.fire_due(next, &mut ready);
            for parked in ready.0 {
                let of = |slot: &Slot| Arc::ptr_eq(&slot.word, &parked.0);
                self.ready(self.slots.iter().position(of).unwrap());
            }
        }
    }

    fn unparker(&self, me: usize) {
        for life in 0..LIVES {
            for (index, slot) in self.slots.iter().enumerate() {
                slot.told[life][me].store(true, SeqCst);
                let Some(number) = slot.token.notify(id(index, life)) else {
                    continue;
                };
                if slot
                    .word
                    .claim(WaitNumber::from_u64(number), Outcome::Ready)
                {
                    self.ready(index);
                }
            }
        }
    }
}

fn park_unpark_and_timeout() {
    let world = World::new();
    let spawn = |part: fn(&World)| {
        let world = world.clone();
        thread::spawn(move || part(&world))
    };
    let threads = [
        spawn(World::machine),
        spawn(World::machine),
        spawn(World::clock),
        spawn(|world| world.unparker(0)),
        spawn(|world| world.unparker(1)),
    ];
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(world.timers.next(), FOREVER, "a timer is left");
    assert!(world.queue().runnable.is_empty(), "readied twice");
}

#[test]
fn no_unpark_is_lost() {
    crate::explore(3000, park_unpark_and_timeout);
}
