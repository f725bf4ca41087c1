//! When threads or address space run out there is an error, or a panic that says so; what was accepted
//! before goes on, and so does the scheduler with the threads it has.
//!
//! Each test runs itself again in a process of its own, which it restricts.

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::scheduler;
use marmot_scheduler::event::NoEvents;
use marmot_scheduler::goroutine::{Builder, park, sleep};
use marmot_scheduler::{Config, Scheduler, blocking, go, scope};

const CASE: &str = "MARMOT_TEST_CASE";

/// Runs `test` in a child process.
fn in_child(name: &str, test: impl FnOnce()) {
    if std::env::var_os(CASE).is_some() {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CASE, "child")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    println!("{text}");
}

fn limit(what: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit {
        rlim_cur: to,
        rlim_max: to,
    };
    // SAFETY: the struct is valid; the call keeps no pointer.
    let code = unsafe { libc::setrlimit(what, &limit) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
}

/// Threads of the user that this process belongs to, as the kernel counts them for its limit.
fn threads_of_user() -> u64 {
    // SAFETY: no preconditions.
    let me = unsafe { libc::getuid() };
    let mut count = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        // Not `self` and `thread-self`.
        if process
            .file_name()
            .to_string_lossy()
            .parse::<u32>()
            .is_err()
        {
            continue;
        }
        let Ok(status) = std::fs::read_to_string(process.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        if field("Uid:") == Some(me.into()) {
            count += field("Threads:").unwrap_or(0);
        }
    }
    count
}

/// Allows this process so many threads more. Root is not bound by such a limit, so it becomes a user
/// of whom there is no other process.
fn allow_threads(more: u64) {
    // SAFETY: takes no pointers. It fails for a user who is bound by the limit anyway.
    unsafe { libc::setuid(1_000_000 + std::process::id()) };
    limit(libc::RLIMIT_NPROC, threads_of_user() + more);
}

#[test]
fn without_further_threads_the_scheduler_goes_on() {
    in_child("without_further_threads_the_scheduler_goes_on", || {
        let s = scheduler(4);
        s.handle().run(|| ());
        allow_threads(1);
        let ended = AtomicUsize::new(0);
        s.handle().run(|| {
            scope(|s| {
                for n in 0..64 {
                    let ended = &ended;
                    s.spawn(move || {
                        if n % 2 == 0 {
                            blocking(|| std::thread::sleep(Duration::from_millis(5)));
                        } else {
                            sleep(Duration::from_millis(5));
                        }
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        });
        assert_eq!(ended.into_inner(), 64);
        let metrics = s.handle().metrics();
        println!("64 goroutines ended: {metrics:?}");
        assert!(metrics.threads_refused > 0);
        // The first machine and one more, or two if a thread of the test harness has ended.
        assert!(metrics.machines <= 3, "{metrics:?}");
    });
}

#[test]
fn without_any_thread_the_start_is_an_error() {
    in_child("without_any_thread_the_start_is_an_error", || {
        allow_threads(0);
        let config = Config::from_env().unwrap();
        let error = Scheduler::start_pinned(config, Arc::new(NoEvents::new())).unwrap_err();
        println!("error: {error}");
        assert!(error.to_string().starts_with("cannot start a thread"));
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    });
}

#[test]
fn without_address_space_go_is_an_error() {
    in_child("without_address_space_go_is_an_error", || {
        let s = scheduler(2);
        s.handle().run(|| {
            let mut handles = vec![Builder::new().spawn(park).unwrap()];
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|l| l.starts_with("VmSize")).unwrap();
            let size: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            limit(libc::RLIMIT_AS, (size << 10) + (300 << 20));
            let error = loop {
                match Builder::new().spawn(park) {
                    Ok(handle) => handles.push(handle),
                    Err(error) => break error,
                }
                assert!(handles.len() < 100_000, "the limit is not one");
            };
            println!("error after {} stacks: {error}", handles.len());
            assert!(error.to_string().contains("ulimit -v"), "{error}");
            assert!(handles.len() > 500);
            // The free function panics, and says the same.
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            let payload = std::panic::catch_unwind(|| go(|| ())).unwrap_err();
            std::panic::set_hook(hook);
            let message = payload.downcast_ref::<String>().unwrap();
            assert!(
                message.starts_with("cannot start a goroutine: "),
                "{message}"
            );
            assert!(message.contains("ulimit -v"), "{message}");
            // All that were accepted go on, and their stacks serve again.
            for handle in &handles {
                handle.goroutine().unpark();
            }
            let count = handles.len();
            for handle in handles {
                handle.join().unwrap();
            }
            let again: Vec<_> = (0..count / 2).map(|n| go(move || n)).collect();
            for (n, handle) in again.into_iter().enumerate() {
                assert_eq!(handle.join().unwrap(), n);
            }
        });
    });
}
