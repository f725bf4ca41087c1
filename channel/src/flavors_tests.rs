//! Tests of the clock channels. Apart from them, for the models include `flavors.rs` and have no clock.

use std::time::{Duration, Instant};

use crate::chan::Patience;
use crate::flavors::{At, ClockChannel, Tick};

#[test]
fn an_instant_is_received_once() {
    let now = Instant::now();
    let at = At::new(now);
    assert_eq!(at.try_recv(), Some(now));
    assert_eq!(at.try_recv(), None);
    assert_eq!(at.next(), None);
}

#[test]
fn ticks_do_not_pile_up() {
    let tick = Tick::new(Duration::from_millis(1)).unwrap();
    let first = tick.recv(Patience::Forever).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    let second = tick.try_recv().unwrap();
    assert!(second >= first + Duration::from_millis(1));
    let third = tick.next().unwrap();
    assert!(third >= Instant::now() - Duration::from_millis(1));
}

#[test]
fn never_is_beyond_the_end_of_time() {
    assert!(Tick::new(Duration::MAX).is_none());
    let endless = Tick::new(Duration::from_secs(1 << 33)).unwrap();
    assert!(endless.next().is_some());
}
