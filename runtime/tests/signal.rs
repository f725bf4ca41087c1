//! Signals arrive on channels, and do what they did before when nobody listens.
//!
//! Each test has a process of its own: signals belong to the process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::time::Duration;

use marmot::channel::{RecvTimeoutError, TryRecvError};
use marmot::signal::{self, SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, notify};

const CHILD: &str = "MARMOT_SIGNAL_TEST_CHILD";
const LONG: Duration = Duration::from_secs(30);

/// Runs the body in a process of its own; in the first one, gives what became of it.
fn child(test: &str, body: impl FnOnce()) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    Some(output)
}

/// The same, for bodies that return.
fn alone(test: &str, body: impl FnOnce()) {
    if let Some(output) = child(test, body) {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?} {text}", output.status);
    }
}

/// Sends a signal to this process, from another one, and returns when that is done.
fn kill(name: &str) {
    let kill = format!("kill -{name} {}", std::process::id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

#[test]
fn each_channel_gets_its_signals() {
    alone("each_channel_gets_its_signals", || {
        let one = notify(&[SIGUSR1, SIGUSR2]).unwrap();
        let two = notify(&[SIGUSR1]).unwrap();
        kill("USR1");
        assert_eq!(one.recv_timeout(LONG), Ok(SIGUSR1));
        assert_eq!(two.recv_timeout(LONG), Ok(SIGUSR1));
        kill("USR2");
        assert_eq!(one.recv_timeout(LONG), Ok(SIGUSR2));
        assert_eq!(two.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn goroutines_receive_and_select() {
    alone("goroutines_receive_and_select", || {
        for procs in [1, 2, 4] {
            let builder = marmot::Runtime::builder().max_procs(procs);
            // SAFETY: nothing here uses a thread-local on both sides of a wait.
            let rt = unsafe { builder.build_migrating() }.unwrap();
            rt.run(|| {
                let signals = notify(&[SIGTERM]).unwrap();
                let waiting = marmot::go(move || {
                    marmot::select! {
                        recv(signals) -> signal => signal.unwrap(),
                        recv(marmot::channel::after(LONG)) -> _ => 0,
                    }
                });
                let sender = marmot::go(|| kill("TERM"));
                sender.join().unwrap();
                assert_eq!(waiting.join().unwrap(), SIGTERM);
            });
        }
    });
}

#[test]
fn signals_come_as_often_as_they_were_sent() {
    alone("signals_come_as_often_as_they_were_sent", || {
        let signals = notify(&[SIGUSR1]).unwrap();
        for _ in 0..20 {
            // One after the other: the kernel itself merges those that are under way together.
            kill("USR1");
            assert_eq!(signals.recv_timeout(LONG), Ok(SIGUSR1));
        }
    });
}

#[test]
fn a_full_channel_merges_but_loses_no_number() {
    alone("a_full_channel_merges_but_loses_no_number", || {
        let signals = notify(&[SIGUSR1, SIGUSR2]).unwrap();
        while signals.len() < 64 {
            kill("USR1");
        }
        for _ in 0..5 {
            kill("USR1");
        }
        kill("USR2");
        let mut seen = 0;
        loop {
            match signals.recv_timeout(LONG) {
                Ok(SIGUSR1) => seen += 1,
                Ok(SIGUSR2) => break,
                other => panic!("{other:?}"),
            }
        }
        assert!((64..=69).contains(&seen), "{seen}");
    });
}

#[test]
fn the_default_effect_comes_back() {
    let output = child("the_default_effect_comes_back", || {
        let signals = notify(&[SIGTERM]).unwrap();
        let clone = signals.clone();
        kill("TERM");
        assert_eq!(signals.recv_timeout(LONG), Ok(SIGTERM));
        drop(signals);
        kill("TERM");
        assert_eq!(clone.recv_timeout(LONG), Ok(SIGTERM), "one is still there");
        println!("so far so good");
        drop(clone);
        kill("TERM");
        // It has been sent, but need not have arrived.
        std::thread::sleep(LONG);
    });
    let Some(output) = output else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("so far so good"), "{text}");
    assert_eq!(output.status.signal(), Some(SIGTERM));
}

#[test]
fn a_closed_channel_counts_as_dropped() {
    let output = child("a_closed_channel_counts_as_dropped", || {
        let signals = notify(&[SIGTERM]).unwrap();
        signals.close();
        kill("TERM");
        std::thread::sleep(LONG);
    });
    if let Some(output) = output {
        assert_eq!(output.status.signal(), Some(SIGTERM));
    }
}

/// The disposition of a signal, as the kernel tells it: (ignored, caught).
fn disposition(signal: i32) -> (bool, bool) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line[name.len()..].trim(), 16).unwrap() & (1 << (signal - 1)) != 0
    };
    (mask("SigIgn:"), mask("SigCgt:"))
}

#[test]
fn the_handler_is_given_back() {
    alone("the_handler_is_given_back", || {
        assert_eq!(disposition(SIGUSR1), (false, false));
        // Rust's own start-up has this one ignored.
        assert_eq!(disposition(signal::SIGPIPE), (true, false));
        let signals = notify(&[SIGUSR1, SIGWINCH, signal::SIGPIPE]).unwrap();
        for signal in [SIGUSR1, SIGWINCH, signal::SIGPIPE] {
            assert_eq!(disposition(signal), (false, true));
        }
        drop(signals);
        // The next subscription finds nobody interested in them.
        let other = notify(&[SIGUSR2]).unwrap();
        assert_eq!(disposition(SIGUSR1), (false, false));
        assert_eq!(disposition(SIGWINCH), (false, false));
        assert_eq!(disposition(signal::SIGPIPE), (true, false));
        assert_eq!(disposition(SIGUSR2), (false, true));
        // And again.
        let signals = notify(&[SIGUSR1]).unwrap();
        kill("USR1");
        assert_eq!(signals.recv_timeout(LONG), Ok(SIGUSR1));
        assert_eq!(other.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn ignored_signals_are_ignored_again() {
    alone("ignored_signals_are_ignored_again", || {
        let signals = notify(&[signal::SIGPIPE, SIGCHLD]).unwrap();
        kill("PIPE");
        loop {
            // The end of `sh` is a signal as well.
            match signals.recv_timeout(LONG) {
                Ok(SIGCHLD) => {}
                Ok(signal::SIGPIPE) => break,
                other => panic!("{other:?}"),
            }
        }
        drop(signals);
        kill("PIPE");
        kill("CHLD");
        let other = notify(&[SIGUSR1]).unwrap();
        assert_eq!(disposition(signal::SIGPIPE), (true, false));
        assert_eq!(
            other.recv_timeout(Duration::from_millis(1)),
            Err(RecvTimeoutError::Timeout)
        );
    });
}

#[test]
fn what_cannot_be_had_is_refused() {
    // 9, 19: cannot be caught; 4, 7, 8, 11: faults; 32, 33: the C library's.
    for signal in [9, 19, 4, 7, 8, 11, 0, -1, 32, 33, 65, 1000] {
        let error = notify(&[SIGUSR2, signal]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{signal}");
    }
    assert!(notify(&[]).is_err());
    assert_eq!(disposition(SIGUSR2), (false, false));
}

#[test]
fn storms_while_receivers_come_and_go() {
    alone("storms_while_receivers_come_and_go", || {
        let keep = notify(&[SIGUSR1]).unwrap();
        let storm = format!(
            "for i in $(seq 2000); do kill -USR1 {} || exit; done",
            std::process::id()
        );
        let sender = std::thread::spawn(move || Command::new("sh").args(["-c", &storm]).status());
        while !sender.is_finished() {
            let signals = notify(&[SIGUSR1]).unwrap();
            let _ = signals.try_recv();
        }
        assert!(sender.join().unwrap().unwrap().success());
        assert_eq!(keep.recv_timeout(LONG), Ok(SIGUSR1));
        // What was sent last may still be on its way to a thread of this process, which would end by
        // it if nobody were interested any more.
        std::mem::forget(keep);
    });
}
