//! Standard input: a pipe parks the goroutine, a file is read, and a closed one is at its end.
//!
//! Each test runs in a process of its own, whose input it decides.

use std::io::{BufRead, Read, Write};
use std::process::{Command, Stdio};

const CHILD: &str = "MARMOT_STDIN_TEST_CHILD";

/// Runs the body in a process of its own, with that input; `feed` writes to it if it is a pipe.
fn child(
    test: &str,
    input: Stdio,
    feed: impl FnOnce(std::process::ChildStdin),
    body: impl FnOnce(),
) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(end) = child.stdin.take() {
        feed(end);
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
}

/// A runtime with one processor.
fn run<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: nothing here uses a thread-local on both sides of a wait.
    let rt = unsafe { marmot::Runtime::builder().max_procs(1).build_migrating() }.unwrap();
    rt.run(f)
}

#[test]
fn a_pipe_parks_the_goroutine() {
    let feed = |mut end: std::process::ChildStdin| {
        end.write_all(b"first\nsec").unwrap();
        end.write_all(b"ond\nthe rest").unwrap();
    };
    child("a_pipe_parks_the_goroutine", Stdio::piped(), feed, || {
        run(|| {
            let reading = marmot::go(|| {
                let stdin = marmot::io::stdin();
                let mut line = String::new();
                stdin.read_line(&mut line).unwrap();
                assert_eq!(line, "first\n");
                let mut lock = stdin.lock();
                line.clear();
                lock.read_line(&mut line).unwrap();
                assert_eq!(line, "second\n");
                lock
            });
            // Another one waits for the lock, and a thread reads what is left.
            let mut lock = reading.join().unwrap();
            let waiting = std::thread::spawn(|| {
                let mut rest = String::new();
                marmot::io::stdin().read_to_string(&mut rest).unwrap();
                rest
            });
            let mut byte = [0; 1];
            lock.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"t");
            drop(lock);
            let rest = marmot::blocking(|| waiting.join()).unwrap();
            assert_eq!(rest, "he rest");
            assert_eq!(
                marmot::io::stdin().read_line(&mut String::new()).unwrap(),
                0
            );
            assert!(!marmot::io::stdin().is_terminal());
        });
    });
}

#[test]
fn others_run_while_nothing_comes() {
    let feed = |mut end: std::process::ChildStdin| {
        // The child says nothing before it has yielded a while; the pipe is empty until then.
        std::thread::sleep(std::time::Duration::from_millis(50));
        end.write_all(b"now\n").unwrap();
    };
    child(
        "others_run_while_nothing_comes",
        Stdio::piped(),
        feed,
        || {
            run(|| {
                let reading = marmot::go(|| marmot::io::stdin().lines().next().unwrap().unwrap());
                for _ in 0..100 {
                    marmot::yield_now();
                }
                assert_eq!(reading.join().unwrap(), "now");
            });
        },
    );
}

#[test]
fn a_file_and_nothing() {
    let path = std::env::temp_dir().join(format!("marmot-stdin-{}", std::process::id()));
    if std::env::var_os(CHILD).is_none() {
        std::fs::write(&path, "from\na file\n").unwrap();
    }
    let input = match std::fs::File::open(&path) {
        Ok(file) => Stdio::from(file),
        Err(_) => Stdio::null(), // in the child, where it does not matter
    };
    child(
        "a_file_and_nothing",
        input,
        |_| (),
        || {
            run(|| {
                let lines: Vec<_> = marmot::io::stdin().lines().map(Result::unwrap).collect();
                assert_eq!(lines, ["from", "a file"]);
            });
        },
    );
    let _ = std::fs::remove_file(&path);
}

#[test]
fn an_empty_device() {
    child(
        "an_empty_device",
        Stdio::null(),
        |_| (),
        || {
            run(|| assert_eq!(marmot::io::stdin().read(&mut [0; 8]).unwrap(), 0));
            assert_eq!(
                marmot::io::stdin().read(&mut [0; 8]).unwrap(),
                0,
                "on a thread"
            );
        },
    );
}

#[test]
fn pipes_between_goroutines() {
    run(|| {
        let (mut reader, mut writer) = marmot::io::pipe().unwrap();
        let writing = marmot::go(move || {
            for i in 0..200_000u32 {
                writer.write_all(&i.to_be_bytes()).unwrap();
            }
        });
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        writing.join().unwrap();
        assert_eq!(bytes.len(), 800_000);
        // A deadline in the past ends a read that waits.
        let (reader, _writer) = marmot::io::pipe().unwrap();
        let clone = reader.try_clone().unwrap();
        let reading = marmot::go(move || (&clone).read(&mut [0; 8]).unwrap_err().kind());
        marmot::yield_now();
        reader
            .set_deadline(Some(std::time::Instant::now()))
            .unwrap();
        assert_eq!(reading.join().unwrap(), std::io::ErrorKind::TimedOut);
    });
}
