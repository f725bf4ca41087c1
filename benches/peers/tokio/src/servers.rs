//! The servers, each connection a task that reads, answers and writes.

use std::future::Future;
use std::io;
use std::sync::Arc;

use marmot_peer::{BUFFER, Input, Malformed, Service, Store, announce, answer_http, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn;

use crate::run;

/// Accepts for ever in a task, and spawns what `serve` makes of each connection.
pub(crate) fn accept<F>(
    service: &Service,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listen(service.addr)?;
    announce(listener.local_addr()?)?;
    run::run(service.procs, async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            if stream.set_nodelay(true).is_ok() {
                spawn(serve(stream));
            }
        }
    })
}

pub(crate) fn echo(service: &Service) -> io::Result<()> {
    accept(service, |mut stream| async move {
        let mut buffer = vec![0; BUFFER];
        while let Ok(received @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..received]).await.is_err() {
                break;
            }
        }
    })
}

/// With a parser by hand, and answers that are ready: the least that HTTP takes in tokio.
pub(crate) fn http(service: &Service) -> io::Result<()> {
    accept(service, |stream| converse(stream, answer_http))
}

pub(crate) fn kv(service: &Service) -> io::Result<()> {
    let store = Arc::new(Store::default());
    accept(service, move |stream| {
        let store = store.clone();
        converse(stream, move |input: &[u8], out: &mut Vec<u8>| {
            store.answer(input, out)
        })
    })
}

/// Reads, appends the answers to all that is whole, and writes them together.
async fn converse(
    mut stream: TcpStream,
    answer: impl Fn(&[u8], &mut Vec<u8>) -> Result<usize, Malformed>,
) {
    let mut input = Input::default();
    let mut out = Vec::with_capacity(BUFFER);
    while let Ok(received @ 1..) = stream.read(input.space()).await {
        let Ok(used) = answer(input.received(received), &mut out) else {
            break;
        };
        input.consume(used);
        if !out.is_empty() && stream.write_all(&out).await.is_err() {
            break;
        }
        out.clear();
    }
}
