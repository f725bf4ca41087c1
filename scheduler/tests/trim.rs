//! Stack memory goes back to the system, and what still points into it does no harm.
//!
//! Memory is counted for the whole process, so each test runs itself again in a process of its own.

mod common;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::scheduler;
use marmot_scheduler::goroutine::{self, park};
use marmot_scheduler::wait::{Outcome, Publish, Reason, Ticket, Wait, Why};
use marmot_scheduler::{JoinHandle, Scheduler, go, scavenge_stacks};

const CASE: &str = "MARMOT_TEST_CASE";

/// Runs the test `name` of this file in a process of its own, as the case `case`.
fn in_subprocess(name: &str, case: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap()
}

/// Runs `test` with each number of processors and kind of guard, each in a process of its own.
fn in_each_setting(name: &str, test: impl Fn(&Scheduler)) {
    if let Some(case) = std::env::var_os(CASE) {
        let case = case.into_string().unwrap();
        let (width, guard) = case.split_once(' ').unwrap();
        if guard == "mprotect" {
            marmot_scheduler::force_mprotect_guards();
        }
        test(&scheduler(width.parse().unwrap()));
        return;
    }
    for case in ["1 advice", "2 advice", "4 advice", "2 mprotect"] {
        let output = in_subprocess(name, case);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        println!("{case}: {text}");
        assert!(output.status.success(), "{case}: {text}\n{errors}");
    }
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Goroutines that wait until they are let go.
struct Crowd {
    handles: Vec<JoinHandle<()>>,
    may_go: Arc<AtomicBool>,
}

impl Crowd {
    fn let_go(self) {
        self.may_go.store(true, Ordering::Release);
        for handle in &self.handles {
            handle.goroutine().unpark();
        }
        for handle in self.handles {
            handle.join().unwrap();
        }
    }
}

/// Starts `count` goroutines that do `work` and park; returns when each has a stack and has done it.
fn parked(count: usize, work: fn()) -> Crowd {
    let begun = Arc::new(AtomicUsize::new(0));
    let may_go = Arc::new(AtomicBool::new(false));
    let start = |_| {
        let (begun, may_go) = (begun.clone(), may_go.clone());
        let body = move || {
            work();
            begun.fetch_add(1, Ordering::Relaxed);
            // A park may return for no reason, and in disorder does.
            while !may_go.load(Ordering::Acquire) {
                park();
            }
        };
        goroutine::Builder::new().spawn(body).unwrap()
    };
    let handles = (0..count).map(start).collect();
    while begun.load(Ordering::Relaxed) < count {
        goroutine::yield_now();
    }
    Crowd { handles, may_go }
}

/// Starts `count` goroutines that are there all at once, and ends them; resident memory in between.
fn crowd(count: usize) -> u64 {
    let all = parked(count, || ());
    let peak = resident();
    all.let_go();
    peak
}

#[test]
fn a_crowd_that_has_gone_leaves_no_memory_behind() {
    let name = "a_crowd_that_has_gone_leaves_no_memory_behind";
    in_each_setting(name, |s| {
        // Guards of the old kind end at 32,000 stacks.
        let mprotect = std::env::var(CASE).unwrap().contains("mprotect");
        let count = if mprotect { 20_000 } else { 200_000 };
        s.handle().run(|| {
            crowd(1000);
            let before = resident();
            for _ in 0..2 {
                let peak = crowd(count);
                assert!(peak > before + count as u64 * 3500, "{before} {peak}");
                // Sysmon takes part, and a processor may be about to give stacks back.
                let begin = Instant::now();
                let mut after = peak;
                while after > before + (peak - before) / 10 {
                    scavenge_stacks();
                    goroutine::yield_now();
                    after = resident();
                    let took = begin.elapsed();
                    assert!(took < Duration::from_secs(20), "{before} {peak} {after}");
                }
                println!("before {before}, peak {peak}, after {after}");
            }
            // There is an end to it. (A processor may be about to give a stack back.)
            let begin = Instant::now();
            while scavenge_stacks() > 0 {
                assert!(begin.elapsed() < Duration::from_secs(10));
            }
        });
    });
}

/// Recurses until about `bytes` of stack below `top` are in use.
#[inline(never)]
fn use_stack(top: usize, bytes: usize) -> u64 {
    let frame = black_box([1_u64; 64]);
    if top - frame.as_ptr().addr() >= bytes {
        return frame[0];
    }
    use_stack(top, bytes) + black_box(frame[1])
}

#[test]
fn a_recursion_that_was_deep_once_is_forgotten() {
    const DEEP: usize = 160 << 10;
    const COUNT: usize = 250;
    let name = "a_recursion_that_was_deep_once_is_forgotten";
    in_each_setting(name, |s| {
        s.handle().run(|| {
            crowd(COUNT);
            let before = resident();
            let deep = parked(COUNT, || {
                let top = 0_u8;
                assert!(use_stack((&raw const top).addr(), DEEP) > 0);
            });
            deep.let_go();
            let peak = resident();
            // Some of it may have been given back already.
            assert!(peak > before + (COUNT * DEEP / 2) as u64);
            // Shallow goroutines from now on, in batches that every processor takes part in: they
            // use the same stacks.
            let begin = Instant::now();
            let mut after = peak;
            // The upper part of a stack, 16 KiB, stays.
            while after > before + (peak - before) / 3 {
                for _ in 0..20 {
                    crowd(COUNT);
                }
                after = resident();
                let took = begin.elapsed();
                assert!(took < Duration::from_secs(60), "{before} {peak} {after}");
            }
            println!("before {before}, peak {peak}, after {after}");
        });
    });
}

#[test]
fn processors_at_rest_keep_few_stacks() {
    const DEEP: usize = 160 << 10;
    let name = "processors_at_rest_keep_few_stacks";
    in_each_setting(name, |s| {
        let count = 250 * s.handle().max_procs();
        let (before, peak) = s.handle().run(|| {
            crowd(count);
            let before = resident();
            let deep = parked(count, || {
                let top = 0_u8;
                assert!(use_stack((&raw const top).addr(), DEEP) > 0);
            });
            let peak = resident();
            deep.let_go();
            (before, peak)
        });
        assert!(peak > before + (count * DEEP / 2) as u64, "{before} {peak}");
        // Nothing runs any more. Each processor may keep 64 as they are; of the others 16 KiB stay.
        let begin = Instant::now();
        let mut after = peak;
        while after > before + (peak - before) / 2 {
            std::thread::sleep(Duration::from_millis(10));
            after = resident();
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(20), "{before} {peak} {after}");
        }
        println!("before {before}, peak {peak}, after {after}");
    });
}

