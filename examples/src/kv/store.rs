//! The keys and their values, in shards, each behind a lock that parks the goroutine.
//!
//! # Invariants
//! 1. A key lies in the shard that its hash names. Whoever locks several shards does so in the order
//!    of their numbers, and locks all of them before it reads or writes: a command on many keys
//!    happens at one moment.
//! 2. `Shard::due` has exactly the keys whose entry has a deadline, in their order; the shard's timer
//!    is set to the first of them, or to an earlier moment. Both change under the shard's lock.
//! 3. A key whose deadline has come is not there, whether the timer was quick enough or not.
//! 4. Nothing waits while a shard is locked, except for the next shard.
//! 5. `Store::used` is the sum of the shards' sizes, up to commands that are under way.
//!
//! # Rejected
//! - **A lock that readers share**: its counter is written by every reader too, and what is done
//!   under the lock is a copy of some bytes.
//! - **One goroutine that expires all keys**: shards would have to tell it, under a protocol of its
//!   own, that an earlier deadline has come. A timer per shard is set under the lock of the shard.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use marmot::channel::Receiver;
use marmot::sync::{Arc, Mutex, MutexGuard};
use marmot::time::{Duration, Instant, Timer};

/// A bit for each fits one word.
const SHARDS: usize = 64;
/// What a key costs beside its bytes and those of its value, about.
const OVERHEAD: usize = 128;
/// Keys that one holding of a lock expires.
const EXPIRY_BATCH: usize = 256;

/// Deadlines beyond this many milliseconds from now are refused: they do not fit Redis's clock.
const FARTHEST: u64 = i64::MAX as u64 - (1 << 48);

/// A moment, in milliseconds since the store was made.
pub(crate) type Millis = u64;

/// What is stored under a key.
#[derive(Debug)]
pub(crate) struct Entry {
    value: Vec<u8>,
    /// Its place in `Shard::due`.
    deadline: Option<(Millis, u64)>,
}

impl Entry {
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.deadline.map(|(at, _)| at)
    }
}

/// What happens to the deadline of a key that gets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// There is none from now on.
    Never,
    /// It stays as it was.
    Keep,
    At(Millis),
}

#[derive(Debug)]
struct Shard {
    entries: HashMap<Arc<[u8]>, Entry, RandomState>,
    /// By deadline, and by number among those with the same one.
    due: BTreeMap<(Millis, u64), Arc<[u8]>>,
    next_number: u64,
    timer: Timer,
    /// What the timer is set to.
    timer_at: Option<Millis>,
    /// Bytes, about, of all entries.
    used: usize,
}

/// The whole database.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    /// Spreads keys over shards. Not the maps' own function, so that its cost stays small; who makes
    /// keys collide here makes a lock busy, and no map slow.
    seed: u64,
    start: Instant,
    used: AtomicUsize,
    max_memory: usize,
    expired: AtomicU64,
}

/// There is no room for more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

impl Store {
    /// An empty store for about `max_memory` bytes.
    pub(crate) fn new(max_memory: usize) -> Store {
        // Made here, once: its keys come from a thread-local.
        let hasher = RandomState::new();
        let start = Instant::now();
        let shard = || {
            let timer = Timer::new(Duration::MAX);
            timer.stop();
            Mutex::new(Shard {
                entries: HashMap::with_hasher(hasher.clone()),
                due: BTreeMap::new(),
                next_number: 0,
                timer,
                timer_at: None,
                used: 0,
            })
        };
        Store {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            seed: hasher.hash_one(SHARDS),
            start,
            used: AtomicUsize::new(0),
            max_memory,
            expired: AtomicU64::new(0),
        }
    }

    /// Starts the goroutines that remove keys as their deadlines come. They end with the runtime.
    pub(crate) fn expire_in_background(store: &Arc<Store>) {
        for number in 0..SHARDS {
            let receiver = store.lock_shard(number).timer.receiver().clone();
            let store = store.clone();
            marmot::go(move || store.expire_shard(number, &receiver));
        }
    }

