//! The waiting interface of the scheduler, and its source of randomness, under the one name that the protocol files use for it.
//!
//! The models put their own in its place, see [`sync`](crate::sync).

pub(crate) use marmot_scheduler::random::next_u32;
pub(crate) use marmot_scheduler::wait::{
    Outcome, Parked, Publish, Reason, Ticket, Wait, Why, yield_to_few,
};
