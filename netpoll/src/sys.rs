//! The system calls that neither std, mio nor socket2 offers in the shape needed here.
//!
//! None is inlined: each reads `errno` before it returns, and the address of `errno` (a
//! thread-local) must not be kept in a register over a park in the caller.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{SockAddr, Socket};

#[cfg(not(target_os = "linux"))]
compile_error!("Marmot runs on Linux: this crate uses epoll, timerfd, eventfd and accept4");

/// As std: Linux refuses more slices than this.
pub(crate) const MAX_SLICES: usize = 1024;

/// The result of a call that says -1 for "see errno".
fn check(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Receives without waiting, whatever the mode of the descriptor.
#[inline(never)]
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the buffer is valid for writes of its length.
    let n = unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buf.as_mut_ptr().cast(),
            buf.len(),
            flags | libc::MSG_DONTWAIT,
        )
    };
    check(n)
}

/// Receives without waiting into several buffers, and says whether control data (descriptors,
/// credentials) came along and was left out.
#[inline(never)]
pub(crate) fn recv_message(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, bool)> {
    // SAFETY: all zeroes is a valid `msghdr`: no name, no control data, no flags.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // `IoSliceMut` is guaranteed to have the layout of `iovec`.
    message.msg_iov = bufs.as_mut_ptr().cast();
    message.msg_iovlen = bufs.len().min(MAX_SLICES) as _;
    // SAFETY: the header and the buffers it names are valid for the call.
    let n = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
    Ok((check(n)?, message.msg_flags & libc::MSG_CTRUNC != 0))
}

/// Receives a datagram without waiting, with the address of its sender.
#[inline(never)]
pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, SockAddr)> {
    let init = |storage: *mut socket2::SockAddrStorage, len: *mut libc::socklen_t| {
        // SAFETY: the buffer is valid for writes of its length, and `try_init` gives a storage and
        // its size, both writable.
        let n = unsafe {
            libc::recvfrom(
                fd.as_raw_fd(),
                buf.as_mut_ptr().cast(),
                buf.len(),
                flags | libc::MSG_DONTWAIT,
                storage.cast(),
                len,
            )
        };
        check(n)
    };
    // SAFETY: recvfrom fills in the address and its length, or fails. Where there is no address, the
    // length is zero, and the storage was zeroed before.
    unsafe { SockAddr::try_init(init) }
}

/// Sends without waiting, whatever the mode of the descriptor, and without `SIGPIPE`.
#[inline(never)]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for reads of its length.
    let n = unsafe {
        libc::send(
            fd.as_raw_fd(),
            buf.as_ptr().cast(),
            buf.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    check(n)
}

/// The same from several buffers.
#[inline(never)]
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid `msghdr`: no name, no control data, no flags.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // `IoSlice` is guaranteed to have the layout of `iovec`; sendmsg does not write through it.
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len().min(MAX_SLICES) as _;
    // SAFETY: the header and the buffers it names are valid for the call.
    let n = unsafe {
        libc::sendmsg(
            fd.as_raw_fd(),
            &message,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    check(n)
}

/// Sends a datagram to `address` without waiting, and without `SIGPIPE`.
#[inline(never)]
pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
    // SAFETY: the buffer is valid for reads of its length, and so is the address.
    let n = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            buf.as_ptr().cast(),
            buf.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            address.as_ptr().cast(),
            address.len(),
        )
    };
    check(n)
}

/// Accepts a connection, as a non-blocking descriptor that is closed on exec.
#[inline(never)]
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(Socket, SockAddr)> {
    let init = |storage: *mut socket2::SockAddrStorage, len: *mut libc::socklen_t| {
        // SAFETY: `try_init` gives a storage and its size, both writable.
        let accepted = unsafe {
            libc::accept4(
                fd.as_raw_fd(),
                storage.cast(),
                len,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        own(accepted)
    };
    // SAFETY: accept4 fills in the address and its length, or fails.
    let (accepted, address) = unsafe { SockAddr::try_init(init) }?;
    Ok((Socket::from(accepted), address))
}

/// What of `events` the descriptor is ready for now; errors and hang-ups are always told.
pub(crate) fn readiness(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<libc::c_short> {
    let mut fds = [libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

/// Takes possession of a descriptor that the kernel has just made.
fn own(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets or clears `O_NONBLOCK`.
#[inline(never)]
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let value = libc::c_int::from(nonblocking);
    // SAFETY: FIONBIO reads one int through the pointer.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A timer on the monotonic clock.
pub(crate) fn timer() -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    own(unsafe {
        libc::timerfd_create(
            libc::CLOCK_MONOTONIC,
            libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
        )
    })
}

/// Makes the timer fire once, `after` from now (at least one nanosecond, for zero disarms).
pub(crate) fn arm_timer(fd: BorrowedFd<'_>, after: Duration) -> io::Result<()> {
    let timer = libc::itimerspec {
        it_interval: timespec(Duration::ZERO),
        it_value: timespec(after.max(Duration::from_nanos(1))),
    };
    // SAFETY: the new value is valid for reads, and the old one is not asked for.
    let result = unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &timer, std::ptr::null_mut()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Saturating at 68 years, which every kernel takes.
fn timespec(d: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: d.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: d.subsec_nanos().into(),
    }
}

/// A descriptor of a process of ours that was not waited for yet, closed on exec.
#[inline(never)]
pub(crate) fn pidfd(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number and flags, of which there are none.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id as libc::pid_t, 0) };
    own(fd as RawFd)
}

/// Whether a read would not block: there is something, or the end, or an error.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(readiness(fd, libc::POLLIN)? != 0)
}

/// A counter that can be polled.
#[inline(never)]
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    own(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// Makes the counter readable. It cannot overflow: there is one signal per wait.
pub(crate) fn signal_event(fd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes are readable.
    unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Makes the counter unreadable again.
pub(crate) fn drain_event(fd: BorrowedFd<'_>) {
    let mut count = [0u8; 8];
    // SAFETY: eight bytes are writable. EAGAIN means that it was drained already.
    unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Blocks the thread until one of the descriptors has one of the events it asks for, or `timeout`
/// has passed, or (as an early return) a signal came.
///
/// # Errors
/// `ENOMEM`; the descriptors are open by their type.
#[inline(never)]
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(timespec);
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array is valid for its length, the timeout is null or lives on this frame, and no
    // signal mask is given.
    let result = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            timeout,
            std::ptr::null(),
        )
    };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}
