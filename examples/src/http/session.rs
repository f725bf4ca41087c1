//! One connection: requests in, answers out.
//!
//! # Invariants
//!
//! 1. Answers leave in the order of their requests, and before anything waits: for more input, for
//!    room, or for time. So a client that sends several requests at once gets several answers with
//!    one write, and a client that waits for an answer is never waited for.
//! 2. After a refusal nothing more is read as a request: where the next one would begin is unknown.
//! 3. What is held of a client is at most a head, a body within the site's limit, and answers of
//!    [`FLUSH`] bytes and one more.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use marmot::channel::Receiver;
use marmot::sync::SemaphorePermit;

use super::Status;
use super::chunked::Chunked;
use super::date::Date;
use super::input::{Input, SMALL};
use super::request::{Framing, Head, MAX_HEAD, MAX_LINE, Method, Parsed};
use super::response::{Answer, Fate};
use super::site::{Route, Site, Unserved};

/// Bytes of answers that are sent without waiting for the end of the requests.
const FLUSH: usize = 32 * 1024;
/// A body up to this size is sent in one write with its head.
const TOGETHER: usize = 16 * 1024;
/// The capacity that a body's buffer may keep.
const KEPT: usize = 64 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";

/// The other side of a connection, and what is known of the server.
pub trait Peer {
    /// Reads some bytes; 0 at the end.
    ///
    /// # Errors
    /// `TimedOut` after the read deadline, `WouldBlock` after the read timeout.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes.
    ///
    /// # Errors
    /// The connection is broken, or the other side too slow.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    /// Moves the deadline of reading.
    ///
    /// # Errors
    /// None that this server expects.
    fn set_read_deadline(&self, at: Option<Instant>) -> io::Result<()>;
    /// How long a request may take to come in, from its first byte on.
    fn timeout(&self) -> Duration;
    /// A channel that is closed when the server stops.
    fn stopping(&self) -> &Receiver<Infallible>;
    /// Whether the server stops.
    fn is_stopping(&self) -> bool;
    /// How many connections there are, and have been.
    fn connections(&self) -> (usize, u64);
    /// Ends writing, and lets the other side read what was written before the connection is closed.
    fn linger(&self);
}

/// Serves one connection until one of the two sides wants no more.
///
/// # Errors
/// The connection breaks, or the client does not take its answers.
pub fn serve<P: Peer>(peer: &P, site: &Site) -> io::Result<()> {
    let mut small = [0; SMALL];
    let mut session = Session {
        peer,
        site,
        input: Input::new(&mut small),
        start: 0,
        end: 0,
        body: Vec::new(),
        output: Vec::new(),
        date: Date::new(),
        deadline: None,
        is_head: None,
    };
    let end = loop {
        if let Err(end) = session.exchange() {
            break end;
        }
    };
    if let End::Refused(status) = end {
        session.refuse(status);
    }
    match end {
        End::Broken(error) => Err(error),
        // Answers may be left over: requests came with them, and then the end.
        End::Gone => session.flush(),
        End::Refused(_) | End::Answered => {
            session.flush()?;
            peer.linger();
            Ok(())
        }
    }
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The last answer is out, or about to be.
    Answered,
    /// The client does not want more, or has been idle for long.
    Gone,
    /// The client sent what cannot be served.
    Refused(Status),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

/// What stays of a head when its bytes are gone.
#[derive(Clone, Copy, Debug)]
struct Request {
    route: Result<Route, Unserved>,
    framing: Framing,
    is_head: bool,
    is_old: bool,
    expects_continue: bool,
    keep_alive: bool,
}

#[derive(Debug)]
struct Session<'a, P> {
    peer: &'a P,
    site: &'a Site,
    /// What came in, in `start..end`.
    input: Input<'a>,
    start: usize,
    end: usize,
    body: Vec<u8>,
    /// Answers that have not been sent.
    output: Vec<u8>,
    date: Date,
    /// When the request that is coming in has to be complete, once it had to be waited for.
    deadline: Option<Instant>,
    /// Whether the request that is being served is a `HEAD`; unknown before its head is complete.
    is_head: Option<bool>,
}

impl<'a, P: Peer> Session<'a, P> {
    /// Serves one request.
    fn exchange(&mut self) -> Result<(), End> {
        let request = self.next_request()?;
        let room = self.read_body(&request)?;
        if self.deadline.take().is_some() {
            self.peer.set_read_deadline(None)?;
        }
        let stays = self.answer(&request)?;
        drop(room);
        if self.body.capacity() > KEPT {
            self.body = Vec::new();
        }
        if stays { Ok(()) } else { Err(End::Answered) }
    }

