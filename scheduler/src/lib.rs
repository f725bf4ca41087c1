//! Marmot's scheduler: goroutines, machines and processors.
//!
//! A **goroutine** (G) is a closure with a stack of its own. A **machine** (M) is an OS thread. A
//! **processor** (P) is the right to run goroutines, with a queue of them; there are `max_procs`.
//! A machine must have a processor to run a goroutine. This crate maps the first onto the second
//! by way of the third. It knows neither channels nor sockets: they are built on [`wait`] and
//! [`event`] by the crates beside it, and most programs use all of it through the `marmot` crate.
//!
//! ```
//! use std::sync::Arc;
//! use marmot_scheduler::event::NoEvents;
//! use marmot_scheduler::{Config, Scheduler, go};
//!
//! let config = Config::from_env()?;
//! // SAFETY: no goroutine of this program uses a thread-local.
//! let scheduler = unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) }?;
//! let sum = scheduler.handle().run(|| {
//!     let handles: Vec<_> = (1..=10_u64).map(|n| go(move || n * n)).collect();
//!     handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
//! });
//! assert_eq!(sum, 385);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # How it works
//!
//! Each processor has queues of runnable goroutines, a slot for the one to run next, a heap of
//! timers and a cache of free stacks. Its machine takes from the slot, then from the queues, now and then
//! from the global queue (where everything goes that is readied from outside), then from what the
//! event source reports, then from other processors (`find.rs`). If there is nothing anywhere, the
//! machine gives the processor up and sleeps; the first one to do so sleeps in the event source,
//! until the earliest timer.
//!
//! What a spawn queues has no stack yet: it is the closure with room for the result, in one piece of
//! memory that goroutine and handles share (`spawned.rs`, `life.rs`). It gets a stack where and when
//! it first runs. So a thousand goroutines that are started at once and do not wait run on one warm
//! stack, one after the other. What a spawn takes is the promise of a stack, of which there are as many
//! as there is address space for: that is what makes a spawn fail, not a run.
//!
//! A goroutine runs until it parks, yields or ends. To park, it switches to the machine's stack,
//! and only there is its wait opened and made known (`wait.rs`, `g.rs`). So nobody can ready a
//! goroutine that has not left its stack, and readying one takes a single compare-and-swap on its
//! wait word: the *claim*, which also settles the race between the value, the deadline and the
//! cancellation of one wait. Because the wait word lives in memory that is never unmapped, a claim
//! may come at any time, even ages late; it fails, and that is all.
//!
//! A goroutine made runnable by another goes into the `runnext` slot of that one's processor. The
//! pair then hands over on one core with two switches, and no other machine is disturbed. Waking is
//! lazy: only when the slot was taken, so that somebody has to wait in the queue, is another
//! machine woken, and only one at a time. It searches; if it finds something and was the last one
//! searching, it looks whether there is more and wakes the next.
//!
//! Behind that slot a processor has its queues (`run_queue.rs`). What was woken waits in a ring, first
//! in, first out. Whoever takes from it knows who comes after the next, and has the processor fetch that
//! one's control block meanwhile (`ring.rs`). What has not begun waits in the *nursery* (`nursery.rs`),
//! from which the processor takes the newest and thieves the oldest: so a tree of goroutines is run by
//! depth, with few alive at a time, and what is stolen is the greatest part of the rest. What gives way, or
//! has had its time, waits for as many newborns to begin as there were when it came. So nobody waits for
//! ever, and who starts others without end has to wait for them.
//!
//! The current goroutine is found from the stack pointer: stacks lie in aligned slots, and the
//! control block sits at the top of its own slot (`arena.rs`). No thread-local is read on any path
//! that can park. The compiler may keep a thread-local's address in a register over a call; over a
//! call that comes back on another thread, that would be the wrong one (hazard H1).
//!
//! # Why no wake-up is lost
//!
//! The danger is always the same: two parties each do one thing and then look whether the other
//! has done its own; if both look too early, both go away. The remedy is always the same as well:
//! between the doing and the looking, both have a sequentially consistent fence. Of two such
//! fences one comes first in their single total order; what was done before the first is seen by
//! what looks after the second. So at least one of the two sees the other. That is the whole
//! argument; it needs two words, one written by each side, and it is made seven times.
//!
//! *Submit* makes a goroutine runnable, and may need another machine:
//!
//! 1. (S1) push it on a queue that others can see
//! 2. (S2) fence
//! 3. (S3) read the count word: if somebody searches, or no processor is idle, done
//! 4. (S4) in one step, reserve an idle processor and count one searcher more; then take the
//!    processor and a sleeping machine off their lists, and wake it
//!
//! *Sleep* is for a machine that has found nothing:
//!
//! 1. (R1) put the processor and itself on the lists
//! 2. (R2) in one step, count the processor idle and itself no longer searching
//! 3. (R3) fence
//! 4. (R4) take the poll word, if it is free
//! 5. (R5) fence
//! 6. (R6) look at all queues and all timers once more; if there is something, reserve a processor
//!    and go on
//! 7. (R7) sleep: in the event source if it has the poll word, else on a futex
//!
//! **Work against sleep** (S2 and R3; the words are the queue and the count word). Suppose a
//! goroutine was pushed and nobody comes for it. Its submitter left at S3. If it read that no
//! processor is idle, then every processor was busy, or about to be given up by a machine whose R2
//! the submitter did not see; then R3 comes after S2, and R6 sees the push. A busy processor comes
//! by the queues before it is given up, and R6 follows that. If it read that somebody searches,
//! that searcher either goes to sleep, with R2 after the read, and again R6 sees the push; or it
//! finds work, which is the next case.
//!
//! **Work against a searcher that finds other work** (S2 and F2). A searcher that stops counts
//! itself out (F1), and if it was the last, fences (F2), looks at the queues (F3), and if there is
//! more goes on at S3 on behalf of whoever relied on it. If it was not the last, the others are
//! still searching, and the same is true of the last of them. That S4 is one step matters: between
//! a reservation and the count, a second submitter would wake a second machine in vain. That R2 is
//! one step matters more: a machine that first counted its processor idle and then itself out
//! would, in between, keep submitters from waking anybody.
//!
//! **Timers against the poll** (T2 and R5; the words are the earliest deadline and the poll word).
//! The machine in the event source sleeps until the earliest deadline it saw in R6, after R5. A
//! goroutine that adds an earlier one publishes it (T1), fences (T2), and reads the poll word (T3):
//! if somebody sleeps beyond the new deadline, it interrupts the event source. Either T3 sees the
//! poll word taken, or R6 sees the deadline.
//!
//! **Events against a machine without a processor** (L2 and R3). The machine in the event source
//! may come back when others have taken all processors. It frees the poll word (L1), fences (L2)
//! and reads the count word (L3). If a processor is idle by then, its machine may have gone to
//! sleep on a futex because the poll word was taken; so L3 reserves that processor, and looks for
//! work with it. Either L3 sees the idle processor, or the other's R4 finds the poll word free.
//!
//! **Sysmon** (Y2 and W1) lies down when all processors have been idle for a while: it says so (Y1),
//! fences (Y2) and reads the count word (Y3). Whoever has reserved a processor fences (W1), and wakes
//! sysmon if that says that it sleeps (W2).
//!
//! **Work at home** (H2 and N2; see "Those who stay at home" below). A goroutine that may run on one
//! machine only is put on that one's home queue (H1). The submitter fences (H2), and calls the machine
//! if it rests (H3, H4). The machine says that it rests (N1), fences (N2) and looks at its home queue
//! (N3). A machine that is called stands in line for a processor, which is told by a flag; then its
//! caller fences (H5) and reserves an idle processor, if there is one (H6). Whoever gives a processor up looks
//! at the flag in R6. So no machine stands in line beside an idle processor.
//!
//! **Fewer processors** (`resize.rs`). Whoever lowers their number sets a flag, fences and puts idle
//! ones away; whoever has given one up looks at the flag after R3. So none stays idle that is one too
//! many.
//!
//! `idle.rs` holds the steps S to Y, `home.rs` the steps H and N, nothing else, and `tests/models.rs` explores them under a weak
//! memory model. Each of the fences is taken out there, one at a time, on every test run, and a
//! model has to fail; `docs/HACKING.md` lists the swaps and other faults that were planted.
//!
//! # Those who stay away
//!
//! A goroutine that computes for long, or blocks its thread, must not keep its processor from the
//! others. No signal can switch its stack, for Rust has no safe points. So the *processor* is taken
//! away from the machine, and the goroutine goes on without, on its thread.
//!
//! To that end a machine knows two states. It is *inside* while its scheduling loop runs, and while
//! a goroutine calls in to spawn, to ready another or to park; only then does it touch its
//! processor. It is *outside* while the goroutine's own code runs. Entering costs a store, a load
//! and no fence; sysmon, which wants to take the processor from a machine outside, pays for both
//! with a `membarrier` (`handshake.rs`). It takes it after 10 ms, or after 20 us in a
//! [`blocking`](crate::blocking()) region, if there is work that no idle processor can do, and gives
//! it to a machine that sleeps or to a new one. The old machine notices when it enters next. If its
//! goroutine parks then, nothing is lost; if it goes on, the machine wins an idle processor, or the
//! goroutine queues up for one. A [`blocking`](crate::blocking()) region need not wait for sysmon:
//! if those before it were long and work waits, the machine passes its processor on as it enters.
//!
//! A machine that comes to scheduling rounds often enough may still keep some waiting: rounds are
//! counted, not timed, and sixty of them can be long. So it measures how long they are, and looks at
//! the clock in each while they are long. And sysmon, when it sees a timer, an event or the global
//! queue wait for a millisecond, raises a flag, and the next machine that comes by sees to all three.
//! Nor may a busy machine leave it to idle ones to steal, for there may be none: every 200 us one of
//! those that are busy takes over half of what waits behind a machine that has not moved on, and its
//! timers that are due, be it that its goroutine computes or that the kernel has taken the core from
//! its thread. When two goroutines ready each other by turns, their turns share one time slice, at the
//! end of which sysmon has the next entry send both through the queue.
//!
//! A goroutine that is unwinding must not change threads, and no other may run on its thread
//! meanwhile, since std counts panics by thread (H5). It waits as a plain thread does, in a
//! `blocking` region.
//!
//! What is *not* on a queue that others can see is `runnext`. A goroutine there is run by its own
//! processor as soon as the current one parks, so a sleeping machine does not count it as work, and
//! none is woken for it: that costs some microseconds, and most park sooner. Where rounds take longer
//! than that, whoever readies a goroutine does wake a machine to take it (`find.rs`), so that a
//! producer that computes and a consumer that computes do so at the same time. The first time sysmon
//! has to notice (`sysmon.rs`).
//!
//! The reverse of it: a few goroutines with short rounds, which hand messages to each other, are slower
//! on two cores than on one, since every message moves cache lines between them. A searcher that finds
//! nothing else leaves them where they are, and keeps on searching; after some 20 us it takes half of
//! them all the same, and after 200 if it is the only one and sees that they have their turns
//! (`find.rs`). It stays counted as a searcher. So the argument above holds as it stands: what is
//! submitted meanwhile it takes, and when it stops searching it looks at all queues.
//!
//! # Those who stay at home
//!
//! In a pinned runtime a goroutine may be stolen until it first runs, and stays on that machine ever
//! after, so that thread-locals behave. `lock_os_thread` binds one goroutine in a migrating runtime.
//! Both are one mechanism (`bound.rs`): a *home queue* per machine, which no thief touches, and a
//! line of machines that want a processor for work at home. Every machine that comes to the head of
//! a round and sees the line passes its processor to the first, if its own turn is over. Where there
//! are as many machines with goroutines as processors, as in most programs, the line stays empty.
//!
//! # More or fewer
//!
//! The number of processors can change while they run, and follows what the process is allowed while
//! nobody has set it (`resize.rs`, `limits.rs`). Nothing is stopped for it: a processor that is one too
//! many is put away by its machine at the head of its next round. The table of processors only grows
//! (`procs.rs`), so whoever walks it needs no lock.
//!
//! # Rejected
//!
//! - **Putting a bound goroutine on the common queues**, and having whoever takes it pass its processor
//!   to the machine it belongs to, as Go does for locked goroutines: fair by itself, but in a pinned
//!   runtime every theft would be a thread switch.
//! - **Stopping the world to resize**, as Go does: there is no signal that stops a goroutine, so the
//!   world would stop for as long as the slowest of them computes.
//! - **A thread-local for the current goroutine**, as all other runtimes have: unsound here (H1),
//!   and no faster than a shift, a load and a mask.
//! - **Waking a machine for each goroutine made runnable**, as Go does: two goroutines that hand
//!   over to each other would be torn apart again and again by the machine that was woken for them.
//! - **A stack at spawn**: a batch of a thousand then touches a thousand cold stacks; starting and
//!   joining one took 1.7 times as long, and a tree of a million four times.
//! - **A deque that grows** (crossbeam's) for what was woken too: a yield among a thousand took 1.7 times
//!   as long, for it does not tell who comes next. As the nursery it would call destructors of others'
//!   (`nursery.rs`).
//! - **One queue, first in, first out, for all**, as in Go and tokio: a tree is then run by breadth. A
//!   batch that is started and joined took 1.5 times as long, a tree of a million on two processors three
//!   times.
//! - **A slot that thieves never touch**, as in tokio: a goroutine behind a long computation waits
//!   for its end. Ours is taken, but only from a processor that stands still.
//! - **A lock around the idle state**: simple, and the first thing that 64 cores would queue for.
//!   The lock that is left guards the lists, and is taken only by those who really sleep or wake.
//! - **A membarrier in place of S2**, paid by the sleepers: a hundred nanoseconds less on one core
//!   is several microseconds of interrupts on the others, whenever anybody goes idle.
//! - **The wait word on the waiter's stack**: every late timer and poller would have to be
//!   cancelled and awaited before the frame can go.
//! - **Unwinding a goroutine from outside**, to cancel it: its frames may be borrowed from (H7).
//!
//! # Map
//!
//! | file | holds |
//! |------|-------|
//! | `g.rs` | the control block, the switch, `Runnable`; in its folder: what is prefetched |
//! | `successor.rs` | whom a goroutine readies, for that |
//! | `arena.rs` | guarded stack slots, and the way from an address to its goroutine; in its folder: address space, and giving memory back |
//! | `chunk.rs`, `free_list.rs` | which slots are in use, free, or without memory |
//! | `wait.rs`, `wait_word.rs` | `Wait`, `Ticket`, `Parked`: all waiting |
//! | `thread_waiter.rs` | the waiter that is an OS thread |
//! | `machine.rs`, `find.rs` | the scheduling loop, and the order in which it looks for work |
//! | `sleep.rs` | how a machine without work sleeps and comes back |
//! | `processor.rs`, `run_queue.rs`, `ring.rs`, `nursery.rs`, `run_next.rs` | the processor, its queues and its slot |
//! | `procs.rs`, `resize.rs`, `limits.rs` | the table of processors, and how many there are |
//! | `bound.rs`, `home.rs` | goroutines that stay on one machine |
//! | `flags.rs` | the rare things that a machine heeds at the head of a round |
//! | `machines.rs` | the threads, as sysmon sees them |
//! | `idle.rs`, `park_lot.rs` | the idle protocol, and the lists behind it |
//! | `timers.rs`, `timer_heap.rs`, `clock.rs` | time |
//! | `sysmon.rs`, `handshake.rs`, `barrier.rs` | the watchman, and how it takes a processor |
//! | `chores.rs` | what else the watchman does |
//! | `deadlock.rs`, `report.rs`, `trace.rs`, `metrics.rs` | what is told about the scheduler |
//! | `debug.rs`, `chaos.rs`, `hooks.rs` | how it can be asked to behave |
//! | `blocking.rs` | calls that announce that they block |
//! | `sched.rs` | one scheduler: its beginning, its end, the global queue |
//! | `spawn.rs`, `spawned.rs`, `records.rs`, `life.rs`, `scope.rs`, `completion.rs` | spawning and joining |
//! | `goroutine.rs`, `goroutine_local.rs`, `handle.rs`, `config.rs` | what users see |
//! | `limits.rs` | how many processors this process may use |
//! | `event.rs` | the hook for the poller |
//! | `overflow.rs`, `fatal.rs`, `sys.rs` | the ways to end, and the system calls |

