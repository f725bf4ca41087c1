//! What a goroutine leaves waiting behind it while it computes, others take over.

use std::hint::{black_box, spin_loop};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use marmot::channel::bounded;
use marmot::{Runtime, go, yield_now};

/// Each needs both cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const DEADLINE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    // SAFETY: no goroutine uses a thread-local.
    unsafe { Runtime::builder().max_procs(2).build_migrating() }.unwrap()
}

/// A producer computes after it has sent, and what it sent has to be received meanwhile, though the
/// goroutine that is readied is meant to run on the same processor after it.
#[test]
fn what_a_producer_sends_is_received_while_it_computes() {
    const ITEMS: u32 = 600;
    const LEARN: u32 = 200;
    /// How long it computes, and for how long it waits in that for the receiver.
    const WORK: Duration = Duration::from_micros(100);
    const PATIENCE: Duration = Duration::from_millis(1);
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let overlapped = runtime().run(|| {
        let received = Arc::new(AtomicU32::new(0));
        let (sender, receiver) = bounded::<u32>(1);
        let consumer = {
            let received = received.clone();
            go(move || {
                for item in receiver {
                    received.store(item, Ordering::SeqCst);
                }
            })
        };
        let mut overlapped = 0;
        for item in 1..=ITEMS {
            sender.send(item).unwrap();
            let begin = Instant::now();
            while begin.elapsed() < WORK
                || received.load(Ordering::SeqCst) < item && begin.elapsed() < PATIENCE
            {
                spin_loop();
            }
            overlapped += u32::from(item > LEARN && received.load(Ordering::SeqCst) == item);
        }
        drop(sender);
        consumer.join().unwrap();
        overlapped
    });
    // If it had to wait for the producer to park, it would be the few that sysmon sees. With a single
    // core nothing overlaps, and that all is received is all there is to see.
    let most = ITEMS - LEARN;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    assert!(
        overlapped > most * 2 / 3 || cores == 1,
        "{overlapped} of {most} overlapped"
    );
}

/// One goroutine computes and has others wait behind it; the only other processor always has
/// something of its own to do. It takes over what waits before the one that computes has lost its
/// processor for it, which takes a time slice of 10 ms.
#[test]
fn a_busy_processor_relieves_one_that_stands_still() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    const ROUNDS: u32 = 40;
    const WAITING: u32 = 20;
    let rt = runtime();
    let handle = rt.handle();
    let relieved = rt.run(move || {
        let stop = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicU32::new(0));
        let busy = {
            let (stop, turns) = (stop.clone(), turns.clone());
            go(move || {
                while !stop.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            })
        };
        let mut relieved = 0;
        for _ in 0..ROUNDS {
            // Without a call, so that it runs on the other processor.
            let before = turns.load(Ordering::Relaxed);
            let begin = Instant::now();
            while turns.load(Ordering::Relaxed).wrapping_sub(before) < 100 {
                assert!(begin.elapsed() < DEADLINE, "the other does not run");
                spin_loop();
            }
            let taken = handle.metrics().processors_taken;
            let ran = Arc::new(AtomicU32::new(0));
            for _ in 0..WAITING {
                let ran = ran.clone();
                go(move || ran.fetch_add(1, Ordering::Relaxed));
            }
            let begin = Instant::now();
            while ran.load(Ordering::Relaxed) < WAITING {
                assert!(begin.elapsed() < DEADLINE, "they wait for ever");
                black_box(begin);
            }
            relieved += u32::from(handle.metrics().processors_taken == taken);
        }
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        relieved
    });
    assert!(
        relieved >= ROUNDS / 2,
        "{relieved} of {ROUNDS} without a processor taken"
    );
}
