//! The pollers that a descriptor is registered with: one as a rule, and the others of its life.
//!
//! A descriptor registers with a poller when a goroutine of that poller's runtime first has to wait
//! for it. A socket may be handed to another runtime and outlive the first one.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, OnceLock};

use crate::poller::{Membership, Shared};
use crate::record::{Direction, Record};
use crate::slot::Epoch;

/// A look at a slot, taken before a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) record: &'static Record,
    pub(crate) seen: Epoch,
}

/// See the module's documentation. To be dropped before the descriptor is closed.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Written once, under the lock of `others`.
    first: OnceLock<Membership>,
    /// Guards the list, and the making of memberships; the system call that registers is made
    /// under it, so that two tasks do not register twice.
    others: Mutex<Vec<Membership>>,
}

impl Members {
    /// A look at the slot of the first membership: right for nearly every caller.
    #[inline]
    pub(crate) fn look(&self, direction: Direction) -> Option<Look> {
        let record = self.first.get()?.record();
        Some(Look {
            record,
            seen: record.slot(direction).epoch(),
        })
    }

    /// The record with this poller, registering if need be; and where that was done just now, the
    /// epoch before, which counts as a look before the caller's system call.
    ///
    /// # Errors
    /// Those of [`Shared::register`].
    pub(crate) fn join(
        &self,
        shared: &Arc<Shared>,
        fd: RawFd,
        direction: Direction,
    ) -> io::Result<(&'static Record, Option<Epoch>)> {
        if let Some(first) = self.first.get()
            && first.is_with(shared)
        {
            return Ok((first.record(), None));
        }
        let mut others = self.others.lock().unwrap_or_else(|e| e.into_inner());
        let known = self.first.get().into_iter().chain(others.iter());
        if let Some(known) = known.into_iter().find(|member| member.is_with(shared)) {
            return Ok((known.record(), None));
        }
        let (member, seen) = shared.register(fd, direction)?;
        let record = member.record();
        if let Err(member) = self.first.set(member) {
            // Pollers that are gone leave the list here, so it does not grow with their number.
            others.retain(Membership::is_alive);
            others.push(member);
        }
        Ok((record, Some(seen)))
    }

    /// Visits all records. Whoever joins later sees what the caller wrote before.
    pub(crate) fn for_each(&self, f: impl FnMut(&'static Record)) {
        let others = self.others.lock().unwrap_or_else(|e| e.into_inner());
        let all = self.first.get().into_iter().chain(others.iter());
        all.map(Membership::record).for_each(f);
    }
}
