//! A stand-in for the global queue and the nursery, which are a library's and have tests of its own:
//! lists under locks.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::{Arc, Mutex, MutexGuard};

type List<T> = Arc<Shared<T>>;

struct Shared<T> {
    items: Mutex<VecDeque<T>>,
    /// Read without the lock, for a hint. Not one of the model's atomics: a look at it is no step of
    /// its own, of which there would be too many.
    len: AtomicUsize,
}

/// The lock, which says how many there are when it is released.
struct Guard<'a, T> {
    items: MutexGuard<'a, VecDeque<T>>,
    len: &'a AtomicUsize,
}

impl<T> Deref for Guard<'_, T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.items
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.items
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.len.store(self.items.len(), Ordering::SeqCst);
    }
}

fn new_list<T>() -> List<T> {
    Arc::new(Shared {
        items: Mutex::new(VecDeque::new()),
        len: AtomicUsize::new(0),
    })
}

fn len<T>(list: &List<T>) -> usize {
    list.len.load(Ordering::SeqCst)
}

/// Where a batch lands, or a nursery.
pub struct Worker<T> {
    list: List<T>,
    newest_first: bool,
}

/// The far end of a `Worker`.
pub struct Stealer<T>(List<T>);

/// The global queue.
pub struct Injector<T>(List<T>);

/// What a theft brings.
#[allow(dead_code)] // a list is never torn, so nobody retries
pub enum Steal<T> {
    Empty,
    Success(T),
    Retry,
}

fn lock<T>(list: &List<T>) -> Guard<'_, T> {
    Guard {
        items: list.items.lock().unwrap(),
        len: &list.len,
    }
}

impl<T> Worker<T> {
    fn new(newest_first: bool) -> Self {
        let list = new_list();
        Worker { list, newest_first }
    }

    pub fn new_fifo() -> Self {
        Worker::new(false)
    }

    pub fn new_lifo() -> Self {
        Worker::new(true)
    }

    pub fn stealer(&self) -> Stealer<T> {
        Stealer(self.list.clone())
    }

    pub fn push(&self, item: T) {
        lock(&self.list).push_back(item);
    }

    pub fn pop(&self) -> Option<T> {
        let mut list = lock(&self.list);
        match self.newest_first {
            true => list.pop_back(),
            false => list.pop_front(),
        }
    }

    pub fn len(&self) -> usize {
        len(&self.list)
    }

    pub fn is_empty(&self) -> bool {
        len(&self.list) == 0
    }
}

impl<T> Stealer<T> {
    pub fn len(&self) -> usize {
        len(&self.0)
    }

    pub fn is_empty(&self) -> bool {
        len(&self.0) == 0
    }

    pub fn steal(&self) -> Steal<T> {
        lock(&self.0)
            .pop_front()
            .map_or(Steal::Empty, Steal::Success)
    }

    /// Half of it: the oldest is returned, the others go to `into`.
    pub fn steal_batch_and_pop(&self, into: &Worker<T>) -> Steal<T> {
        let mut list = lock(&self.0);
        let half = list.len().div_ceil(2);
        let mut batch = list.drain(..half).collect::<VecDeque<T>>();
        drop(list);
        let Some(oldest) = batch.pop_front() else {
            return Steal::Empty;
        };
        if !batch.is_empty() {
            lock(&into.list).append(&mut batch);
        }
        Steal::Success(oldest)
    }
}

impl<T> Injector<T> {
    pub fn new() -> Self {
        Injector(new_list())
    }

    pub fn push(&self, item: T) {
        lock(&self.0).push_back(item);
    }

    pub fn is_empty(&self) -> bool {
        len(&self.0) == 0
    }

    /// At most `limit`: the first is returned, the others go to `into`.
    pub fn steal_batch_with_limit_and_pop(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        let mut list = lock(&self.0);
        let some = list.len().min(limit);
        let mut batch = list.drain(..some).collect::<VecDeque<T>>();
        drop(list);
        let Some(first) = batch.pop_front() else {
            return Steal::Empty;
        };
        if !batch.is_empty() {
            lock(&into.list).append(&mut batch);
        }
        Steal::Success(first)
    }
}
