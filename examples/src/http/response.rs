//! The head of an answer.

/// The statuses that there are, in the order of [`Status::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400: the request is malformed, or its framing ambiguous.
    BadRequest,
    /// 404
    NotFound,
    /// 405: not with this method.
    MethodNotAllowed,
    /// 408: the request was not complete in time.
    RequestTimeout,
    /// 411: a body is wanted, and its length is not said.
    LengthRequired,
    /// 413: the body is too long.
    ContentTooLarge,
    /// 414: the target is too long.
    UriTooLong,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed,
    /// 431: the head is too long.
    FieldsTooLarge,
    /// 501: a method or a transfer coding that is not known.
    NotImplemented,
    /// 503: no room for the body, or the server stops.
    Unavailable,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 13] = [
        Status::Ok,
        Status::BadRequest,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::RequestTimeout,
        Status::LengthRequired,
        Status::ContentTooLarge,
        Status::UriTooLong,
        Status::ExpectationFailed,
        Status::FieldsTooLarge,
        Status::NotImplemented,
        Status::Unavailable,
        Status::VersionNotSupported,
    ];

    /// The number and the reason, as a status line has them.
    pub fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::LengthRequired => "411 Length Required",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UriTooLong => "414 URI Too Long",
            Status::ExpectationFailed => "417 Expectation Failed",
            Status::FieldsTooLarge => "431 Request Header Fields Too Large",
            Status::NotImplemented => "501 Not Implemented",
            Status::Unavailable => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// What is said of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing: it stays, as it does in HTTP/1.1.
    Stays,
    /// It stays, though this is HTTP/1.0.
    KeepAlive,
    /// It is closed after this answer.
    Close,
}

/// The parts of a head that differ from answer to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) length: usize,
    /// The methods allowed, for 405.
    pub(super) allow: Option<&'static str>,
    pub(super) fate: Fate,
}

impl Answer {
    /// Appends the head, up to and with its empty line.
    pub(super) fn put_head(&self, date: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.line().as_bytes());
        out.extend_from_slice(b"\r\nServer: marmot\r\nDate: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(self.content_type.as_bytes());
        out.extend_from_slice(b"\r\nContent-Length: ");
        put_number(self.length, out);
        if let Some(allow) = self.allow {
            out.extend_from_slice(b"\r\nAllow: ");
            out.extend_from_slice(allow.as_bytes());
        }
        out.extend_from_slice(match self.fate {
            Fate::Stays => b"\r\n\r\n",
            Fate::KeepAlive => b"\r\nConnection: keep-alive\r\n\r\n",
            Fate::Close => b"\r\nConnection: close\r\n\r\n",
        });
    }
}

/// Appends the decimal digits.
fn put_number(mut number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_numbers() {
        for (i, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, i);
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 13, 1_048_576, usize::MAX] {
            let mut out = Vec::new();
            put_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
