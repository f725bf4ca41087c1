//! The run queue: each goroutine is run once, by somebody who sees its state, and none is starved.
//!
//! Loom lets a plain store come before a read-modify-write of another thread that was made earlier,
//! if neither happens before the other, which the language does not. So no model here has the owner
//! fill `runnext` again after both it and a thief have emptied it; `tests/shuttle.rs` does that.

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::Mutex;

use loom::cell::UnsafeCell;
use loom::thread;

use crate::fences::{self, Model};
use crate::ring::CAPACITY;
use crate::run_queue::{Far, Item, RunQueue};
use crate::sync::Injector;

/// The right to run a goroutine, whose state is how often somebody has touched it. The pointer is
/// tagged while it has not begun.
struct Runnable(NonNull<UnsafeCell<u32>>);

const NEWBORN: usize = 1;

const PLACES: usize = CAPACITY as usize;

// SAFETY: whether its uses are exclusive is what the models check.
unsafe impl Send for Runnable {}

impl Item for Runnable {
    type Target = UnsafeCell<u32>;

    fn into_pointer(self) -> NonNull<UnsafeCell<u32>> {
        self.0
    }

    unsafe fn from_pointer(pointer: NonNull<UnsafeCell<u32>>) -> Self {
        Runnable(pointer)
    }

    fn is_newborn(&self) -> bool {
        self.0.addr().get() & NEWBORN != 0
    }

    fn mark_spent(&self) {
        MARKED.lock().unwrap().insert(self.0.addr().get());
    }

    fn take_mark(&self) -> bool {
        MARKED.lock().unwrap().remove(&self.0.addr().get())
    }
}

/// Where the marks are: no part of the model.
static MARKED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

impl Runnable {
    /// The same, as one that has not begun.
    fn newborn(self) -> Self {
        Runnable(self.0.map_addr(|a| a | NEWBORN))
    }

    /// Which goroutine it is.
    fn goroutine(&self) -> NonNull<UnsafeCell<u32>> {
        let state = self.0.as_ptr().map_addr(|a| a & !NEWBORN);
        NonNull::new(state).unwrap()
    }

    /// Runs it: who does that without the right, or without seeing what was done before, is caught.
    fn run(&self) {
        // SAFETY: freed in `Goroutines::check` only.
        unsafe { self.goroutine().as_ref() }.with_mut(|state| unsafe { *state += 1 });
    }
}

/// The goroutines of a model.
struct Goroutines(Vec<NonNull<UnsafeCell<u32>>>);

// SAFETY: as for `Runnable`.
unsafe impl Send for Goroutines {}

impl Goroutines {
    /// As many new ones.
    fn new(count: usize) -> Self {
        let new = |_| NonNull::from(Box::leak(Box::new(UnsafeCell::new(0))));
        Goroutines((0..count).map(new).collect())
    }

    /// Makes one of them runnable, having touched it.
    fn ready(&self, index: usize) -> Runnable {
        let runnable = Runnable(self.0[index]);
        runnable.run();
        runnable
    }

    /// Each was readied once and run once.
    fn check(self) {
        for goroutine in self.0 {
            // SAFETY: from `Box::leak`, and nobody uses it any more.
            let state = unsafe { Box::from_raw(goroutine.as_ptr()) };
            assert_eq!(
                state.with(|n| unsafe { *n }),
                2,
                "readied once and run once"
            );
        }
    }
}

/// A queue with a global one of its own behind it.
fn new_queue() -> RunQueue<Runnable> {
    RunQueue::new(std::sync::Arc::new(Injector::new()))
}

/// Runs all that is left.
fn drain(queue: &RunQueue<Runnable>) {
    while let Some(runnable) = queue.pop().or_else(|| queue.take_global(2)) {
        runnable.run();
    }
}

/// A thief's whole search of one victim.
fn steal(far: &Far<Runnable>) {
    let own = new_queue();
    if let Some(first) = far.steal_half(&own) {
        first.run();
        drain(&own);
    } else if let Some(next) = far.steal_stuck_next(1) {
        next.run();
    }
}

