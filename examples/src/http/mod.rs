//! An HTTP/1.1 server in blocking style, on any stream of bytes.
//!
//! [`serve`] reads requests from a [`Peer`] and writes the answers of a [`Site`], until one of the two
//! wants no more. It looks like the loop one would write for a thread per connection: read, parse,
//! answer, write. A goroutine per connection makes that affordable.
//!
//! - `request.rs`: the head of a request, parsed by `httparse`, and how its body is framed.
//! - `chunked.rs`: a body in chunks.
//! - `response.rs`, `date.rs`: the head of an answer.
//! - `site.rs`: what there is to ask for. `counts.rs`: what is counted.
//! - `input.rs`: the room for input. `session.rs`: the loop.
//!
//! # Limits
//!
//! A head has at most [`MAX_HEAD`] bytes and [`MAX_HEADERS`] fields, its target [`MAX_TARGET`]; a body
//! has at most what the site says. From its first byte on, a request has to be complete within the
//! peer's timeout. What a client may make the server hold is bounded by these, and the bodies of all
//! clients together by a semaphore of the site.
//!
//! # Framing
//!
//! Where one request ends and the next begins must never be a matter of opinion, or a proxy in front
//! can be made to see other requests than the server does. So what is ambiguous is refused, and the
//! connection closed: a `Content-Length` beside a `Transfer-Encoding`, or twice, or not plain digits;
//! a coding that is not exactly `chunked`, or in HTTP/1.0; lines that end without a carriage return;
//! no `Host`, or two.

mod chunked;
mod counts;
mod date;
mod input;
mod request;
mod response;
mod session;
mod site;

pub use self::chunked::{Chunked, Malformed};
pub use self::counts::Counts;
pub use self::date::http_date;
pub use self::request::{Framing, Head, MAX_HEAD, MAX_HEADERS, MAX_TARGET, Method, Parsed};
pub use self::response::Status;
pub use self::session::{Peer, serve};
pub use self::site::Site;
