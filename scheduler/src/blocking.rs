//! `blocking`: a call that blocks its thread, announced, so that its processor goes elsewhere soon.

use crate::g::Current;

/// Runs `f`, which will block its thread: a system call, a C library, a lock of the operating
/// system. If work waits, the other goroutines go on within some microseconds, on another thread.
///
/// Without it they go on as well, but after about 10 milliseconds: a goroutine that blocks or
/// computes for that long loses its processor in any case. `blocking` costs some tens of
/// nanoseconds when nothing waits. `f` runs on the calling thread and stack, and may borrow. On a
/// plain thread this just calls `f`.
///
/// # Panics
/// With the panic of `f`.
///
/// ```
/// # let rt = marmot_scheduler::doc_runtime();
/// # rt.run(|| {
/// let name = marmot_scheduler::blocking(|| std::fs::read_to_string("/proc/sys/kernel/hostname"));
/// assert!(!name.unwrap().is_empty());
/// # });
/// ```
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    struct Region(Current);

    impl Drop for Region {
        fn drop(&mut self) {
            let depth = &self.0.block().blocking;
            depth.set(depth.get() - 1);
            if depth.get() > 0 {
                return;
            }
            // If `f` parked, this may be another machine than that which began.
            let m = self.0.machine();
            let _ = m.enter();
            m.end_blocking();
            m.leave();
            self.0.attend();
        }
    }

    let Some(here) = Current::get() else {
        return f();
    };
    let depth = &here.block().blocking;
    depth.set(depth.get() + 1);
    let _region = Region(here);
    // Inside another region nothing is left to be said.
    if depth.get() == 1 {
        let m = here.machine();
        let _ = m.enter();
        m.begin_blocking();
        m.leave();
    }
    f()
}