/// Who comes last. Loom hardly ever shows a thread what one that was spawned after it has stored; so
/// only the last is sure to meet what the others do.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Owner,
    Thieves,
}

/// The owner at work while thieves search, each once; then all that is left is run.
fn against_thieves(
    thieves: usize,
    last: Last,
    goroutines: Goroutines,
    queue: RunQueue<Runnable>,
    work: impl FnOnce(&Goroutines, &RunQueue<Runnable>) + 'static,
) {
    let far = queue.far().clone();
    let own_thread = if last == Last::Owner { 1 } else { 0 };
    let others: Vec<_> = (own_thread..thieves)
        .map(|_| {
            let far = far.clone();
            thread::spawn(move || steal(&far))
        })
        .collect();
    let work = move || {
        work(&goroutines, &queue);
        (goroutines, queue)
    };
    let (goroutines, queue) = match last {
        Last::Owner => {
            let owner = thread::spawn(work);
            steal(&far);
            owner.join().unwrap()
        }
        Last::Thieves => work(),
    };
    for thief in others {
        thief.join().unwrap();
    }
    drain(&queue);
    assert!(queue.has_nothing());
    goroutines.check();
}

/// The owner readies and runs while two thieves search. It comes first: see the head of
/// this file.
fn owner_against_two_thieves() {
    let goroutines = Goroutines::new(3);
    let queue = new_queue();
    queue.next_tick();
    assert!(!queue.put_next(goroutines.ready(0)));
    let thieves = [(), ()].map(|()| {
        let far = queue.far().clone();
        thread::spawn(move || steal(&far))
    });
    // It displaces the first, unless a thief was faster.
    let _ = queue.put_next(goroutines.ready(1));
    if let Some(next) = queue.pop() {
        next.run();
    }
    queue.push(goroutines.ready(2));
    drain(&queue);
    for thief in thieves {
        thief.join().unwrap();
    }
    goroutines.check();
}

/// The owner shows what is in `runnext`, and ends its slice, while a thief takes from there.
fn expose(last: Last) {
    let goroutines = Goroutines::new(2);
    let queue = new_queue();
    assert!(!queue.put_next(goroutines.ready(0)));
    against_thieves(1, last, goroutines, queue, |goroutines, queue| {
        queue.expose_next();
        queue.push(goroutines.ready(1));
        queue.end_slice();
        drain(queue);
        assert!(queue.has_nothing());
    });
}

/// Into a full ring the owner puts so many more: at first there is no room, or thieves make some, two of
/// them more than half of it before the owner looks again; and the places that they have read are filled.
/// `then` it goes on, with the thieves at it still.
fn overflow(thieves: usize, last: Last, more: usize, then: fn(&RunQueue<Runnable>)) {
    let goroutines = Goroutines::new(PLACES + more);
    let queue = new_queue();
    for n in 0..PLACES {
        queue.push(goroutines.ready(n));
    }
    against_thieves(
        thieves,
        last,
        goroutines,
        queue,
        move |goroutines, queue| {
            for n in PLACES..PLACES + more {
                queue.push(goroutines.ready(n));
            }
            then(queue);
        },
    );
}

/// What a thief has put into its own queue is stolen from there, by one that comes last.
fn a_thief_is_stolen_from() {
    let goroutines = Goroutines::new(PLACES);
    let queue = new_queue();
    for n in 0..PLACES {
        queue.push(goroutines.ready(n));
    }
    let own = new_queue();
    let second = thread::spawn({
        let middle = own.far().clone();
        move || steal(&middle)
    });
    queue.far().steal_half(&own).unwrap().run();
    second.join().unwrap();
    drain(&own);
    drain(&queue);
    goroutines.check();
}

