//! Tests of the ring in one thread; the models are in `tests/models/run_queue_models.rs`.

use std::ptr::NonNull;

use crate::ring::{CAPACITY, Ring};

/// The numbers 0 .. `count`, as things to point to.
fn items(count: u32) -> Vec<NonNull<u32>> {
    let leaked = |n| NonNull::from(Box::leak(Box::new(n)));
    (0..count).map(leaked).collect()
}

fn drain(ring: &Ring<u32>) -> Vec<NonNull<u32>> {
    std::iter::from_fn(|| ring.pop().map(|(first, _)| first)).collect()
}

#[test]
fn first_in_first_out_through_many_turns() {
    let (ring, items) = (Ring::new(), items(3));
    for _ in 0..1000 {
        items.iter().for_each(|&item| ring.push(item).unwrap());
        assert_eq!(ring.len(), 3);
        assert_eq!(drain(&ring), items);
    }
}

#[test]
fn half_moves_of_a_full_ring_only() {
    let (ring, items) = (Ring::new(), items(CAPACITY + 1));
    let last = items[CAPACITY as usize];
    for &item in &items[..CAPACITY as usize] {
        ring.push(item).unwrap();
    }
    assert_eq!(ring.push(last), Err(last));
    // Thieves leave less than half of it before the owner looks again.
    let mut stolen = Vec::new();
    for _ in 0..2 {
        let own = Ring::new();
        stolen.extend(ring.steal_half(&own));
        stolen.extend(drain(&own));
    }
    assert!(!ring.take_oldest(|_| panic!("there is room")));
    ring.push(last).unwrap();
    stolen.extend(drain(&ring));
    assert_eq!(stolen, items);
    // A full one gives its older half.
    for &item in &items[..CAPACITY as usize] {
        ring.push(item).unwrap();
    }
    let mut older = Vec::new();
    assert!(ring.take_oldest(|item| older.push(item)));
    older.extend(drain(&ring));
    assert_eq!(older, items[..CAPACITY as usize]);
}

#[test]
fn a_thief_takes_what_it_has_room_for() {
    let (victim, own, items) = (Ring::new(), Ring::new(), items(2 * CAPACITY));
    let (theirs, ours) = items.split_at(CAPACITY as usize);
    theirs.iter().for_each(|&item| victim.push(item).unwrap());
    ours.iter().for_each(|&item| own.push(item).unwrap());
    // None but the one that it runs.
    assert_eq!(victim.steal_half(&own), Some(theirs[0]));
    assert_eq!(drain(&own), ours);
    assert_eq!(drain(&victim), theirs[1..]);
}
