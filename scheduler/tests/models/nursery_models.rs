//! The nursery: each item is taken once, by somebody who sees its state, whoever takes it.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};

use crate::fences::{self, Model};
use crate::nursery::{CAPACITY, Nursery};

const PLACES: usize = CAPACITY as usize;

/// What is put in: how often somebody has touched it.
type State = UnsafeCell<u32>;

/// Touches one: who does that without the right, or without seeing what was done before, is caught.
fn touch(item: NonNull<State>) {
    // SAFETY: freed in `Items::check` only.
    unsafe { item.as_ref() }.with_mut(|state| unsafe { *state += 1 });
}

/// The items of a model.
struct Items(Vec<NonNull<State>>);

// SAFETY: whether their uses are exclusive is what the models check.
unsafe impl Send for Items {}

impl Items {
    /// As many new ones.
    fn new(count: usize) -> Self {
        let new = |_| NonNull::from(Box::leak(Box::new(UnsafeCell::new(0))));
        Items((0..count).map(new).collect())
    }

    /// Touches one and puts it in. If there is no room, the owner takes it itself.
    fn push(&self, nursery: &Nursery<State>, index: usize) {
        touch(self.0[index]);
        if let Err(back) = nursery.push(self.0[index]) {
            assert_eq!(back, self.0[index]);
            touch(back);
        }
    }

    /// Each was put in once and taken once.
    fn check(self) {
        for item in self.0 {
            // SAFETY: from `Box::leak`, and nobody uses it any more.
            let state = unsafe { Box::from_raw(item.as_ptr()) };
            assert_eq!(state.with(|n| unsafe { *n }), 2, "put in once, taken once");
        }
    }
}

/// The owner takes one.
fn pop(nursery: &Nursery<State>) -> bool {
    nursery.pop().map(touch).is_some()
}

/// A thief that takes so many, if there are.
fn thief(nursery: &Arc<Nursery<State>>, most: usize) -> JoinHandle<()> {
    let nursery = nursery.clone();
    thread::spawn(move || {
        for _ in 0..most {
            nursery.steal().into_iter().for_each(touch);
        }
    })
}

/// Waits for the thieves, and takes what is left.
fn finish(
    nursery: &Nursery<State>,
    thieves: impl IntoIterator<Item = JoinHandle<()>>,
    items: Items,
) {
    for thief in thieves {
        thief.join().unwrap();
    }
    while pop(nursery) {}
    assert!(nursery.is_empty() && nursery.steal().is_none());
    items.check();
}

/// The owner puts two in and takes while two thieves take one each.
fn owner_against_two_thieves() {
    let items = Items::new(2);
    let nursery = Arc::new(Nursery::new());
    let thieves = [(), ()].map(|()| thief(&nursery, 1));
    items.push(&nursery, 0);
    items.push(&nursery, 1);
    pop(&nursery);
    finish(&nursery, thieves, items);
}

/// The owner takes all of two while a thief does, who may have seen both ends earlier.
fn all_against_a_thief() {
    let items = Items::new(2);
    let nursery = Arc::new(Nursery::new());
    let thieves = [thief(&nursery, 2)];
    items.push(&nursery, 0);
    items.push(&nursery, 1);
    while pop(&nursery) {}
    finish(&nursery, thieves, items);
}

/// Owner and thief want the only one.
fn the_last_one() {
    let items = Items::new(1);
    let nursery = Arc::new(Nursery::new());
    let thieves = [thief(&nursery, 1)];
    items.push(&nursery, 0);
    pop(&nursery);
    finish(&nursery, thieves, items);
}

/// The owner takes one and puts another in its place, while a thief is on its way there.
fn a_place_filled_again() {
    let items = Items::new(3);
    let nursery = Arc::new(Nursery::new());
    items.push(&nursery, 0);
    let thieves = [thief(&nursery, 2)];
    items.push(&nursery, 1);
    pop(&nursery);
    items.push(&nursery, 2);
    pop(&nursery);
    finish(&nursery, thieves, items);
}

/// There is no room, or thieves make some, and their places are filled again. The owner is spawned last:
/// where it comes first, loom never shows it a `top` that a thief moved.
fn full(thieves: usize, more: usize) {
    let items = Items::new(PLACES + more);
    let nursery = Arc::new(Nursery::new());
    for n in 0..PLACES {
        items.push(&nursery, n);
    }
    let others: Vec<_> = (1..thieves).map(|_| thief(&nursery, 1)).collect();
    let owner = thread::spawn({
        let nursery = nursery.clone();
        move || {
            for n in PLACES..PLACES + more {
                items.push(&nursery, n);
            }
            pop(&nursery);
            items
        }
    });
    nursery.steal().into_iter().for_each(touch);
    let items = owner.join().unwrap();
    finish(&nursery, others, items);
}

/// A place is filled again as soon as the thief has moved on.
fn full_against_a_thief() {
    full(1, 2);
}

/// One place is filled again while the other thief still holds what lay there.
fn full_against_two_thieves() {
    full(2, 2);
}

pub const MODELS: [Model; 6] = [
    Model::full("the last one", the_last_one),
    Model::full("all against a thief", all_against_a_thief),
    Model::bounded(5, "a place filled again", a_place_filled_again),
    Model::bounded(3, "owner against two thieves", owner_against_two_thieves),
    Model::full("full against a thief", full_against_a_thief),
    Model::bounded(3, "full against two thieves", full_against_two_thieves),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}

#[test]
fn newest_first_and_oldest_first() {
    loom::model(|| {
        let items: Vec<u32> = (0..CAPACITY + 3).collect();
        let item = |n: usize| NonNull::from(&items[n]);
        let nursery = Nursery::new();
        assert!(nursery.is_empty() && nursery.pop().is_none() && nursery.steal().is_none());
        for n in 0..PLACES {
            assert_eq!(nursery.len(), n);
            assert_eq!(nursery.push(item(n)), Ok(()));
        }
        assert_eq!(nursery.push(item(PLACES)), Err(item(PLACES)), "no room");
        assert_eq!(nursery.len(), PLACES);
        // Room at either end.
        for n in 0..2 {
            assert_eq!(nursery.steal(), Some(item(n)));
        }
        assert_eq!(nursery.pop(), Some(item(PLACES - 1)));
        for n in PLACES..PLACES + 3 {
            assert_eq!(nursery.push(item(n)), Ok(()));
        }
        assert_eq!(nursery.push(item(0)), Err(item(0)), "no room again");
        for n in (PLACES..PLACES + 3).rev() {
            assert_eq!(nursery.pop(), Some(item(n)));
        }
        for n in 2..PLACES - 2 {
            assert_eq!(nursery.steal(), Some(item(n)));
        }
        assert_eq!((nursery.len(), nursery.is_empty()), (1, false));
        assert_eq!(nursery.pop(), Some(item(PLACES - 2)));
        assert!(nursery.is_empty() && nursery.pop().is_none() && nursery.steal().is_none());
        // As good as new.
        assert_eq!(nursery.push(item(0)), Ok(()));
        assert_eq!((nursery.len(), nursery.steal()), (1, Some(item(0))));
        assert!(nursery.is_empty());
    });
}
