//! A running example server, as its operator sees it: a process with an address and signals.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A server process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// The line it printed when it was ready.
    pub(crate) banner: String,
}

impl Server {
    /// Starts `command` and waits until it has printed `listening on ADDRESS ...`.
    pub(crate) fn start(command: &mut Command) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut banner = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut banner)
            .expect("the server prints text");
        let addr = banner
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|addr| addr.parse().ok());
        let Some(addr) = addr else {
            let _ = child.kill();
            panic!("the server printed {banner:?}");
        };
        Server {
            child,
            addr,
            banner,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        // SAFETY: no memory is concerned; the child has not been waited for, so the id is its own.
        let code = unsafe { libc::kill(self.pid() as libc::pid_t, libc::SIGTERM) };
        assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    }

    /// Its exit status, if it ends within `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "the server did not end within {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processor time of each of its threads of that name, in clock ticks.
    pub(crate) fn thread_times(&self, wanted: &str) -> Vec<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        tasks
            .filter_map(|task| {
                let path = task.ok()?.path().join("stat");
                let mut stat = String::new();
                // A thread may end while we look.
                std::fs::File::open(path)
                    .ok()?
                    .read_to_string(&mut stat)
                    .ok()?;
                let (head, rest) = stat.rsplit_once(')')?;
                let name = head.split_once('(')?.1;
                // utime and stime are fields 14 and 15; the state, just after the name, is 3.
                let mut fields = rest.split_whitespace().skip(11);
                let user: u64 = fields.next()?.parse().ok()?;
                let system: u64 = fields.next()?.parse().ok()?;
                (name == wanted).then_some(user + system)
            })
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
