//! The plan of a run.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Error;

/// The most bytes that the requests under way on one connection may have.
const MOST_BYTES: usize = 16 << 20;

/// What the server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Bytes that have to come back unchanged. They begin with the request's number and the
    /// connection's, so that answers cannot be exchanged.
    Echo {
        /// Bytes of a request.
        size: usize,
    },
    /// HTTP/1.1: `GET`, to be answered with status 200, a `Content-Length` and a body.
    Http {
        /// The target that is asked for.
        path: String,
        /// The body of the right answer.
        body: String,
    },
    /// The Redis protocol.
    Kv {
        /// The command.
        op: Op,
        /// Bytes of the value; the key is the same for all.
        size: usize,
    },
}

/// A command of the Redis protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `GET` of a key that was set before the run; the answer has to be its value.
    Get,
    /// `SET`; the answer has to be `+OK`.
    Set,
    /// `PING`; the answer has to be `+PONG`.
    Ping,
}

/// What to do: how many connections ask what, how often and for how long.
///
/// ```
/// use marmot_load::{Op, Plan, Workload};
///
/// let address = "127.0.0.1:6379".parse()?;
/// let mut plan = Plan::new(address, Workload::Kv { op: Op::Ping, size: 3 });
/// plan.connections = 1000;
/// plan.rate = Some(20_000.0);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// What it is asked.
    pub workload: Workload,
    /// How many connections there are. 64 at first.
    pub connections: usize,
    /// How long is measured. 5 seconds at first.
    pub window: Duration,
    /// How long requests are made before that. One second at first.
    pub warm_up: Duration,
    /// Requests due per second, over all connections together; `None`, as at first, is a closed loop.
    pub rate: Option<f64>,
    /// How many requests may be under way on one connection. In a closed loop they are sent in one
    /// write, and the next ones when all are answered, as redis-benchmark does. 1 at first.
    pub pipeline: usize,
    /// Threads of the generator, which divide the connections among themselves. 1 at first.
    pub threads: usize,
    /// How long after the window answers are waited for. One second at first.
    pub grace: Duration,
    /// How long connecting may be without progress. 10 seconds at first.
    pub connect_timeout: Duration,
    /// The process whose use of processor and memory is reported.
    pub server_pid: Option<u32>,
    /// Whether to say on standard error how connecting goes, if it takes over a second.
    pub progress: bool,
}

impl Plan {
    /// A plan for a server, with everything else as it is at first.
    #[must_use]
    pub fn new(address: SocketAddr, workload: Workload) -> Plan {
        Plan {
            address,
            workload,
            connections: 64,
            window: Duration::from_secs(5),
            warm_up: Duration::from_secs(1),
            rate: None,
            pipeline: 1,
            threads: 1,
            grace: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(10),
            server_pid: None,
            progress: false,
        }
    }

    /// Says what cannot be carried out.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let size = match &self.workload {
            Workload::Echo { size } | Workload::Kv { size, .. } => *size,
            Workload::Http { path, body } => {
                let odd = |b: u8| b.is_ascii_control() || b == b' ';
                require(
                    path.starts_with('/') && !path.bytes().any(odd),
                    "the path has to begin with / and hold no blanks",
                )?;
                path.len() + body.len()
            }
        };
        let most = MOST_BYTES / self.pipeline.max(1);
        let rate_is_right = self.rate.is_none_or(|r| r.is_finite() && r >= 0.001);
        require(size > 0, "there has to be something to send")?;
        require(size < most, "the requests under way are too large")?;
        require(self.connections > 0, "there has to be a connection")?;
        require(
            self.connections <= 1_000_000,
            "a million connections is the most",
        )?;
        require(self.pipeline > 0, "a request has to be under way")?;
        require(self.threads > 0, "there has to be a thread")?;
        require(
            self.threads <= self.connections,
            "there are more threads than connections",
        )?;
        require(!self.window.is_zero(), "the time is too short to measure")?;
        let long = Duration::from_secs(24 * 3600);
        require(
            [self.window, self.warm_up, self.grace, self.connect_timeout]
                .iter()
                .all(|time| *time <= long),
            "a day is the most",
        )?;
        require(
            rate_is_right,
            "the rate has to be at least 0.001 per second",
        )
    }
}

fn require(condition: bool, otherwise: &str) -> Result<(), Error> {
    if condition {
        return Ok(());
    }
    Err(Error::Plan(otherwise.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_be_is_refused() {
        let address = "127.0.0.1:1".parse().unwrap();
        let plan = Plan::new(address, Workload::Echo { size: 64 });
        assert!(plan.check().is_ok());
        let wrong: [fn(&mut Plan); 8] = [
            |p| p.connections = 0,
            |p| p.threads = 65,
            |p| p.pipeline = 0,
            |p| p.window = Duration::ZERO,
            |p| p.window = Duration::MAX,
            |p| p.rate = Some(f64::NAN),
            |p| p.rate = Some(0.0),
            |p| p.workload = Workload::Echo { size: 0 },
        ];
        for (i, change) in wrong.iter().enumerate() {
            let mut plan = plan.clone();
            change(&mut plan);
            assert!(matches!(plan.check(), Err(Error::Plan(_))), "change {i}");
        }
    }
}
