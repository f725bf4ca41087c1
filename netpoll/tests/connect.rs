//! Connecting, and storms of it.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use common::{everywhere, spawn, within_a_minute};
use marmot_netpoll::{TcpListener, TcpStream};

/// An address where nobody listens.
fn dead_end() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn refused() {
    everywhere(|| {
        let error = TcpStream::connect(dead_end()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect_timeout(&dead_end(), Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn all_addresses_are_tried() {
    everywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let stream = TcpStream::connect(&[dead_end(), addr][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let none: &[SocketAddr] = &[];
        let error = TcpStream::connect(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_timeout_of_zero_is_an_error() {
    let error = TcpStream::connect_timeout(&dead_end(), Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_listener_that_is_full_lets_connects_time_out() {
    everywhere(|| {
        // A backlog of one, which the kernel takes as two; further connects get no answer.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(1).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut open = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(50)) {
                Ok(stream) => open.push(stream),
                Err(error) => break error,
            }
            assert!(open.len() < 100, "the backlog is never full");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn storm() {
    const TASKS: usize = 20;
    const EACH: usize = 25;
    within_a_minute(|| {
        everywhere(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let server = spawn(move || {
                for stream in listener.incoming().take(TASKS * EACH) {
                    let mut stream = stream.unwrap();
                    spawn(move || {
                        let mut byte = [0; 1];
                        stream.read_exact(&mut byte).unwrap();
                        stream.write_all(&byte).unwrap();
                    });
                }
            });
            let clients: Vec<_> = (0..TASKS)
                .map(|task| {
                    spawn(move || {
                        for _ in 0..EACH {
                            let mut stream = TcpStream::connect(addr).unwrap();
                            stream.write_all(&[task as u8]).unwrap();
                            let mut echo = [0; 2];
                            assert_eq!(stream.read(&mut echo).unwrap(), 1);
                            assert_eq!(echo[0], task as u8);
                            assert_eq!(stream.read(&mut echo).unwrap(), 0);
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join());
            server.join();
        });
    });
}
