//! A thread of the generator: its connections, and the loop that drives them.
//!
//! Requests of a connection are numbered, and all have the same length, so four numbers say where it is:
//! `answered <= sent <= due`, and `written` bytes. A request is *due* when it may be sent, *sent*
//! when it has been handed to the socket, or waits for room in it. In a closed loop `due` is not used.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::clock::{Timer, now, thread_cpu};
use crate::protocol::Protocol;
use crate::schedule::Schedule;
use crate::tally::Tally;

/// Bytes that one read takes at the most.
const BUFFER: usize = 64 << 10;

/// Events that one poll gives at the most.
const EVENTS: usize = 1024;

/// The timer's token; the connections' are their indices.
const TIMER: Token = Token(usize::MAX);

/// Nanoseconds after which a request counts as sent late.
const LATE: u64 = 1_000_000;

/// The times of a run, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The first request.
    pub(crate) origin: u64,
    /// The window begins.
    pub(crate) begin: u64,
    /// It ends, and with it the sending of new requests.
    pub(crate) end: u64,
    /// Answers are not waited for any longer.
    pub(crate) finish: u64,
}

impl Times {
    #[inline]
    fn in_window(&self, time: u64) -> bool {
        (self.begin..self.end).contains(&time)
    }
}

/// One connection.
struct Connection<S> {
    /// `None` once it is lost.
    stream: Option<TcpStream>,
    /// Its number among those of all workers.
    id: u64,
    due: u64,
    sent: u64,
    answered: u64,
    /// Bytes of requests that have been written.
    written: u64,
    /// When the last requests of a closed loop were sent.
    sent_at: u64,
    /// What is known of the answer that is coming.
    state: S,
}

/// How a connection was lost.
enum Loss {
    Closed,
    Reset,
    Wrong(String),
}

/// What all connections of a worker use.
struct Core<P> {
    protocol: P,
    request_len: u64,
    pipeline: u64,
    times: Times,
    /// Of an open loop.
    schedule: Option<Schedule>,
    /// Requests that connections which are not lost have to answer.
    outstanding: u64,
    /// Connections that are not lost.
    alive: usize,
    buffer: Vec<u8>,
    tally: Tally,
}

/// A worker that is about to begin.
pub(crate) struct Worker<P: Protocol> {
    poll: Poll,
    timer: Timer,
    connections: Vec<Connection<P::State>>,
    core: Core<P>,
}

impl<P: Protocol> Worker<P> {
    pub(crate) fn new(
        poll: Poll,
        protocol: P,
        pipeline: usize,
        streams: Vec<Option<TcpStream>>,
        ids: &[u64],
        (times, schedule): (Times, Option<Schedule>),
    ) -> io::Result<Worker<P>> {
        let timer = Timer::new()?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let alive = streams.iter().flatten().count();
        let connections = streams
            .into_iter()
            .zip(ids)
            .map(|(stream, &id)| Connection {
                stream,
                id,
                due: 0,
                sent: 0,
                answered: 0,
                written: 0,
                sent_at: 0,
                state: P::State::default(),
            })
            .collect();
        Ok(Worker {
            poll,
            timer,
            connections,
            core: Core {
                request_len: protocol.request_len() as u64,
                protocol,
                pipeline: pipeline as u64,
                times,
                schedule,
                outstanding: 0,
                alive,
                buffer: vec![0; BUFFER],
                tally: Tally::new(),
            },
        })
    }

    /// Makes requests until the end, and gives what was counted.
    pub(crate) fn run(mut self) -> io::Result<Tally> {
        let times = self.core.times;
        let mut events = Events::with_capacity(EVENTS);
        // Processor time at the beginning of the window, and how much there was in it.
        let (mut cpu_before, mut cpu) = (None, None);
        // The connection whose request is due next in an open loop.
        let mut next = 0;
        // What the timer is set to.
        let mut alarm = 0;
        if self.core.schedule.is_none() {
            thread::sleep(Duration::from_nanos(times.origin.saturating_sub(now())));
            let time = now();
            for connection in &mut self.connections {
                self.core.pump(connection, time);
            }
        }
        loop {
            let time = now();
            if time >= times.begin {
                cpu_before.get_or_insert_with(thread_cpu);
            }
            if time >= times.end
                && let Some(before) = cpu_before
            {
                cpu.get_or_insert_with(|| thread_cpu() - before);
            }
            let answered = self.core.outstanding == 0 && time >= times.end;
            if self.core.alive == 0 || answered || time >= times.finish {
                break;
            }
            if let Some(schedule) = self.core.schedule {
                let due = self.pay(schedule, &mut next, time);
                // One that is set already has not fired yet: its request would have been paid.
                if due < times.end && due != alarm {
                    self.timer.set(due)?;
                    alarm = due;
                }
            }
            let until = [times.begin, times.end, times.finish]
                .into_iter()
                .find(|t| *t > time)
                .unwrap_or(time);
            let timeout = Duration::from_nanos(until - time);
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                let Some(connection) = self.connections.get_mut(event.token().0) else {
                    continue;
                };
                if event.is_writable() && connection.is_blocked(self.core.request_len) {
                    self.core.flush(connection);
                }
                let closed = event.is_read_closed() || event.is_error();
                if closed || event.is_readable() {
                    self.core.receive(connection, closed);
                }
            }
        }
        let spent = || cpu_before.map_or(0, |before| thread_cpu() - before);
        self.core.tally.cpu = cpu.unwrap_or_else(spent);
        Ok(self.close())
    }

    /// Makes requests due up to `time`, and gives the time at which the next one is.
    fn pay(&mut self, schedule: Schedule, next: &mut usize, time: u64) -> u64 {
        loop {
            let connection = &mut self.connections[*next];
            let due = schedule.due(connection.id, connection.due);
            if due > time || due >= self.core.times.end {
                return due;
            }
            if self.core.times.in_window(due) {
                let tally = &mut self.core.tally;
                tally.due += 1;
                tally.behind += time - due;
                tally.behind_max = tally.behind_max.max(time - due);
            }
            connection.due += 1;
            if connection.stream.is_some() {
                self.core.outstanding += 1;
                self.core.pump(connection, time);
            }
            *next = (*next + 1) % self.connections.len();
        }
    }

    /// Counts what has not been answered. How long it has waited is a latency too: without it, a server
    /// would look the better the less it answered.
    fn close(mut self) -> Tally {
        let (core, time) = (&mut self.core, now());
        for connection in &self.connections {
            let Some(schedule) = core.schedule else {
                let waiting = connection.sent - connection.answered;
                if waiting > 0 && connection.stream.is_some() {
                    core.tally.unanswered += waiting;
                    core.tally.record(time - connection.sent_at, waiting);
                }
                continue;
            };
            for round in connection.answered..connection.due {
                let due = schedule.due(connection.id, round);
                if core.times.in_window(due) {
                    core.tally.unanswered += 1;
                    core.tally.record(time.saturating_sub(due), 1);
                }
            }
        }
        self.core.tally
    }
}

impl<S> Connection<S> {
    /// Whether bytes of requests wait for room in the socket.
    #[inline]
    fn is_blocked(&self, request_len: u64) -> bool {
        self.written < self.sent * request_len
    }
}

impl<P: Protocol> Core<P> {
    /// Sends what may be sent at `time`.
    #[inline]
    fn pump(&mut self, connection: &mut Connection<P::State>, time: u64) {
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
    fn flush(&mut self, connection: &mut Connection<P::State>) {
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
    fn receive(&mut self, connection: &mut Connection<P::State>, closed: bool) {
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
