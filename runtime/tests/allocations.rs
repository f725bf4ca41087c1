//! No operation that may wait allocates: sends, receives, selects, semaphores, sleeps, timers.

mod tasks;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use marmot::channel::{Receiver, Sender, bounded, never, unbounded};
use marmot::select;
use marmot::sync::{Semaphore, WaitGroup};
use marmot::time::{Ticker, Timer};
use tasks::{Tasks, runtime};

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often each operation is done.
const ROUNDS: usize = 2000;
/// What the runtime may allocate meanwhile: a queue that grows once, a block of the global queue.
const ALLOWED: usize = ROUNDS / 20;

/// Two tasks do their parts together, once to warm up and once counted.
fn together<A, B>(tasks: Tasks, name: &str, mut mine: A, mut other: B)
where
    A: FnMut(usize),
    B: FnMut(usize) + Send + 'static,
{
    let (begin, begun) = bounded::<()>(1);
    let (end, ended) = bounded::<()>(1);
    let partner = tasks.spawn(move || {
        for () in begun {
            (0..ROUNDS).for_each(&mut other);
            end.send(()).unwrap();
        }
    });
    let mut counts = [0; 2];
    for count in &mut counts {
        begin.send(()).unwrap();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..ROUNDS).for_each(&mut mine);
        ended.recv().unwrap();
        *count = ALLOCATIONS.load(Ordering::Relaxed) - before;
    }
    drop(begin);
    partner.join();
    println!(
        "{tasks:?}: {name}: {} allocations, then {}",
        counts[0], counts[1]
    );
    assert!(counts[1] <= ALLOWED, "{tasks:?}: {name}: {counts:?}");
}

/// The same for what a task does alone.
fn alone(tasks: Tasks, name: &str, rounds: usize, mut mine: impl FnMut()) {
    let mut counts = [0; 2];
    for count in &mut counts {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..rounds).for_each(|_| mine());
        *count = ALLOCATIONS.load(Ordering::Relaxed) - before;
    }
    println!(
        "{tasks:?}: {name}: {} allocations, then {}",
        counts[0], counts[1]
    );
    assert!(counts[1] <= rounds / 20, "{tasks:?}: {name}: {counts:?}");
}

fn channels(tasks: Tasks) {
    for cap in [0, 1, 128] {
        let (tx, rx) = bounded::<usize>(cap);
        together(
            tasks,
            &format!("send and receive, capacity {cap}"),
            move |n| tx.send(n).unwrap(),
            move |n| assert_eq!(rx.recv(), Ok(n)),
        );
        let (tx, rx) = bounded::<usize>(cap);
        let second = Duration::from_secs(30);
        together(
            tasks,
            &format!("the same with timeouts, capacity {cap}"),
            move |n| tx.send_timeout(n, second).unwrap(),
            move |n| assert_eq!(rx.recv_timeout(second), Ok(n)),
        );
    }
    // One at a time, so that the chain of blocks does not grow.
    let (tx, rx) = unbounded::<usize>();
    let (back, backs) = unbounded::<usize>();
    together(
        tasks,
        "unbounded, there and back",
        move |n| {
            tx.send(n).unwrap();
            assert_eq!(backs.recv(), Ok(n));
        },
        move |_| back.send(rx.recv().unwrap()).unwrap(),
    );
}

