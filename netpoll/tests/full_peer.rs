//! Where the kernel gives no event for the room that comes, tasks wait nevertheless, and do not spin.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Task, everywhere, spawn, within_a_minute};
use marmot_netpoll::unix::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use marmot_scheduler::goroutine::sleep;

fn name() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from_abstract_name(format!("marmot-full-{}-{n}", std::process::id())).unwrap()
}

/// Processor time of the whole process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A listener whose queue is of the least length, with that many connections in it.
fn fulllistener() -> (UnixListener, SocketAddr, Vec<UnixStream>) {
    let addr = name();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    socket2::SockRef::from(&listener).listen(1).unwrap();
    let probe = |open: usize| {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let path = [&[0][..], addr.as_abstract_name().unwrap()].concat();
        let path = String::from_utf8(path).unwrap();
        assert!(open < 100, "the queue is never full");
        let connected = socket.connect(&socket2::SockAddr::unix(path).unwrap());
        connected.map(|()| UnixStream::from(std::os::fd::OwnedFd::from(socket)))
    };
    let mut open = Vec::new();
    loop {
        match probe(open.len()) {
            Ok(stream) => open.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener, addr, open);
            }
        }
    }
}

#[test]
fn connects_wait_for_room_in_thelistener() {
    const TASKS: usize = 20;
    within_a_minute(|| {
        everywhere(|| {
            let (listener, addr, open) = fulllistener();
            let tasks: Vec<Task<()>> = (0..TASKS)
                .map(|_| {
                    let addr = addr.clone();
                    spawn(move || {
                        let mut stream = UnixStream::connect_addr(&addr).unwrap();
                        stream.read_exact(&mut [0; 1]).unwrap();
                    })
                })
                .collect();
            // Somebody else goes on meanwhile, on the only processor.
            spawn(|| ()).join();
            for stream in listener.incoming().take(open.len() + TASKS) {
                stream.unwrap().write_all(b"!").unwrap();
            }
            tasks.into_iter().for_each(|task| task.join());
        });
    });
}

/// A receiver whose queue is full.
fn full_receiver() -> (UnixDatagram, SocketAddr) {
    let addr = name();
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    for _ in 0..100_000 {
        if let Err(error) = filler.send_to_addr(b"fill", &addr) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            return (receiver, addr);
        }
    }
    panic!("the queue is never full");
}

/// Receives until `message` has come `times`.
fn drain(receiver: &UnixDatagram, message: &[u8], times: usize) {
    let mut found = 0;
    while found < times {
        let mut buf = [0; 16];
        let n = receiver.recv(&mut buf).unwrap();
        found += usize::from(&buf[..n] == message);
    }
}

#[test]
fn sends_wait_for_room_in_the_receiver() {
    const TASKS: usize = 8;
    const EACH: usize = 50;
    within_a_minute(|| {
        everywhere(|| {
            for connected in [false, true] {
                let (receiver, addr) = full_receiver();
                let sender = Arc::new(UnixDatagram::unbound().unwrap());
                if connected {
                    sender.connect_addr(&addr).unwrap();
                }
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let (sender, addr) = (sender.clone(), addr.clone());
                        spawn(move || {
                            for _ in 0..EACH {
                                let n = match connected {
                                    true => sender.send(b"message"),
                                    false => sender.send_to_addr(b"message", &addr),
                                };
                                assert_eq!(n.unwrap(), 7);
                            }
                        })
                    })
                    .collect();
                spawn(|| ()).join();
                drain(&receiver, b"message", TASKS * EACH);
                tasks.into_iter().for_each(|task| task.join());
            }
        });
    });
}