/// The owner starts goroutines and gives way to them while a thief searches.
fn newborns(last: Last) {
    let goroutines = Goroutines::new(4);
    let queue = new_queue();
    for n in 0..2 {
        let _ = queue.put_next(goroutines.ready(n).newborn());
    }
    against_thieves(1, last, goroutines, queue, |goroutines, queue| {
        let _ = queue.put_next(goroutines.ready(2).newborn());
        queue.give_way(goroutines.ready(3));
        drain(queue);
    });
}

const MODELS: [Model; 9] = [
    Model::bounded(3, "overflow against two thieves", || {
        overflow(2, Last::Owner, 1, drain)
    }),
    Model::full("overflow against a thief", || {
        overflow(1, Last::Owner, 3, |_| {})
    }),
    Model::bounded(3, "overflow against a late thief", || {
        overflow(1, Last::Thieves, 3, |_| {})
    }),
    Model::full("a thief is stolen from", a_thief_is_stolen_from),
    Model::bounded(2, "owner against two thieves", owner_against_two_thieves),
    Model::full("expose against a thief", || expose(Last::Owner)),
    Model::full("expose against a late thief", || expose(Last::Thieves)),
    Model::full("newborns against a thief", || newborns(Last::Owner)),
    Model::bounded(3, "newborns against a late thief", || {
        newborns(Last::Thieves)
    }),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}

/// How many turns a pair has that readies each other before what waits in the queue has its own.
fn turns_before_the_third(queue: &RunQueue<Runnable>, goroutines: &Goroutines) -> u32 {
    queue.push(Runnable(goroutines.0[2]));
    let mut running = 0;
    for turns in 1.. {
        assert!(turns < 1000, "it is starved");
        let _ = queue.put_next(Runnable(goroutines.0[1 - running]));
        queue.next_tick();
        let next = queue.pop().unwrap().0;
        if next == goroutines.0[2] {
            return turns;
        }
        running = 1 - running;
        assert_eq!(next, goroutines.0[running]);
    }
    unreachable!()
}

/// A long run, of one schedule.
fn in_one_thread(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.check(model);
}

#[test]
fn a_pair_does_not_starve_the_queue() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(3);
        let queue = new_queue();
        let slice = queue.far().slice();
        assert_eq!(turns_before_the_third(&queue, &goroutines), 64);
        // The one that did not get its turn is behind.
        assert!(!queue.has_nothing() && !queue.far().has_next());
        assert_ne!(queue.far().slice(), slice, "a new slice");
        assert!(queue.pop().is_some() && queue.has_nothing());
        // Again, from the beginning.
        assert_eq!(turns_before_the_third(&queue, &goroutines), 64);
        assert!(queue.pop().is_some() && queue.has_nothing());
        assert!(!queue.put_next(Runnable(goroutines.0[0])));
        assert!(!queue.has_nothing(), "there is a next");
    });
}

#[test]
fn the_newest_begins_first_and_a_thief_takes_the_oldest() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(8);
        let queue = new_queue();
        for (n, goroutine) in goroutines.0.iter().enumerate() {
            let backlog = queue.put_next(Runnable(*goroutine).newborn());
            assert_eq!(backlog, n > 0);
        }
        assert_eq!(queue.far().len(), 7, "and one that is next");
        assert!(!queue.far().is_empty());
        let thief = new_queue();
        // Half of them, of seven the greater part.
        let stolen = queue.far().steal_half(&thief).unwrap();
        assert_eq!(stolen.goroutine(), goroutines.0[0]);
        for n in [3, 2, 1] {
            assert_eq!(thief.pop().unwrap().goroutine(), goroutines.0[n]);
        }
        for n in [7, 6, 5, 4] {
            assert_eq!(queue.pop().unwrap().goroutine(), goroutines.0[n]);
        }
        assert!(queue.has_nothing() && thief.has_nothing());
    });
}

