//! The HTTP server on hyper.

use std::convert::Infallible;
use std::io;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use marmot_peer::Service;

use crate::servers::accept;

/// HTTP/1.1 alone, answers to pipelined requests written together, no timeout for heads (there is
/// none elsewhere), no upgrades.
pub(crate) fn http(service: &Service) -> io::Result<()> {
    let mut builder = http1::Builder::new();
    builder
        .pipeline_flush(true)
        .half_close(false)
        .max_buf_size(8 * 1024);
    accept(service, move |stream| {
        let connection = builder.serve_connection(TokioIo::new(stream), service_fn(hello));
        async move {
            // What a client did wrong ends its connection, and is nobody else's concern.
            connection.await.ok();
        }
    })
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET || request.uri().path() != "/" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, world!")));
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}
