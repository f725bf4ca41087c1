//! The head of a request: what is asked for, and where the request ends.

use std::mem::MaybeUninit;

use super::Status;

/// The most bytes that a head may have.
pub const MAX_HEAD: usize = 16 * 1024;
/// The most fields that a head may have.
pub const MAX_HEADERS: usize = 64;
/// The most bytes that the target may have.
pub const MAX_TARGET: usize = 4 * 1024;
/// The most bytes that the first line may have: the target, a method, a version, and some more, so that
/// what is wrong with those is found first.
pub(super) const MAX_LINE: usize = MAX_TARGET + 64;

/// What is done with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: the answer to a `GET`, without its body.
    Head,
    /// `POST`
    Post,
    /// A method that exists, but that nothing here allows.
    Other,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing is said of a body, so there is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A head that is complete and unambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// What is done.
    pub method: Method,
    /// The target up to its question mark; of a whole URI, without scheme and host.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// Whether this is HTTP/1.0.
    pub is_old: bool,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether the client wants the connection to stay open.
    pub keep_alive: bool,
    /// How many bytes the head has, with its empty line.
    pub len: usize,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Parsed<'a> {
    /// A head, and perhaps more.
    Complete(Head<'a>),
    /// The beginning of one.
    Partial,
    /// Nothing that could become one: the answer, after which the connection is closed.
    Refused(Status),
}

/// Parses the beginning of `input`, which holds at most [`MAX_HEAD`] bytes.
///
/// ```
/// use marmot_examples::http::{Head, Method, Parsed};
///
/// let Parsed::Complete(head) = Head::parse(b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n") else {
///     panic!("a whole head");
/// };
/// assert_eq!((head.method, head.path, head.query), (Method::Get, "/a", Some("b")));
/// assert_eq!(Head::parse(b"GET /a"), Parsed::Partial);
/// ```
impl<'a> Head<'a> {
    /// Parses the beginning of `input`.
    pub fn parse(input: &'a [u8]) -> Parsed<'a> {
        match Self::try_parse(input) {
            Ok(Some(head)) => Parsed::Complete(head),
            Ok(None) => Parsed::Partial,
            Err(status) => Parsed::Refused(status),
        }
    }

    fn try_parse(input: &'a [u8]) -> Result<Option<Head<'a>>, Status> {
        let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        // Of a line that is too long, only what would fit: the verdict must not depend on how much
        // more of it is there already.
        let line_end = end_of_long_line(input);
        let parsed = &input[..line_end.unwrap_or(input.len())];
        let len = match request.parse_with_uninit_headers(parsed, &mut room) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if line_end.is_some() => {
                return Err(Status::UriTooLong);
            }
            Ok(httparse::Status::Partial) => return partial(input).map(|()| None),
            Err(error) => {
                // As if the line feed were the last byte: what follows may not be there yet.
                return match first_bare_line_feed(parsed) {
                    Some(at) if is_good_so_far(&parsed[..=at]) => Err(Status::BadRequest),
                    _ => refusal(error, input, line_end.is_some()).map_or(Ok(None), Err),
                };
            }
        };
        if first_bare_line_feed(&input[..len]).is_some() {
            return Err(Status::BadRequest);
        }
        // A complete request has all three.
        let target = request.path.ok_or(Status::BadRequest)?;
        let method = method(request.method.ok_or(Status::BadRequest)?)?;
        let is_old = request.version == Some(0);
        if target.len() > MAX_TARGET {
            return Err(Status::UriTooLong);
        }
        let fields = Fields::read(request.headers, is_old)?;
        let (path, query) = split(target)?;
        Ok(Some(Head {
            method,
            path,
            query,
            is_old,
            framing: fields.framing,
            expects_continue: fields.expects_continue,
            keep_alive: fields.keep_alive,
            len,
        }))
    }
}

/// What of the fields concerns the server itself.
struct Fields {
    framing: Framing,
    expects_continue: bool,
    keep_alive: bool,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>], is_old: bool) -> Result<Fields, Status> {
        let (mut length, mut coding, mut hosts) = (None, None, 0);
        let (mut is_ambiguous, mut expects_continue) = (false, false);
        let (mut close, mut keep) = (false, false);
        for header in headers {
            let (name, value) = (header.name, header.value.trim_ascii());
            // By length first: most fields are none of these.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => hosts += 1,
                6 if name.eq_ignore_ascii_case("expect") => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Status::ExpectationFailed);
                    }
                    expects_continue = !is_old;
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for token in value.split(|&b| b == b',') {
                        close |= token.trim_ascii().eq_ignore_ascii_case(b"close");
                        keep |= token.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    is_ambiguous |= length.replace(content_length(value)?).is_some();
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    is_ambiguous |= coding.replace(value).is_some();
                }
                _ => {}
            }
        }
        if is_ambiguous || hosts > 1 || (hosts == 0 && !is_old) {
            return Err(Status::BadRequest);
        }
        let framing = match (length, coding) {
            (Some(_), Some(_)) => return Err(Status::BadRequest),
            (_, Some(_)) if is_old => return Err(Status::BadRequest),
            (_, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (_, Some(_)) => return Err(Status::NotImplemented),
            (Some(length), None) => Framing::Length(length),
            (None, None) => Framing::None,
        };
        Ok(Fields {
            framing,
            expects_continue: expects_continue && framing != Framing::None,
            keep_alive: !close && (keep || !is_old),
        })
    }
}

