//! A stand-in for the work-stealing deque, which is a library's and has tests of its own: a list under
//! a lock.

use std::collections::VecDeque;

use crate::sync::{Arc, Mutex, MutexGuard};

type List<T> = Arc<Mutex<VecDeque<T>>>;

/// The owner's end.
pub struct Worker<T>(List<T>);

/// The thieves' end.
pub struct Stealer<T>(List<T>);

/// What a theft brings.
#[allow(dead_code)] // a list is never torn, so nobody retries
pub enum Steal<T> {
    Empty,
    Success(T),
    Retry,
}

fn lock<T>(list: &List<T>) -> MutexGuard<'_, VecDeque<T>> {
    list.lock().unwrap()
}

impl<T> Worker<T> {
    pub fn new_fifo() -> Self {
        Worker(Arc::new(Mutex::new(VecDeque::new())))
    }

    pub fn stealer(&self) -> Stealer<T> {
        Stealer(self.0.clone())
    }

    pub fn push(&self, item: T) {
        lock(&self.0).push_back(item);
    }

    pub fn pop(&self) -> Option<T> {
        lock(&self.0).pop_front()
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl<T> Stealer<T> {
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Half of it, rounded up: the first is returned, the others go to `into`.
    pub fn steal_batch_and_pop(&self, into: &Worker<T>) -> Steal<T> {
        let mut list = lock(&self.0);
        let half = list.len().div_ceil(2);
        let mut batch = list.drain(..half).collect::<VecDeque<T>>();
        drop(list);
        let Some(first) = batch.pop_front() else {
            return Steal::Empty;
        };
        if !batch.is_empty() {
            lock(&into.0).append(&mut batch);
        }
        Steal::Success(first)
    }
}
