//! `Once`, `OnceLock` and `LazyLock` do what std's do, on goroutines, on threads and among both.

mod sync_common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use marmot::sync::{Arc, LazyLock, Once, OnceLock};
use sync_common::{Tasks, everywhere, runtime, silence_panics};

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or(payload.downcast_ref::<&str>().copied()).unwrap()
}

#[test]
fn it_is_run_once_and_all_see_it() {
    fn test(tasks: Tasks) {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let all = tasks.spawn_all(40, |i| {
            let shared = shared.clone();
            move || {
                let (once, runs) = &*shared;
                if i % 4 == 3 {
                    once.wait();
                } else {
                    once.call_once(|| {
                        marmot::yield_now(); // it may wait
                        runs.fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(once.is_completed());
                assert_eq!(runs.load(Ordering::Relaxed), 1);
            }
        });
        all.into_iter().for_each(|task| task.join());
    }
    everywhere(test);
}

#[test]
fn a_panic_poisons_until_one_succeeds() {
    silence_panics();
    fn test(tasks: Tasks) {
        let once = Arc::new(Once::new());
        let failed = tasks.spawn({
            let once = once.clone();
            move || once.call_once(|| panic!("deliberate"))
        });
        assert!(failed.result().is_err());
        assert!(!once.is_completed());
        for call in [Once::wait, |once: &Once| once.call_once(|| ())] {
            let once = once.clone();
            let payload = tasks.spawn(move || call(&once)).result().unwrap_err();
            assert!(message(&*payload).contains("has previously been poisoned"));
        }
        let forced = tasks.spawn({
            let once = once.clone();
            move || once.wait_force()
        });
        let again = catch_unwind(AssertUnwindSafe(|| {
            once.call_once_force(|state| {
                assert!(state.is_poisoned());
                panic!("deliberate");
            });
        }));
        assert!(again.is_err());
        once.call_once_force(|state| assert!(state.is_poisoned()));
        forced.join();
        once.call_once(|| unreachable!());
        once.wait();
    }
    everywhere(test);
}

#[test]
fn those_who_wait_learn_of_a_panic() {
    silence_panics();
    fn test(tasks: Tasks) {
        let once = Arc::new(Once::new());
        let (begin, begun) = marmot::channel::bounded::<()>(0);
        let fails = tasks.spawn({
            let once = once.clone();
            move || {
                once.call_once(|| {
                    begun.recv().unwrap();
                    panic!("deliberate");
                });
            }
        });
        let waits = tasks.spawn_all(3, |_| {
            let once = once.clone();
            move || once.wait()
        });
        begin.send(()).unwrap();
        assert!(fails.result().is_err());
        for task in waits {
            assert!(task.result().is_err());
        }
    }
    everywhere(test);
}

#[test]
fn a_value_is_set_once() {
    fn test(tasks: Tasks) {
        let cell = Arc::new(OnceLock::new());
        assert_eq!(cell.get(), None);
        let all = tasks.spawn_all(20, |i| {
            let cell = cell.clone();
            move || match i % 4 {
                0 => cell.set(i).is_ok(),
                1 => *cell.wait() == usize::MAX,
                _ => {
                    let mut ran = false;
                    cell.get_or_init(|| {
                        marmot::yield_now();
                        ran = true;
                        i
                    });
                    ran
                }
            }
        });
        let set = all.into_iter().filter(|_| true).map(|task| task.join());
        assert_eq!(set.filter(|set| *set).count(), 1);
        let value = *cell.get().unwrap();
        assert_eq!(cell.set(99), Err(99));
        assert_eq!(cell.get(), Some(&value));
    }
    everywhere(test);
}

#[test]
fn a_maker_that_panics_leaves_no_value() {
    silence_panics();
    let cell: OnceLock<u32> = OnceLock::new();
    let failed = catch_unwind(AssertUnwindSafe(|| {
        cell.get_or_init(|| panic!("deliberate"))
    }));
    assert!(failed.is_err());
    assert_eq!(cell.get(), None);
    assert_eq!(*cell.get_or_init(|| 7), 7);
}

#[test]
fn what_an_owner_can_do_with_a_value() {
    let mut cell = OnceLock::new();
    assert_eq!(cell.get_mut(), None);
    assert_eq!(cell.take(), None);
    cell.set(String::from("a")).unwrap();
    cell.get_mut().unwrap().push('b');
    let copy = cell.clone();
    assert_eq!(cell, copy);
    assert_eq!(cell.take().as_deref(), Some("ab"));
    assert_ne!(cell, copy);
    assert_eq!(cell, OnceLock::default());
    assert_eq!(cell.get_or_init(|| String::from("c")), "c");
    assert_eq!(copy.into_inner().as_deref(), Some("ab"));
    assert_eq!(OnceLock::from(1), OnceLock::from(1));
    assert_eq!(OnceLock::<i32>::new().clone().into_inner(), None);

    let value = Arc::new(());
    drop(OnceLock::from(value.clone()));
    assert_eq!(Arc::strong_count(&value), 1);
}

/// As with std's, the value may borrow from what is dropped together with the cell.
#[test]
fn a_value_may_borrow_from_its_neighbour() {
    struct Node<'a> {
        other: OnceLock<&'a Node<'a>>,
    }
    let (a, b) = (
        Node {
            other: OnceLock::new(),
        },
        Node {
            other: OnceLock::new(),
        },
    );
    assert!(a.other.set(&b).is_ok());
    assert!(b.other.set(&a).is_ok());
    assert!(std::ptr::eq(*a.other.get().unwrap(), &b));
}

#[test]
fn a_lazy_value_is_made_once() {
    fn test(tasks: Tasks) {
        let made = Arc::new(AtomicUsize::new(0));
        let lazy = Arc::new(LazyLock::new({
            let made = made.clone();
            move || {
                marmot::yield_now();
                made.fetch_add(1, Ordering::Relaxed) + 41
            }
        }));
        assert_eq!(LazyLock::get(&lazy), None);
        let all = tasks.spawn_all(20, |_| {
            let lazy = lazy.clone();
            move || **lazy
        });
        for task in all {
            assert_eq!(task.join(), 41);
        }
        assert_eq!(LazyLock::get(&*lazy), Some(&41));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
    everywhere(test);
}

static SHARED: LazyLock<String> = LazyLock::new(|| {
    marmot::sleep(std::time::Duration::from_millis(1)); // the maker may wait
    String::from("made")
});

#[test]
fn a_static_serves_all() {
    let rt = runtime(2);
    let tasks: Vec<_> = (0..10).map(|_| rt.go(|| SHARED.len())).collect();
    assert_eq!(SHARED.len(), 4);
    for task in tasks {
        assert_eq!(task.join().unwrap(), 4);
    }
}

#[test]
fn a_lazy_value_is_poisoned_for_ever() {
    silence_panics();
    let lazy: LazyLock<u32> = LazyLock::new(|| panic!("deliberate"));
    assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
    for _ in 0..2 {
        let payload = catch_unwind(AssertUnwindSafe(|| *LazyLock::force(&lazy))).unwrap_err();
        assert!(message(&*payload).contains("has previously been poisoned"));
    }
    assert_eq!(LazyLock::get(&lazy), None);

    let mut lazy: LazyLock<u32> = LazyLock::new(|| panic!("deliberate"));
    assert!(catch_unwind(AssertUnwindSafe(|| *LazyLock::force_mut(&mut lazy))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| *LazyLock::force_mut(&mut lazy))).is_err());
    assert_eq!(LazyLock::get_mut(&mut lazy), None);
}

#[test]
fn a_lazy_value_can_be_changed_by_its_owner() {
    let calls = Cell::new(0);
    let mut lazy = LazyLock::new(|| {
        calls.set(calls.get() + 1);
        1
    });
    *lazy += 1; // `DerefMut`
    *LazyLock::force_mut(&mut lazy) += 1;
    *LazyLock::get_mut(&mut lazy).unwrap() += 1;
    assert_eq!(*lazy, 4);
    assert_eq!(calls.get(), 1);
    assert_eq!(*LazyLock::<u32>::default(), 0);

    // What was not used is dropped without being run, and with what it has captured.
    let value = Arc::new(());
    let captured = value.clone();
    drop(LazyLock::new(move || drop(captured)));
    assert_eq!(Arc::strong_count(&value), 1);
}
