//! `std::process`, with children whose end and whose pipes park the goroutine.
//!
//! ```
//! use marmot::process::Command;
//!
//! let output = Command::new("echo").arg("hello").output()?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # std::io::Result::Ok(())
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use marmot_netpoll::{PipeReader, PipeWriter, Pollable, child_end};
use marmot_scheduler::wait::on_goroutine;

pub use std::os::unix::process::ExitStatusExt;
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

/// A program to be run, with the interface of [`std::process::Command`] and of its Unix extension.
///
/// Starting it blocks the thread for the moment that the system takes; waiting for it, and for its
/// pipes, parks the goroutine.
#[derive(Debug)]
pub struct Command {
    std: process::Command,
    /// Which of the three streams the caller has chosen.
    chosen: [bool; 3],
}

impl Command {
    /// A command that runs `program`, found in `PATH` if it holds no slash.
    ///
    /// ```
    /// let status = marmot::process::Command::new("true").status()?;
    /// assert!(status.success());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command {
            std: process::Command::new(program),
            chosen: [false; 3],
        }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// Sets a variable of the environment.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, value: V) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Takes all variables out of the environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the folder that the program starts in.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Chooses the standard input. By default it is inherited, and empty for [`output`](Self::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdin(cfg);
        self.chosen[0] = true;
        self
    }

    /// Chooses the standard output. By default it is inherited, and a pipe for
    /// [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdout(cfg);
        self.chosen[1] = true;
        self
    }

    /// Chooses the standard error. By default it is inherited, and a pipe for
    /// [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stderr(cfg);
        self.chosen[2] = true;
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// `NotFound` and others of the operating system.
    ///
    /// ```
    /// use marmot::process::{Command, Stdio};
    /// use std::io::Write;
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// child.stdin.take().unwrap().write_all(b"meow")?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"meow");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        let child = marmot_scheduler::blocking(|| self.std.spawn())?;
        Child::new(child)
    }

    /// Runs the program, and collects what it writes to its standard output and error.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn), and those of reading.
    pub fn output(&mut self) -> io::Result<Output> {
        // The defaults differ from those of `spawn`, and are not to stay.
        let defaults = [Stdio::null as fn() -> Stdio, Stdio::piped, Stdio::piped];
        let choose = [
            process::Command::stdin::<Stdio> as fn(&mut _, _) -> &mut _,
            process::Command::stdout::<Stdio>,
            process::Command::stderr::<Stdio>,
        ];
        for i in (0..3).filter(|&i| !self.chosen[i]) {
            choose[i](&mut self.std, defaults[i]());
        }
        let child = self.spawn();
        for i in (0..3).filter(|&i| !self.chosen[i]) {
            choose[i](&mut self.std, Stdio::inherit());
        }
        child?.wait_with_output()
    }

    /// Runs the program, and waits for its end.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// The program's name, as given.
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// The variables that were set or (`None`) taken out.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The folder that was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }

    /// Sets the user of the child.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the group of the child.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Sets what the program sees as its own name.
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.std.arg0(arg);
        self
    }

    /// Sets the process group of the child; 0 makes a new one.
    pub fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.std.process_group(pgroup);
        self
    }

    /// Has `f` called in the child before the program takes over.
    ///
    /// # Safety
    /// As for std's [`pre_exec`](CommandExt::pre_exec): nearly nothing may be done there. No
    /// operation of this library may.
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's promise.
        unsafe { self.std.pre_exec(f) };
        self
    }

    /// Replaces this process by the program. Returns only if that fails, and why.
    pub fn exec(&mut self) -> io::Error {
        self.std.exec()
    }
}

impl From<process::Command> for Command {
    /// Streams that were chosen before count as not chosen for [`output`](Command::output).
    fn from(std: process::Command) -> Self {
        Command {
            std,
            chosen: [false; 3],
        }
    }
}

/// A child process, with the interface of [`std::process::Child`]. Dropping it does not end it.
#[derive(Debug)]
pub struct Child {
    /// What is written here, the child reads; if that was asked for.
    pub stdin: Option<ChildStdin>,
    /// What the child writes to its standard output; if that was asked for.
    pub stdout: Option<ChildStdout>,
    /// What the child writes to its standard error; if that was asked for.
    pub stderr: Option<ChildStderr>,
    /// Without its pipes.
    std: process::Child,
}

