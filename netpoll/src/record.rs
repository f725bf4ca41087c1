//! The descriptor records: the two slots of each registered descriptor, in memory that lasts.
//!
//! A record serves one registration (one descriptor in one shard of one poller), then the next one.
//! It is found by its index, and a token of the kernel's event names index and generation.
//!
//! # Invariants
//!
//! 1. Records are *type-stable*: once made, the memory is a record for the rest of the process. So
//!    a late event, a late registration and a late wake-up touch a record, if perhaps one of a later
//!    generation, which makes them fail (invariant 5 of `slot.rs`). There are as many records as
//!    descriptors were ever registered at once.
//! 2. A record is in a free list, or belongs to one [`Membership`](crate::poller::Membership).
//! 3. Both slots of a record are of one generation while it belongs to a membership.
//!
//! # Rejected
//!
//! Records that the poller owns and counts references to: two atomic operations per wait, because a
//! `publish` closure may outlive the wait it belongs to, and with it the socket.

use std::sync::{Mutex, OnceLock};

use marmot_scheduler::event::prefetch;

use crate::dry::Dry;
use crate::slot::Slot;
use crate::waiter::Waiter;

/// Which of a descriptor's two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// See the module's documentation.
///
/// Each event of the kernel says that the descriptor is writable, as long as it is; so it moves both
/// slots, and a read looks at the mark. All of these lie on one cache line (a test looks). A reader and
/// a writer on different processors share it, as they share the kernel's socket.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Record {
    read: Slot<Waiter>,
    /// Written by readers and the poller.
    dry: Dry,
    write: Slot<Waiter>,
    /// Constant.
    index: u32,
}

// A slot is whole between any two of its atomic operations.
impl std::panic::UnwindSafe for Record {}
impl std::panic::RefUnwindSafe for Record {}

impl Record {
    #[inline]
    pub(crate) fn slot(&self, direction: Direction) -> &Slot<Waiter> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    #[inline]
    pub(crate) fn dry(&self) -> &Dry {
        &self.dry
    }

    /// What the kernel gives back with each event. Owner only.
    pub(crate) fn token(&self) -> usize {
        Token {
            index: self.index,
            generation: self.generation(),
        }
        .pack()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.read.generation()
    }
}

/// An event's address: which record, and in which generation.
///
/// | bits   | meaning            |
/// |--------|--------------------|
/// | 63..=56| zero               |
/// | 55..=32| generation         |
/// | 31..=0 | index of the record|
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    fn pack(self) -> usize {
        (self.generation as usize) << 32 | self.index as usize
    }

    /// Has the processor fetch what an event will touch.
    #[inline]
    pub(crate) fn prefetch(packed: usize) {
        if let Some(record) = find(packed as u32) {
            prefetch(record);
        }
    }

    /// The record, and the generation that the event belongs to.
    pub(crate) fn resolve(packed: usize) -> Option<(&'static Record, u32)> {
        let token = Token {
            index: packed as u32,
            generation: (packed >> 32) as u32,
        };
        Some((find(token.index)?, token.generation))
    }
}

/// Records in the first chunk; each chunk is twice the one before.
const FIRST_CHUNK: usize = 64;
/// So there are 2^32 - 64 records at most: more than there can be descriptors.
const CHUNKS: usize = 26;

/// All records. A chunk is made under the lock of `FREE`, and read by all.
static TABLE: [OnceLock<Box<[Record]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];

/// The records of no shard. Guards also the making of chunks; nothing that waits is done under it.
static FREE: Mutex<Vec<&'static Record>> = Mutex::new(Vec::new());

/// Chunk and place in it.
fn locate(index: u32) -> (usize, usize) {
    let biased = index as usize + FIRST_CHUNK;
    let chunk = (biased.ilog2() - FIRST_CHUNK.ilog2()) as usize;
    (chunk, biased - (FIRST_CHUNK << chunk))
}

fn find(index: u32) -> Option<&'static Record> {
    let (chunk, place) = locate(index);
    TABLE.get(chunk)?.get()?.get(place)
}

