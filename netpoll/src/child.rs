//! Waiting for a child process: a descriptor that becomes readable when it ends.

use std::io;
use std::os::fd::OwnedFd;

use crate::pollable::Pollable;
use crate::sys;

/// A descriptor of the child process with this number, which is readable from its end on.
///
/// The caller must not have waited for the child yet: the number might be another's by then.
///
/// # Errors
/// `Unsupported`-like ones on kernels before 5.3; want of descriptors.
///
/// ```
/// let mut child = std::process::Command::new("true").spawn()?;
/// let end = marmot_netpoll::child_end(child.id())?;
/// let status = end.read_with(|_| child.try_wait()?.ok_or(std::io::ErrorKind::WouldBlock.into()))?;
/// assert!(status.success());
/// # std::io::Result::Ok(())
/// ```
pub fn child_end(id: u32) -> io::Result<Pollable<OwnedFd>> {
    // Nothing is ever read from it.
    Ok(Pollable::from_nonblocking(sys::pidfd(id)?))
}
