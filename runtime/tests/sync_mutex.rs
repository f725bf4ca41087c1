//! The mutex does what std's does, on goroutines, on threads and among both.

mod sync_common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use marmot::channel::bounded;
use marmot::sync::{Arc, Mutex, TryLockError};
use sync_common::{Tasks, everywhere, runtime, until};

#[test]
fn it_excludes() {
    fn test(tasks: Tasks) {
        const EACH: u64 = 2000;
        // Two words that differ exactly while somebody is between.
        let data = Arc::new(Mutex::new((0_u64, 0_u64)));
        let all = tasks.spawn_all(8, |_| {
            let data = data.clone();
            move || {
                for n in 0..EACH {
                    let mut data = data.lock().unwrap();
                    assert_eq!(data.0, data.1);
                    data.0 += 1;
                    if n % 64 == 0 {
                        marmot::yield_now(); // with the lock held
                    }
                    data.1 += 1;
                }
            }
        });
        all.into_iter().for_each(|task| task.join());
        assert_eq!(*data.lock().unwrap(), (8 * EACH, 8 * EACH));
    }
    everywhere(test);
}

#[test]
fn trying_does_not_wait() {
    fn test(tasks: Tasks) {
        let mutex = Arc::new(Mutex::new(1));
        let guard = mutex.try_lock().unwrap();
        let other = mutex.clone();
        let refused = tasks.spawn(move || {
            let result = other.try_lock();
            matches!(result, Err(TryLockError::WouldBlock))
        });
        assert!(refused.join());
        drop(guard);
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    }
    everywhere(test);
}

#[test]
fn a_goroutine_that_waits_does_not_hold_up_its_processor() {
    let rt = runtime(1);
    rt.run(|| {
        let mutex = Arc::new(Mutex::new(0));
        let (release, released) = bounded::<()>(0);
        let holder = marmot::go({
            let mutex = mutex.clone();
            move || {
                let mut n = mutex.lock().unwrap();
                released.recv().unwrap(); // a wait with the lock held
                *n += 1;
            }
        });
        let begun = Arc::new(AtomicU32::new(0));
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let (mutex, begun) = (mutex.clone(), begun.clone());
                marmot::go(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    *mutex.lock().unwrap() += 1;
                })
            })
            .collect();
        // All of them run, on the one processor, though the lock is not free.
        until(|| begun.load(Ordering::Relaxed) == 10);
        assert!(mutex.try_lock().is_err());
        release.send(()).unwrap();
        holder.join().unwrap();
        waiters.into_iter().for_each(|w| w.join().unwrap());
        assert_eq!(*mutex.lock().unwrap(), 11);
    });
}

/// One task locks again at once whenever it has let go; the other is not passed over for ever.
#[test]
fn nobody_is_starved() {
    fn test(tasks: Tasks) {
        let mutex = Arc::new(Mutex::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let greedy = {
            let (mutex, stop) = (mutex.clone(), stop.clone());
            tasks.spawn(move || {
                let mut rounds = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let _guard = mutex.lock().unwrap();
                    // Longer than it takes to wake another.
                    let end = Instant::now() + Duration::from_micros(100);
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                    rounds += 1;
                }
                rounds
            })
        };
        let modest = {
            let mutex = mutex.clone();
            tasks.spawn(move || {
                for _ in 0..5 {
                    drop(mutex.lock().unwrap());
                    marmot::sleep(Duration::from_micros(200));
                }
            })
        };
        modest.join();
        stop.store(true, Ordering::Relaxed);
        greedy.join();
    }
    everywhere(test);
}

#[test]
fn what_an_owner_can_do_without_locking() {
    let mut mutex = Mutex::new(String::from("a"));
    mutex.get_mut().unwrap().push('b');
    assert_eq!(*mutex.lock().unwrap(), "ab");
    assert_eq!(mutex.into_inner().unwrap(), "ab");

    // The value is dropped once, with the mutex or after it.
    let value = Arc::new(());
    drop(Mutex::new(value.clone()));
    assert_eq!(Arc::strong_count(&value), 1);
    let inner = Mutex::new(value.clone()).into_inner().unwrap();
    assert_eq!(Arc::strong_count(&value), 2);
    drop(inner);
}

#[test]
fn the_data_may_be_unsized() {
    let mutex: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
    mutex.lock().unwrap()[0] = 4;
    assert_eq!(&*mutex.lock().unwrap(), &[4, 2, 3]);
    let boxed: Box<Mutex<dyn Fn() -> u32 + Send>> = Box::new(Mutex::new(|| 7));
    assert_eq!(boxed.lock().unwrap()(), 7);
}

#[test]
fn guards_may_be_kept_apart() {
    let a = Mutex::new(1);
    let b = Mutex::new(2);
    let guards = (a.lock().unwrap(), b.lock().unwrap());
    assert_eq!(*guards.0 + *guards.1, 3);
    // A guard that is forgotten keeps the mutex locked.
    std::mem::forget(guards);
    assert!(a.try_lock().is_err());
}

#[test]
fn it_is_shared_by_runtimes() {
    let (one, two) = (runtime(1), runtime(2));
    let counter = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = [&one, &two, &one, &two]
        .into_iter()
        .map(|rt| {
            let counter = counter.clone();
            rt.go(move || {
                for _ in 0..2000 {
                    let mut n = counter.lock().unwrap();
                    *n += 1;
                    if *n % 50 == 0 {
                        marmot::yield_now();
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(*counter.lock().unwrap(), 8000);
}
