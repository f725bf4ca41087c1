//! A thread of the generator: its connections, and the loop that drives them.

use std::io;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::clock::{Timer, now, thread_cpu};
use crate::connection::{BUFFER, Connection, Core};
use crate::protocol::Protocol;
use crate::schedule::{Schedule, Times};
use crate::tally::Tally;

/// Events that one poll gives at the most.
const EVENTS: usize = 1024;

/// The timer's token; the connections' are their indices.
const TIMER: Token = Token(usize::MAX);

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
            .map(|(stream, &id)| Connection::new(stream, id))
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
            // Before anything ends: what is due is due, however late the worker looks.
            if let Some(schedule) = self.core.schedule {
                let due = self.pay(schedule, &mut next, time);
                // One that is set already has not fired yet: its request would have been paid.
                if due < times.end && due != alarm {
                    self.timer.set(due)?;
                    alarm = due;
                }
            }
            let answered = self.core.outstanding == 0 && time >= times.end;
            if self.core.alive == 0 || answered || time >= times.finish {
                break;
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
