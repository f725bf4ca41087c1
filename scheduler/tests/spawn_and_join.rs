//! Goroutines start, give their results back, panic alone, and may be nested and borrowed.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{at_each_width, scheduler};
use marmot_scheduler::goroutine::{self, sleep, yield_now};
use marmot_scheduler::{go, num_goroutines, scope};

#[test]
fn results_come_back() {
    at_each_width(|s| {
        let handle = s.handle();
        assert_eq!(handle.go(|| 6 * 7).join().unwrap(), 42);
        assert_eq!(handle.run(|| "from run"), "from run");
    });
}

#[test]
fn many_are_joined_from_inside() {
    at_each_width(|s| {
        let sum = s.handle().run(|| {
            let handles: Vec<_> = (0..10_000_u64).map(|i| go(move || i)).collect();
            handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
        });
        assert_eq!(sum, 10_000 * 9_999 / 2);
    });
}

/// More than a processor's queue holds, while the others take from it: each goroutine runs once.
#[test]
fn batches_larger_than_the_queue() {
    at_each_width(|s| {
        s.handle().run(|| {
            let runs: Arc<[AtomicUsize; 1000]> = Arc::new([const { AtomicUsize::new(0) }; 1000]);
            for batch in 1..=300 {
                let start = |n: usize| {
                    let runs = runs.clone();
                    go(move || {
                        runs[n].fetch_add(1, Ordering::Relaxed);
                        n
                    })
                };
                let handles: Vec<_> = (0..runs.len()).map(start).collect();
                for (n, handle) in handles.into_iter().enumerate() {
                    assert_eq!(handle.join().unwrap(), n);
                    assert_eq!(runs[n].load(Ordering::Relaxed), batch, "goroutine {n}");
                }
            }
        });
    });
}

#[test]
fn a_chain_of_spawns_ends() {
    fn chain(left: u32) -> u32 {
        if left == 0 {
            return 0;
        }
        go(move || chain(left - 1) + 1).join().unwrap()
    }
    at_each_width(|s| assert_eq!(s.handle().run(|| chain(2_000)), 2_000));
}

#[test]
fn a_panic_reaches_the_handle_and_nobody_else() {
    at_each_width(|s| {
        s.handle().run(|| {
            let bad = go(|| panic!("deliberate"));
            let good = go(|| {
                for _ in 0..100 {
                    yield_now();
                }
                1
            });
            let payload = bad.join().unwrap_err();
            assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "deliberate");
            assert_eq!(good.join().unwrap(), 1);
        });
    });
}

#[test]
fn run_resumes_the_panic_of_its_closure() {
    let s = scheduler(2);
    let caught = std::panic::catch_unwind(|| s.handle().run(|| panic!("through run")));
    assert_eq!(
        *caught.unwrap_err().downcast_ref::<&str>().unwrap(),
        "through run"
    );
    assert_eq!(s.handle().run(|| 1), 1, "the runtime goes on");
}

#[test]
fn run_borrows_nests_and_runs_on_several_threads() {
    let s = scheduler(2);
    let text = String::from("borrowed");
    let handle = s.handle();
    let length = handle.run(|| handle.run(|| text.len()));
    assert_eq!(length, 8);
    std::thread::scope(|threads| {
        for i in 0..8 {
            threads.spawn(move || assert_eq!(handle.run(|| i * 2), i * 2));
        }
    });
}

#[test]
fn scopes_borrow_and_wait() {
    at_each_width(|s| {
        let mut numbers = vec![1_u32; 1000];
        s.handle().scope(|scope| {
            for n in &mut numbers {
                scope.spawn(|| {
                    yield_now();
                    *n += 1;
                });
            }
        });
        assert!(numbers.iter().all(|&n| n == 2));
        s.handle().run(|| {
            let counter = AtomicUsize::new(0);
            scope(|outer| {
                for _ in 0..10 {
                    outer.go(|| {
                        scope(|inner| {
                            for _ in 0..10 {
                                inner.go(|| counter.fetch_add(1, Ordering::Relaxed));
                            }
                        });
                    });
                }
            });
            assert_eq!(counter.into_inner(), 100);
        });
    });
}

#[test]
fn a_scope_reports_an_unjoined_panic_after_all_have_ended() {
    let s = scheduler(2);
    let ended = AtomicUsize::new(0);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        s.handle().scope(|scope| {
            scope.spawn(|| panic!("deliberate"));
            for _ in 0..10 {
                scope.spawn(|| {
                    sleep(Duration::from_millis(1));
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    }));
    assert_eq!(
        *caught.unwrap_err().downcast_ref::<&str>().unwrap(),
        "a scoped goroutine panicked"
    );
    assert_eq!(ended.into_inner(), 10);
}

#[test]
fn a_joined_panic_is_not_the_scopes() {
    let s = scheduler(2);
    s.handle().scope(|scope| {
        let handle = scope.spawn(|| panic!("deliberate"));
        assert!(handle.join().is_err());
    });
}

#[test]
fn names_and_places_are_known() {
    let s = scheduler(1);
    s.handle().run(|| {
        let handle = goroutine::Builder::new()
            .name("conn".to_owned())
            .stack_size(1 << 20)
            .spawn(goroutine::current)
            .unwrap();
        let id = handle.goroutine().id();
        assert_eq!(handle.goroutine().name(), Some("conn"));
        assert!(
            handle
                .goroutine()
                .spawned_at()
                .file()
                .ends_with("spawn_and_join.rs")
        );
        let seen = handle.join().unwrap();
        assert_eq!(seen.id(), id);
        assert_eq!(seen.name(), Some("conn"));
        assert_ne!(goroutine::current().id(), id);
    });
}

#[test]
fn a_stack_size_too_large_is_an_error() {
    let s = scheduler(1);
    s.handle().run(|| {
        let result = goroutine::Builder::new()
            .stack_size(usize::MAX)
            .spawn(|| ());
        assert!(result.unwrap_err().to_string().contains("stack_size"));
    });
}

#[test]
fn goroutines_are_counted() {
    let s = scheduler(2);
    assert_eq!(s.handle().num_goroutines(), 0);
    s.handle().run(|| {
        let over = Arc::new(AtomicBool::new(false));
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let over = over.clone();
                go(move || {
                    while !over.load(Ordering::Acquire) {
                        goroutine::park();
                    }
                })
            })
            .collect();
        assert_eq!(num_goroutines(), 11);
        over.store(true, Ordering::Release);
        for handle in &handles {
            handle.goroutine().unpark();
        }
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn go_outside_a_runtime_names_the_method() {
    let caught = std::panic::catch_unwind(|| go(|| ())).unwrap_err();
    let message = caught.downcast_ref::<String>().unwrap();
    assert!(message.contains("Runtime::go"), "{message}");
    let caught = std::panic::catch_unwind(|| scope(|_| ())).unwrap_err();
    assert!(
        caught
            .downcast_ref::<String>()
            .unwrap()
            .contains("Runtime::scope")
    );
}