    fn next_request(&mut self) -> Result<Request, End> {
        self.is_head = None;
        let mut look = self.start < self.end;
        loop {
            if look {
                match Head::parse(&self.input[self.start..self.end]) {
                    Parsed::Complete(head) => {
                        let request = Request {
                            route: Route::of(&head),
                            framing: head.framing,
                            is_head: head.method == Method::Head,
                            is_old: head.is_old,
                            expects_continue: head.expects_continue,
                            keep_alive: head.keep_alive,
                        };
                        self.is_head = Some(request.is_head);
                        self.start += head.len;
                        return Ok(request);
                    }
                    Parsed::Refused(status) => return Err(End::Refused(status)),
                    Parsed::Partial => {}
                }
            }
            let before = self.end - self.start;
            if before > 0 {
                self.arm()?;
            }
            if let Err(end) = self.read_more() {
                return Err(
                    match (end, Head::parse(&self.input[self.start..self.end])) {
                        // It has said all, and some of that may not have been looked at.
                        (End::Gone, Parsed::Refused(status)) if !look => End::Refused(status),
                        (end, _) => end,
                    },
                );
            }
            let held = &self.input[self.start..self.end];
            // Only what may have changed the verdict is worth parsing again: else a client could
            // have its head parsed once for each of its bytes.
            look = before == 0
                || held.len() >= MAX_HEAD
                || (before..held.len()).contains(&MAX_LINE)
                || held[before..].contains(&b'\n');
        }
    }

