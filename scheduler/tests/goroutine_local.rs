//! Goroutine-local values follow their goroutine, and are dropped with it.

mod common;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::at_each_width;
use marmot_scheduler::goroutine::{sleep, yield_now};
use marmot_scheduler::{go, goroutine_local, scope};
use std::time::Duration;

static DROPS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        // Another key, used by a destructor; and this one, which is gone.
        NUMBER.with(|n| n.set(1));
        assert!(COUNTED.try_with(|_| ()).is_err());
        DROPS.fetch_add(1, Ordering::SeqCst);
    }
}

goroutine_local! {
    static NUMBER: Cell<u64> = Cell::new(5);
    static LIST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static COUNTED: Counted = Counted;
}

#[test]
fn each_goroutine_has_its_own() {
    at_each_width(|s| {
        s.handle().run(|| {
            scope(|goroutines| {
                for i in 0..200 {
                    goroutines.spawn(move || {
                        assert_eq!(NUMBER.get(), 5);
                        NUMBER.set(i);
                        for step in 0..10 {
                            LIST.with_borrow_mut(|list| list.push(i * step));
                            if step % 3 == 0 {
                                sleep(Duration::from_micros(50));
                            } else {
                                yield_now();
                            }
                            assert_eq!(NUMBER.get(), i);
                        }
                        let expected: Vec<u64> = (0..10).map(|step| i * step).collect();
                        assert_eq!(LIST.take(), expected);
                        assert_eq!(NUMBER.replace(0), i);
                    });
                }
            });
        });
    });
}

#[test]
fn values_are_dropped_before_the_join() {
    at_each_width(|s| {
        let before = DROPS.load(Ordering::SeqCst);
        s.handle().run(|| {
            go(|| COUNTED.with(|_| ())).join().unwrap();
            assert_eq!(DROPS.load(Ordering::SeqCst), before + 1);
            let panics = go(|| {
                COUNTED.with(|_| ());
                panic!("deliberate")
            });
            assert!(panics.join().is_err());
            assert_eq!(DROPS.load(Ordering::SeqCst), before + 2);
        });
    });
}

#[test]
fn on_a_thread_it_is_a_thread_local() {
    NUMBER.set(9);
    assert_eq!(NUMBER.get(), 9);
    std::thread::spawn(|| assert_eq!(NUMBER.get(), 5))
        .join()
        .unwrap();
    LIST.set(vec![1]);
    assert_eq!(LIST.with_borrow(Vec::len), 1);
}

/// Uses a key when it is dropped, which for the result of a detached goroutine is after the end of
/// its other values.
struct SetsNumber;

impl Drop for SetsNumber {
    fn drop(&mut self) {
        NUMBER.set(99);
    }
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("deliberate");
    }
}

goroutine_local! {
    static PANICS: PanicsInDrop = PanicsInDrop;
}

#[test]
fn nothing_is_left_for_the_next_goroutine_of_the_slot() {
    at_each_width(|s| {
        s.handle().run(|| {
            for _ in 0..50 {
                drop(go(|| SetsNumber));
                go(|| {
                    PANICS.with(|_| ());
                    NUMBER.set(98);
                })
                .join()
                .unwrap();
                yield_now();
                assert_eq!(go(|| NUMBER.get()).join().unwrap(), 5);
            }
        });
    });
}
