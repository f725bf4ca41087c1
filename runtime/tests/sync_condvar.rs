//! The condition variable does what std's does, on goroutines, on threads and among both.

mod sync_common;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use marmot::sync::{Arc, Condvar, Mutex, WaitTimeoutResult};
use sync_common::{LONG, SHORT, Tasks, everywhere, until};

type Pair<T> = Arc<(Mutex<T>, Condvar)>;

fn pair<T>(value: T) -> Pair<T> {
    Arc::new((Mutex::new(value), Condvar::new()))
}

#[test]
fn a_notification_ends_a_wait() {
    fn test(tasks: Tasks) {
        let shared = pair(false);
        let task = tasks.spawn({
            let shared = shared.clone();
            move || {
                let (lock, condvar) = &*shared;
                *lock.lock().unwrap() = true;
                condvar.notify_one();
            }
        });
        let (lock, condvar) = &*shared;
        let mut started = lock.lock().unwrap();
        while !*started {
            started = condvar.wait(started).unwrap();
        }
        drop(started);
        task.join();
    }
    everywhere(test);
}

#[test]
fn a_queue_passes_everything_on() {
    fn test(tasks: Tasks) {
        const EACH: u64 = 500;
        // Bounded, so that both ends wait.
        let queue: Arc<(Mutex<VecDeque<u64>>, Condvar, Condvar)> = Arc::default();
        let makers = tasks.spawn_all(4, |_| {
            let queue = queue.clone();
            move || {
                let (lock, not_empty, not_full) = &*queue;
                for n in 1..=EACH {
                    let full = |items: &mut VecDeque<u64>| items.len() == 4;
                    let mut items = not_full.wait_while(lock.lock().unwrap(), full).unwrap();
                    items.push_back(n);
                    if n % 2 == 0 {
                        drop(items); // notify with the lock held and without
                        not_empty.notify_one();
                    } else {
                        not_empty.notify_one();
                    }
                }
            }
        });
        let takers = tasks.spawn_all(4, |_| {
            let queue = queue.clone();
            move || {
                let (lock, not_empty, not_full) = &*queue;
                let mut sum = 0;
                for _ in 0..EACH {
                    let mut items = lock.lock().unwrap();
                    while items.is_empty() {
                        items = not_empty.wait(items).unwrap();
                    }
                    sum += items.pop_front().unwrap();
                    drop(items);
                    not_full.notify_one();
                }
                sum
            }
        });
        makers.into_iter().for_each(|task| task.join());
        let sum: u64 = takers.into_iter().map(|task| task.join()).sum();
        assert_eq!(sum, 4 * EACH * (EACH + 1) / 2);
    }
    everywhere(test);
}

#[test]
fn all_are_notified() {
    fn test(tasks: Tasks) {
        // More than are taken out of the line at once.
        const N: usize = 100;
        let shared = pair((0, false));
        let all = tasks.spawn_all(N, |_| {
            let shared = shared.clone();
            move || {
                let (lock, condvar) = &*shared;
                let mut state = lock.lock().unwrap();
                state.0 += 1;
                while !state.1 {
                    state = condvar.wait(state).unwrap();
                }
                state.0 -= 1;
            }
        });
        let (lock, condvar) = &*shared;
        until(|| lock.lock().unwrap().0 == N);
        let mut state = lock.lock().unwrap();
        state.1 = true;
        condvar.notify_all();
        drop(state);
        all.into_iter().for_each(|task| task.join());
        assert_eq!(lock.lock().unwrap().0, 0);
    }
    everywhere(test);
}

/// Who waits first is notified first, and the others wait on.
#[test]
fn one_at_a_time_and_in_order() {
    fn test(tasks: Tasks) {
        const N: usize = 10;
        // Who has come, and who may go on.
        let shared = pair((0_usize, 0_usize, Vec::new()));
        let all: Vec<_> = (0..N)
            .map(|i| {
                let task = tasks.spawn({
                    let shared = shared.clone();
                    move || {
                        let (lock, condvar) = &*shared;
                        let mut state = lock.lock().unwrap();
                        state.0 += 1;
                        // One wait and no loop: nothing but a notification ends it (today).
                        state = condvar.wait(state).unwrap();
                        state.2.push(i);
                    }
                });
                // It lets the lock go by waiting.
                until(|| shared.0.lock().unwrap().0 == i + 1);
                task
            })
            .collect();
        for n in 1..=N {
            shared.1.notify_one();
            until(|| shared.0.lock().unwrap().2.len() == n);
        }
        all.into_iter().for_each(|task| task.join());
        assert_eq!(shared.0.lock().unwrap().2, (0..N).collect::<Vec<_>>());
    }
    everywhere(test);
}

