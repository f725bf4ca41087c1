//! Everything at once, at random, with a printed seed: on goroutines, on threads and among both.

mod sync_common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use marmot::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock, RwLockWriteGuard};
use sync_common::{Random, Tasks, everywhere};

const TASKS: usize = 12;
const STEPS: usize = 400;

struct Objects {
    /// The two halves are equal whenever the lock is free.
    account: Mutex<(u64, u64)>,
    changed: Condvar,
    table: RwLock<(u64, u64)>,
    barrier: Barrier,
    name: OnceLock<usize>,
    added: AtomicUsize,
    written: AtomicUsize,
}

fn maybe_yield(random: &mut Random) {
    if random.below(4) == 0 {
        marmot::yield_now();
    }
}

fn step(objects: &Objects, random: &mut Random) {
    match random.below(8) {
        0 | 1 => {
            let mut account = objects.account.lock().unwrap();
            account.0 += 1;
            maybe_yield(random);
            account.1 += 1;
            assert_eq!(account.0, account.1);
            objects.added.fetch_add(1, Ordering::Relaxed);
            match random.below(3) {
                0 => objects.changed.notify_one(),
                1 => objects.changed.notify_all(),
                _ => {}
            }
        }
        2 => {
            if let Ok(account) = objects.account.try_lock() {
                assert_eq!(account.0, account.1);
                maybe_yield(random);
            }
        }
        3 => {
            let account = objects.account.lock().unwrap();
            let before = account.0;
            let limit = Duration::from_micros(random.below(300));
            let waited = objects
                .changed
                .wait_timeout_while(account, limit, |account| account.0 == before);
            let (account, result) = waited.unwrap();
            assert_eq!(account.0, account.1);
            assert_eq!(result.timed_out(), account.0 == before);
        }
        4 | 5 => {
            let table = objects.table.read().unwrap();
            let seen = *table;
            maybe_yield(random);
            assert_eq!(seen.0, seen.1);
            assert_eq!(*table, seen);
        }
        6 => {
            let mut table = objects.table.write().unwrap();
            table.0 += 1;
            maybe_yield(random);
            table.1 += 1;
            let now = *table;
            objects.written.fetch_add(1, Ordering::Relaxed);
            if random.below(2) == 0 {
                let table = RwLockWriteGuard::downgrade(table);
                maybe_yield(random);
                assert_eq!(*table, now);
            }
        }
        _ => {
            if let Ok(mut table) = objects.table.try_write() {
                table.0 += 1;
                maybe_yield(random);
                table.1 += 1;
                objects.written.fetch_add(1, Ordering::Relaxed);
            } else if let Ok(table) = objects.table.try_read() {
                assert_eq!(table.0, table.1);
            }
        }
    }
}

#[test]
fn everything_at_once() {
    fn test(tasks: Tasks) {
        let mut random = Random::seeded();
        let objects = Arc::new(Objects {
            account: Mutex::default(),
            changed: Condvar::new(),
            table: RwLock::default(),
            barrier: Barrier::new(TASKS),
            name: OnceLock::new(),
            added: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
        });
        let all: Vec<_> = (0..TASKS)
            .map(|i| {
                let (objects, mut random) = (objects.clone(), random.fork());
                tasks.spawn(move || {
                    let name = *objects.name.get_or_init(|| i);
                    for n in 0..STEPS {
                        step(&objects, &mut random);
                        if n % 100 == 0 {
                            objects.barrier.wait();
                        }
                    }
                    assert_eq!(objects.name.set(i), Err(i));
                    name
                })
            })
            .collect();
        let names: Vec<_> = all.into_iter().map(|task| task.join()).collect();
        assert!(names.iter().all(|name| *name == names[0]));
        let added = objects.added.load(Ordering::Relaxed) as u64;
        let written = objects.written.load(Ordering::Relaxed) as u64;
        assert_eq!(*objects.account.lock().unwrap(), (added, added));
        assert_eq!(*objects.table.read().unwrap(), (written, written));
    }
    everywhere(test);
}
