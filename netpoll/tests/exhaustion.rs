//! What happens when the process is out of descriptors. In a process of its own, with a low limit.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{everywhere, spawn, within_a_minute};
use marmot_netpoll::{TcpListener, TcpStream};

const CHILD: &str = "MARMOT_NETPOLL_TEST_CHILD";

fn in_a_process_of_its_own(test: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn limit_descriptors(n: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: n,
        rlim_max: n,
    };
    // SAFETY: the structure is valid for reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// Opens files until there are no descriptors left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn accept_waits_for_descriptors_and_goes_on() {
    in_a_process_of_its_own("accept_waits_for_descriptors_and_goes_on", || {
        limit_descriptors(128);
        within_a_minute(|| {
            everywhere(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                let mut client = TcpStream::connect(addr).unwrap();
                client.write_all(b"x").unwrap();
                let taken = take_all();
                let accepting = spawn(move || {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.read(&mut [0; 8]).unwrap()
                });
                // Long enough for some of its pauses; this is the load, not a synchronisation.
                let (begin, cpu) = (Instant::now(), cpu_time());
                marmot_scheduler::goroutine::sleep(Duration::from_millis(100));
                let used = cpu_time() - cpu;
                assert!(used < begin.elapsed() / 2, "it spins: {used:?}");
                drop(taken);
                assert_eq!(accepting.join(), 1);
            });
        });
    });
}

#[test]
fn connect_and_clones_say_so() {
    in_a_process_of_its_own("connect_and_clones_say_so", || {
        limit_descriptors(128);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let taken = take_all();
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        let error = TcpListener::bind("127.0.0.1:0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        let error = marmot_netpoll::Poller::new().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        // A clone takes none; and a thread that has no bell still waits.
        let clone = listener.try_clone().unwrap();
        let at = Instant::now() + Duration::from_millis(70);
        clone.set_deadline(Some(at)).unwrap();
        let error = clone.accept().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(taken);
    });
}

#[test]
fn a_server_lives_through_a_limit_of_64() {
    // A client on a thread takes two descriptors, its socket and what it waits by, and keeps both
    // until it is served: twice as many must leave room for the server, or nobody goes on. On
    // goroutines, where a socket is all, some files make up for it, so that the limit is met.
    const CLIENTS: usize = 26;
    const FILES: usize = 4;
    const ROUNDS: usize = 3;
    in_a_process_of_its_own("a_server_lives_through_a_limit_of_64", || {
        limit_descriptors(64);
        within_a_minute(|| {
            let files: Vec<_> = (0..FILES)
                .map(|_| File::open("/dev/null").unwrap())
                .collect();
            everywhere(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                for _ in 0..ROUNDS {
                    let streams: Vec<_> = (0..CLIENTS).map(|_| connect(addr)).collect();
                    // The server holds on to each of its ends until it has a byte, and threads that
                    // wait have descriptors of their own: together it is more than there are.
                    let listener = listener.try_clone().unwrap();
                    let server = spawn(move || {
                        for stream in listener.incoming().take(CLIENTS) {
                            let mut stream = stream.unwrap();
                            spawn(move || {
                                let mut byte = [0; 1];
                                stream.read_exact(&mut byte).unwrap();
                                stream.write_all(&byte).unwrap();
                            });
                        }
                    });
                    let clients: Vec<_> = streams
                        .into_iter()
                        .map(|mut stream| {
                            spawn(move || {
                                stream.write_all(b"x").unwrap();
                                stream.read_exact(&mut [0; 1]).unwrap();
                            })
                        })
                        .collect();
                    clients.into_iter().for_each(|client| client.join());
                    server.join();
                }
            });
            drop(files);
        });
    });
}

/// A connection, as soon as there is a descriptor for it.
fn connect(addr: std::net::SocketAddr) -> TcpStream {
    for _ in 0..10_000 {
        match TcpStream::connect(addr) {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
        }
        marmot_scheduler::goroutine::sleep(Duration::from_millis(1));
    }
    panic!("no descriptor comes free");
}

#[test]
fn a_pausing_accept_goes_by_a_deadline_that_is_moved() {
    in_a_process_of_its_own("a_pausing_accept_goes_by_a_deadline_that_is_moved", || {
        limit_descriptors(128);
        within_a_minute(|| {
            // Threads and pollers of a former setting may still give descriptors back: then again.
            everywhere(|| assert!((0..100).any(|_| deadline_ends_a_pause())));
        });
    });
}

/// False if there was a descriptor after all, so that nothing had to pause.
fn deadline_ends_a_pause() -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // Where each task has its bell already, none is missing.
    let _taken = take_all();
    listener.set_nonblocking(true).unwrap();
    let Err(error) = listener.accept() else {
        return false;
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    listener.set_nonblocking(false).unwrap();
    let clone = listener.try_clone().unwrap();
    let accepting = spawn(move || clone.accept().map_err(|error| error.kind()).map(drop));
    marmot_scheduler::goroutine::sleep(Duration::from_millis(30));
    listener.set_deadline(Some(Instant::now())).unwrap();
    match accepting.join() {
        Ok(()) => false,
        Err(kind) => {
            assert_eq!(kind, std::io::ErrorKind::TimedOut);
            true
        }
    }
}
