//! A hello over HTTP/1.1, parsed by hand with `httparse`.

use crate::serve::Malformed;

/// The answer to `GET /`.
pub const HELLO: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";

/// The answer to anything else.
pub const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

const HEADERS: usize = 64;

/// Appends to `out` the answers to all requests that are whole in `input`, and returns how many
/// bytes of it they took. A request has no body.
///
/// # Errors
///
/// What is there is not HTTP, and the connection is to be closed.
///
/// ```
/// let mut out = Vec::new();
/// let used = marmot_peer::answer_http(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", &mut out);
/// assert_eq!(used, Ok(27));
/// assert_eq!(out, marmot_peer::HELLO);
/// ```
pub fn answer_http(input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
    let mut used = 0;
    while used < input.len() {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let head = request.parse_with_uninit_headers(&input[used..], &mut headers);
        let httparse::Status::Complete(length) = head.map_err(|_| Malformed)? else {
            break;
        };
        used += length;
        let hello = request.method == Some("GET") && request.path == Some("/");
        out.extend_from_slice(if hello { HELLO } else { NOT_FOUND });
    }
    Ok(used)
}