#[test]
fn nobody_is_starved_by_what_goes_before() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(4);
        let [oldest, newest, woken, spent] = [0, 1, 2, 3].map(|n| goroutines.0[n]);
        let queue = new_queue();
        for goroutine in [oldest, newest] {
            queue.line_up(Runnable(goroutine).newborn());
        }
        queue.push(Runnable(woken));
        queue.give_way(Runnable(spent));
        // All but two come back at once: but for the bounds, the first would have all turns.
        let mut had = Vec::new();
        for _ in 0..64 {
            let next = queue.pop().unwrap();
            had.push(next.goroutine());
            if next.goroutine() == woken || next.goroutine() == newest {
                queue.line_up(next);
            }
        }
        let turns = |goroutine| (1..).zip(&had).filter(move |(_, had)| **had == goroutine);
        assert_eq!(turns(woken).count(), 55);
        assert_eq!(turns(newest).count(), 7);
        // Two newborns have left by turn 16; that is noticed at turn 24, and the other is before it.
        assert!(turns(spent).map(|(turn, _)| turn).eq([26]));
        assert!(turns(oldest).map(|(turn, _)| turn).eq([64]));
    });
}

#[test]
fn without_newborns_what_is_spent_has_its_turns() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(3);
        let [newborn, woken, spent] = [0, 1, 2].map(|n| goroutines.0[n]);
        let queue = new_queue();
        queue.line_up(Runnable(newborn).newborn());
        queue.give_way(Runnable(spent));
        assert_eq!(queue.pop().unwrap().goroutine(), newborn);
        queue.push(Runnable(woken));
        for turn in 2..=9 {
            let next = queue.pop().unwrap();
            assert_eq!(next.goroutine(), if turn < 9 { woken } else { spent });
            // Nobody to give way to.
            queue.give_way(next);
        }
        // So both are in the ring now.
        assert_eq!(queue.pop().unwrap().goroutine(), woken);
        assert_eq!(queue.pop().unwrap().goroutine(), spent);
        assert!(queue.pop().is_none() && queue.has_nothing());
    });
}

#[test]
fn what_gives_way_goes_behind_all_that_waits() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(12);
        let [yields, woken] = [0, 1].map(|n| goroutines.0[n]);
        let queue = new_queue();
        // There is room for eight; the last two go to the global queue.
        for goroutine in &goroutines.0[2..] {
            queue.line_up(Runnable(*goroutine).newborn());
        }
        queue.give_way(Runnable(yields));
        queue.push(Runnable(woken));
        assert_eq!(queue.pop().unwrap().goroutine(), woken);
        for n in [10, 11].into_iter().chain((2..10).rev()) {
            assert_eq!(queue.pop().unwrap().goroutine(), goroutines.0[n]);
        }
        assert!(!queue.has_nothing() && queue.far().len() == 1);
        assert_eq!(queue.pop().unwrap().goroutine(), yields);
        assert!(queue.has_nothing() && queue.pop().is_none());
    });
}

#[test]
fn the_oldest_is_served_on_request() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(3);
        let queue = new_queue();
        for goroutine in &goroutines.0 {
            queue.line_up(Runnable(*goroutine).newborn());
        }
        queue.serve_oldest();
        // The last comes back at once, until the first has had its turn.
        for turn in 1..=8 {
            let next = queue.pop().unwrap();
            let expected = if turn < 8 { 2 } else { 0 };
            assert_eq!(next.goroutine(), goroutines.0[expected]);
            if turn < 8 {
                queue.line_up(next);
            }
        }
    });
}

#[test]
fn what_had_no_processor_waits_where_it_arrives() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(3);
        let [newborn, spent, woken] = [0, 1, 2].map(|n| goroutines.0[n]);
        let global = std::sync::Arc::new(Injector::new());
        let queue = RunQueue::new(global.clone());
        for newborns in [true, false] {
            for goroutine in [spent, woken] {
                if goroutine == spent {
                    Runnable(goroutine).mark_spent();
                }
                global.push(Runnable(goroutine));
            }
            if newborns {
                queue.line_up(Runnable(newborn).newborn());
                assert_eq!(queue.pop().unwrap().goroutine(), woken);
                assert_eq!(queue.pop().unwrap().goroutine(), newborn);
                assert_eq!(queue.pop().unwrap().goroutine(), spent);
            } else {
                assert_eq!(queue.take_global(1).unwrap().goroutine(), spent);
                assert_eq!(queue.take_global(1).unwrap().goroutine(), woken);
            }
            assert!(queue.pop().is_none() && queue.has_nothing());
            assert!(queue.take_global(1).is_none());
        }
    });
}

