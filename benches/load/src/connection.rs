//! A connection, and what is done when it may send or has received something.
//!
//! Requests of a connection are numbered, and all have the same length, so four numbers say where it is:
//! `answered <= sent <= due`, and `written` bytes. A request is *due* when it may be sent, *sent*
//! when it has been handed to the socket, or waits for room in it. In a closed loop `due` is not used.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use crate::clock::now;
use crate::protocol::Protocol;
use crate::schedule::{Schedule, Times};
use crate::tally::Tally;

/// Bytes that one read takes at the most.
pub(crate) const BUFFER: usize = 64 << 10;

/// Nanoseconds after which a request counts as sent late.
const LATE: u64 = 1_000_000;

/// One connection.
pub(crate) struct Connection<S> {
    /// `None` once it is lost.
    pub(crate) stream: Option<TcpStream>,
    /// Its number among those of all workers.
    pub(crate) id: u64,
    pub(crate) due: u64,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Bytes of requests that have been written.
    pub(crate) written: u64,
    /// When the last requests of a closed loop were sent.
    pub(crate) sent_at: u64,
    /// What is known of the answer that is coming.
    pub(crate) state: S,
}

/// How a connection was lost.
enum Loss {
    Closed,
    Reset,
    Wrong(String),
}

/// What all connections of a worker use.
pub(crate) struct Core<P> {
    pub(crate) protocol: P,
    pub(crate) request_len: u64,
    pub(crate) pipeline: u64,
    pub(crate) times: Times,
    /// Of an open loop.
    pub(crate) schedule: Option<Schedule>,
    /// Requests that connections which are not lost have to answer.
    pub(crate) outstanding: u64,
    /// Connections that are not lost.
    pub(crate) alive: usize,
    pub(crate) buffer: Vec<u8>,
    pub(crate) tally: Tally,
}

impl<S: Default> Connection<S> {
    pub(crate) fn new(stream: Option<TcpStream>, id: u64) -> Connection<S> {
        Connection {
            stream,
            id,
            due: 0,
            sent: 0,
            answered: 0,
            written: 0,
            sent_at: 0,
            state: S::default(),
        }
    }

    /// Whether bytes of requests wait for room in the socket.
    #[inline]
    pub(crate) fn is_blocked(&self, request_len: u64) -> bool {
        self.written < self.sent * request_len
    }
}

impl<P: Protocol> Core<P> {
    /// Sends what may be sent at `time`.
    #[inline]
    pub(crate) fn pump(&mut self, connection: &mut Connection<P::State>, time: u64) {
        if connection.stream.is_none() {
            return;
        }
        let before = connection.sent;
        if let Some(schedule) = &self.schedule {
            let most = connection.answered + self.pipeline;
            let sent = connection.due.min(most).max(before);
            for round in before..sent {
                let due = schedule.due(connection.id, round);
                let late = time.saturating_sub(due) > LATE && self.times.in_window(due);
                self.tally.late += u64::from(late);
            }
            connection.sent = sent;
        } else if before == connection.answered && time < self.times.end {
            connection.sent += self.pipeline;
            connection.sent_at = time;
            self.outstanding += self.pipeline;
        }
        if connection.sent > before {
            self.flush(connection);
        }
    }

    /// Writes what has been sent and not yet written, as far as there is room.
    pub(crate) fn flush(&mut self, connection: &mut Connection<P::State>) {
        let Some(mut stream) = connection.stream.as_ref() else {
            return;
        };
        let first = connection.written / self.request_len;
        let offset = (connection.written % self.request_len) as usize;
        let count = (connection.sent - first) as usize;
        let requests = self.protocol.requests(connection.id, first, count);
        let mut rest = &requests[offset..];
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(n) => {
                    rest = &rest[n..];
                    connection.written += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.lose(connection, Loss::Reset),
            }
        }
    }

    /// Reads what has come. A read that leaves room in the buffer has emptied the socket, so no further
    /// one has to find that out; what comes later is a new event. Only an end that has been announced is
    /// not announced again.
    pub(crate) fn receive(&mut self, connection: &mut Connection<P::State>, closed: bool) {
        while let Some(stream) = &mut connection.stream {
            match stream.read(&mut self.buffer) {
                Ok(0) => return self.lose(connection, Loss::Closed),
                Ok(n) => {
                    if let Err(what) = self.examine(connection, n) {
                        return self.lose(connection, Loss::Wrong(what));
                    }
                    if n < BUFFER && !closed {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.lose(connection, Loss::Reset),
            }
        }
    }

    /// Checks and counts the first `n` bytes of the buffer, and sends what may be sent thereupon.
    #[inline]
    fn examine(&mut self, connection: &mut Connection<P::State>, n: usize) -> Result<(), String> {
        let before = connection.answered;
        let bytes = &self.buffer[..n];
        let (state, id) = (&mut connection.state, connection.id);
        let complete = self.protocol.check(state, id, before, bytes)?;
        connection.answered += complete;
        // An echo may begin before the request has ended, but no answer before it has begun.
        let partial = u64::from(self.protocol.is_partial(&connection.state));
        if connection.answered * self.request_len + partial > connection.written {
            connection.answered = connection.answered.min(connection.sent);
            self.outstanding -= connection.answered - before;
            return Err(format!("{n} bytes that nobody has asked for"));
        }
        if complete == 0 {
            return Ok(());
        }
        let time = now();
        self.outstanding -= complete;
        let counts = self.times.in_window(time);
        if counts {
            self.tally.requests += complete;
        }
        if let Some(schedule) = &self.schedule {
            for round in before..connection.answered {
                let due = schedule.due(id, round);
                if self.times.in_window(due) {
                    self.tally.record(time - due, 1);
                }
            }
        } else if counts {
            self.tally.record(time - connection.sent_at, complete);
        }
        self.pump(connection, time);
        Ok(())
    }

    /// Closes a connection on which nothing more can be done.
    #[cold]
    fn lose(&mut self, connection: &mut Connection<P::State>, loss: Loss) {
        if connection.stream.take().is_none() {
            return;
        }
        self.alive -= 1;
        let due = match self.schedule {
            Some(_) => connection.due,
            None => connection.sent,
        };
        self.outstanding -= due - connection.answered;
        let errors = &mut self.tally.errors;
        match loss {
            Loss::Closed => errors.closed += 1,
            Loss::Reset => errors.reset += 1,
            Loss::Wrong(what) => {
                errors.wrong += 1;
                let (id, number) = (connection.id, connection.answered);
                let text = || format!("connection {id}, request {number}: {what}");
                self.tally.wrong.get_or_insert_with(text);
            }
        }
    }
}
