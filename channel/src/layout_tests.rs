//! A test of where a channel's fields lie. Apart from them, for the models have atomics of another size.

use crate::chan::Chan;

#[test]
fn what_a_value_changes_is_on_one_line() {
    let chan = Chan::<u64>::bounded(1);
    let start = std::ptr::from_ref(&chan).addr();
    // The cursors, two words each, come before the lock; the flags, two queues and the length follow.
    let lock = std::ptr::from_ref(&chan.core().lock).addr();
    assert_eq!(start % 64, 0);
    assert_eq!(lock % 64, 32);
    assert_eq!(std::ptr::from_ref(chan.core()).addr(), lock);
}