fn selects(tasks: Tasks) {
    for cap in [0, 16] {
        let (tx, rx) = bounded::<[usize; 8]>(cap);
        let (_tx, other) = bounded::<u8>(0);
        let (full, _rx) = bounded::<u8>(0);
        together(
            tasks,
            &format!("select over 2, capacity {cap}"),
            move |n| {
                select! {
                    send(full, 0) -> _ => unreachable!(),
                    send(tx, [n; 8]) -> sent => sent.unwrap(),
                }
            },
            move |n| {
                select! {
                    recv(other) -> _ => unreachable!(),
                    recv(rx) -> got => assert_eq!(got, Ok([n; 8])),
                }
            },
        );
    }
    let (channels, receivers): (Vec<Sender<usize>>, Vec<Receiver<usize>>) =
        (0..8).map(|_| bounded(0)).unzip();
    together(
        tasks,
        "select over 8",
        move |n| channels[n % 8].send(n).unwrap(),
        move |n| {
            let r = &receivers;
            let got = select! {
                recv(r[0]) -> n => n, recv(r[1]) -> n => n, recv(r[2]) -> n => n,
                recv(r[3]) -> n => n, recv(r[4]) -> n => n, recv(r[5]) -> n => n,
                recv(r[6]) -> n => n, recv(r[7]) -> n => n,
                default(Duration::from_secs(30)) => unreachable!(),
            };
            assert_eq!(got, Ok(n));
        },
    );
    let nothing = never::<u8>();
    let (tx, rx) = bounded::<usize>(1);
    alone(tasks, "select with default", ROUNDS, || {
        select! { recv(rx) -> _ => unreachable!(), recv(nothing) -> _ => {}, default => {} }
        select! { send(tx, 1) -> _ => {}, default => unreachable!() }
        select! { send(tx, 2) -> _ => unreachable!(), recv(rx) -> _ => {}, default => {} }
    });
    alone(
        tasks,
        "select over 20 with a timeout that passes",
        200,
        || {
            let timeout = Duration::from_micros(20);
            select! {
                recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {},
                recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {},
                recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {},
                recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {},
                recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {}, recv(rx) -> _ => {},
                default(timeout) => {}
            }
        },
    );
    alone(tasks, "select with a timeout that passes", 200, || {
        let timeout = Duration::from_micros(20);
        select! { recv(rx) -> _ => {}, recv(nothing) -> _ => {}, default(timeout) => {} }
    });
}

fn others(tasks: Tasks) {
    let semaphore = Arc::new(Semaphore::new(2));
    let (mine, other) = (semaphore.clone(), semaphore.clone());
    let yielding = |n| {
        if n % 8 == 0 {
            marmot::yield_now();
        }
    };
    together(
        tasks,
        "Semaphore",
        move |n| {
            let _permit = mine.acquire(1 + n % 2);
            yielding(n);
        },
        move |n| {
            let permit = other.acquire_timeout(1 + n % 2, Duration::from_secs(30));
            assert!(permit.is_some());
            yielding(n);
        },
    );
    alone(tasks, "Semaphore, timeouts that pass", 200, || {
        assert!(
            semaphore
                .acquire_timeout(3, Duration::from_micros(20))
                .is_none()
        );
    });
    let (here, there) = (WaitGroup::new(), WaitGroup::new());
    here.add(1);
    there.add(1);
    let (mine, yours) = (here.clone(), there.clone());
    together(
        tasks,
        "WaitGroup, there and back",
        move |_| {
            there.done();
            here.wait();
            here.add(1);
        },
        move |_| {
            yours.wait();
            yours.add(1);
            mine.done();
        },
    );
    alone(tasks, "sleep", 200, || {
        marmot::sleep(Duration::from_micros(20))
    });
    let timer = Timer::new(Duration::from_secs(60));
    alone(tasks, "Timer set, stopped, received", 200, || {
        timer.reset(Duration::from_secs(60));
        assert!(timer.stop());
        timer.reset(Duration::from_micros(20));
        timer.receiver().recv().unwrap();
    });
    let ticker = Ticker::new(Duration::from_micros(50));
    let nothing = never::<u8>();
    alone(tasks, "Ticker in a select", 200, || {
        select! { recv(ticker.receiver()) -> tick => assert!(tick.is_ok()), recv(nothing) -> _ => {} }
    });
}

/// Returns when each processor has had a goroutine at the same time, so that all threads have been
/// started: that takes some 15 allocations for each, and would otherwise come with whichever operation
/// is the first to need one more.
fn start_all_threads(max_procs: usize) {
    let arrived = Arc::new(AtomicUsize::new(0));
    let all: Vec<_> = (0..max_procs)
        .map(|_| {
            let arrived = arrived.clone();
            marmot::go(move || {
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < max_procs {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for one in all {
        one.join().unwrap();
    }
}

/// One test, for the count is of the whole process.
#[test]
fn no_operation_allocates() {
    let all = |tasks| {
        channels(tasks);
        selects(tasks);
        others(tasks);
    };
    all(Tasks::Threads);
    for max_procs in [1, 2, 4] {
        println!("max_procs = {max_procs}");
        let rt = runtime(max_procs);
        rt.run(move || start_all_threads(max_procs));
        for tasks in [Tasks::Goroutines, Tasks::Mixed] {
            rt.run(|| all(tasks));
        }
    }
}
