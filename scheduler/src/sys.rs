//! The system calls the scheduler makes, each behind a safe or narrowly unsafe function.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("Marmot runs on 64-bit Linux: it relies on futexes, madvise and epoll");

/// `MADV_GUARD_INSTALL` of Linux 6.13, not yet named by the libc crate.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Sleeps while `*word == expected`, for at most `timeout`. May return early for any reason.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    let timespec = timeout.map(|t| libc::timespec {
        // A wait of 68 years may as well return early.
        tv_sec: t.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: t.subsec_nanos().into(),
    });
    let timespec = timespec
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word outlives the call, the timespec is null or lives on this frame; the other
    // arguments of FUTEX_WAIT are ignored. EINTR, EAGAIN and ETIMEDOUT are all "return early".
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timespec,
        );
    }
}

/// Wakes up to `count` sleepers on `word`.
pub(crate) fn futex_wake(word: &AtomicU32, count: i32) {
    // SAFETY: FUTEX_WAKE reads nothing through the pointer; an address that nobody sleeps on is
    // allowed.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            count,
        );
    }
}

/// Has the kernel wake the calling thread at its timeouts, not up to 50 us later (the default slack).
pub(crate) fn exact_timers() {
    // SAFETY: sets a number of the calling thread; takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
}

/// How many threads the process has; `None` if the kernel does not tell.
pub(crate) fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

/// How many CPUs the calling thread may run on: those of its affinity mask, at least 1.
pub(crate) fn allowed_cpus() -> usize {
    /// Bits for 65,536 CPUs. The kernel refuses a mask that is shorter than its own; std's, and
    /// that of the C library, ends at 1024.
    const WORDS: usize = 1024;
    let mut mask = [0_u64; WORDS];
    // SAFETY: the mask is valid for its size in bytes, and any bits in it are. 0 is this thread.
    let code = unsafe { libc::sched_getaffinity(0, WORDS * 8, mask.as_mut_ptr().cast()) };
    let allowed = match code {
        0 => mask.iter().map(|word| word.count_ones() as usize).sum(),
        _ => {
            // SAFETY: takes no pointers.
            let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
            usize::try_from(online).unwrap_or(1)
        }
    };
    allowed.max(1)
}

/// Reserves `len` bytes of lazily committed memory, at `hint` if that is free.
pub(crate) fn reserve(hint: usize, len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous mapping at a place of the kernel's choice (the hint binds nothing)
    // changes no existing mapping.
    let at = unsafe {
        libc::mmap(
            std::ptr::without_provenance_mut(hint),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mmap gave the null address"))
}

/// Gives address space back.
///
/// # Safety
/// The range was reserved and nothing refers to it any more.
pub(crate) unsafe fn release(at: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise. A failure leaves the range reserved, which is harmless.
    unsafe { libc::munmap(at.as_ptr().cast(), len) };
}

/// Asks for small pages: a huge page under a stack would commit eight stacks at once.
pub(crate) fn no_huge_pages(at: NonNull<u8>, len: usize) {
    // SAFETY: advice only; it changes no content. Kernels without huge pages answer EINVAL.
    unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE) };
}

/// Makes the range fault on access, inside its mapping and without a mapping of its own.
///
/// # Errors
/// `EINVAL` before Linux 6.13.
///
/// # Safety
/// The range is reserved memory that nothing uses: its content is lost.
pub(crate) unsafe fn install_guard(at: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { libc::madvise(at.as_ptr().cast(), len, MADV_GUARD_INSTALL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// [`install_guard`] for several ranges of equal length, none of them empty. How many were made, from the
/// first on. One call for all of them, where the kernel allows it.
///
/// # Safety
/// As for [`install_guard`].
pub(crate) unsafe fn install_guards(ranges: &[libc::iovec]) -> usize {
    let Some(first) = ranges.first() else {
        return 0;
    };
    // SAFETY: the caller's promise.
    let mut made = unsafe { advise(ranges, MADV_GUARD_INSTALL) } / first.iov_len;
    for range in &ranges[made..] {
        // SAFETY: the caller's promise.
        if unsafe { libc::madvise(range.iov_base, range.iov_len, MADV_GUARD_INSTALL) } != 0 {
            break;
        }
        made += 1;
    }
    made
}

/// Makes the range fault on access, by a mapping of its own.
///
/// # Errors
/// `ENOMEM` when the process has reached `vm.max_map_count` mappings.
///
/// # Safety
/// The range is reserved memory that nothing uses.
pub(crate) unsafe fn protect(at: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { libc::mprotect(at.as_ptr().cast(), len, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes no pointers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every system has pages")
}

/// Gives the memory of up to [`DISCARD_MOST`] ranges back; their address space stays, and reads as
/// zeroes. One call for all of them where the kernel allows it (Linux 6.15), since what costs most
/// is telling the other cores.
///
/// # Safety
/// The ranges begin and end at page boundaries and lie in reserved memory, whose content nobody
/// relies on any more.
pub(crate) unsafe fn discard(ranges: &[libc::iovec]) {
    static ONE_BY_ONE: AtomicBool = AtomicBool::new(false);
    debug_assert!(ranges.len() <= DISCARD_MOST);
    if ranges.len() > 1 && !ONE_BY_ONE.load(Ordering::Relaxed) {
        let bytes: usize = ranges.iter().map(|range| range.iov_len).sum();
        // SAFETY: the caller's promise.
        if unsafe { advise(ranges, libc::MADV_DONTNEED) } == bytes {
            return;
        }
        // An older kernel, or a filter of system calls. What was done may be done twice.
        ONE_BY_ONE.store(true, Ordering::Relaxed);
    }
    for range in ranges {
        // SAFETY: the caller's promise. A failure leaves the memory where it is.
        unsafe { libc::madvise(range.iov_base, range.iov_len, libc::MADV_DONTNEED) };
    }
}

/// Gives the same advice about several ranges in one call. How many bytes it was taken for, from the first
/// range on: 0 if there is no such call here.
///
/// # Safety
/// That of the advice, for each range.
unsafe fn advise(ranges: &[libc::iovec], advice: libc::c_int) -> usize {
    // SAFETY: the caller's promise about the ranges; the array is valid for its length.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD_GROUP,
            ranges.as_ptr(),
            ranges.len(),
            advice,
            0,
        )
    };
    usize::try_from(done).unwrap_or(0)
}

/// The most ranges that [`discard`] takes: the kernel's limit is 1024.
pub(crate) const DISCARD_MOST: usize = 64;

/// This process, as a descriptor for `process_madvise`; not yet named by the libc crate.
const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10_001;

/// The standard error descriptor, without std's lock and buffer.
pub(crate) struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::write(libc::STDERR_FILENO, buf.as_ptr().cast(), buf.len()) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has the processor fetch a cache line, if it can be asked to. Any address.
#[inline(always)]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch does not fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
