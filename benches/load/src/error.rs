//! The error of a run that could not be carried out.

use std::{error, fmt, io};

/// Why there is no report. What goes wrong on single connections does not count here: it is in the
/// report's [`Errors`](crate::Errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The plan asks for what cannot be; the text says what.
    Plan(String),
    /// The process may not have as many descriptors as the plan needs, and may not raise its limit.
    Descriptors {
        /// How many the plan needs.
        needed: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Not one connection came about; the first one's error.
    Connect(io::Error),
    /// The key that is to be read could not be set; the text says why.
    Prepare(String),
    /// There is no such server process to watch.
    Server {
        /// Its number.
        pid: u32,
        /// Why it cannot be watched.
        error: io::Error,
    },
    /// The operating system refused something else.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Plan(what) => write!(f, "{what}"),
            Error::Descriptors { needed, limit } => write!(
                f,
                "the connections need {needed} descriptors, but the limit is {limit} (ulimit -n)"
            ),
            Error::Connect(e) => write!(f, "cannot connect: {e}"),
            Error::Prepare(what) => write!(f, "cannot set the key: {what}"),
            Error::Server { pid, error } => write!(f, "cannot watch process {pid}: {error}"),
            Error::Io(e) => write!(f, "{e}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Plan(_) | Error::Descriptors { .. } | Error::Prepare(_) => None,
            Error::Connect(error) | Error::Server { error, .. } | Error::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}
