//! The limit on open files: a server of many connections needs more than the usual 1,024.

use std::io;

/// Raises the soft limit on open files to the hard one, and gives it.
///
/// # Errors
/// Those of the operating system; none is expected, for no right is needed.
///
/// ```
/// let limit = marmot_examples::raise_open_file_limit()?;
/// assert!(limit >= 256);
/// # std::io::Result::Ok(())
/// ```
pub fn raise_open_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised, and outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}
