//! The servers, each connection a coroutine that reads, answers and writes.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::Arc;

use marmot_peer::{BUFFER, Service, Store, announce, answer_http, converse, listen};
use may::go;
use may::net::{TcpListener, TcpStream};
use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};
use socket2::{Domain, SockRef, Socket, Type};

use crate::run::{configure, run};

/// Accepts for ever in a coroutine, and spawns `serve` for each connection.
fn accept(service: &Service, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<()> {
    let listener = listen(service.addr)?;
    announce(listener.local_addr()?)?;
    run(service.procs, move || {
        // May's `bind` listens with a backlog of its own choice.
        // SAFETY: the descriptor is a listening socket's, and nobody else has it any more.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let (stream, _) = listener.accept()?;
            if stream.set_nodelay(true).is_ok() {
                let serve = serve.clone();
                go!(move || serve(stream));
            }
        }
    })
}

pub(crate) fn echo(service: &Service) -> io::Result<()> {
    accept(service, |mut stream| {
        let mut buffer = vec![0; BUFFER];
        while let Ok(received @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..received]).is_err() {
                break;
            }
        }
    })
}

/// With a parser by hand, as tokio's `serve-http` has it.
pub(crate) fn http(service: &Service) -> io::Result<()> {
    accept(service, |stream| converse(stream, answer_http))
}

pub(crate) fn kv(service: &Service) -> io::Result<()> {
    let store = Arc::new(Store::default());
    accept(service, move |stream| {
        converse(stream, |input: &[u8], out: &mut Vec<u8>| {
            store.answer(input, out)
        });
    })
}

/// Answers on `may_minihttp`, with a service for each connection as its fastest examples have it.
///
/// It binds by itself and does not tell the port, so that a socket that only is bound keeps one for
/// it; and its backlog is 1024.
pub(crate) fn minihttp(service: &Service) -> io::Result<()> {
    let kept = bind_only(service.addr)?;
    let addr = kept
        .local_addr()?
        .as_socket()
        .expect("it is an Internet address");
    configure(service.procs);
    let server = Hellos.start(addr)?;
    announce(addr)?;
    server
        .join()
        .map_err(|_| io::Error::other("the server panicked"))
}

/// A socket that has the address, and shares it with one that listens.
fn bind_only(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

struct Hellos;

impl HttpServiceFactory for Hellos {
    type Service = Hello;

    /// `id` is the descriptor of the connection, for which `may_minihttp` sets no option.
    fn new_service(&self, id: usize) -> Hello {
        let fd = RawFd::try_from(id).expect("it is a descriptor");
        // SAFETY: the server keeps the connection open while it asks for its service.
        let stream = unsafe { BorrowedFd::borrow_raw(fd) };
        // A connection that is gone already ends at its first read.
        SockRef::from(&stream).set_tcp_nodelay(true).ok();
        Hello
    }
}

struct Hello;

impl HttpService for Hello {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        if request.method() == "GET" && request.path() == "/" {
            response
                .header("Content-Type: text/plain")
                .body("Hello, world!");
        } else {
            response.status_code(404, "Not Found");
        }
        Ok(())
    }
}