#[test]
fn a_large_stack_is_given_back_too() {
    const SIZE: usize = 8 << 20;
    let name = "a_large_stack_is_given_back_too";
    in_each_setting(name, |s| {
        s.handle().run(|| {
            let deep = || {
                let builder = goroutine::Builder::new().stack_size(SIZE);
                let body = || {
                    let top = 0_u8;
                    use_stack((&raw const top).addr(), SIZE - (64 << 10))
                };
                assert!(builder.spawn(body).unwrap().join().unwrap() > 0);
            };
            let before = resident();
            deep();
            let peak = resident();
            assert!(peak > before + SIZE as u64 * 3 / 4, "{before} {peak}");
            // The processor that ended it may still be about to give the slot back.
            let begin = Instant::now();
            let mut after = peak;
            while after > before + (1 << 20) {
                scavenge_stacks();
                goroutine::yield_now();
                after = resident();
                let took = begin.elapsed();
                assert!(took < Duration::from_secs(60), "{before} {peak} {after}");
            }
            deep();
        });
    });
}

/// Tells a thread to stop, also when the test fails: else it would be waited for.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Handles of goroutines that have ended, and tickets of waits that are over, are used on slots
/// whose memory was given back, and on those that are in use again.
#[test]
fn stale_names_have_no_effect() {
    const COUNT: usize = 4000;
    let name = "stale_names_have_no_effect";
    in_each_setting(name, |s| {
        s.handle().run(|| {
            let tickets = Arc::new(Mutex::new(Vec::<Ticket>::new()));
            let handles: Vec<_> = (0..COUNT)
                .map(|_| {
                    let tickets = tickets.clone();
                    go(move || {
                        let wait = Wait::new();
                        let ticket = wait.ticket();
                        let outcome = wait.park(Why::new(Reason::Other), None, move || {
                            tickets.lock().unwrap().push(ticket);
                            Publish::Published
                        });
                        assert_eq!(outcome, Outcome::Cancelled);
                    })
                })
                .collect();
            while tickets.lock().unwrap().len() < COUNT {
                goroutine::yield_now();
            }
            let tickets = tickets.lock().unwrap().clone();
            for ticket in &tickets {
                ticket.claim(Outcome::Cancelled).unwrap().ready();
            }
            let old: Vec<_> = handles.iter().map(|h| h.goroutine().clone()).collect();
            for handle in handles {
                handle.join().unwrap();
            }
            let use_stale_names = || {
                for (ticket, goroutine) in tickets.iter().zip(&old) {
                    assert!(ticket.claim(Outcome::TimedOut).is_none());
                    goroutine.unpark();
                }
            };
            // There a park returns for no reason.
            let disorder = std::env::var("MARMOT_DEBUG").is_ok_and(|v| v.contains("chaos"));
            let stop = AtomicBool::new(false);
            let rounds = AtomicUsize::new(0);
            std::thread::scope(|threads| {
                let _stop_at_the_end = StopAtTheEnd(&stop);
                threads.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        use_stale_names();
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                });
                for _ in 0..3 {
                    let seen = rounds.load(Ordering::Relaxed);
                    assert!(scavenge_stacks() > COUNT / 2);
                    use_stale_names();
                    let told = Arc::new(AtomicBool::new(false));
                    let early = Arc::new(AtomicUsize::new(0));
                    let begun = Arc::new(AtomicUsize::new(0));
                    let new: Vec<_> = (0..COUNT)
                        .map(|_| {
                            let (told, early) = (told.clone(), early.clone());
                            let begun = begun.clone();
                            go(move || {
                                begun.fetch_add(1, Ordering::Relaxed);
                                park();
                                if !told.load(Ordering::Relaxed) && !disorder {
                                    early.fetch_add(1, Ordering::Relaxed);
                                }
                            })
                        })
                        .collect();
                    while rounds.load(Ordering::Relaxed) < seen + 3
                        || begun.load(Ordering::Relaxed) < COUNT
                    {
                        goroutine::yield_now();
                    }
                    told.store(true, Ordering::Relaxed);
                    new.iter().for_each(|handle| handle.goroutine().unpark());
                    new.into_iter().for_each(|handle| handle.join().unwrap());
                    assert_eq!(early.load(Ordering::Relaxed), 0, "woken by a stale name");
                }
            });
        });
    });
}

#[test]
fn the_guard_is_still_there() {
    let name = "the_guard_is_still_there";
    if let Some(case) = std::env::var_os(CASE) {
        if case == "mprotect" {
            marmot_scheduler::force_mprotect_guards();
        }
        scheduler(1).handle().run(|| {
            crowd(5000);
            // Sysmon may have seen to some of them.
            while scavenge_stacks() > 0 {}
            // All that are taken now were without memory, but for the reserve and the cache.
            let others = parked(2000, || ());
            let deep = goroutine::Builder::new().name("deep".to_owned());
            let _ = deep
                .spawn(|| use_stack(usize::MAX, usize::MAX))
                .unwrap()
                .join();
            drop(others);
        });
        unreachable!("the process has ended");
    }
    for case in ["advice", "mprotect"] {
        let output = in_subprocess(name, case);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains("\"deep\" (spawned at "), "{text}");
        assert!(text.contains("overflowed its 192 KiB stack"), "{text}");
    }
}