/// Makes the next chunk.
fn grow(free: &mut Vec<&'static Record>) {
    let chunk = TABLE.iter().position(|chunk| chunk.get().is_none());
    let chunk = chunk.expect("there are fewer descriptors than records");
    let len = FIRST_CHUNK << chunk;
    let first = len - FIRST_CHUNK;
    let records = TABLE[chunk].get_or_init(|| {
        (first..first + len)
            .map(|index| Record {
                read: Slot::new(),
                dry: Dry::new(),
                write: Slot::new(),
                index: u32::try_from(index).expect("the table ends before 2^32"),
            })
            .collect()
    });
    // The lowest index is taken first.
    free.extend(records.iter().rev());
}

/// A shard's stock of free records, so that shards do not meet in one lock.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    /// Guards the list alone. Taken before `FREE`.
    free: Mutex<Vec<&'static Record>>,
}

/// How many records a shard takes from the common list at a time.
const BATCH: usize = 32;
/// A shard with more than this gives a batch back.
const FULL: usize = 4 * BATCH;

impl Stock {
    /// A record that belongs to the caller alone.
    pub(crate) fn take(&self) -> &'static Record {
        let mut stock = self.free.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(record) = stock.pop() {
            return record;
        }
        let mut free = FREE.lock().unwrap_or_else(|e| e.into_inner());
        if free.is_empty() {
            grow(&mut free);
        }
        let rest = free.len().saturating_sub(BATCH);
        stock.extend(free.drain(rest..));
        stock.pop().expect("at least one record was free")
    }

    /// Ends the record's generation and makes it free. Owner only.
    pub(crate) fn give_back(&self, record: &'static Record) {
        end_generation(record);
        let mut stock = self.free.lock().unwrap_or_else(|e| e.into_inner());
        stock.push(record);
        if stock.len() > FULL {
            let rest = stock.len() - BATCH;
            let mut free = FREE.lock().unwrap_or_else(|e| e.into_inner());
            free.extend(stock.drain(rest..));
        }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let stock = self.free.get_mut().unwrap_or_else(|e| e.into_inner());
        let mut free = FREE.lock().unwrap_or_else(|e| e.into_inner());
        free.append(stock);
    }
}

/// Frees a record whose shard is gone. Owner only.
pub(crate) fn give_back_to_all(record: &'static Record) {
    end_generation(record);
    let mut free = FREE.lock().unwrap_or_else(|e| e.into_inner());
    free.push(record);
}

fn end_generation(record: &Record) {
    record.dry.reset();
    for direction in [Direction::Read, Direction::Write] {
        // Nobody waits on a descriptor that is given up, save late registrations, whose claims
        // fail. Were there one after all, it would get its system call's error.
        record.slot(direction).retire(|waiter| {
            if let Some(claimed) = waiter.claim() {
                claimed.ready_first();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn indices_fill_the_chunks() {
        assert_eq!(locate(0), (0, 0));
        assert_eq!(locate(63), (0, 63));
        assert_eq!(locate(64), (1, 0));
        assert_eq!(locate(191), (1, 127));
        assert_eq!(locate(192), (2, 0));
        assert_eq!(locate(u32::MAX - 64).0, CHUNKS - 1);
    }

    /// What an event and a read touch, and no queue.
    #[test]
    fn an_event_touches_one_cache_line() {
        let hot = size_of::<u64>() + size_of::<Waiter>();
        assert_eq!(align_of::<Record>(), 64);
        assert!(offset_of!(Record, read) + hot <= 64);
        assert!(offset_of!(Record, dry) + size_of::<Dry>() <= 64);
        assert!(offset_of!(Record, write) + hot <= 64);
    }

    #[test]
    fn a_token_finds_its_record_and_no_later_generation() {
        let stock = Stock::default();
        let record = stock.take();
        let token = record.token();
        let (found, generation) = Token::resolve(token).unwrap();
        assert!(std::ptr::eq(found, record));
        assert_eq!(generation, record.generation());
        stock.give_back(record);
        assert_ne!(generation, record.generation());
    }

    #[test]
    fn records_are_used_again() {
        let stock = Stock::default();
        let taken: Vec<_> = (0..1000).map(|_| stock.take()).collect();
        let highest = taken.iter().map(|r| r.index).max().unwrap();
        taken.into_iter().for_each(|r| stock.give_back(r));
        // Other tests of this process may hold a few.
        for _ in 0..100_000 {
            let record = stock.take();
            assert!(record.index < highest + 10_000);
            stock.give_back(record);
        }
    }
}
