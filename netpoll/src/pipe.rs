//! The two ends of a pipe.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use crate::pollable::Pollable;
use crate::sys;

/// A pipe: what is written to the one end is read from the other. Mirrors [`std::io::pipe`].
///
/// # Errors
/// Out of descriptors.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut reader, mut writer) = marmot_netpoll::pipe()?;
/// writer.write_all(b"hello")?;
/// drop(writer);
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((
        PipeReader::new(reader.into())?,
        PipeWriter::new(writer.into())?,
    ))
}

/// The end of a pipe to read from, with the interface of [`std::io::PipeReader`].
///
/// Reading parks the goroutine, or blocks the thread if the caller is none.
pub struct PipeReader(Arc<Pollable<File>>);

/// The end of a pipe to write to, with the interface of [`std::io::PipeWriter`].
///
/// Writing parks the goroutine, or blocks the thread if the caller is none.
pub struct PipeWriter(Arc<Pollable<File>>);

/// What both ends can do.
macro_rules! end {
    ($name:ident, $std:ty, $deadline:ident) => {
        impl $name {
            /// Takes a descriptor, and makes it non-blocking, for its duplicates outside as well.
            ///
            /// # Errors
            /// If that cannot be done.
            ///
            /// ```
            /// let (reader, writer) = std::io::pipe()?;
            /// let reader = marmot_netpoll::PipeReader::new(reader.into())?;
            /// let writer = marmot_netpoll::PipeWriter::new(writer.into())?;
            /// # std::io::Result::Ok(())
            /// ```
            pub fn new(fd: OwnedFd) -> io::Result<Self> {
                Ok($name(Arc::new(Pollable::new(File::from(fd))?)))
            }

            /// Another handle to the same end, on the same descriptor.
            ///
            /// # Errors
            /// None today; the signature is std's.
            ///
            /// ```
            /// let (reader, writer) = marmot_netpoll::pipe()?;
            /// let (other_reader, other_writer) = (reader.try_clone()?, writer.try_clone()?);
            /// # std::io::Result::Ok(())
            /// ```
            pub fn try_clone(&self) -> io::Result<Self> {
                Ok($name(self.0.clone()))
            }

            /// Moves the deadline; `None` takes it away. For all clones. From that instant on calls
            /// fail with `TimedOut`; those that wait now go by the new one at once.
            ///
            /// # Errors
            /// None today.
            ///
            /// ```
            /// use std::io::{ErrorKind, Read};
            ///
            /// let (mut reader, writer) = marmot_netpoll::pipe()?;
            /// reader.set_deadline(Some(std::time::Instant::now()))?;
            /// assert_eq!(reader.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
            /// writer.set_deadline(None)?;
            /// # std::io::Result::Ok(())
            /// ```
            pub fn set_deadline(&self, at: Option<Instant>) -> io::Result<()> {
                self.0.$deadline(at);
                Ok(())
            }

            /// The descriptor for somebody outside, blocking again. If there are clones, it is
            /// duplicated.
            fn release(self) -> io::Result<OwnedFd> {
                let file = match Arc::try_unwrap(self.0) {
                    Ok(alone) => alone.into_inner(),
                    Err(shared) => {
                        shared.set_left();
                        shared.get().try_clone()?
                    }
                };
                sys::set_nonblocking(file.as_fd(), false)?;
                Ok(file.into())
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl From<$name> for OwnedFd {
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(end: $name) -> OwnedFd {
                end.release()
                    .unwrap_or_else(|error| panic!("a pipe cannot leave its clones: {error}"))
            }
        }

        impl From<$name> for Stdio {
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(end: $name) -> Stdio {
                OwnedFd::from(end).into()
            }
        }

        impl From<$name> for $std {
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(end: $name) -> $std {
                OwnedFd::from(end).into()
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name))
                    .field(&self.as_raw_fd())
                    .finish()
            }
        }
    };
}

end!(PipeReader, io::PipeReader, set_read_deadline);
end!(PipeWriter, io::PipeWriter, set_write_deadline);

impl PipeReader {
    fn receive<R>(&self, mut op: impl FnMut(&File) -> io::Result<R>) -> io::Result<R> {
        match self.0.has_left() {
            // A duplicate outside may have made it a blocking one.
            true => self.0.read_ready_with(op),
            false => self.0.read_with(|file| op(file)),
        }
    }
}

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(|mut file| file.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive(|mut file| file.read_vectored(bufs))
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl PipeWriter {
    fn send<R>(&self, mut op: impl FnMut(&File) -> io::Result<R>) -> io::Result<R> {
        self.0.write_with(|file| match self.0.has_left() {
            // As above. It may still block, if there is room for a part only.
            true if sys::readiness(file.as_fd(), libc::POLLOUT)? == 0 => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            true => marmot_scheduler::blocking(|| op(file)),
            false => op(file),
        })
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(|mut file| file.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(|mut file| file.write_vectored(bufs))
    }

    /// Does nothing: there is no buffer here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Does nothing: there is no buffer here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