#[test]
fn senders_of_several_sockets_share_a_full_receiver() {
    const TASKS: usize = 8;
    const EACH: usize = 50;
    within_a_minute(|| {
        everywhere(|| {
            let (receiver, addr) = full_receiver();
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let sender = UnixDatagram::unbound().unwrap();
                    sender.connect_addr(&addr).unwrap();
                    spawn(move || {
                        for _ in 0..EACH {
                            assert_eq!(sender.send(b"message").unwrap(), 7);
                        }
                    })
                })
                .collect();
            drain(&receiver, b"message", TASKS * EACH);
            tasks.into_iter().for_each(|task| task.join());
        });
    });
}

#[test]
fn the_end_of_the_receiver_ends_the_wait() {
    within_a_minute(|| {
        everywhere(|| {
            for connected in [false, true] {
                let (receiver, addr) = full_receiver();
                let sender = UnixDatagram::unbound().unwrap();
                if connected {
                    sender.connect_addr(&addr).unwrap();
                }
                let sending = spawn(move || match connected {
                    true => sender.send(b"x").unwrap_err().kind(),
                    false => sender.send_to_addr(b"x", &addr).unwrap_err().kind(),
                });
                spawn(|| ()).join();
                drop(receiver);
                assert_eq!(sending.join(), ErrorKind::ConnectionRefused);
            }
        });
    });
}

#[test]
fn limits_end_the_wait() {
    within_a_minute(|| {
        everywhere(|| {
            let (_receiver, addr) = full_receiver();
            let sender = UnixDatagram::unbound().unwrap();
            let short = Duration::from_millis(5);
            sender.set_write_timeout(Some(short)).unwrap();
            let begin = Instant::now();
            let error = sender.send_to_addr(b"x", &addr).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(begin.elapsed() >= short);
            sender.set_write_timeout(None).unwrap();
            sender
                .set_write_deadline(Some(Instant::now() + short))
                .unwrap();
            let error = sender.send_to_addr(b"x", &addr).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            // And one that is moved while the call waits.
            sender.set_deadline(None).unwrap();
            for connected in [false, true] {
                let clone = sender.try_clone().unwrap();
                let addr = addr.clone();
                if connected {
                    clone.connect_addr(&addr).unwrap();
                }
                let sending = spawn(move || match connected {
                    true => clone.send(b"x").unwrap_err().kind(),
                    false => clone.send_to_addr(b"x", &addr).unwrap_err().kind(),
                });
                spawn(|| ()).join();
                sender.set_deadline(Some(Instant::now())).unwrap();
                assert_eq!(sending.join(), ErrorKind::TimedOut);
                sender.set_deadline(None).unwrap();
            }
        });
    });
}

/// Alone in a process of its own, for the processor time of the others would count.
#[test]
fn nobody_spins() {
    const CHILD: &str = "MARMOT_NETPOLL_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nobody_spins", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        return;
    }
    everywhere(|| {
        let (_receiver, addr) = full_receiver();
        let (listener, place, _open) = fulllistener();
        let sender = UnixDatagram::unbound().unwrap();
        let waiting = {
            let (sender, addr) = (sender.try_clone().unwrap(), addr.clone());
            spawn(move || sender.send_to_addr(b"x", &addr).unwrap_err().kind())
        };
        let partner = UnixDatagram::unbound().unwrap();
        partner.connect_addr(&addr).unwrap();
        let sending = {
            let partner = partner.try_clone().unwrap();
            spawn(move || partner.send(b"x").unwrap_err().kind())
        };
        let connecting = spawn(move || UnixStream::connect_addr(&place).unwrap_err().kind());
        // This is the load, not a synchronisation.
        let (begin, cpu) = (Instant::now(), cpu_time());
        sleep(Duration::from_millis(200));
        let used = cpu_time() - cpu;
        assert!(used < begin.elapsed() / 4, "it spins: {used:?}");
        sender.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!(waiting.join(), ErrorKind::TimedOut);
        partner.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!(sending.join(), ErrorKind::TimedOut);
        drop(listener);
        let kind = connecting.join();
        assert_eq!(kind, ErrorKind::ConnectionRefused);
    });
}
