//! A test of the wait queue's links. Apart from them, for the models have no tickets outside a model.

use crate::task::Wait;
use crate::wait_queue::{Offer, WaitQueue, Waiter};

#[test]
fn leaving_the_line_anywhere_keeps_its_order() {
    let ticket = Wait::new().ticket();
    let room = std::ptr::null_mut();
    let mut nodes: Vec<Waiter> = (0..7)
        .map(|_| Waiter::new(ticket, Offer::Value, room))
        .collect();
    let start = nodes.as_mut_ptr();
    let mut queue = WaitQueue::new();
    let mut model = Vec::new();
    let mut state = 1_u32;
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // SAFETY: in bounds.
        let node = unsafe { start.add((state >> 16) as usize % 7) };
        let position = model.iter().position(|&queued| queued == node);
        // SAFETY: the nodes outlive the queue, and nobody else sees it; one that is pushed is in no
        // queue.
        unsafe {
            match position {
                Some(_) => queue.remove(node),
                None if state >> 31 == 0 => queue.push_back(node),
                // It is in no queue: without effect.
                None => queue.remove(node),
            }
        }
        match position {
            Some(position) => drop(model.remove(position)),
            None if state >> 31 == 0 => model.push(node),
            None => {}
        }
        assert_eq!(queue.order(), model);
        assert_eq!(queue.is_empty(), model.is_empty());
    }
    // What cannot be claimed, for its wait has not begun, is taken out all the same.
    // SAFETY: as above.
    assert!(unsafe { queue.pop_claimed() }.is_none());
    assert_eq!(queue.order(), []);
}
