//! A stand-in for the global queue, which is a library's and has tests of its own: a list under a lock.

use std::collections::VecDeque;

use crate::sync::{Arc, Mutex, MutexGuard};

type List<T> = Arc<Mutex<VecDeque<T>>>;

/// Where a batch lands.
pub struct Worker<T>(List<T>);

/// The global queue.
pub struct Injector<T>(List<T>);

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

    pub fn pop(&self) -> Option<T> {
        lock(&self.0).pop_front()
    }
}

impl<T> Injector<T> {
    pub fn new() -> Self {
        Injector(Arc::new(Mutex::new(VecDeque::new())))
    }

    pub fn push(&self, item: T) {
        lock(&self.0).push_back(item);
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
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
            lock(&into.0).append(&mut batch);
        }
        Steal::Success(first)
    }
}
