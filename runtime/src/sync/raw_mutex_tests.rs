//! Tests of the mutex' line, which only this module can look into. (Not in the protocol's own file:
//! the models include that, with loom's types.)

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::raw_mutex::RawMutex;

/// Those who wait while it is held come in the order in which they came, handed over or not.
#[test]
fn the_line_is_first_come_first_served() {
    // Only here can be seen who is in line.
    let shared = Arc::new((RawMutex::new(), Mutex::new(Vec::new())));
    for pause in [Duration::ZERO, Duration::from_millis(3)] {
        shared.0.lock();
        let before = shared.0.queued().0;
        let threads: Vec<_> = (0..10)
            .map(|i| {
                let theirs = shared.clone();
                let thread = std::thread::spawn(move || {
                    theirs.0.lock();
                    theirs.1.lock().unwrap().push(i);
                    // SAFETY: locked above.
                    unsafe { theirs.0.unlock() };
                });
                while shared.0.queued().0 != before + i + 1 {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        std::thread::sleep(pause);
        // SAFETY: locked above.
        unsafe { shared.0.unlock() };
        threads.into_iter().for_each(|t| t.join().unwrap());
        let order = std::mem::take(&mut *shared.1.lock().unwrap());
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    }
    assert!(shared.0.is_idle());
}

/// A waiter that was passed over for long is given the mutex, although its owner wants it again
/// at once.
#[test]
fn the_starved_are_given_the_mutex() {
    let mutex = Arc::new(RawMutex::new());
    mutex.lock();
    let theirs = mutex.clone();
    let thread = std::thread::spawn(move || {
        theirs.lock();
        // SAFETY: locked above.
        unsafe { theirs.unlock() };
    });
    let mut passed_over = 0;
    while !thread.is_finished() {
        std::thread::sleep(Duration::from_micros(300));
        if mutex.queued().1 {
            passed_over += 1;
        }
        // SAFETY: locked before.
        unsafe { mutex.unlock() };
        mutex.lock();
        assert!(passed_over < 1000, "it is passed over again and again");
    }
    // SAFETY: locked in the loop.
    unsafe { mutex.unlock() };
    assert!(mutex.is_idle());
}
