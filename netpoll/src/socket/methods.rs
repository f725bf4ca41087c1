//! The macros for what several socket types do alike, so that each method is written, and documented,
//! once. `$setup` is a line of Rust that makes a `socket` for the examples.

/// What every socket can do.
macro_rules! common_methods {
    ($name:ident, $setup:literal) => {
        /// Another handle to the same socket, on the same descriptor. Clones share timeouts,
        /// deadlines and the non-blocking mode.
        ///
        /// # Errors
        /// None today; the signature is std's.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// let clone = socket.try_clone()?;
        /// assert_eq!(format!("{clone:?}"), format!("{socket:?}"));
        /// # std::io::Result::Ok(())
        /// ```
        pub fn try_clone(&self) -> io::Result<$name> {
            Ok($name(self.0.clone()))
        }

        /// Takes the pending error of the socket (`SO_ERROR`). Does not wait.
        ///
        /// # Errors
        /// Those of asking for it.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// assert!(socket.take_error()?.is_none());
        /// # std::io::Result::Ok(())
        /// ```
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.0.get().take_error()
        }

        /// Makes later calls fail with `WouldBlock` instead of waiting, or wait again. For all
        /// clones. Connections that a listener accepts are in blocking mode in either case.
        ///
        /// # Errors
        /// None; the signature is std's.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// socket.set_nonblocking(true)?;
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.0.set_nonblocking(nonblocking);
            Ok(())
        }
    };
}

/// How long a call may wait.
macro_rules! timeout_methods {
    ($setup:literal) => {
        /// Limits how long each later read or receive may wait; `None` lifts the limit. For all
        /// clones. A call that reaches the limit fails with `WouldBlock`, as std's does on this
        /// platform.
        ///
        /// # Errors
        /// `InvalidInput` for zero.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// use std::time::Duration;
        /// socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        /// assert_eq!(socket.read_timeout()?, Some(Duration::from_millis(5)));
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.0.set_read_timeout(timeout)
        }

        /// Limits how long each later write or send may wait; `None` lifts the limit. For all
        /// clones.
        ///
        /// # Errors
        /// `InvalidInput` for zero.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// use std::io::ErrorKind;
        /// use std::time::Duration;
        /// let error = socket.set_write_timeout(Some(Duration::ZERO)).unwrap_err();
        /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.0.set_write_timeout(timeout)
        }

        /// How long each read or receive may wait.
        ///
        /// # Errors
        /// None; the signature is std's.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// assert_eq!(socket.read_timeout()?, None);
        /// # std::io::Result::Ok(())
        /// ```
        pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.0.read_timeout())
        }

        /// How long each write or send may wait.
        ///
        /// # Errors
        /// None; the signature is std's.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// assert_eq!(socket.write_timeout()?, None);
        /// # std::io::Result::Ok(())
        /// ```
        pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(self.0.write_timeout())
        }
    };
}

/// Until when calls may wait.
macro_rules! deadline_methods {
    ($setup:literal) => {
        /// Moves the deadline of reading and writing; `None` takes it away. For all clones.
        ///
        /// From that instant on both fail with `TimedOut`, even if there is data, until the deadline
        /// is moved again. Calls that wait now go by the new deadline at once, so that one in the
        /// past is the way to end them, from whichever goroutine or thread.
        ///
        /// # Errors
        /// None today.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// use std::time::{Duration, Instant};
        /// socket.set_deadline(Some(Instant::now() + Duration::from_secs(5)))?;
        /// // ... an exchange that has to be over by then ...
        /// socket.set_deadline(None)?;
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_deadline(&self, at: Option<Instant>) -> io::Result<()> {
            self.0.set_read_deadline(at);
            self.0.set_write_deadline(at);
            Ok(())
        }

        /// Moves the deadline of reading alone; see [`set_deadline`](Self::set_deadline).
        ///
        /// # Errors
        /// None today.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// socket.set_read_deadline(Some(std::time::Instant::now()))?;
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_read_deadline(&self, at: Option<Instant>) -> io::Result<()> {
            self.0.set_read_deadline(at);
            Ok(())
        }

        /// Moves the deadline of writing alone; see [`set_deadline`](Self::set_deadline).
        ///
        /// # Errors
        /// None today.
        ///
        /// ```
        #[doc = concat!("# ", $setup)]
        /// socket.set_write_deadline(None)?;
        /// # std::io::Result::Ok(())
        /// ```
        pub fn set_write_deadline(&self, at: Option<Instant>) -> io::Result<()> {
            self.0.set_write_deadline(at);
            Ok(())
        }
    };
}

/// `Read` and `Write` for a stream and for a reference to it. `$read` and `$read_vectored` are its own
/// methods; writing is the same for all.
macro_rules! stream_io {
    ($name:ident, $read:ident, $read_vectored:ident) => {
        impl Read for &$name {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.$read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.$read_vectored(bufs)
            }
        }

        impl Read for $name {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.$read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.$read_vectored(bufs)
            }
        }

        impl Write for &$name {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.write_with(|socket| sys::send(socket.as_fd(), buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0
                    .write_with(|socket| sys::send_vectored(socket.as_fd(), bufs))
            }

            /// Does nothing: there is no buffer here.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for $name {
            #[inline]
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
    };
}

pub(crate) use {common_methods, deadline_methods, stream_io, timeout_methods};
