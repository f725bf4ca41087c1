//! The models of the alarm: setting it and stopping it against those who wait for it.
//!
//! Times are either now or an hour away, so that the clock makes no choice that loom does not see.

use std::time::Duration;

use loom::thread;

use super::channel_models::{large_model, model};
use crate::receiver::AlarmHandle;
use crate::{Select, bounded};

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3600);

/// An alarm that is stopped.
fn idle() -> AlarmHandle {
    let alarm = AlarmHandle::new(LATER, false);
    assert!(alarm.stop());
    alarm
}

#[test]
fn who_waits_for_a_stopped_alarm_is_woken_by_a_reset() {
    model(|| {
        let alarm = idle();
        let rx = alarm.receiver();
        let receiver = thread::spawn(move || rx.recv().is_ok());
        assert!(!alarm.reset(NOW));
        assert!(receiver.join().unwrap());
        assert!(!alarm.stop(), "it has been received");
    });
}

#[test]
fn a_select_that_waits_is_woken_by_a_reset() {
    model(|| {
        let alarm = idle();
        let rx = alarm.receiver();
        let (_tx, other) = bounded::<u32>(0);
        let selector = thread::spawn(move || {
            let mut sel = Select::new();
            sel.recv(&other);
            let time = sel.recv(&rx);
            let oper = sel.select();
            assert_eq!(oper.index(), time);
            assert!(oper.recv(&rx).is_ok());
        });
        alarm.reset(NOW);
        selector.join().unwrap();
    });
}

/// Of a stop and a receive one gets the time, and after the stop there is none.
#[test]
fn a_time_is_stopped_or_received() {
    large_model(|| {
        let alarm = AlarmHandle::new(NOW, false);
        let receivers = [(), ()].map(|()| {
            let rx = alarm.receiver();
            thread::spawn(move || u32::from(rx.try_recv().is_ok()))
        });
        let stopped = u32::from(alarm.stop());
        assert!(alarm.receiver().try_recv().is_err());
        let received: u32 = receivers
            .map(|receiver| receiver.join().unwrap())
            .iter()
            .sum();
        assert_eq!(stopped + received, 1);
    });
}

/// The time before a reset is not received after it.
#[test]
fn a_reset_takes_the_old_time_back() {
    model(|| {
        let alarm = AlarmHandle::new(NOW, false);
        let rx = alarm.receiver();
        let receiver = thread::spawn(move || u32::from(rx.try_recv().is_ok()));
        let pending = u32::from(alarm.reset(LATER));
        assert!(alarm.receiver().try_recv().is_err());
        assert_eq!(pending + receiver.join().unwrap(), 1);
        assert!(alarm.stop());
    });
}

#[test]
fn who_waits_is_woken_by_the_end() {
    model(|| {
        let alarm = idle();
        let waiter = thread::spawn({
            let alarm = alarm.clone();
            move || alarm.next().is_none()
        });
        alarm.end(false);
        assert!(waiter.join().unwrap());
        assert!(!alarm.reset(NOW) && alarm.next().is_none());
    });
    // What is due still comes.
    model(|| {
        let alarm = AlarmHandle::new(NOW, false);
        let waiter = thread::spawn({
            let alarm = alarm.clone();
            move || (alarm.next().is_some(), alarm.next().is_none())
        });
        alarm.end(false);
        assert_eq!(waiter.join().unwrap(), (true, true));
    });
}
