//! The tag of a thread: a number that other threads most likely do not have, for one instruction.
//!
//! It is made from where the thread keeps its thread-locals. The compiler does not know that it is, so
//! it reads it anew each time, and may as well not: what is done with a tag is right with a wrong one
//! (`lock.rs`, invariant 4). So nothing depends on its being read on the right side of a switch (H1).

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// A bit that is set in no tag.
    pub(crate) const SPARE_BIT: u32 = 1;

    /// That of the current thread.
    #[inline(always)]
    pub(crate) fn current() -> Tag {
        // The low half of an address that is aligned to more than the spare bit.
        let tag: u32;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: on Linux the first word of a thread's control block is its own address.
        unsafe {
            std::arch::asm!("mov {:e}, fs:0", out(reg) tag, options(readonly, nostack, preserves_flags));
        }
        #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
        {
            let pointer: u64;
            // SAFETY: reads a register.
            unsafe {
                std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags));
            }
            tag = pointer as u32;
        }
        #[cfg(not(all(
            any(target_arch = "x86_64", target_arch = "aarch64"),
            target_os = "linux"
        )))]
        {
            // All threads look like one: locks change hands at once.
            tag = 0;
        }
        debug_assert_eq!(tag & Self::SPARE_BIT, 0);
        Tag(tag)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}
