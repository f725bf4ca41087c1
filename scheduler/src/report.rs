//! Goroutines in reports: who they are, where they were spawned, and what they wait for.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::arena;
use crate::clock;
use crate::g::G;
use crate::sched::Sched;
use crate::wait::Reason;

/// How many goroutines a report lists one by one.
const LISTED: usize = 100;

/// A goroutine as it was at some moment.
#[derive(Debug)]
pub(crate) struct Sight {
    id: u64,
    name: Option<Arc<str>>,
    spawned_at: Option<&'static Location<'static>>,
    /// What it waits for, if it waits.
    waits: Option<Waits>,
}

#[derive(Debug)]
struct Waits {
    reason: Option<Reason>,
    object: usize,
    since: Duration,
}

impl Sight {
    fn of(g: &G, now: u64, name: Option<Arc<str>>) -> Sight {
        let waits = g.waits().map(|(reason, object, since)| Waits {
            reason,
            object,
            since: Duration::from_millis(now.saturating_sub(since) / 1_000_000),
        });
        Sight {
            id: g.id(),
            name,
            spawned_at: g.spawned_at(),
            waits,
        }
    }
}

/// One line: `goroutine 17 "conn" [chan receive at 0x55d0c8, 3 s], spawned at src/srv.rs:42`.
impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match &self.waits {
            None => f.write_str(" [runnable]")?,
            Some(waits) => {
                write!(f, " [{}", waits.reason.unwrap_or(Reason::Other))?;
                if waits.object != 0 {
                    write!(f, " at {:#x}", waits.object)?;
                }
                write!(f, ", {:?}]", waits.since)?;
            }
        }
        match self.spawned_at {
            Some(at) => write!(f, ", spawned at {}:{}", at.file(), at.line()),
            None => Ok(()),
        }
    }
}

/// The goroutines of a scheduler, or of all, by id. They may be on the move, so their names are left
/// out, which only their owners may read.
pub(crate) fn goroutines(of: Option<&Sched>) -> Vec<Sight> {
    collect(of, |_| None)
}

/// The same with their names.
///
/// # Safety
/// No goroutine runs.
pub(crate) unsafe fn goroutines_at_rest(of: Option<&Sched>) -> Vec<Sight> {
    // SAFETY: the caller's promise; so nobody writes a name.
    collect(of, |g| unsafe { g.name() }.cloned())
}

fn collect(of: Option<&Sched>, name: impl Fn(&G) -> Option<Arc<str>>) -> Vec<Sight> {
    let now = clock::now();
    let mut all = Vec::new();
    arena::each_slot(|g| {
        // SAFETY: control blocks are never unmapped.
        let g = unsafe { g.as_ref() };
        if g.id() != 0 && of.is_none_or(|sched| g.belongs_to(sched)) {
            all.push(Sight::of(g, now, name(g)));
        }
    });
    all.sort_unstable_by_key(|sight| sight.id);
    all
}

/// Lists the first hundred, a line each, and counts the rest by where they were spawned.
pub(crate) fn list(goroutines: &[Sight], out: &mut impl fmt::Write) -> fmt::Result {
    let (listed, rest) = goroutines.split_at(goroutines.len().min(LISTED));
    for sight in listed {
        writeln!(out, "{sight}")?;
    }
    if rest.is_empty() {
        return Ok(());
    }
    writeln!(out, "and {} more:", rest.len())?;
    let mut sites: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for sight in rest {
        let site = sight
            .spawned_at
            .map_or(("?", 0), |at| (at.file(), at.line()));
        *sites.entry(site).or_default() += 1;
    }
    for ((file, line), count) in sites {
        writeln!(out, "{count} spawned at {file}:{line}")?;
    }
    Ok(())
}