    /// Takes the body in. What is given has to be kept until the body is not needed any more.
    fn read_body(&mut self, request: &Request) -> Result<Option<SemaphorePermit<'a>>, End> {
        self.body.clear();
        let limit = self.site.max_body();
        let length = match request.framing {
            Framing::None => {
                return match request.route {
                    // A body may come all the same, and must not be taken for a request.
                    Err(unserved) if unserved.status == Status::LengthRequired => {
                        Err(End::Refused(unserved.status))
                    }
                    _ => Ok(None),
                };
            }
            Framing::Length(length) if length > limit => {
                return Err(End::Refused(Status::ContentTooLarge));
            }
            Framing::Length(length) => length,
            Framing::Chunked => limit,
        };
        if request.expects_continue {
            if let Err(unserved) = request.route {
                // The client may or may not send the body now; so this is the end.
                let (status, allow) = (unserved.status, unserved.allow);
                self.put_answer(request, status, allow, TEXT, None, Fate::Close);
                return Err(End::Answered);
            }
            if self.start == self.end {
                let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
                self.output.extend_from_slice(go_on);
            }
        }
        let keep = request.route == Ok(Route::Echo);
        let mut room = None;
        if keep && !Site::is_small(length) {
            self.flush()?;
            room = self.site.room(length, self.peer.timeout());
            if room.is_none() {
                return Err(End::Refused(Status::Unavailable));
            }
        }
        match request.framing {
            Framing::Chunked => self.read_chunks(keep)?,
            _ => self.read_length(length as usize, keep)?,
        }
        Ok(room)
    }

    fn read_length(&mut self, length: usize, keep: bool) -> Result<(), End> {
        if keep {
            self.body.reserve_exact(length);
        }
        let mut left = length;
        loop {
            let n = left.min(self.end - self.start);
            if keep {
                self.body
                    .extend_from_slice(&self.input[self.start..self.start + n]);
            }
            self.start += n;
            left -= n;
            if left == 0 {
                return Ok(());
            }
            self.arm()?;
            self.read_more()?;
        }
    }

    fn read_chunks(&mut self, keep: bool) -> Result<(), End> {
        let limit = self.site.max_body();
        let mut chunked = Chunked::new();
        let mut length = 0;
        loop {
            let body = &mut self.body;
            let used = chunked.decode(&self.input[self.start..self.end], |data| {
                length += data.len() as u64;
                if keep && length <= limit {
                    body.extend_from_slice(data);
                }
            });
            // First: what follows too much data does not matter, be it there yet or not.
            if length > limit {
                return Err(End::Refused(Status::ContentTooLarge));
            }
            self.start += used.map_err(|_| End::Refused(Status::BadRequest))?;
            if chunked.is_done() {
                return Ok(());
            }
            self.arm()?;
            self.read_more()?;
        }
    }

    /// Answers, and says whether the connection stays.
    fn answer(&mut self, request: &Request) -> Result<bool, End> {
        let (mut status, mut allow) = (Status::Ok, None);
        if let Ok(Route::Sleep(time)) = request.route {
            self.flush()?;
            if !Site::sleep(time, self.peer.stopping()) {
                status = Status::Unavailable;
            }
        }
        let is_stopping = self.peer.is_stopping();
        let fate = match request.keep_alive && !is_stopping {
            false => Fate::Close,
            true if request.is_old => Fate::KeepAlive,
            true => Fate::Stays,
        };
        let (content_type, body) = match request.route {
            Err(unserved) => {
                (status, allow) = (unserved.status, unserved.allow);
                (TEXT, None)
            }
            Ok(Route::Hello) => ("text/plain", Some(&b"Hello, world!"[..])),
            Ok(Route::Sleep(_)) if status == Status::Ok => (TEXT, Some(&b"slept\n"[..])),
            Ok(Route::Sleep(_)) => (TEXT, None),
            Ok(Route::Health) if is_stopping => {
                status = Status::Unavailable;
                (TEXT, None)
            }
            Ok(Route::Health) => (TEXT, Some(&b"ok\n"[..])),
            Ok(Route::Metrics) => {
                let text = self.site.metrics(self.peer);
                let content_type = "text/plain; version=0.0.4; charset=utf-8";
                self.put_answer(
                    request,
                    status,
                    allow,
                    content_type,
                    Some(text.as_bytes()),
                    fate,
                );
                return Ok(fate != Fate::Close);
            }
            Ok(Route::Echo) => {
                let body = std::mem::take(&mut self.body);
                let result = self.put_echo(request, &body, fate);
                self.body = body;
                result?;
                return Ok(fate != Fate::Close);
            }
        };
        self.put_answer(request, status, allow, content_type, body, fate);
        if self.output.len() >= FLUSH {
            self.flush()?;
        }
        Ok(fate != Fate::Close)
    }

    fn put_echo(&mut self, request: &Request, body: &[u8], fate: Fate) -> Result<(), End> {
        let content_type = "application/octet-stream";
        if body.len() <= TOGETHER {
            self.put_answer(request, Status::Ok, None, content_type, Some(body), fate);
            if self.output.len() >= FLUSH {
                self.flush()?;
            }
            return Ok(());
        }
        self.put_head(Status::Ok, None, content_type, body.len(), fate);
        self.flush()?;
        Ok(self.peer.write_all(body)?)
    }

    /// Puts a whole answer into the output. Without a body, its status line is that.
    fn put_answer(
        &mut self,
        request: &Request,
        status: Status,
        allow: Option<&'static str>,
        content_type: &'static str,
        body: Option<&[u8]>,
        fate: Fate,
    ) {
        let body = body.unwrap_or(status.line().as_bytes());
        self.put_head(status, allow, content_type, body.len(), fate);
        if !request.is_head {
            self.output.extend_from_slice(body);
        }
    }

    fn put_head(
        &mut self,
        status: Status,
        allow: Option<&'static str>,
        content_type: &'static str,
        length: usize,
        fate: Fate,
    ) {
        self.site.counts().add(status);
        let answer = Answer {
            status,
            content_type,
            length,
            allow,
            fate,
        };
        answer.put_head(self.date.now(), &mut self.output);
    }

    /// Answers what cannot be served.
    fn refuse(&mut self, status: Status) {
        // A head that is not understood may be that of a `HEAD`, whose answer has no body.
        let text = self.is_head.map_or("", |_| status.line());
        self.put_head(status, None, TEXT, text.len(), Fate::Close);
        if self.is_head == Some(false) {
            self.output.extend_from_slice(text.as_bytes());
        }
    }

    /// From now on the request that is coming in has a deadline.
    fn arm(&mut self) -> Result<(), End> {
        if self.deadline.is_none() {
            let at = Instant::now() + self.peer.timeout();
            self.peer.set_read_deadline(Some(at))?;
            self.deadline = Some(at);
        }
        Ok(())
    }

    /// Sends the answers there are, and reads something.
    fn read_more(&mut self) -> Result<(), End> {
        self.flush()?;
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            // A head of `MAX_HEAD` bytes is refused, so there is room in the end.
            self.input.grow(MAX_HEAD.min(2 * self.end));
        }
        match self.read_in_time()? {
            0 => Err(End::Gone),
            n => {
                self.end += n;
                Ok(())
            }
        }
    }

    fn read_in_time(&mut self) -> Result<usize, End> {
        let mut may_repeat = true;
        loop {
            let error = match self.peer.read(&mut self.input[self.end..]) {
                Ok(n) => return Ok(n),
                Err(error) => error,
            };
            if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                return Err(End::Broken(error));
            }
            match self.deadline {
                None => return Err(End::Gone),
                // The server stops, and has moved the deadline; but this request is under way.
                Some(at) if may_repeat && Instant::now() < at => {
                    self.peer.set_read_deadline(Some(at))?;
                    may_repeat = false;
                }
                Some(_) => return Err(End::Refused(Status::RequestTimeout)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let result = self.peer.write_all(&self.output);
        self.output.clear();
        if self.output.capacity() > 2 * FLUSH {
            self.output = Vec::new();
        }
        result
    }
}
