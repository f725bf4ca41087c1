//! The sockets under the names that users know, beside channels and signals, in one program.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use marmot::net::unix::{SocketAddr, SocketAddrExt, UnixDatagram, UnixListener, UnixStream};
use marmot::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

/// Runs the body on a goroutine with one, two and four processors.
fn everywhere(body: impl Fn() + Send + Sync) {
    for procs in [1, 2, 4] {
        let builder = marmot::Runtime::builder().max_procs(procs);
        // SAFETY: nothing here uses a thread-local on both sides of a wait.
        let rt = unsafe { builder.build_migrating() }.unwrap();
        rt.run(&body);
    }
}

#[test]
fn each_kind_of_socket_parks_its_goroutine() {
    everywhere(|| {
        let name = format!("marmot-facade-{}-{:?}", std::process::id(), Instant::now());
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let local = UnixListener::bind_addr(&name).unwrap();
        let global = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = global.local_addr().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = udp.local_addr().unwrap();
        let (here, there) = UnixDatagram::pair().unwrap();
        let (results, all) = marmot::channel::unbounded();
        // Each waits for something that comes only when all of them wait, or soon will.
        let report = results.clone();
        marmot::go(move || report.send(local.accept().unwrap().0.read(&mut [0; 8]).unwrap()));
        let report = results.clone();
        marmot::go(move || report.send(global.accept().unwrap().0.read(&mut [0; 8]).unwrap()));
        let report = results.clone();
        marmot::go(move || report.send(udp.recv_from(&mut [0; 8]).unwrap().0));
        marmot::go(move || results.send(there.recv(&mut [0; 8]).unwrap()));
        here.send(b"1234").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"123", to).unwrap();
        TcpStream::connect(addr).unwrap().write_all(b"12").unwrap();
        UnixStream::connect_addr(&name)
            .unwrap()
            .write_all(b"1")
            .unwrap();
        let mut sizes: Vec<_> = all.iter().collect();
        sizes.sort();
        assert_eq!(sizes, [1, 2, 3, 4]);
    });
}

#[test]
fn a_signal_channel_ends_a_server() {
    everywhere(|| {
        let signals = marmot::signal::notify(&[marmot::signal::SIGHUP]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clone = listener.try_clone().unwrap();
        let server = marmot::go(move || clone.accept().map(drop).unwrap_err().kind());
        let kill = format!("kill -HUP {}", std::process::id());
        let status = marmot::process::Command::new("sh")
            .args(["-c", &kill])
            .status();
        assert!(status.unwrap().success());
        let signal = signals.recv_timeout(Duration::from_secs(30));
        assert_eq!(signal, Ok(marmot::signal::SIGHUP));
        listener.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!(server.join().unwrap(), marmot::io::ErrorKind::TimedOut);
    });
}
