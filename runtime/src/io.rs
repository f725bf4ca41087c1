//! `std::io`, with a standard input and pipes that park the goroutine.
//!
//! What is not named here is std's own. Standard output and error block the thread while whoever
//! reads them is slow; the processor goes elsewhere meanwhile.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::LazyLock;

use marmot_channel::{Receiver, Sender, bounded};
use marmot_netpoll::Pollable;

pub use marmot_netpoll::{PipeReader, PipeWriter, pipe};
pub use std::io::*;

/// A handle to the standard input of the process. Mirrors [`std::io::stdin`].
///
/// Reading from a pipe, a socket or a terminal parks the goroutine until there is something; a file,
/// which cannot be waited for, is read in [`blocking`](crate::blocking). All handles share one buffer,
/// which is not that of std: what this one has read ahead, std's does not see. The mode of the
/// descriptor, which other processes may share, is not changed.
///
/// ```no_run
/// for line in marmot::io::stdin().lines() {
///     println!("you said: {}", line?);
/// }
/// # std::io::Result::Ok(())
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

/// See [`stdin`].
pub struct Stdin(());

/// The right to read from the standard input, alone; see [`Stdin::lock`].
pub struct StdinLock<'a> {
    /// Taken by `drop` alone.
    input: Option<Box<Input>>,
    /// As in std, whose lock has a lifetime too.
    _handle: std::marker::PhantomData<&'a Stdin>,
}

type Input = BufReader<Descriptor>;
type Place = (Sender<Box<Input>>, Receiver<Box<Input>>);

/// The one buffer of the process: whoever reads takes it out of the channel, and puts it back.
static INPUT: LazyLock<Place> = LazyLock::new(|| {
    let (sender, receiver) = bounded(1);
    // A duplicate, lest it be closed and its number reused while a poller knows it.
    let file = std::io::stdin().as_fd().try_clone_to_owned();
    let file = file.map(|fd| Pollable::from_nonblocking(File::from(fd)));
    let input = Box::new(BufReader::new(Descriptor(file)));
    assert!(sender.try_send(input).is_ok(), "the channel is new");
    (sender, receiver)
});

/// The standard input without a buffer.
struct Descriptor(Result<Pollable<File>>);

impl Read for Descriptor {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        match &self.0 {
            Ok(file) => file.read_ready_with(|mut file| file.read(buf)),
            // As std: a closed one is at its end.
            Err(_) => Ok(0),
        }
    }
}

impl Stdin {
    /// Waits until no other task reads, and keeps them out until the lock is dropped.
    ///
    /// A goroutine may hold it over anything that waits.
    pub fn lock(&self) -> StdinLock<'static> {
        let input = INPUT.1.recv();
        StdinLock {
            input: Some(input.expect("the static keeps a sender")),
            _handle: std::marker::PhantomData,
        }
    }

    /// Reads a line, with its end, and appends it to `buf`; gives its length, which is zero at the
    /// end of the input.
    ///
    /// # Errors
    /// `InvalidData` for what is not UTF-8; those of reading.
    pub fn read_line(&self, buf: &mut String) -> Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines of the input, without their ends. Keeps the lock.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        std::io::stdin().is_terminal()
    }
}

impl StdinLock<'_> {
    fn input(&mut self) -> &mut Input {
        self.input.as_mut().expect("it is taken by `drop` alone")
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        std::io::stdin().is_terminal()
    }
}

impl Drop for StdinLock<'_> {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            let returned = INPUT.0.try_send(input);
            assert!(returned.is_ok(), "its place was kept");
        }
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.input().read(buf)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.input().fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.input().consume(n);
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.lock().read(buf)
    }

    // Under one lock, as in std.
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        (&*self).read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> Result<usize> {
        (&*self).read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        (&*self).read_exact(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        static STDIN: LazyLock<std::io::Stdin> = LazyLock::new(std::io::stdin);
        STDIN.as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        std::io::stdin().as_raw_fd()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}
