//! Panics: which of them poison, on goroutines and threads, and waits while unwinding.

mod sync_common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use marmot::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock, TryLockError};
use sync_common::{SHORT, Tasks, everywhere, runtime, silence_panics, until};

#[test]
fn a_panic_under_the_lock_poisons() {
    silence_panics();
    fn test(tasks: Tasks) {
        let mutex = Arc::new(Mutex::new(1));
        let failed = tasks.spawn({
            let mutex = mutex.clone();
            move || {
                let mut n = mutex.lock().unwrap();
                *n += 1;
                marmot::yield_now(); // perhaps to go on elsewhere
                panic!("deliberate");
            }
        });
        assert!(failed.result().is_err());
        assert!(mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 2);
        match mutex.try_lock() {
            Err(TryLockError::Poisoned(error)) => assert_eq!(**error.get_ref(), 2),
            other => panic!("{other:?}"),
        }
        mutex.clear_poison();
        assert!(!mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap(), 2);
    }
    everywhere(test);
}

#[test]
fn poison_reaches_an_owner_too() {
    silence_panics();
    let poisoned = || {
        let mutex = Mutex::new(3);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock().unwrap();
            panic!("deliberate");
        }));
        assert!(failed.is_err());
        mutex
    };
    assert_eq!(*poisoned().get_mut().unwrap_err().into_inner(), 3);
    assert_eq!(poisoned().into_inner().unwrap_err().into_inner(), 3);

    let lock = RwLock::new(3);
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.write().unwrap();
        panic!("deliberate");
    }));
    assert!(failed.is_err());
    let mut lock = lock;
    assert_eq!(*lock.get_mut().unwrap_err().into_inner(), 3);
    assert_eq!(lock.into_inner().unwrap_err().into_inner(), 3);
}

#[test]
fn a_writer_poisons_and_a_reader_does_not() {
    silence_panics();
    fn test(tasks: Tasks) {
        let lock = Arc::new(RwLock::new(1));
        let fail = |write: bool| {
            let lock = lock.clone();
            let failed = tasks.spawn(move || {
                if write {
                    let _guard = lock.write().unwrap();
                    panic!("deliberate");
                }
                let _guard = lock.read().unwrap();
                panic!("deliberate");
            });
            assert!(failed.result().is_err());
        };
        fail(false);
        assert!(!lock.is_poisoned());
        drop(lock.write().unwrap());
        fail(true);
        assert!(lock.is_poisoned());
        assert!(lock.read().is_err() && lock.write().is_err());
        assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(lock.try_write(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();
        assert_eq!(*lock.read().unwrap(), 1);
    }
    everywhere(test);
}

#[test]
fn a_wait_tells_of_the_poison_that_came_meanwhile() {
    silence_panics();
    fn test(tasks: Tasks) {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let (begin, begun) = marmot::channel::bounded::<()>(0);
        let fails = tasks.spawn({
            let shared = shared.clone();
            move || {
                begun.recv().unwrap();
                let mut ready = shared.0.lock().unwrap();
                *ready = true;
                shared.1.notify_all();
                panic!("deliberate");
            }
        });
        let guard = shared.0.lock().unwrap();
        begin.send(()).unwrap();
        let error = shared.1.wait_while(guard, |ready| !*ready).unwrap_err();
        assert!(*error.into_inner());
        assert!(fails.result().is_err());
        // A wait by time tells of it as well.
        let guard = shared.0.lock().unwrap_err().into_inner();
        let error = shared.1.wait_timeout(guard, Duration::ZERO).unwrap_err();
        let (guard, result) = error.into_inner();
        assert!(*guard && result.timed_out());
        let error = shared
            .1
            .wait_timeout_while(guard, SHORT, |_| true)
            .unwrap_err();
        drop(error);
        shared.0.clear_poison();
        assert!(*shared.0.lock().unwrap());
    }
    everywhere(test);
}

/// Locks, waits and notifies while a panic unwinds.
struct UsesLocksInDrop {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mutex: Mutex<u64>,
    lock: RwLock<u64>,
    changed: Condvar,
}

impl Drop for UsesLocksInDrop {
    fn drop(&mut self) {
        assert!(marmot::goroutine::panicking());
        let shared = &*self.shared;
        {
            let mut n = shared.mutex.lock().unwrap();
            *n += 1;
            shared.changed.notify_all();
            // Nobody else notifies in time.
            let wait = shared.changed.wait_timeout(n, Duration::from_micros(200));
            drop(wait.unwrap());
        }
        drop(shared.lock.read().unwrap());
        *shared.lock.write().unwrap() += 1;
        let once = Once::new();
        once.call_once(|| ());
        Barrier::new(1).wait();
        assert!(marmot::goroutine::panicking());
    }
}

/// A panic that was under way when a lock was taken does not poison it, however the lock is
/// contended, and nobody else takes it for his own.
#[test]
fn locks_work_while_unwinding() {
    silence_panics();
    fn test(tasks: Tasks) {
        let shared = Arc::new(Shared::default());
        let unlucky = tasks.spawn_all(20, |_| {
            let shared = shared.clone();
            move || {
                let _uses = UsesLocksInDrop { shared };
                panic!("deliberate");
            }
        });
        let healthy = tasks.spawn_all(4, |_| {
            let shared = shared.clone();
            move || {
                for _ in 0..200 {
                    let guard = shared.mutex.lock().unwrap();
                    marmot::yield_now();
                    drop(guard);
                    let guard = shared.lock.write().unwrap();
                    marmot::yield_now();
                    drop(guard);
                    drop(shared.lock.read().unwrap());
                    assert!(!marmot::goroutine::panicking());
                }
            }
        });
        unlucky
            .into_iter()
            .for_each(|task| assert!(task.result().is_err()));
        healthy.into_iter().for_each(|task| task.join());
        assert_eq!(*shared.mutex.lock().unwrap(), 20);
        assert_eq!(*shared.lock.read().unwrap(), 20);
    }
    everywhere(test);
}

/// A guard that is dropped by unwinding lets those who wait go on.
#[test]
fn a_panic_lets_the_next_one_in() {
    silence_panics();
    let rt = runtime(2);
    rt.run(|| {
        for _ in 0..50 {
            let mutex = Arc::new(Mutex::new(0));
            let holder = marmot::go({
                let mutex = mutex.clone();
                move || {
                    let _guard = mutex.lock().unwrap();
                    marmot::yield_now();
                    panic!("deliberate");
                }
            });
            until(|| mutex.is_poisoned() || mutex.try_lock().is_err());
            let next = mutex.lock().unwrap_err().into_inner();
            assert_eq!(*next, 0);
            assert!(holder.join().is_err());
        }
    });
}