    fn expire_shard(&self, number: usize, due: &Receiver<Instant>) {
        while due.recv().is_ok() {
            loop {
                let mut shard = self.lock_shard(number);
                let now = self.now();
                let mut removed = 0;
                while removed < EXPIRY_BATCH
                    && let Some((&(at, number), _)) = shard.due.first_key_value()
                    && at <= now
                {
                    self.expire(&mut shard, (at, number));
                    removed += 1;
                }
                shard.timer_at = None;
                if removed < EXPIRY_BATCH {
                    self.set_timer(&mut shard);
                    break;
                }
                drop(shard);
                marmot::yield_now();
            }
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.start.elapsed().as_millis() as Millis
    }

    /// The moment after `millis` from now; `None` if there is no such moment.
    pub(crate) fn after(&self, millis: i64) -> Option<Millis> {
        let millis = u64::try_from(millis).ok()?;
        (millis < FARTHEST).then(|| self.now() + millis)
    }

    /// Bytes in use, about.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn max_memory(&self) -> usize {
        self.max_memory
    }

    /// Keys that were removed because their deadline had come.
    pub(crate) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self, more: usize) -> Result<(), OutOfMemory> {
        if self.used().saturating_add(more) > self.max_memory {
            return Err(OutOfMemory);
        }
        Ok(())
    }

    fn shard_of(&self, key: &[u8]) -> usize {
        let mut hash = self.seed;
        let mut chunks = key.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            hash = (hash ^ word)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        for byte in chunks.remainder() {
            hash = (hash ^ u64::from(*byte))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
    }

    fn lock_shard(&self, number: usize) -> MutexGuard<'_, Shard> {
        // A panic under the lock is a bug in here; the others' keys are as good as before.
        self.shards[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of one key, locked.
    pub(crate) fn lock(&self, key: &[u8]) -> Locked<'_> {
        self.lock_mask(1 << self.shard_of(key))
    }

    /// The shards of all these keys, locked.
    pub(crate) fn lock_keys<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Locked<'_> {
        self.lock_mask(keys.fold(0, |mask, key| mask | 1 << self.shard_of(key)))
    }

    /// Every shard, locked.
    pub(crate) fn lock_all(&self) -> Locked<'_> {
        self.lock_mask(u64::MAX)
    }

    fn lock_mask(&self, mask: u64) -> Locked<'_> {
        let mut rest = mask;
        let mut next = || {
            let number = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (number < SHARDS).then(|| self.lock_shard(number))
        };
        // One is the usual number, and needs no memory.
        let first = next();
        let others = std::iter::from_fn(next).collect();
        Locked {
            store: self,
            mask,
            first,
            others,
        }
    }

    /// Removes an entry whose place in `due` this is.
    fn expire(&self, shard: &mut Shard, place: (Millis, u64)) {
        if let Some(key) = shard.due.get(&place).cloned() {
            self.remove(shard, &key);
            self.expired.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, shard: &mut Shard, key: &[u8]) -> Option<Entry> {
        let entry = shard.entries.remove(key)?;
        if let Some(place) = entry.deadline {
            shard.due.remove(&place);
        }
        let size = size(key, &entry);
        shard.used -= size;
        self.used.fetch_sub(size, Ordering::Relaxed);
        Some(entry)
    }

    /// Sees to it that the timer is not later than the first deadline.
    fn set_timer(&self, shard: &mut Shard) {
        let Some((&(first, _), _)) = shard.due.first_key_value() else {
            return;
        };
        if shard.timer_at.is_none_or(|at| at > first) {
            // A millisecond more, for `now` is rounded down.
            let at = self.start + Duration::from_millis(first.saturating_add(1).min(1 << 53));
            shard
                .timer
                .reset(at.saturating_duration_since(Instant::now()));
            shard.timer_at = Some(first);
        }
    }
}

fn size(key: &[u8], entry: &Entry) -> usize {
    key.len() + entry.value.capacity() + OVERHEAD
}

/// The right to read and write the keys of some shards.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    store: &'a Store,
    /// A bit for each locked shard. Below, they are in the order of their numbers.
    mask: u64,
    first: Option<MutexGuard<'a, Shard>>,
    others: Vec<MutexGuard<'a, Shard>>,
}

