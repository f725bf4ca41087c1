//! The times of a run, and when the requests of an open loop are due.

use crate::clock::SECOND;

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
    pub(crate) fn in_window(&self, time: u64) -> bool {
        (self.begin..self.end).contains(&time)
    }
}

/// The times at which requests are due, evenly spread over time and, in turn, over connections.
/// Request `round` of connection `id` is the `round * connections + id`-th of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// When the first one is due.
    origin: u64,
    /// Nanoseconds from one to the next, over all connections.
    interval: f64,
    /// How many connections there are.
    connections: u64,
}

impl Schedule {
    pub(crate) fn new(origin: u64, rate: f64, connections: usize) -> Schedule {
        Schedule {
            origin,
            interval: SECOND as f64 / rate,
            connections: connections as u64,
        }
    }

    /// When a request is due.
    #[inline]
    pub(crate) fn due(&self, id: u64, round: u64) -> u64 {
        let number = round * self.connections + id;
        self.origin + (number as f64 * self.interval) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly() {
        let schedule = Schedule::new(1000, 2e6, 3);
        let first = [schedule.due(0, 0), schedule.due(1, 0), schedule.due(2, 0)];
        assert_eq!(first, [1000, 1500, 2000]);
        assert_eq!(schedule.due(0, 1), 2500);
        assert_eq!(schedule.due(2, 2_000_000), 1000 + 500 * 6_000_002);
    }
}
