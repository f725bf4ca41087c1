//! Schedulers begin and end without leaving anything behind.

mod common;

use std::time::Duration;

use common::scheduler;
use marmot_scheduler::goroutine::{park, yield_now};
use marmot_scheduler::{JoinHandle, go};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn hundreds_are_built_and_dropped() {
    let before = threads();
    for i in 0..300 {
        let s = scheduler(1 + i % 4);
        s.handle().run(|| {
            let handles: Vec<_> = (0..8).map(|_| go(yield_now)).collect();
            for handle in handles {
                handle.join().unwrap();
            }
        });
    }
    // Machines are detached threads that have announced their end; their last instructions may
    // still be ahead of them.
    for _ in 0..1000 {
        if threads() <= before {
            break;
        }
        std::thread::yield_now();
    }
    assert!(
        threads() <= before + 2,
        "{} threads before, {} after",
        before,
        threads()
    );
}

#[test]
fn parked_goroutines_are_leaked_and_may_be_unparked_later() {
    let s = scheduler(2);
    let park_for_ever = || {
        loop {
            park();
        }
    };
    let handles: Vec<JoinHandle<()>> = (0..10).map(|_| s.handle().go(park_for_ever)).collect();
    drop(s);
    for handle in &handles {
        handle.goroutine().unpark();
        assert!(!handle.is_finished());
    }
}

#[test]
fn go_after_shutdown_is_an_error() {
    let s = scheduler(1);
    let handle = s.handle().clone();
    drop(s);
    let error = handle.try_go(|| ()).unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
    assert!(std::panic::catch_unwind(move || handle.go(|| ())).is_err());
}

#[test]
fn shutdown_waits_for_those_who_end() {
    let s = scheduler(2);
    let handle = s.handle().go(|| {
        for _ in 0..1000 {
            yield_now();
        }
    });
    s.shutdown_timeout(Duration::from_secs(10));
    assert!(handle.is_finished());
}

#[test]
fn a_scheduler_may_be_dropped_by_its_own_goroutine() {
    let s = scheduler(2);
    let handle = s.handle().clone();
    let (sender, receiver) = std::sync::mpsc::channel();
    handle.go(move || {
        drop(s);
        sender.send(()).unwrap();
    });
    receiver.recv().unwrap();
}