#[test]
fn a_queue_is_emptied_into_the_global_one() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(4);
        let global = std::sync::Arc::new(Injector::new());
        let queue = RunQueue::new(global.clone());
        global.push(Runnable(goroutines.0[0]));
        queue.line_up(Runnable(goroutines.0[1]).newborn());
        queue.give_way(Runnable(goroutines.0[2]));
        queue.push(Runnable(goroutines.0[3]));
        for _ in 1..4 {
            global.push(queue.take_any().expect("it is not empty yet"));
        }
        assert!(queue.take_any().is_none() && queue.has_nothing());
        assert!(queue.take_global(4).is_some());
    });
}

#[test]
fn a_thief_takes_what_is_spent_last() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(3);
        let queue = new_queue();
        queue.line_up(Runnable(goroutines.0[0]).newborn());
        queue.give_way(Runnable(goroutines.0[2]));
        queue.push(Runnable(goroutines.0[1]));
        for goroutine in &goroutines.0 {
            let thief = new_queue();
            let stolen = queue.far().steal_half(&thief).unwrap();
            assert_eq!(stolen.goroutine(), *goroutine);
            assert!(thief.has_nothing());
        }
        assert!(queue.has_nothing() && queue.far().steal_half(&new_queue()).is_none());
    });
}

#[test]
fn only_what_has_run_and_has_time_left_is_rested() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(4);
        let queue = new_queue();
        assert_eq!(queue.far().len_if_rested(), Some(0));
        queue.push(Runnable(goroutines.0[0]));
        queue.push(Runnable(goroutines.0[1]));
        assert_eq!(queue.far().len_if_rested(), Some(2));
        queue.line_up(Runnable(goroutines.0[3]).newborn());
        assert_eq!(queue.far().len_if_rested(), None, "one has never run");
        queue.give_way(Runnable(goroutines.0[2]));
        assert!(queue.far().steal_half(&new_queue()).is_some(), "that one");
        let rested = queue.far().len_if_rested();
        assert_eq!(rested, None, "one has used up its slice");
        drain(&queue);
        assert_eq!(queue.far().len_if_rested(), Some(0));
    });
}

#[test]
fn the_slice_lasts_while_runnext_has_its_turns() {
    in_one_thread(|| {
        let goroutines = Goroutines::new(2);
        let queue = new_queue();
        let slice = queue.far().slice();
        for turn in 0..63 {
            assert!(!queue.put_next(Runnable(goroutines.0[turn % 2])));
            queue.next_tick();
            assert!(queue.pop().is_some());
            assert_eq!(queue.far().slice(), slice);
        }
        // Its end brings the queue to its turn at once.
        queue.push(Runnable(goroutines.0[0]));
        assert!(!queue.put_next(Runnable(goroutines.0[1])));
        queue.end_slice();
        queue.next_tick();
        assert_eq!(queue.pop().unwrap().0, goroutines.0[0]);
        assert_eq!(queue.far().slice(), 64);
    });
}

#[test]
fn a_thief_leaves_the_next_of_an_owner_that_moves_on() {
    loom::model(|| {
        let goroutines = Goroutines::new(1);
        let queue = new_queue();
        assert!(queue.far().steal_stuck_next(1).is_none());
        assert!(!queue.put_next(Runnable(goroutines.0[0])));
        let owner = thread::spawn({
            let far = queue.far().clone();
            move || far.steal_stuck_next(1)
        });
        queue.next_tick();
        let mine = queue.pop();
        let stolen = owner.join().unwrap();
        assert!(mine.is_some() != stolen.is_some());
    });
}
