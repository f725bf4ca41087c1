//! A goroutine that overflows its stack ends the process with a message that says which one.
//!
//! The test runs itself again as a subprocess, since the process under test aborts.

mod common;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use common::scheduler;
use marmot_scheduler::goroutine;

const CASE: &str = "MARMOT_TEST_CASE";

/// Runs the test `name` of this file in a process of its own, as the case `case`.
fn in_subprocess(name: &str, case: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap()
}

/// Uses about 1 KiB of stack for each level.
#[inline(never)]
fn descend(levels: u64) -> u64 {
    let frame = black_box([levels; 128]);
    if levels == 0 {
        return frame[0];
    }
    descend(levels - 1) + black_box(frame[1])
}

#[test]
fn the_message_names_the_goroutine_and_where_it_was_spawned() {
    if std::env::var_os(CASE).is_some() {
        let s = scheduler(2);
        s.handle().run(|| {
            let builder = goroutine::Builder::new().name("conn".to_owned());
            let handle = builder.spawn(|| descend(1 << 40)).unwrap();
            let _ = handle.join();
        });
        unreachable!("the process has ended");
    }
    let name = "the_message_names_the_goroutine_and_where_it_was_spawned";
    let output = in_subprocess(name, "overflow");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("fatal: goroutine "))
        .unwrap_or_else(|| panic!("no message in: {text}"));
    assert!(line.contains("\"conn\""), "{line}");
    assert!(line.contains("overflow.rs:"), "{line}");
    assert!(line.contains("overflowed its 192 KiB stack"), "{line}");
    assert!(line.contains("MARMOT_STACK_SIZE"), "{line}");
}

#[test]
fn an_overflow_of_a_thread_is_not_taken_for_a_goroutines() {
    if std::env::var_os(CASE).is_some() {
        let s = scheduler(1);
        s.handle().run(|| ());
        let deep = std::thread::Builder::new().name("deep".to_owned());
        let _ = deep.spawn(|| descend(1 << 40)).unwrap().join();
        unreachable!("the process has ended");
    }
    let name = "an_overflow_of_a_thread_is_not_taken_for_a_goroutines";
    let output = in_subprocess(name, "thread");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal().is_some(), "{text}");
    assert!(!text.contains("fatal: goroutine"), "{text}");
    assert!(
        text.contains("has overflowed its stack"),
        "std's handler speaks: {text}"
    );
}

/// Recurses until `bytes` of stack below `top` are in use.
#[inline(never)]
fn use_stack(top: usize, bytes: usize) -> u64 {
    let frame = black_box([1_u64; 64]);
    if top - frame.as_ptr().addr() >= bytes {
        return frame[0];
    }
    use_stack(top, bytes) + black_box(frame[1])
}

#[test]
fn the_promised_size_can_be_used() {
    let s = scheduler(1);
    s.handle().run(|| {
        for size in [64 << 10, 192 << 10, 1 << 20, 8 << 20] {
            let builder = goroutine::Builder::new().stack_size(size);
            let handle = builder.spawn(move || {
                let top = 0_u8;
                // The control block, and the frames above this one, take less than 4 KiB.
                use_stack((&raw const top).addr(), size - 4096 - 1024)
            });
            assert!(handle.unwrap().join().unwrap() > 0);
        }
    });
}
