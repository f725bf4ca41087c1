//! The life of a connection: read, run, write.

use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::command::{self, Action, Session};
use super::reply::Replies;
use super::resp::{Arguments, MAX_LINE, Parsed, Parser, ProtocolError};
use super::shared::Shared;
use super::subscription;
use crate::server::Connection;

/// What a connection without requests keeps of each of its buffers.
const INPUT: usize = 8 * 1024;
/// Replies are written when there are so many bytes of them, even if there are more requests; and
/// buffers that have grown beyond this are given back.
const BATCH: usize = 64 * 1024;
/// How long the rest of a wrong request is read, so that the other side sees the reply to it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// Serves one connection until its end.
pub(crate) fn serve(connection: &Connection, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(connection, shared);
    let mut session = Session {
        shared,
        id: connection.number() + 1,
        name: Vec::new(),
    };
    match requests(&mut wire, &mut session) {
        Ok(()) => wire.flush(),
        Err(Ended::Broken(error)) => Err(error),
        Err(Ended::Wrong(error)) => wire.refuse(error),
    }
}

fn requests(wire: &mut Wire<'_>, session: &mut Session<'_>) -> Result<(), Ended> {
    while let Some(length) = wire.next()? {
        let (arguments, replies) = wire.request(length);
        match execute(session, arguments, replies) {
            Step::Done => wire.consume(length),
            Step::Quit => return Ok(()),
            Step::Subscribe => {
                wire.flush()?;
                if !subscription::serve(wire, session, length)? {
                    return Ok(());
                }
            }
        }
        if wire.replies.bytes().len() >= BATCH {
            wire.flush()?;
        }
    }
    Ok(())
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The reply is written; the next one.
    Done,
    Quit,
    /// This one is to be run by `subscription`.
    Subscribe,
}

fn execute(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Step {
    if arguments.len() == 0 {
        return Step::Done;
    }
    if is_http(&arguments[0]) {
        tracing::info!("a web browser's request; the connection is closed");
        return Step::Quit;
    }
    let before = replies.bytes().len();
    let done = command::look_up(arguments).and_then(|command| match command.action {
        Action::Run(run) => run(session, arguments, replies).map(|()| Step::Done),
        Action::Subscribe => Ok(Step::Subscribe),
        Action::Unsubscribe => {
            subscription::unsubscribe_from_nothing(arguments, replies);
            Ok(Step::Done)
        }
        Action::Reset => {
            session.name.clear();
            replies.simple("RESET");
            Ok(Step::Done)
        }
        Action::Quit => {
            replies.ok();
            Ok(Step::Quit)
        }
    });
    done.unwrap_or_else(|failure| {
        // A reply that was begun is none.
        replies.truncate(before);
        replies.error(&failure.0);
        Step::Done
    })
}

/// Whether it is a word of HTTP. A web page may have a browser send requests here, whose body, set by
/// that page, would be run as commands.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

/// Why a connection ends before the other side says so.
#[derive(Debug)]
pub(crate) enum Ended {
    Broken(io::Error),
    Wrong(ProtocolError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Broken(error)
    }
}

/// The socket with its buffers.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) connection: &'a Connection,
    shared: &'a Shared,
    parser: Parser,
    /// All of it is initialised; `start..end` has been read and not yet run.
    input: Vec<u8>,
    start: usize,
    end: usize,
    pub(crate) replies: Replies,
    /// Requests that were taken out and not yet added to the common count.
    taken: u64,
    /// Whether a request has begun, so that there is a read deadline.
    begun: bool,
}

impl<'a> Wire<'a> {
    fn new(connection: &'a Connection, shared: &'a Shared) -> Wire<'a> {
        Wire {
            connection,
            shared,
            parser: Parser::new(shared.limits),
            input: vec![0; INPUT],
            start: 0,
            end: 0,
            replies: Replies::new(),
            taken: 0,
            begun: false,
        }
    }

    /// The length of the next request; `None` when there are no more. Writes the replies before it
    /// waits for one.
    pub(crate) fn next(&mut self) -> Result<Option<usize>, Ended> {
        loop {
            let bytes = &self.input[self.start..self.end];
            match self.parser.parse(bytes).map_err(Ended::Wrong)? {
                Parsed::Request(length) => {
                    if self.begun {
                        self.begun = false;
                        self.connection.set_read_deadline(None)?;
                    }
                    return Ok(Some(length));
                }
                Parsed::Incomplete(needed) => {
                    self.flush()?;
                    self.make_room(needed);
                    if self.read()? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The arguments of the request that `next` has found, and where its reply goes.
    pub(crate) fn request(&mut self, length: usize) -> (Arguments<'_>, &mut Replies) {
        let bytes = &self.input[self.start..self.start + length];
        (self.parser.arguments(bytes), &mut self.replies)
    }

    /// Leaves that request behind.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start += length;
        self.taken += 1;
    }

    /// Writes all replies, in one call if the system takes them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.taken > 0 {
            self.shared
                .commands
                .fetch_add(self.taken, Ordering::Relaxed);
            self.taken = 0;
        }
        if self.replies.bytes().is_empty() {
            return Ok(());
        }
        self.connection.write_all(self.replies.bytes())?;
        self.connection.stay();
        self.replies.clear(BATCH);
        Ok(())
    }

    /// Reads what there is; waits if there is nothing. A request that has begun has to come in time.
    fn read(&mut self) -> io::Result<usize> {
        if self.start < self.end && !self.begun {
            self.begun = true;
            let deadline = Instant::now() + self.connection.timeout();
            self.connection.set_read_deadline(Some(deadline))?;
        }
        let n = self.connection.stream().read(&mut self.input[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// Makes room behind the bytes that are there, of which a request needs more. The buffer grows
    /// with what came, not with what was announced.
    fn make_room(&mut self, needed: usize) {
        let length = self.end - self.start;
        if length == 0 {
            self.start = 0;
            self.end = 0;
            if self.input.len() > BATCH {
                self.input = vec![0; INPUT];
            }
        } else if self.start > 0 && (self.start + needed > self.input.len()) {
            self.input.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = length;
        }
        if self.end == self.input.len() {
            let most = self.shared.limits.request.saturating_add(MAX_LINE + 2);
            let more = self
                .input
                .len()
                .saturating_mul(2)
                .min(most)
                .max(self.end + 1);
            self.input.resize(more, 0);
        }
    }

    /// Says what is wrong, and ends the connection in such a way that the other side can read it: a
    /// socket that is closed with unread bytes in it is reset, and takes the reply along.
    fn refuse(&mut self, error: ProtocolError) -> io::Result<()> {
        self.replies.error_with(|out| {
            out.extend_from_slice(b"ERR Protocol error: ");
            error.write_to(out);
        });
        self.flush()?;
        let mut stream = self.connection.stream();
        stream.shutdown(Shutdown::Write)?;
        self.connection
            .set_read_deadline(Some(Instant::now() + LINGER))?;
        let mut read = 0;
        while read < LINGER_BYTES {
            match stream.read(&mut self.input)? {
                0 => break,
                n => read += n,
            }
        }
        Ok(())
    }
}
