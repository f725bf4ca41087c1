//! A TCP echo server and its clients, in two processes, to count the server's system calls.
//!
//! ```text
//! cargo build --release -p marmot-netpoll --example echo_syscalls
//! strace -c -f -b execve target/release/examples/echo_syscalls 64 2000
//! ```
//!
//! The arguments are the number of connections and of requests on each. Prints requests per second.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use marmot_netpoll::{Poller, TcpListener, TcpStream};
use marmot_scheduler::{Config, Scheduler};

const PROCS: usize = 1;

fn scheduler() -> Scheduler {
    let poller = Arc::new(Poller::new().expect("descriptors are left"));
    let config = Config::from_env().and_then(|config| config.max_procs(PROCS));
    // SAFETY: nothing here uses a thread-local on both sides of a wait.
    unsafe { Scheduler::start_migrating(config.expect("in range"), poller) }
        .expect("a thread can be started")
}

fn serve(listener: &TcpListener, connections: usize) {
    let tasks: Vec<_> = listener
        .incoming()
        .take(connections)
        .map(|stream| {
            let mut stream = stream.expect("a connection");
            marmot_scheduler::go(move || {
                let mut buf = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut buf) {
                    stream.write_all(&buf[..n]).expect("the client is there");
                }
            })
        })
        .collect();
    for task in tasks {
        task.join().expect("no connection fails");
    }
}

fn request(addr: &str, connections: usize, requests: usize) {
    let streams: Vec<_> = (0..connections)
        .map(|_| TcpStream::connect(addr).expect("the server is there"))
        .collect();
    let begin = Instant::now();
    marmot_scheduler::scope(|s| {
        for mut stream in streams {
            s.spawn(move || {
                let mut buf = [7; 64];
                for _ in 0..requests {
                    stream.write_all(&buf).expect("the server is there");
                    stream.read_exact(&mut buf).expect("an echo");
                }
            });
        }
    });
    let rate = (connections * requests) as f64 / begin.elapsed().as_secs_f64();
    println!("{connections} connections, {requests} requests each: {rate:.0}/s");
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|a| a.parse().ok());
    let (connections, requests) = (number(0).unwrap_or(64), number(1).unwrap_or(2000));
    if let Some(addr) = args.get(2) {
        return scheduler()
            .handle()
            .run(|| request(addr, connections, requests));
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound").to_string();
    let mut client = Command::new("/proc/self/exe")
        .args([&connections.to_string(), &requests.to_string(), &addr])
        .stdin(Stdio::null())
        .spawn()
        .expect("the program is there");
    scheduler().handle().run(|| serve(&listener, connections));
    client.wait().expect("our child");
}