#[test]
fn a_notification_is_not_kept() {
    fn test(_: Tasks) {
        let (lock, condvar) = &*pair(());
        condvar.notify_one();
        condvar.notify_all();
        let (_guard, result) = condvar.wait_timeout(lock.lock().unwrap(), SHORT).unwrap();
        assert!(result.timed_out());
    }
    everywhere(test);
}

#[test]
fn a_wait_ends_by_its_time() {
    fn test(_: Tasks) {
        let (lock, condvar) = &*pair(0);
        let begin = Instant::now();
        let (mut guard, result) = condvar.wait_timeout(lock.lock().unwrap(), SHORT).unwrap();
        assert!(result.timed_out());
        assert!(begin.elapsed() >= SHORT);
        *guard += 1; // it is locked again
        assert!(lock.try_lock().is_err());

        #[allow(deprecated)]
        let (guard, notified) = condvar.wait_timeout_ms(guard, 3).unwrap();
        assert!(!notified);

        let begin = Instant::now();
        let (guard, result) = condvar
            .wait_timeout_while(guard, SHORT, |n| *n == 1)
            .unwrap();
        assert!(result.timed_out());
        assert!(begin.elapsed() >= SHORT);

        // Not at all, if there is no need, or no time.
        let (guard, result) = condvar
            .wait_timeout_while(guard, LONG, |n| *n == 0)
            .unwrap();
        assert!(!result.timed_out());
        let (guard, result) = condvar
            .wait_timeout_while(guard, Duration::ZERO, |n| *n == 1)
            .unwrap();
        assert!(result.timed_out());
        let (_guard, result) = condvar.wait_timeout(guard, Duration::ZERO).unwrap();
        assert!(result.timed_out());
    }
    everywhere(test);
}

#[test]
fn a_notification_comes_before_the_time() {
    fn test(tasks: Tasks) {
        for limit in [LONG, Duration::MAX] {
            let shared = pair(false);
            let task = tasks.spawn({
                let shared = shared.clone();
                move || {
                    *shared.0.lock().unwrap() = true;
                    shared.1.notify_all();
                }
            });
            let (lock, condvar) = &*shared;
            let begin = Instant::now();
            let (guard, result): (_, WaitTimeoutResult) = condvar
                .wait_timeout_while(lock.lock().unwrap(), limit, |done| !*done)
                .unwrap();
            assert!(*guard && !result.timed_out());
            assert!(begin.elapsed() < LONG);
            drop(guard);
            task.join();
        }
    }
    everywhere(test);
}

/// Many time out while others are notified: each notification ends the wait of one who has not.
#[test]
fn no_notification_goes_to_one_whose_time_is_up() {
    fn test(tasks: Tasks) {
        const TOKENS: usize = 200;
        let shared = pair(0_usize);
        let all = tasks.spawn_all(8, |i| {
            let shared = shared.clone();
            move || {
                let (lock, condvar) = &*shared;
                for _ in 0..TOKENS / 8 {
                    let mut tokens = lock.lock().unwrap();
                    while *tokens == 0 {
                        if i % 2 == 0 {
                            tokens = condvar.wait(tokens).unwrap();
                        } else {
                            let limit = Duration::from_micros(20 * i as u64);
                            tokens = condvar.wait_timeout(tokens, limit).unwrap().0;
                        }
                    }
                    *tokens -= 1;
                }
            }
        });
        for _ in 0..TOKENS {
            *shared.0.lock().unwrap() += 1;
            shared.1.notify_one();
        }
        // Who has taken a token that another was notified of leaves that one without; but then
        // there is none, and for each that comes there is a notification.
        all.into_iter().for_each(|task| task.join());
        assert_eq!(*shared.0.lock().unwrap(), 0);
    }
    everywhere(test);
}

/// Not so in std, where this may panic.
#[test]
fn it_serves_several_mutexes() {
    fn test(tasks: Tasks) {
        const N: usize = 6;
        let condvar = Arc::new(Condvar::new());
        let locks: Arc<Vec<Mutex<u32>>> = Arc::new((0..3).map(|_| Mutex::new(0)).collect());
        let all = tasks.spawn_all(N, |i| {
            let (condvar, locks) = (condvar.clone(), locks.clone());
            move || {
                let mut state = locks[i % 3].lock().unwrap();
                *state += 1;
                while *state < 10 {
                    state = condvar.wait(state).unwrap();
                }
            }
        });
        for lock in locks.iter() {
            until(|| *lock.lock().unwrap() == 2);
            *lock.lock().unwrap() = 10;
        }
        condvar.notify_all();
        all.into_iter().for_each(|task| task.join());
    }
    everywhere(test);
}
