//! The barrier does what std's does, on goroutines, on threads and among both.

mod sync_common;

use std::sync::atomic::{AtomicUsize, Ordering};

use marmot::sync::{Arc, Barrier};
use sync_common::{Tasks, everywhere};

#[test]
fn nobody_crosses_before_all_have_come() {
    fn test(tasks: Tasks) {
        // More than are readied at once.
        const N: usize = 70;
        const ROUNDS: usize = 20;
        let barrier = Arc::new(Barrier::new(N));
        let come = Arc::new(AtomicUsize::new(0));
        let all = tasks.spawn_all(N, |_| {
            let (barrier, come) = (barrier.clone(), come.clone());
            move || {
                let mut led = 0;
                for round in 1..=ROUNDS {
                    come.fetch_add(1, Ordering::Relaxed);
                    led += usize::from(barrier.wait().is_leader());
                    assert!(come.load(Ordering::Relaxed) >= round * N);
                }
                led
            }
        });
        let led: usize = all.into_iter().map(|task| task.join()).sum();
        assert_eq!(led, ROUNDS); // one leader a round
    }
    everywhere(test);
}

#[test]
fn a_barrier_for_one_or_none_holds_nobody_up() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().is_leader());
        assert!(barrier.wait().is_leader());
    }
}
