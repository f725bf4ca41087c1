//! Servers of plain threads for the tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use marmot_load::{Plan, Workload};

/// Serves each connection by a function from what one read gave to what is written.
pub(crate) fn answer(
    mut make: impl FnMut(&[u8]) -> Option<Vec<u8>> + Clone + Send + 'static,
) -> SocketAddr {
    serve(move |mut stream| {
        let mut buffer = [0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            let Some(answer) = make(&buffer[..n]) else {
                return;
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

/// Serves each connection on a thread of its own, by a copy of `session`, until the process ends.
pub(crate) fn serve(session: impl FnMut(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, mut session) = (stream.unwrap(), session.clone());
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || session(stream));
        }
    });
    address
}

pub(crate) fn echo() -> SocketAddr {
    answer(|bytes| Some(bytes.to_vec()))
}

/// A plan of a few connections and a quarter of a second.
pub(crate) fn plan(address: SocketAddr, workload: Workload) -> Plan {
    let mut plan = Plan::new(address, workload);
    plan.connections = 4;
    plan.warm_up = Duration::from_millis(20);
    plan.window = Duration::from_millis(250);
    plan
}
