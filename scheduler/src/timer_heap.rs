//! The timer heap: pending deadlines with their payloads, each removable by key.
//!
//! A four-ary heap of `(deadline, slot)` pairs beside a table of slots that know their place in
//! the heap. Adding and removing take O(log n) moves of 16 bytes; the earliest deadline is at the
//! root. Four-ary, because a level less costs more than the three comparisons more per level, all
//! in one cache line. The places are kept apart from the rest of the slots: each move writes one, and
//! sixteen to a cache line those of a hundred thousand timers stay near.
//!
//! # Invariants
//!
//! 1. `heap[places[i]].slot == i` for every slot `i` in use, and the other way round.
//! 2. No node's deadline is before its parent's.
//! 3. A slot's `generation` grows whenever the slot is freed: a key of an earlier use finds nothing.

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct TimerHeap<T> {
    heap: Vec<Node>,
    slots: Vec<Slot<T>>,
    /// Of each slot, the index in `heap`; of a free one the next free one, or `NONE`.
    places: Vec<u32>,
    /// Head of the list of free slots, linked through `places`.
    free: u32,
    /// The generation that new slots begin with.
    generation: u32,
}

/// Names one pending timer of one heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    deadline: u64,
    slot: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    payload: Option<T>,
}

const NONE: u32 = u32::MAX;
const ARITY: usize = 4;
/// Below this many slots the memory is kept however few timers there are.
const KEEP: usize = 1024;

impl<T> TimerHeap<T> {
    pub(crate) const fn new() -> Self {
        TimerHeap {
            heap: Vec::new(),
            slots: Vec::new(),
            places: Vec::new(),
            free: NONE,
            generation: 0,
        }
    }

    /// The earliest deadline.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.heap.first().map(|node| node.deadline)
    }

    /// Adds a timer.
    pub(crate) fn add(&mut self, deadline: u64, payload: T) -> Key {
        let slot = match self.free {
            NONE => {
                let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers");
                self.places.push(NONE);
                self.slots.push(Slot {
                    generation: self.generation,
                    payload: Some(payload),
                });
                slot
            }
            slot => {
                self.free = self.places[slot as usize];
                self.slots[slot as usize].payload = Some(payload);
                slot
            }
        };
        let place = self.heap.len();
        self.heap.push(Node { deadline, slot });
        self.sift_up(place);
        Key {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    /// Removes a timer; `None` if it has fired or was removed before.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.slots.get(key.slot as usize)?;
        if entry.generation != key.generation || entry.payload.is_none() {
            return None;
        }
        Some(self.remove_at(self.places[key.slot as usize] as usize))
    }

    /// Removes the earliest timer if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<T> {
        (self.earliest()? <= now).then(|| self.remove_at(0))
    }

    fn remove_at(&mut self, place: usize) -> T {
        let node = self.heap.swap_remove(place);
        if place < self.heap.len() {
            // The node moved here from the end may belong higher or lower.
            self.sift_down(place);
            self.sift_up(place);
        }
        self.places[node.slot as usize] = self.free;
        let entry = &mut self.slots[node.slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free = node.slot;
        let payload = entry.payload.take().expect("a node's slot is in use");
        if self.heap.is_empty() && self.slots.len() > KEEP {
            self.give_back();
        }
        payload
    }

    /// Gives the memory of an empty heap back. New slots begin with a generation that none of the
    /// old ones has reached, so that old keys stay dead.
    fn give_back(&mut self) {
        let used = self.slots.iter().map(|s| s.generation).max();
        self.generation = used.unwrap_or(0).wrapping_add(1);
        self.heap = Vec::new();
        self.slots = Vec::new();
        self.places = Vec::new();
        self.free = NONE;
    }

    fn sift_up(&mut self, mut place: usize) {
        let node = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent].deadline <= node.deadline {
                break;
            }
            self.set(place, self.heap[parent]);
            place = parent;
        }
        self.set(place, node);
    }

    fn sift_down(&mut self, mut place: usize) {
        let node = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let last = (first + ARITY).min(self.heap.len());
            let Some(child) = (first..last).min_by_key(|&child| self.heap[child].deadline) else {
                break;
            };
            if node.deadline <= self.heap[child].deadline {
                break;
            }
            self.set(place, self.heap[child]);
            place = child;
        }
        self.set(place, node);
    }

    fn set(&mut self, place: usize, node: Node) {
        self.heap[place] = node;
        self.places[node.slot as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a sorted list, with pseudo-random additions and removals.
    #[test]
    fn behaves_as_a_sorted_list() {
        let mut heap = TimerHeap::new();
        let mut model: Vec<(u64, u32, Key)> = Vec::new();
        let mut random = 7_u64;
        for i in 0..20_000_u32 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let choice = (random >> 33) as u32;
            match choice % 4 {
                0 | 1 => {
                    let deadline = u64::from(choice % 1000);
                    let key = heap.add(deadline, i);
                    model.push((deadline, i, key));
                }
                2 if !model.is_empty() => {
                    let (_, value, key) = model.swap_remove(choice as usize % model.len());
                    assert_eq!(heap.remove(key), Some(value));
                    assert_eq!(heap.remove(key), None, "a key works once");
                }
                _ => {
                    let earliest = model.iter().map(|m| m.0).min();
                    assert_eq!(heap.earliest(), earliest);
                    if let Some(now) = earliest {
                        assert!(now == 0 || heap.pop_due(now - 1).is_none());
                        let value = heap.pop_due(now).unwrap();
                        let at = model.iter().position(|m| m.1 == value).unwrap();
                        assert_eq!(model.swap_remove(at).0, now);
                    }
                }
            }
            assert_eq!(heap.heap.len(), model.len());
        }
    }

    #[test]
    fn an_emptied_heap_gives_memory_back_and_keeps_old_keys_dead() {
        let mut heap = TimerHeap::new();
        let keys: Vec<Key> = (0..100_000).map(|i| heap.add(i, ())).collect();
        while heap.pop_due(u64::MAX).is_some() {}
        assert!(heap.slots.capacity() <= 2 * KEEP);
        let fresh: Vec<Key> = (0..100_000).map(|i| heap.add(i, ())).collect();
        for key in keys {
            assert!(heap.remove(key).is_none());
        }
        assert_eq!(heap.heap.len(), fresh.len());
    }
}