/// Digits only: no sign, no list, no blank.
fn content_length(value: &[u8]) -> Result<u64, Status> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    match text.ok_or(Status::BadRequest)?.parse() {
        Ok(length) => Ok(length),
        // Digits, but more than a number holds.
        Err(_) => Err(Status::ContentTooLarge),
    }
}

fn method(name: &str) -> Result<Method, Status> {
    match name {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" | "CONNECT" => Ok(Method::Other),
        _ => Err(Status::NotImplemented),
    }
}

/// Path and query of a target: `/path?query`, `http://host/path?query`, `*` or `host:port`.
fn split(target: &str) -> Result<(&str, Option<&str>), Status> {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if !target.starts_with('/') && !scheme.contains('?') => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            match &rest[end..] {
                "" => "/",
                local => local,
            }
        }
        _ => target,
    };
    if local.contains('#') {
        return Err(Status::BadRequest);
    }
    Ok(match local.split_once('?') {
        Some(("", query)) => ("/", Some(query)),
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    })
}

/// Where a first line that is too long has to be cut.
fn end_of_long_line(input: &[u8]) -> Option<usize> {
    if input.len() <= MAX_LINE {
        return None;
    }
    let blank = input.len() - input.trim_ascii_start().len();
    let line = &input[blank..];
    let is_long = line.len() > MAX_LINE && !line[..MAX_LINE].contains(&b'\n');
    is_long.then_some(blank + MAX_LINE)
}

/// Whether what is there of a head may still become a good one.
fn partial(input: &[u8]) -> Result<(), Status> {
    if first_bare_line_feed(input).is_some() {
        return Err(Status::BadRequest);
    }
    if input.len() >= MAX_HEAD {
        return Err(Status::FieldsTooLarge);
    }
    Ok(())
}

/// Where a line feed ends a line alone. It never may.
fn first_bare_line_feed(head: &[u8]) -> Option<usize> {
    let mut before = 0;
    for (at, &byte) in head.iter().enumerate() {
        if byte == b'\n' && before != b'\r' {
            return Some(at);
        }
        before = byte;
    }
    None
}

fn is_good_so_far(head: &[u8]) -> bool {
    let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    request.parse_with_uninit_headers(head, &mut room).is_ok()
}

/// What an error of parsing is answered with; nothing, if that can be told only when more is there.
fn refusal(error: httparse::Error, input: &[u8], is_long: bool) -> Option<Status> {
    match error {
        httparse::Error::TooManyHeaders => Some(Status::FieldsTooLarge),
        httparse::Error::Version if is_long => Some(Status::UriTooLong),
        httparse::Error::Version => match has_other_version(input) {
            None => partial(input).err(),
            Some(true) => Some(Status::VersionNotSupported),
            Some(false) => Some(Status::BadRequest),
        },
        _ => Some(Status::BadRequest),
    }
}

/// Whether the first line is one of another version of HTTP, once the line is there.
fn has_other_version(input: &[u8]) -> Option<bool> {
    let input = input.trim_ascii_start();
    let end = input.iter().position(|&b| b == b'\n')?;
    let mut words = input[..end].trim_ascii_end().split(|&b| b == b' ');
    let version = words.nth(2);
    let is_version = matches!(
        version,
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
    );
    Some(is_version && words.next().is_none())
}
