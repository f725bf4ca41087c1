//! `Ticker`: it ticks on its grid, keeps one tick at most, and can be stopped and reset.

mod tasks;

use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use marmot::channel::unbounded;
use marmot::select;
use marmot::time::Ticker;
use tasks::{LONG, SHORT, everywhere};

const PERIOD: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

/// Whether they lie on one grid of that period.
fn on_grid(times: &[Instant], period: Duration) -> bool {
    times.windows(2).all(|pair| {
        let step = (pair[1] - pair[0]).as_nanos();
        step > 0 && step.is_multiple_of(period.as_nanos())
    })
}

#[test]
fn traits() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe + std::fmt::Debug>() {}
    is::<Ticker>();
}

#[test]
fn a_period_of_zero_is_a_panic() {
    assert!(catch_unwind(|| Ticker::new(Duration::ZERO)).is_err());
    let ticker = Ticker::new(HOUR);
    assert!(catch_unwind(|| ticker.reset(Duration::ZERO)).is_err());
    assert!(ticker.receiver().is_empty());
}

#[test]
fn ticks_do_not_drift() {
    everywhere(|_| {
        let begin = Instant::now();
        let ticker = Ticker::new(PERIOD);
        let ticks: Vec<_> = ticker.receiver().iter().take(20).collect();
        assert!(on_grid(&ticks, PERIOD), "{ticks:?}");
        assert!(ticks[0] >= begin + PERIOD);
        assert!(ticks[0] <= Instant::now());
    });
}

/// A slow receiver finds one tick, an old one, and then those to come, on the same grid.
#[test]
fn a_slow_receiver_misses_ticks() {
    everywhere(|_| {
        let ticker = Ticker::new(PERIOD);
        let mut ticks = vec![ticker.receiver().recv().unwrap()];
        marmot::sleep(5 * PERIOD);
        let awake = Instant::now();
        ticks.push(ticker.receiver().try_recv().unwrap());
        assert!(ticks[1] <= awake - 4 * PERIOD, "the first that was due");
        ticks.push(ticker.receiver().recv().unwrap());
        assert!(ticks[2] > awake, "the others were left out");
        assert!(on_grid(&ticks, PERIOD));
    });
}

#[test]
fn no_tick_after_a_stop() {
    everywhere(|tasks| {
        let ticker = Ticker::new(Duration::from_micros(20));
        let (tx, ticks) = unbounded();
        let rx = ticker.receiver().clone();
        let receiver = tasks.spawn(move || {
            while let Ok(tick) = rx.recv_timeout(10 * SHORT) {
                let _ = tx.send(tick);
            }
        });
        assert!(ticks.recv().is_ok());
        ticker.stop();
        let stopped = Instant::now();
        assert!(ticker.receiver().try_recv().is_err());
        receiver.join();
        assert!(ticks.try_iter().all(|tick| tick <= stopped));
        assert!(ticker.receiver().try_recv().is_err());
    });
}

#[test]
fn a_reset_begins_a_new_grid() {
    everywhere(|tasks| {
        let ticker = Ticker::new(HOUR);
        let rx = ticker.receiver().clone();
        let waiter = tasks.spawn(move || rx.iter().take(5).collect::<Vec<_>>());
        let begin = Instant::now();
        ticker.reset(PERIOD);
        let ticks = waiter.join();
        assert!(on_grid(&ticks, PERIOD));
        assert!(ticks[0] >= begin + PERIOD && begin.elapsed() < LONG);
        ticker.stop();
        assert!(ticker.receiver().recv_timeout(SHORT).is_err());
        ticker.reset(PERIOD);
        assert!(ticker.receiver().recv().is_ok());
    });
}

#[test]
fn ticks_beside_other_cases() {
    everywhere(|tasks| {
        let ticker = Ticker::new(Duration::from_millis(1));
        let (tx, rx) = unbounded();
        let sender = tasks.spawn(move || {
            for n in 0..5 {
                tx.send(n).unwrap();
                marmot::sleep(Duration::from_millis(2));
            }
        });
        let (mut ticks, mut sum) = (0, 0);
        while ticks < 5 || sum < 10 {
            select! {
                recv(ticker.receiver()) -> tick => {
                    tick.unwrap();
                    ticks += 1;
                }
                recv(if sum < 10 { rx.clone() } else { marmot::channel::never() }) -> n => sum += n.unwrap(),
            }
        }
        sender.join();
    });
}
