//! Disorder on request: `MARMOT_DEBUG=chaos=SEED`.
//!
//! A goroutine that was readied usually runs next, where it was readied, in an order that looks as
//! if it were promised. Programs come to rely on that, and on not changing threads, and are found
//! out on the first machine with more cores. Under chaos whatever the rules allow does happen: a
//! goroutine that is readied mostly goes to the global queue, to be picked up by any machine; the
//! rest goes to the end of the queue or next, by chance; machines steal before they look at their
//! own queue; calls that may let others run do; `park` returns for no reason.
//!
//! The choices are drawn from the processors' generators, which are seeded by `SEED`. So a seed
//! repeats the choices, but not what the operating system does between them.

use crate::clock;
use crate::g::Runnable;
use crate::machine::M;

impl M {
    /// True once in `n` times. Inside, with a processor.
    fn one_in(&self, n: u32) -> bool {
        self.has_p() && self.random().is_multiple_of(n)
    }

    /// Readies a goroutine anywhere. Inside, with a processor.
    pub(crate) fn chaos_ready(&self, r: Runnable) {
        match self.random() % 8 {
            0 => {
                if self.p().put_next(r) {
                    self.sched.wake_for_backlog();
                }
            }
            1 | 2 => {
                self.p().line_up(r);
                self.sched.wake_for_backlog();
            }
            _ => self.sched.inject(r),
        }
    }

    /// Whether the goroutine that is about to run has to let others run at its next call in.
    pub(crate) fn chaos_yields(&self) -> bool {
        self.one_in(4)
    }

    /// Whether a `park` returns at once. Under chaos only.
    #[cold]
    #[inline(never)]
    pub(crate) fn chaos_wakes(&self) -> bool {
        self.enter() && {
            let wakes = self.one_in(4);
            self.leave();
            wakes
        }
    }

    /// Steals for no reason, now and then: what is stolen goes to the end of the own queue.
    pub(crate) fn chaos_steals(&self) {
        if self.one_in(4)
            && let Some(r) = self.steal(clock::now())
        {
            self.p().push(r);
        }
        if self.one_in(4)
            && let Some(r) = self.p().queue().take_global(1)
        {
            self.p().push(r);
        }
        if self.one_in(8) {
            self.p().expose_next();
        }
    }
}
