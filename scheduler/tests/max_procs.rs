//! The number of processors: what one means, and changing it while they run.

mod common;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::scheduler;
use marmot_scheduler::goroutine::{sleep, sleep_until, yield_now};
use marmot_scheduler::{Handle, Scheduler, go, max_procs, scope, set_max_procs};

/// The tests measure, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Counts who is inside a stretch of code that does not call the runtime.
#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
    visits: AtomicU64,
}

impl Inside {
    fn visit(&self, work: u32) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        for i in 0..work {
            black_box(i);
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.visits.fetch_add(1, Ordering::Relaxed);
    }

    /// The most at once since the last call.
    fn most(&self) -> usize {
        self.most.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn with_one_processor_one_goroutine_runs_at_a_time() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(1);
    let inside = Inside::default();
    // Again, if the kernel has let a goroutine stand for so long that it counted as a hog.
    for attempt in 0.. {
        assert!(attempt < 20, "hogs all the time");
        let taken = s.handle().metrics().processors_taken;
        inside.most();
        all_inside(&s, &inside);
        if s.handle().metrics().processors_taken == taken {
            break;
        }
    }
    let most = inside.most();
    println!(
        "max_procs=1, 50 goroutines: {} visits, at most {most} inside at once",
        inside.visits.load(Ordering::Relaxed),
    );
    assert_eq!(most, 1);
}

fn all_inside(s: &Scheduler, inside: &Inside) {
    s.handle().run(|| {
        scope(|s| {
            for n in 0..50_u32 {
                s.spawn(move || {
                    for i in 0..400 {
                        inside.visit(200 + n);
                        match (n + i) % 4 {
                            0 => sleep(Duration::from_micros(50)),
                            1 => go(|| ()).join().unwrap(),
                            _ => yield_now(),
                        }
                    }
                });
            }
        });
    });
}

/// How many were inside at once at the most, over a while in which no processor was one too many any
/// more and no goroutine was a hog: none ran without its processor, which one loses that the kernel
/// lets stand for 10 ms.
fn most_without_hogs(handle: &Handle, inside: &Inside) -> usize {
    let begin = Instant::now();
    loop {
        let taken = handle.metrics().processors_taken;
        inside.most();
        // Twice, for a snapshot may miss one.
        let adrift = (0..2).any(|_| handle.metrics().adrift_machines > 0)
            || handle.metrics().processors > handle.max_procs();
        sleep(Duration::from_millis(10));
        let most = inside.most();
        if !adrift && handle.metrics().processors_taken == taken {
            return most;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "hogs all the time"
        );
    }
}

#[test]
fn the_number_is_changed_under_load() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(1);
    let inside = Arc::new(Inside::default());
    let stop = Arc::new(AtomicBool::new(false));
    let handle = s.handle().clone();
    s.handle().run(|| {
        let workers: Vec<_> = (0..40_u32)
            .map(|n| {
                let (inside, stop) = (inside.clone(), stop.clone());
                go(move || {
                    let mut i = n;
                    while !stop.load(Ordering::Relaxed) {
                        inside.visit(2000);
                        i += 1;
                        match i % 16 {
                            0 => sleep(Duration::from_micros(100)),
                            1 => go(|| ()).join().unwrap(),
                            _ => yield_now(),
                        }
                    }
                })
            })
            .collect();
        for round in 0..10 {
            assert_eq!(set_max_procs(4), 1);
            assert_eq!(max_procs(), 4);
            inside.most();
            let begin = Instant::now();
            // More than one at once: a kernel with one core needs a while to show it.
            let mut most = 0;
            while most < 2 {
                sleep(Duration::from_millis(2));
                most = most.max(inside.most());
                assert!(
                    begin.elapsed() < Duration::from_secs(20),
                    "still one at a time"
                );
            }
            assert_eq!(set_max_procs(1), 4);
            assert_eq!(max_procs(), 1);
            let visits = inside.visits.load(Ordering::Relaxed);
            assert_eq!(most_without_hogs(&handle, &inside), 1);
            let more = inside.visits.load(Ordering::Relaxed) - visits;
            assert!(more > 0, "the one that is left goes on");
            println!("round {round}: at 4 up to {most} at once, back at 1 one at a time");
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn an_idle_runtime_is_resized() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(2);
    for n in [1, 8, 3, 100, 1, 64, 2] {
        s.handle().set_max_procs(n);
        assert_eq!(s.handle().max_procs(), n);
        let sum: usize = s.handle().run(|| {
            let handles: Vec<_> = (0..200).map(|i| go(move || i)).collect();
            handles.into_iter().map(|h| h.join().unwrap()).sum()
        });
        assert_eq!(sum, 199 * 200 / 2);
    }
}

/// The one processor that is left comes to its scheduling rounds all the time, and looks after the
/// timers of the others in them. It is counted in rounds how late they are: the kernel may let all of
/// this stand for as long as it likes.
#[test]
fn timers_of_a_processor_that_is_put_away_fire_on_time() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s = scheduler(8);
    s.handle().run(|| {
        let rounds = Arc::new(AtomicUsize::new(0));
        let sleepers: Vec<_> = (0..64)
            .map(|n| {
                let rounds = rounds.clone();
                go(move || {
                    yield_now();
                    let until = Instant::now() + Duration::from_millis(20 + n % 20);
                    sleep_until(until);
                    (until, rounds.load(Ordering::Relaxed))
                })
            })
            .collect();
        sleep(Duration::from_millis(5));
        set_max_procs(1);
        let stop = Arc::new(AtomicBool::new(false));
        let busy = go({
            let (rounds, stop) = (rounds.clone(), stop.clone());
            move || {
                let mut begins = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    begins.push(Instant::now());
                    rounds.store(begins.len(), Ordering::Relaxed);
                    yield_now();
                }
                begins
            }
        });
        let woken: Vec<_> = sleepers.into_iter().map(|h| h.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        let begins = busy.join().unwrap();
        let mut late: Vec<usize> = woken
            .into_iter()
            .map(|(until, round)| round.saturating_sub(begins.partition_point(|at| *at < until)))
            .collect();
        late.sort_unstable();
        println!(
            "64 timers, 8 -> 1 processors: late by {} rounds (median), {} (max) of {}",
            late[31],
            late[63],
            begins.len()
        );
        assert!(late[63] < 500, "{late:?}");
    });
}

/// The newborns, and who gave way to them, go to the others.
#[test]
fn what_waits_on_a_processor_that_is_put_away_runs() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    const EACH: usize = 1000;
    let s = scheduler(2);
    let handle = s.handle();
    for _ in 0..20 {
        let begun = AtomicUsize::new(0);
        let ready = AtomicUsize::new(0);
        let on = AtomicBool::new(false);
        handle.run(|| {
            set_max_procs(2);
            scope(|scope| {
                for _ in 0..2 {
                    scope.go(|| {
                        for _ in 0..EACH {
                            scope.go(|| begun.fetch_add(1, Ordering::Relaxed));
                        }
                        ready.fetch_add(1, Ordering::SeqCst);
                        // Without a call into the runtime: none of them begins here meanwhile.
                        let begin = Instant::now();
                        while !on.load(Ordering::SeqCst)
                            && begin.elapsed() < Duration::from_millis(5)
                        {
                            std::hint::spin_loop();
                        }
                        yield_now();
                    });
                }
                while ready.load(Ordering::SeqCst) == 0 {
                    yield_now();
                }
                set_max_procs(1);
                on.store(true, Ordering::SeqCst);
            });
        });
        assert_eq!(begun.into_inner(), 2 * EACH);
    }
}

/// Many resizers at once, from goroutines and threads, beside work that has to be done.
#[test]
fn resizes_race() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let s: Scheduler = scheduler(4);
    let handle = s.handle().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let resizers: Vec<_> = (0..3_usize)
        .map(|n| {
            let (handle, stop) = (handle.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut i = n;
                while !stop.load(Ordering::Relaxed) {
                    i = i.wrapping_mul(25_214_903_917).wrapping_add(11);
                    handle.set_max_procs(1 + (i >> 16) % 9);
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let threads = Mutex::new(HashSet::new());
    s.handle().run(|| {
        for round in 0..300_u64 {
            let sum: u64 = scope(|s| {
                let parts: Vec<_> = (0..50)
                    .map(|n| {
                        let threads = &threads;
                        s.spawn(move || {
                            // SAFETY: no preconditions.
                            threads.lock().unwrap().insert(unsafe { libc::gettid() });
                            if (n + round) % 7 == 0 {
                                sleep(Duration::from_micros(30));
                            }
                            yield_now();
                            n
                        })
                    })
                    .collect();
                parts.into_iter().map(|p| p.join().unwrap()).sum()
            });
            assert_eq!(sum, 49 * 50 / 2);
        }
    });
    stop.store(true, Ordering::Relaxed);
    for resizer in resizers {
        resizer.join().unwrap();
    }
    s.handle().set_max_procs(2);
    s.handle().run(|| go(|| ()).join().unwrap());
    println!(
        "300 rounds while resized, on {} threads",
        threads.lock().unwrap().len()
    );
}