impl Locked<'_> {
    /// The shard of a key for which this was locked.
    fn shard(&mut self, key: &[u8]) -> &mut Shard {
        let bit = 1 << self.store.shard_of(key);
        assert!(self.mask & bit != 0, "the shard of the key is locked");
        match (self.mask & (bit - 1)).count_ones() as usize {
            0 => self.first.as_mut().expect("there is a first"),
            place => &mut self.others[place - 1],
        }
    }

    /// All locked shards.
    fn shards(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.first
            .iter_mut()
            .chain(&mut self.others)
            .map(|shard| &mut **shard)
    }

    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&Entry> {
        let store = self.store;
        let shard = self.shard(key);
        // Looked up twice only if the shard has any deadlines.
        if !shard.due.is_empty()
            && let Some((at, number)) = shard.entries.get(key)?.deadline
            && at <= store.now()
        {
            store.expire(shard, (at, number));
            return None;
        }
        shard.entries.get(key)
    }

    /// Stores a value.
    ///
    /// # Errors
    /// If the store would grow beyond its bound; then nothing has changed.
    pub(crate) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
    ) -> Result<(), OutOfMemory> {
        let more = match self.shard(key).entries.get(key) {
            Some(entry) => value.len().saturating_sub(entry.value.capacity()),
            None => key.len() + value.len() + OVERHEAD,
        };
        if more > 0 {
            self.store.has_room(more)?;
        }
        self.put(key, value, deadline);
        Ok(())
    }

    /// Stores a value, whether there is room or not. Memory of the former one is used again if it
    /// fits.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], deadline: Deadline) {
        let store = self.store;
        let shard = self.shard(key);
        if let Some(entry) = shard.entries.get_mut(key) {
            let before = entry.value.capacity();
            if value.len() > before || before > 2 * value.len() + 64 {
                entry.value = value.to_vec();
            } else {
                entry.value.clear();
                entry.value.extend_from_slice(value);
            }
            let after = entry.value.capacity();
            if after != before {
                shard.used = shard.used - before + after;
                // Less is added as the complement of two.
                store
                    .used
                    .fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
            if entry.deadline.is_none() && !matches!(deadline, Deadline::At(_)) {
                return;
            }
        } else {
            let entry = Entry {
                value: value.to_vec(),
                deadline: None,
            };
            let size = size(key, &entry);
            shard.used += size;
            store.used.fetch_add(size, Ordering::Relaxed);
            shard.entries.insert(Arc::from(key), entry);
        }
        match deadline {
            Deadline::Never => self.set_deadline(key, None),
            Deadline::Keep => true,
            Deadline::At(at) => self.set_deadline(key, Some(at)),
        };
    }

    /// Gives a key a deadline, or takes it away. Whether the key is there.
    pub(crate) fn set_deadline(&mut self, key: &[u8], at: Option<Millis>) -> bool {
        let store = self.store;
        let shard = self.shard(key);
        let Some(entry) = shard.entries.get_mut(key) else {
            return false;
        };
        let former = entry.deadline.take();
        let place = at.map(|at| {
            shard.next_number += 1;
            (at, shard.next_number)
        });
        entry.deadline = place;
        let name = former.and_then(|place| shard.due.remove(&place));
        if let Some(place) = place {
            // The name is shared with the map.
            let name = name.or_else(|| {
                let found = shard.entries.get_key_value(key);
                found.map(|(name, _)| name.clone())
            });
            if let Some(name) = name {
                shard.due.insert(place, name);
            }
            store.set_timer(shard);
        }
        true
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let is_there = self.get(key).is_some();
        let store = self.store;
        let shard = self.shard(key);
        store.remove(shard, key);
        is_there
    }

    /// How many keys there are, and how many of them have a deadline.
    pub(crate) fn count(&mut self) -> (usize, usize) {
        self.shards().fold((0, 0), |(keys, due), shard| {
            (keys + shard.entries.len(), due + shard.due.len())
        })
    }

    /// Calls `visit` with each key until that gives `false`. Whether it never did.
    pub(crate) fn for_each_key(&mut self, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
        let now = self.store.now();
        self.shards().all(|shard| {
            shard
                .entries
                .iter()
                .filter(|(_, entry)| entry.deadline().is_none_or(|at| at > now))
                .all(|(key, _)| visit(key))
        })
    }

    /// Removes all keys of the locked shards.
    pub(crate) fn clear(&mut self) {
        let store = self.store;
        for shard in self.shards() {
            shard.entries.clear();
            shard.entries.shrink_to_fit();
            shard.due.clear();
            store.used.fetch_sub(shard.used, Ordering::Relaxed);
            shard.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(store: &Store, key: &str, value: &str, deadline: Deadline) {
        let set = store
            .lock(key.as_bytes())
            .set(key.as_bytes(), value.as_bytes(), deadline);
        assert_eq!(set, Ok(()));
    }

    fn get(store: &Store, key: &str) -> Option<String> {
        let mut locked = store.lock(key.as_bytes());
        let entry = locked.get(key.as_bytes())?;
        Some(String::from_utf8(entry.value().to_vec()).unwrap())
    }

    /// Counts what is there, against what the store has counted.
    fn check(store: &Store) {
        let mut total = 0;
        for number in 0..SHARDS {
            let shard = store.lock_shard(number);
            let used: usize = shard.entries.iter().map(|(k, e)| size(k, e)).sum();
            assert_eq!(shard.used, used);
            total += used;
            let due: Vec<_> = shard
                .entries
                .iter()
                .filter_map(|(key, entry)| Some((entry.deadline?, key.clone())))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect();
            let listed: Vec<_> = shard.due.iter().map(|(k, v)| (*k, v.clone())).collect();
            assert_eq!(due, listed);
            if let Some(((first, _), _)) = due.first() {
                assert!(shard.timer_at.is_some_and(|at| at <= *first));
            }
        }
        assert_eq!(store.used(), total);
    }

    #[test]
    fn keys_come_and_go_and_are_counted() {
        let store = Store::new(1 << 20);
        let mut state: u64 = 0x5eed_0003;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize >> 8
        };
        let mut model = BTreeMap::new();
        for _ in 0..5000 {
            let key = format!("key{}", random() % 100);
            match random() % 6 {
                0 | 1 => {
                    let value = "v".repeat(random() % 300);
                    let deadline = [Deadline::Never, Deadline::Keep, Deadline::At(1 << 40)];
                    set(&store, &key, &value, deadline[random() % 3]);
                    model.insert(key, value);
                }
                2 => {
                    let at = [None, Some(1 << 41)][random() % 2];
                    let is_there = store.lock(key.as_bytes()).set_deadline(key.as_bytes(), at);
                    assert_eq!(is_there, model.contains_key(&key));
                }
                3 => {
                    let was_there = store.lock(key.as_bytes()).remove(key.as_bytes());
                    assert_eq!(was_there, model.remove(&key).is_some());
                }
                _ => assert_eq!(get(&store, &key), model.get(&key).cloned()),
            }
        }
        assert_eq!(store.lock_all().count().0, model.len());
        check(&store);
        let mut seen = Vec::new();
        store.lock_all().for_each_key(|key| {
            seen.push(String::from_utf8(key.to_vec()).unwrap());
            true
        });
        seen.sort();
        assert_eq!(seen, model.into_keys().collect::<Vec<_>>());
        store.lock_all().clear();
        assert_eq!((store.used(), store.lock_all().count()), (0, (0, 0)));
    }

    #[test]
    fn a_deadline_that_has_come_removes_on_access() {
        let store = Store::new(1 << 20);
        set(&store, "gone", "v", Deadline::At(0));
        set(&store, "here", "v", Deadline::At(1 << 40));
        let mut keys = 0;
        store.lock_all().for_each_key(|_| {
            keys += 1;
            true
        });
        assert_eq!(keys, 1, "listed although it has expired");
        assert_eq!(store.lock_all().count(), (2, 2));
        assert_eq!(get(&store, "gone"), None);
        assert_eq!(store.lock_all().count(), (1, 1));
        assert_eq!(store.expired(), 1);
        check(&store);
    }

    #[test]
    fn a_full_store_says_so_and_stays_as_it_was() {
        let store = Store::new(1000);
        let big = [b'x'; 900];
        assert_eq!(
            store.lock(b"a").set(b"a", &big, Deadline::Never),
            Err(OutOfMemory)
        );
        set(&store, "a", "small", Deadline::Never);
        assert_eq!(
            store.lock(b"a").set(b"a", &big, Deadline::Never),
            Err(OutOfMemory)
        );
        assert_eq!(get(&store, "a").as_deref(), Some("small"));
        check(&store);
        assert!(store.lock(b"a").remove(b"a"));
        assert_eq!(store.used(), 0);
    }

    #[test]
    fn timers_remove_keys_that_nobody_asks_for() {
        // SAFETY: nothing below uses a thread-local on both sides of a wait.
        let rt = unsafe { marmot::Runtime::migrating() }.unwrap();
        rt.run(|| {
            let store = Arc::new(Store::new(1 << 20));
            Store::expire_in_background(&store);
            for n in 0..1000 {
                let at = store.now() + 5 + n % 20;
                set(&store, &format!("key{n}"), "v", Deadline::At(at));
            }
            set(&store, "later", "v", Deadline::At(1 << 40));
            let end = Instant::now() + Duration::from_secs(30);
            while store.lock_all().count().0 > 1 {
                assert!(
                    Instant::now() < end,
                    "{} are left",
                    store.lock_all().count().0
                );
                marmot::sleep(Duration::from_millis(1));
            }
            assert_eq!(store.expired(), 1000);
            check(&store);
        });
    }
}