mod arena;
mod barrier;
mod blocking;
mod bound;
mod chaos;
mod chores;
mod chunk;
mod clock;
mod completion;
mod config;
mod deadlock;
mod debug;
pub mod event;
mod fatal;
mod find;
mod flags;
mod free_list;
mod g;
pub mod goroutine;
mod goroutine_local;
mod handle;
mod handshake;
mod home;
mod hooks;
mod idle;
mod life;
mod limits;
mod machine;
mod machines;
mod metrics;
mod nursery;
mod overflow;
mod park_lot;
mod park_token;
mod processor;
mod procs;
pub mod random;
mod records;
mod report;
mod resize;
mod ring;
#[cfg(test)]
mod ring_tests;
mod run_next;
mod run_queue;
mod sched;
mod scope;
mod sleep;
mod spawn;
mod spawned;
mod successor;
mod sync;
mod sys;
mod sysmon;
mod thread_waiter;
mod timer_heap;
mod timers;
mod trace;
pub mod wait;
mod wait_word;

pub use arena::{DEFAULT_STACK_SIZE, MAX_STACK_SIZE, MIN_STACK_SIZE};
#[doc(hidden)]
pub use arena::{force_mprotect_guards, scavenge_stacks};
pub use blocking::blocking;
pub use bound::{OsThreadGuard, lock_os_thread};
pub use config::{Config, DEFAULT_MAIN_STACK_SIZE, DEFAULT_MAX_MACHINES, MAX_PROCS};
pub use goroutine_local::{AccessError, GoroutineLocal};
#[doc(hidden)]
pub use handle::doc_runtime;
pub use handle::{
    Handle, Scheduler, ShutDown, go, max_procs, num_goroutines, scope, set_max_procs,
};
pub use hooks::SwitchHooks;
pub use metrics::Metrics;
pub use sched::with_event_source;
pub use scope::{Scope, ScopedJoinHandle};
pub use spawn::JoinHandle;
