//! The deadlock report: made when nothing can ever happen any more, and never before.
//!
//! Each case is a process of its own, which the cases need to be alone in: so this file brings its own
//! `main`. `cargo test -p marmot-scheduler --test deadlock -- CASE` runs one as a child would.

mod common;

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{pinned, scheduler};
use marmot_scheduler::goroutine::{Builder, current, park, park_timeout, sleep};
use marmot_scheduler::{Scheduler, blocking, go, lock_os_thread, scope};

/// Parks, whatever returns from it.
fn park_for_ever() -> ! {
    loop {
        park();
    }
}

/// Runs `f` on a thread that is nobody's, while the main thread does something else.
fn with_foreign_thread(f: impl FnOnce() + Send + 'static, rest: impl FnOnce()) {
    let thread = std::thread::spawn(f);
    rest();
    thread.join().unwrap();
}

/// Spawns goroutines that wait for ever, and waits for one of them in `run`.
fn all_wait(s: &Scheduler) {
    s.handle().run(|| {
        let named = Builder::new().name("stuck".to_owned());
        let stuck = named.spawn(|| park_for_ever()).unwrap();
        go(|| scope(|s| drop(s.spawn(|| park_for_ever()))));
        stuck.join().unwrap();
    });
}

/// Runs in a child. What returns has not deadlocked.
fn case(name: &str) {
    match name {
        // ---- deadlocks
        "simple" => all_wait(&scheduler(2)),
        "pinned" => all_wait(&pinned(2)),
        "one processor" => all_wait(&scheduler(1)),
        "locked" => scheduler(2).handle().run(|| {
            let _guard = lock_os_thread();
            park_for_ever()
        }),
        "after work" => {
            let s = scheduler(4);
            s.handle().run(|| {
                for _ in 0..100 {
                    go(|| blocking(|| std::thread::sleep(Duration::from_millis(1))));
                }
                sleep(Duration::from_millis(30));
                park_for_ever()
            })
        }
        "many" => {
            let s = scheduler(2);
            s.handle().run(|| {
                for _ in 0..500 {
                    go(|| park_for_ever());
                }
                park_for_ever()
            })
        }
        "two runtimes" => {
            let other = scheduler(2);
            other.handle().go(|| park_for_ever());
            all_wait(&scheduler(2));
        }
        "a thread that ends soon" => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_millis(200)));
            all_wait(&scheduler(2));
        }
        "two threads in run" => {
            let s = scheduler(2);
            std::thread::scope(|threads| {
                threads.spawn(|| s.handle().run(|| park_for_ever()));
                // The main thread waits in `run` as well.
                s.handle().run(|| park_for_ever())
            });
        }
        // ---- no deadlocks
        "a foreign thread" => {
            let s = scheduler(2);
            let handle = s.handle().go(park);
            let waiter = handle.goroutine().clone();
            with_foreign_thread(
                move || {
                    std::thread::sleep(Duration::from_millis(1500));
                    waiter.unpark();
                },
                || s.handle().run(|| handle.join().unwrap()),
            );
        }
        "a timer" => scheduler(2)
            .handle()
            .run(|| sleep(Duration::from_millis(1500))),
        "a timer of a parked goroutine" => scheduler(2)
            .handle()
            .run(|| park_timeout(Duration::from_millis(1500))),
        "a blocked thread" => scheduler(2).handle().run(|| {
            let me = current();
            let over = Arc::new(AtomicBool::new(false));
            go({
                let over = over.clone();
                move || {
                    std::thread::sleep(Duration::from_millis(1500));
                    over.store(true, Ordering::Release);
                    me.unpark();
                }
            });
            while !over.load(Ordering::Acquire) {
                park();
            }
        }),
        "another runtime that is busy" => {
            let (one, two) = (scheduler(1), scheduler(1));
            let waiter = one.handle().go(park);
            let name = waiter.goroutine().clone();
            two.handle().go(move || {
                sleep(Duration::from_millis(1500));
                name.unpark();
            });
            one.handle().run(|| waiter.join().unwrap());
        }
        "no run" => {
            let s = scheduler(2);
            s.handle().go(|| park_for_ever());
            std::thread::sleep(Duration::from_millis(1500));
        }
        "run after run" => {
            // Between two runs the main thread can do anything, though all goroutines sleep.
            let s = scheduler(2);
            let waiter = s.handle().go(park);
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(1500) {
                s.handle().run(|| ());
                std::thread::sleep(Duration::from_micros(700));
            }
            waiter.goroutine().unpark();
            s.handle().run(|| waiter.join().unwrap());
        }
        other => panic!("no such case: {other}"),
    }
}

const DEADLOCKS: [&str; 9] = [
    "simple",
    "pinned",
    "one processor",
    "locked",
    "after work",
    "many",
    "two runtimes",
    "a thread that ends soon",
    "two threads in run",
];

const NO_DEADLOCKS: [&str; 7] = [
    "a foreign thread",
    "a timer",
    "a timer of a parked goroutine",
    "a blocked thread",
    "another runtime that is busy",
    "no run",
    "run after run",
];

fn child(case: &str) -> (Output, Duration) {
    let begin = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(case)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output, begin.elapsed())
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(name) = args.iter().find(|arg| !arg.starts_with('-')) {
        return case(name);
    }
    println!("\nrunning {} tests", DEADLOCKS.len() + NO_DEADLOCKS.len());
    for case in DEADLOCKS {
        let (output, took) = child(case);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}: {text}");
        assert!(
            text.starts_with("fatal: all goroutines are asleep - deadlock!\n"),
            "{case}: {text}"
        );
        assert!(text.contains("tests/deadlock.rs:"), "{case}: {text}");
        if case == "simple" {
            println!("{text}");
            for part in ["\"stuck\" [park, ", " [join at 0x", " [end of scope at 0x"] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        if case == "many" {
            assert_eq!(
                text.lines().filter(|l| l.starts_with("goroutine ")).count(),
                100
            );
            assert!(text.contains("and 401 more:\n401 spawned at "), "{text}");
            assert!(text.contains("\n501 goroutines; "), "{text}");
        }
        println!("test deadlock: {case} ... ok, after {took:?}");
    }
    for case in NO_DEADLOCKS {
        let (output, _) = child(case);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{case}: {text}");
        assert_eq!(text, "", "{case}");
        println!("test no deadlock: {case} ... ok");
    }
    println!(
        "\ntest result: ok. {} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        DEADLOCKS.len() + NO_DEADLOCKS.len()
    );
}
