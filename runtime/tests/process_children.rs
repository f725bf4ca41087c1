//! Children are awaited, and their pipes read and written, from goroutines and from threads.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use marmot::process::{Command, Stdio};

/// Runs the body on a plain thread, and on a goroutine with one, two and four processors.
fn everywhere(body: impl Fn() + Send + Sync) {
    body();
    for procs in [1, 2, 4] {
        let builder = marmot::Runtime::builder().max_procs(procs);
        // SAFETY: nothing here uses a thread-local on both sides of a wait.
        let rt = unsafe { builder.build_migrating() }.unwrap();
        rt.run(&body);
    }
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn status_and_signals() {
    everywhere(|| {
        assert_eq!(sh("exit 7").status().unwrap().code(), Some(7));
        let mut child = sh("sleep 100").spawn().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9));
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        child.kill().unwrap();
        let error = Command::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn output_of_both_streams() {
    // More than a pipe holds, in turn: whoever reads but one of them would wait for ever.
    const SCRIPT: &str = "for i in $(seq 3000); do echo 'out of the child: a line to fill the pipe'; \
                          echo 'err of the child: a line to fill the pipe' >&2; done; cat; exit 3";
    everywhere(|| {
        let output = sh(SCRIPT).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout.len(), 3000 * 42);
        assert_eq!(output.stderr.len(), 3000 * 42);
        // The choice of streams does not stay with the command.
        let mut command = sh("true");
        command.output().unwrap();
        let child = command.spawn().unwrap();
        assert!(child.stdout.is_none());
        child.wait_with_output().unwrap();
    });
}

#[test]
fn a_conversation() {
    everywhere(|| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut from = BufReader::new(child.stdout.take().unwrap());
        for i in 0..100 {
            writeln!(to, "line {i}").unwrap();
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            assert_eq!(line, format!("line {i}\n"));
        }
        drop(to);
        assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_child_feeds_the_next() {
    everywhere(|| {
        let mut first = sh("echo one; echo two")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let second = Command::new("wc")
            .arg("-l")
            .stdin(first.stdout.take().unwrap())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(second.stdout).unwrap().trim(), "2");
        assert!(first.wait().unwrap().success());
    });
}

#[test]
fn waiting_for_a_child_holds_up_nobody() {
    // SAFETY: nothing here uses a thread-local on both sides of a wait.
    let rt = unsafe { marmot::Runtime::builder().max_procs(1).build_migrating() }.unwrap();
    rt.run(|| {
        let mut children: Vec<_> = (0..20)
            .map(|_| sh("cat").stdin(Stdio::piped()).spawn().unwrap())
            .collect();
        let ends: Vec<_> = children
            .iter_mut()
            .map(|c| c.stdin.take().unwrap())
            .collect();
        let waiting: Vec<_> = children
            .into_iter()
            .map(|mut child| marmot::go(move || child.wait().unwrap()))
            .collect();
        // All wait by now or soon; the only processor goes on.
        let begin = Instant::now();
        for _ in 0..1000 {
            marmot::yield_now();
        }
        assert!(begin.elapsed() < Duration::from_secs(20));
        drop(ends);
        for task in waiting {
            assert!(task.join().unwrap().success());
        }
    });
}

#[test]
fn the_builder_passes_everything_on() {
    let mut command = Command::new("env");
    command
        .env_clear()
        .env("ONE", "1")
        .envs([("TWO", "2"), ("THREE", "3")])
        .env_remove("THREE")
        .current_dir("/")
        .process_group(0);
    assert_eq!(command.get_program(), "env");
    assert_eq!(command.get_args().count(), 0);
    assert_eq!(
        command.get_current_dir().unwrap(),
        std::path::Path::new("/")
    );
    // After `env_clear` there is nothing left to take out.
    assert_eq!(command.get_envs().count(), 2);
    let output = command.output().unwrap();
    let mut lines: Vec<_> = output.stdout.lines().map(Result::unwrap).collect();
    lines.sort();
    assert_eq!(lines, ["ONE=1", "TWO=2"]);
    let output = sh("echo $0").arg0("another").output().unwrap();
    assert!(output.status.success());
    let error = Command::new("/no/such/program").exec();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
