//! Whoever is readied while a channel's lock is held: the one who readies it goes on, and lets the lock go.

use std::env;
use std::process::Command;

use marmot_channel::{Select, bounded};
use marmot_scheduler::go;

mod common;

const ROUNDS: u32 = 3_000;
const INSIDE: &str = "MARMOT_TEST_INSIDE";

/// In disorder, where a goroutine lets others run at every occasion. If it did so with the lock, those who
/// want it would stand there until sysmon takes the processor away.
#[test]
fn a_receiver_that_wakes_an_observer_keeps_the_processor() {
    if env::var_os(INSIDE).is_some() {
        return meet();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["a_receiver_that_wakes_an_observer_keeps_the_processor"])
        .args(["--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("MARMOT_DEBUG", "chaos=1")
        .env_remove("MARMOT_MAXPROCS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn meet() {
    let scheduler = common::scheduler(1);
    scheduler.handle().run(|| {
        let (tx, rx) = bounded(0);
        let observer = go(move || {
            for n in 0..ROUNDS {
                let mut select = Select::new();
                select.send(&tx);
                select.ready();
                tx.send(n).unwrap();
            }
        });
        for n in 0..ROUNDS {
            assert_eq!(rx.recv(), Ok(n));
        }
        observer.join().unwrap();
    });
    let taken = scheduler.handle().metrics().processors_taken;
    // Once in a while the kernel keeps a thread from going on for as long as sysmon waits.
    let few = u64::from(ROUNDS) / 100;
    assert!(taken < few, "{taken} times a processor was taken away");
}
