//! The reader-writer lock does what std's does, on goroutines, on threads and among both.

mod sync_common;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use marmot::sync::{Arc, Barrier, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use sync_common::{Tasks, everywhere, runtime, until};

#[test]
fn readers_and_writers_exclude_each_other() {
    fn test(tasks: Tasks) {
        const EACH: u64 = 1000;
        let lock = Arc::new(RwLock::new((0_u64, 0_u64)));
        let all = tasks.spawn_all(8, |i| {
            let lock = lock.clone();
            move || {
                for n in 0..EACH {
                    if (n + i as u64).is_multiple_of(4) {
                        let mut data = lock.write().unwrap();
                        assert_eq!(data.0, data.1);
                        data.0 += 1;
                        if n % 32 == 0 {
                            marmot::yield_now(); // with the lock held
                        }
                        data.1 += 1;
                    } else {
                        let data = lock.read().unwrap();
                        let before = *data;
                        assert_eq!(data.0, data.1);
                        if n % 32 == 1 {
                            marmot::yield_now();
                        }
                        assert_eq!(*data, before);
                    }
                }
            }
        });
        all.into_iter().for_each(|task| task.join());
        let writes = 8 * EACH / 4;
        assert_eq!(*lock.read().unwrap(), (writes, writes));
    }
    everywhere(test);
}

#[test]
fn readers_are_inside_together() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(5));
        let barrier = Arc::new(Barrier::new(5));
        let all = tasks.spawn_all(5, |_| {
            let (lock, barrier) = (lock.clone(), barrier.clone());
            move || {
                let n = lock.read().unwrap();
                barrier.wait(); // only if all five are
                *n
            }
        });
        assert_eq!(all.into_iter().map(|task| task.join()).sum::<i32>(), 25);
    }
    everywhere(test);
}

#[test]
fn trying_does_not_wait() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(1));
        let try_both = |lock: &Arc<RwLock<i32>>| {
            let lock = lock.clone();
            let both = tasks.spawn(move || {
                let read = lock.try_read().is_ok();
                let refused = matches!(lock.try_read(), Err(TryLockError::WouldBlock));
                assert_ne!(read, refused);
                (read, lock.try_write().is_ok())
            });
            both.join()
        };
        assert_eq!(try_both(&lock), (true, true));
        let reader = lock.try_read().unwrap();
        assert_eq!(try_both(&lock), (true, false));
        drop(reader);
        let writer = lock.try_write().unwrap();
        assert_eq!(try_both(&lock), (false, false));
        drop(writer);
        assert_eq!(try_both(&lock), (true, true));
    }
    everywhere(test);
}

/// Readers come without a pause and overlap: the writer has its turn all the same.
#[test]
fn a_writer_is_not_starved() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let readers = tasks.spawn_all(4, |_| {
            let (lock, stop) = (lock.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let _guard = lock.read().unwrap();
                    marmot::yield_now();
                }
            }
        });
        for _ in 0..10 {
            *lock.write().unwrap() += 1;
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|task| task.join());
        assert_eq!(*lock.read().unwrap(), 10);
    }
    everywhere(test);
}

/// Writers come without a pause: a reader has its turn all the same.
#[test]
fn a_reader_is_not_starved() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(0_u64));
        let stop = Arc::new(AtomicBool::new(false));
        let writers = tasks.spawn_all(3, |_| {
            let (lock, stop) = (lock.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut guard = lock.write().unwrap();
                    marmot::yield_now();
                    *guard += 1;
                }
            }
        });
        let mut last = 0;
        for _ in 0..10 {
            let now = *lock.read().unwrap();
            assert!(now >= last);
            last = now;
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|task| task.join());
    }
    everywhere(test);
}

/// A writer that waits bars later readers; it comes before them.
#[test]
fn a_waiting_writer_comes_before_later_readers() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(0));
        let first = lock.read().unwrap();
        let writer = tasks.spawn({
            let lock = lock.clone();
            move || *lock.write().unwrap() = 1
        });
        until(|| lock.try_read().is_err());
        let readers = tasks.spawn_all(3, |_| {
            let lock = lock.clone();
            move || *lock.read().unwrap()
        });
        assert_eq!(*first, 0);
        drop(first);
        for reader in readers {
            assert_eq!(reader.join(), 1);
        }
        writer.join();
    }
    everywhere(test);
}

#[test]
fn a_downgrade_lets_readers_in_and_no_writer() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(0));
        let mut guard = lock.write().unwrap();
        let begun = Arc::new(AtomicU32::new(0));
        let readers = tasks.spawn_all(4, |_| {
            let (lock, begun) = (lock.clone(), begun.clone());
            move || {
                begun.fetch_add(1, Ordering::Relaxed);
                *lock.read().unwrap()
            }
        });
        until(|| begun.load(Ordering::Relaxed) == 4);
        let writer = tasks.spawn({
            let lock = lock.clone();
            move || *lock.write().unwrap() += 1
        });
        *guard = 10;
        let guard: RwLockReadGuard<'_, i32> = RwLockWriteGuard::downgrade(guard);
        // The readers come in while this one is inside, unless the writer has come before them.
        assert_eq!(*guard, 10);
        assert!(lock.try_write().is_err());
        drop(guard);
        writer.join();
        for reader in readers {
            assert!((10..=11).contains(&reader.join()));
        }
        assert_eq!(*lock.read().unwrap(), 11);
    }
    everywhere(test);
}

#[test]
fn readers_that_wait_come_in_at_a_downgrade() {
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(0));
        let guard = lock.write().unwrap();
        let readers = tasks.spawn_all(3, |_| {
            let lock = lock.clone();
            move || *lock.read().unwrap()
        });
        let guard = RwLockWriteGuard::downgrade(guard);
        readers
            .into_iter()
            .for_each(|task| assert_eq!(task.join(), 0));
        drop(guard);
    }
    everywhere(test);
}

#[test]
fn what_an_owner_can_do_without_locking() {
    let mut lock = RwLock::new(String::from("a"));
    lock.get_mut().unwrap().push('b');
    assert_eq!(*lock.read().unwrap(), "ab");
    assert_eq!(lock.into_inner().unwrap(), "ab");

    let value = Arc::new(());
    drop(RwLock::new(value.clone()));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn the_data_may_be_unsized() {
    let lock: &RwLock<[i32]> = &RwLock::new([1, 2, 3]);
    lock.write().unwrap()[0] = 4;
    assert_eq!(&*lock.read().unwrap(), &[4, 2, 3]);
}

/// As std's: a read guard of a longer life serves for one of a shorter.
#[test]
fn a_read_guard_is_covariant() {
    fn shorter<'a>(guard: RwLockReadGuard<'a, &'static str>, _: &'a str) -> &'a str {
        let guard: RwLockReadGuard<'a, &'a str> = guard;
        *guard
    }
    let lock = RwLock::new("long");
    let local = String::from("short");
    assert_eq!(shorter(lock.read().unwrap(), &local), "long");
}

#[test]
fn a_wait_for_it_does_not_hold_up_the_processor() {
    let rt = runtime(1);
    rt.run(|| {
        let lock = Arc::new(RwLock::new(0));
        let guard = lock.write().unwrap();
        let begun = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let (lock, begun) = (lock.clone(), begun.clone());
                marmot::go(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    if i % 2 == 0 {
                        *lock.write().unwrap() += 1;
                    } else {
                        drop(lock.read().unwrap());
                    }
                })
            })
            .collect();
        until(|| begun.load(Ordering::Relaxed) == 20);
        drop(guard);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*lock.read().unwrap(), 10);
    });
}