impl Child {
    fn new(mut std: process::Child) -> io::Result<Child> {
        let stdin = std.stdin.take().map(|end| PipeWriter::new(end.into()));
        let stdout = std.stdout.take().map(|end| PipeReader::new(end.into()));
        let stderr = std.stderr.take().map(|end| PipeReader::new(end.into()));
        Ok(Child {
            stdin: stdin.transpose()?.map(ChildStdin),
            stdout: stdout.transpose()?.map(ChildStdout),
            stderr: stderr.transpose()?.map(ChildStderr),
            std,
        })
    }

    /// The child's number.
    pub fn id(&self) -> u32 {
        self.std.id()
    }

    /// Ends the child, by `SIGKILL`. Does not wait for it. Nothing happens if it has ended.
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// let mut child = marmot::process::Command::new("sleep").arg("100").spawn()?;
    /// child.kill()?;
    /// assert!(!child.wait()?.success());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn kill(&mut self) -> io::Result<()> {
        self.std.kill()
    }

    /// The child's status, if it has ended. Does not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.std.try_wait()
    }

    /// Closes the child's standard input, if this has the other end, and waits for its end: a
    /// goroutine parks, a thread blocks.
    ///
    /// # Errors
    /// Those of the operating system.
    ///
    /// ```
    /// let mut child = marmot::process::Command::new("false").spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(1));
    /// assert_eq!(child.wait()?.code(), Some(1), "it is remembered");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.std.try_wait()? {
            return Ok(status);
        }
        // It has not been waited for, so the number is still its own.
        let end: io::Result<Pollable<OwnedFd>> = match on_goroutine() {
            true => child_end(self.id()),
            false => Err(io::ErrorKind::Unsupported.into()),
        };
        match end {
            Ok(end) => end.read_with(|_| {
                let status = self.std.try_wait()?;
                status.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            }),
            // A thread need not poll, and an old kernel or want of descriptors cannot be helped.
            Err(_) => marmot_scheduler::blocking(|| self.std.wait()),
        }
    }

    /// Closes the child's standard input, reads its output to the end, and waits for it.
    ///
    /// # Errors
    /// Those of reading and waiting.
    ///
    /// # Panics
    /// On a plain thread, if a second thread cannot be started to read the second stream.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = read_both(self.stdout.take(), self.stderr.take())?;
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// Reads both to the end, at once: the child may fill either first.
fn read_both(out: Option<ChildStdout>, err: Option<ChildStderr>) -> io::Result<(Vec<u8>, Vec<u8>)> {
    fn all(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
    if out.is_none() || err.is_none() {
        return Ok((all(out)?, all(err)?));
    }
    let (out, err) = if on_goroutine() {
        let err = marmot_scheduler::go(move || all(err));
        (all(out), err.join())
    } else {
        let err = std::thread::spawn(move || all(err));
        (all(out), err.join())
    };
    let err = err.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok((out?, err?))
}

/// A stream of a child.
macro_rules! stream {
    ($(#[$doc:meta])* $name:ident($end:ident)) => {
        $(#[$doc])*
        pub struct $name($end);

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_raw_fd()
            }
        }

        impl From<$name> for OwnedFd {
            /// The descriptor is blocking again.
            fn from(stream: $name) -> OwnedFd {
                stream.0.into()
            }
        }

        impl From<$name> for Stdio {
            /// The descriptor is blocking again, as the next child expects it.
            fn from(stream: $name) -> Stdio {
                stream.0.into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

stream! {
    /// A pipe to the standard input of a child.
    ChildStdin(PipeWriter)
}
stream! {
    /// A pipe from the standard output of a child.
    ChildStdout(PipeReader)
}
stream! {
    /// A pipe from the standard error of a child.
    ChildStderr(PipeReader)
}

macro_rules! read {
    ($($type:ty)*) => {
        $(
            impl Read for $type {
                fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                    self.0.read(buf)
                }

                fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                    self.0.read_vectored(bufs)
                }
            }
        )*
    };
}

read!(ChildStdout ChildStderr);

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
