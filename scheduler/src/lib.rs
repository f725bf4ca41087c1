//! stub
pub mod event;
mod fatal;
mod g;
pub mod random;
mod sched;
mod sync;
mod sys;
mod thread_waiter;
pub mod wait;
mod wait_word;
pub use sched::current_event_source;
