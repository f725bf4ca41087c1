//! What the operating system allows: descriptors, and ports to connect from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Error;

/// Descriptors that are open beside the connections.
const OTHERS: u64 = 64;

/// Sees to it that so many connections can be open, raising the limit if need be.
pub(crate) fn allow(connections: usize) -> Result<(), Error> {
    let needed = connections as u64 + OTHERS;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    let most = limit.rlim_max;
    limit.rlim_cur = needed.max(most);
    // More than the hard limit: root may raise that as well.
    limit.rlim_max = limit.rlim_cur;
    // SAFETY: `limit` is initialised, and outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(Error::Descriptors {
            needed,
            limit: most,
        });
    }
    Ok(())
}

/// The addresses to connect from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources {
    /// How many connections come from one address; `None`: the system chooses.
    each: Option<u64>,
}

impl Sources {
    pub(crate) fn new(server: SocketAddr, connections: usize) -> Sources {
        // Half of the ports: the other half may wait out the end of an earlier run.
        let each = ports() / 2;
        let loopback = matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let spread = loopback && connections as u64 > each;
        Sources {
            each: spread.then_some(each),
        }
    }

    /// Where connection `id` is to come from: 127.0.0.1, 127.0.0.2 and so on.
    pub(crate) fn of(self, id: u64) -> Option<SocketAddr> {
        let host = u32::try_from(id / self.each?).ok()?;
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + host);
        Some(SocketAddr::from((ip, 0)))
    }
}

/// How many ports the system gives to connections from one address.
fn ports() -> u64 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    match (ends.next(), ends.next()) {
        (Some(Ok(low)), Some(Ok(high))) if high > low + 1 => high - low + 1,
        _ => 28232,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_come_from_several_addresses() {
        let server = "127.0.0.1:80".parse().unwrap();
        assert_eq!(Sources::new(server, 10).of(9), None);
        let sources = Sources { each: Some(100) };
        assert_eq!(sources.of(99), Some("127.0.0.1:0".parse().unwrap()));
        assert_eq!(sources.of(100), Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(sources.of(25_600), Some("127.0.1.1:0".parse().unwrap()));
    }
}
