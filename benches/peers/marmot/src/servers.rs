//! The servers, each connection a goroutine that reads, answers and writes.

use std::io::{self, Read, Write};
use std::sync::Arc;

use marmot::net::{TcpListener, TcpStream};
use marmot::{Runtime, go};
use marmot_peer::{BUFFER, Service, Store, announce, answer_http, converse, listen};

/// Accepts for ever in a goroutine, and spawns `serve` for each connection.
fn accept(service: &Service, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<()> {
    let listener = listen(service.addr)?;
    announce(listener.local_addr()?)?;
    let builder = Runtime::builder().max_procs(service.procs);
    // SAFETY: the servers read, write and lock a map, and use no thread-local.
    let runtime = unsafe { builder.build_migrating() }?;
    runtime.run(move || {
        // A mode of its own, as std's sockets have: to a goroutine it is to be one that waits.
        listener.set_nonblocking(false)?;
        let listener = TcpListener::from(listener);
        loop {
            let (stream, _) = listener.accept()?;
            if stream.set_nodelay(true).is_ok() {
                let serve = serve.clone();
                go(move || serve(stream));
            }
        }
    })
}

pub(crate) fn echo(service: &Service) -> io::Result<()> {
    accept(service, |mut stream| {
        let mut buffer = [0; BUFFER];
        while let Ok(received @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..received]).is_err() {
                break;
            }
        }
    })
}

/// With a parser by hand, as tokio's and may's `serve-http` have it.
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
