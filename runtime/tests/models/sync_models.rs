//! The models.

use std::time::{Duration, Instant};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::raw_condvar::RawCondvar;
use crate::raw_mutex::RawMutex;
use crate::raw_rwlock::RawRwLock;
use crate::task::{Outcome, Settings, cancel_next_wait, set};
use crate::wait_list::WaitList;

const SPINNING: Settings = Settings {
    spins: 1,
    long: false,
};
const STARVED: Settings = Settings {
    spins: 0,
    long: true,
};

/// All schedules with at most that many preemptions (a switch where the thread could go on);
/// switches at a wait are free.
pub(crate) fn explore(
    preemptions: usize,
    settings: Settings,
    f: impl Fn() + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(move || {
        set(settings);
        f();
    });
}

/// A deadline that the clock does not reach, so that only the model's timeout counts.
fn some_time() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(3600))
}

/// Something that is changed under a lock; loom panics if two do it at once, or out of order.
pub(crate) struct Watched(UnsafeCell<u32>);

// SAFETY: loom checks each access.
unsafe impl Sync for Watched {}
// SAFETY: a number.
unsafe impl Send for Watched {}

impl Watched {
    pub(crate) fn new() -> Self {
        Watched(UnsafeCell::new(0))
    }

    pub(crate) fn add(&self, n: u32) {
        // SAFETY: loom panics unless the caller has it alone.
        self.0.with_mut(|place| unsafe { *place += n });
    }

    pub(crate) fn get(&self) -> u32 {
        // SAFETY: loom panics unless the last write is ordered before.
        self.0.with(|place| unsafe { *place })
    }
}

/// Runs all of them at once, the last on the calling thread.
pub(crate) fn together(mut tasks: Vec<Box<dyn FnOnce() + Send>>) {
    let here = tasks.pop().expect("there are some");
    let others: Vec<_> = tasks.into_iter().map(thread::spawn).collect();
    here();
    for other in others {
        other.join().unwrap();
    }
}

pub(crate) fn task<T: Send + Sync + 'static>(
    shared: &Arc<T>,
    f: impl FnOnce(&T) + Send + 'static,
) -> Box<dyn FnOnce() + Send> {
    let shared = shared.clone();
    Box::new(move || f(&shared))
}

// ---- the line -----------------------------------------------------------------------------------

#[test]
fn the_line_is_locked() {
    explore(3, Settings::default(), || {
        let shared = Arc::new((WaitList::new(), Watched::new()));
        let step = |(list, data): &(WaitList, Watched)| {
            let line = list.lock();
            data.add(1);
            drop(line);
        };
        together(vec![task(&shared, step), task(&shared, step)]);
        let _line = shared.0.lock();
        assert_eq!(shared.1.get(), 2);
    });
}

// ---- mutex --------------------------------------------------------------------------------------

type Locked = (RawMutex, Watched);

fn locked() -> Arc<Locked> {
    Arc::new((RawMutex::new(), Watched::new()))
}

fn lock_and_add((mutex, data): &Locked) {
    mutex.lock();
    data.add(1);
    // SAFETY: locked above.
    unsafe { mutex.unlock() };
}

/// `rounds[i]` times locked and unlocked by task `i`.
fn mutex_model(preemptions: usize, settings: Settings, rounds: &'static [u32]) {
    explore(preemptions, settings, move || {
        let shared = locked();
        together(
            rounds
                .iter()
                .map(|&n| {
                    task(&shared, move |shared| {
                        (0..n).for_each(|_| lock_and_add(shared))
                    })
                })
                .collect(),
        );
        assert!(shared.0.try_lock());
        assert_eq!(shared.1.get(), rounds.iter().sum());
    });
}

#[test]
fn a_mutex_excludes_and_loses_no_wake_up() {
    mutex_model(3, Settings::default(), &[2, 2]);
}

#[test]
fn a_mutex_of_three() {
    mutex_model(2, Settings::default(), &[1, 1, 1]);
}

#[test]
fn a_mutex_that_is_spun_for() {
    mutex_model(2, SPINNING, &[2, 2]);
    mutex_model(1, SPINNING, &[1, 1, 1]);
}

#[test]
fn a_mutex_is_handed_to_the_starved() {
    mutex_model(3, STARVED, &[2, 2]);
}

#[test]
fn a_mutex_is_handed_on_among_three() {
    mutex_model(1, STARVED, &[1, 1, 2]);
}

/// The starving mode begins and ends: the first that is woken finds it locked, the second has not
/// waited long.
#[test]
fn a_mutex_is_handed_over_once() {
    explore(2, STARVED, || {
        let shared = locked();
        together(vec![
            task(&shared, lock_and_add),
            task(&shared, |shared| {
                lock_and_add(shared);
                set(Settings::default());
                lock_and_add(shared);
            }),
        ]);
        assert!(shared.0.try_lock());
        assert_eq!(shared.1.get(), 3);
    });
}

/// Waits until the stage is reached, in a way that orders nothing.
fn await_stage(stage: &AtomicU32, n: u32) {
    while stage.load(Ordering::Relaxed) < n {
        thread::yield_now();
    }
}

/// Somebody who has unlocked (stage 1) comes to the line so late (stage 2) that another has locked
/// twice and unlocked twice meanwhile, and the waiter has starved: it hands over what the other has
/// let go of, or finds that there is nothing to do. Without the stages this takes too many
/// preemptions to be found.
#[test]
fn a_mutex_is_handed_on_in_anothers_stead() {
    for locked_at_stage_2 in [false, true] {
        explore(1, STARVED, move || {
            let shared = Arc::new((RawMutex::new(), Watched::new(), AtomicU32::new(0)));
            shared.0.lock();
            let waiter = thread::spawn(task(&shared, |(mutex, data, _)| {
                mutex.lock();
                data.add(1);
                // SAFETY: locked above.
                unsafe { mutex.unlock() };
            }));
            let other = thread::spawn(task(&shared, move |(mutex, data, stage)| {
                await_stage(stage, 1);
                mutex.lock();
                data.add(1);
                // SAFETY: locked above.
                unsafe { mutex.unlock() };
                mutex.lock();
                data.add(1);
                thread::yield_now();
                if locked_at_stage_2 {
                    stage.store(2, Ordering::Relaxed);
                    thread::yield_now();
                    data.add(1);
                }
                // SAFETY: locked above.
                let duty = unsafe { mutex.release() };
                stage.store(2, Ordering::Relaxed);
                thread::yield_now();
                if duty {
                    mutex.pass_on();
                }
            }));
            shared.1.add(1);
            thread::yield_now();
            // SAFETY: locked above.
            let duty = unsafe { shared.0.release() };
            shared.2.store(1, Ordering::Relaxed);
            await_stage(&shared.2, 2);
            if duty {
                shared.0.pass_on();
            }
            waiter.join().unwrap();
            other.join().unwrap();
            assert!(shared.0.try_lock());
            assert_eq!(shared.1.get(), 4 + u32::from(locked_at_stage_2));
        });
    }
}

#[test]
fn a_mutex_survives_a_cancelled_wait() {
    for settings in [Settings::default(), STARVED] {
        explore(3, settings, || {
            let shared = locked();
            together(vec![
                task(&shared, |shared| {
                    cancel_next_wait();
                    lock_and_add(shared);
                }),
                task(&shared, |shared| {
                    lock_and_add(shared);
                    lock_and_add(shared);
                }),
            ]);
            assert_eq!(shared.1.get(), 3);
        });
        explore(1, settings, || {
            let shared = locked();
            together(vec![
                task(&shared, |shared| {
                    cancel_next_wait();
                    lock_and_add(shared);
                }),
                task(&shared, lock_and_add),
                task(&shared, |shared| {
                    lock_and_add(shared);
                    lock_and_add(shared);
                }),
            ]);
            assert_eq!(shared.1.get(), 4);
        });
    }
}

#[test]
fn trying_to_lock_excludes_as_well() {
    explore(3, Settings::default(), || {
        let shared = locked();
        let step = |(mutex, data): &Locked| {
            if mutex.try_lock() {
                data.add(1);
                // SAFETY: locked above.
                unsafe { mutex.unlock() };
            }
        };
        together(vec![task(&shared, step), task(&shared, lock_and_add)]);
        assert!(shared.0.try_lock());
        assert!((1..=2).contains(&shared.1.get()));
    });
}

// ---- reader-writer lock -------------------------------------------------------------------------

type ReadWrite = (RawRwLock, Watched);

fn read_write() -> Arc<ReadWrite> {
    Arc::new((RawRwLock::new(), Watched::new()))
}

fn read((lock, data): &ReadWrite) {
    lock.read();
    data.get();
    // SAFETY: locked above.
    unsafe { lock.read_unlock() };
}

fn write((lock, data): &ReadWrite) {
    lock.write();
    data.add(1);
    // SAFETY: locked above.
    unsafe { lock.write_unlock() };
}

#[test]
fn readers_and_a_writer_exclude_each_other() {
    explore(3, Settings::default(), || {
        let shared = read_write();
        together(vec![
            task(&shared, |s| {
                read(s);
                read(s);
            }),
            task(&shared, |s| {
                write(s);
                write(s);
            }),
        ]);
        assert_eq!(shared.1.get(), 2);
        assert!(shared.0.try_write());
    });
}

#[test]
fn two_writers_exclude_each_other() {
    explore(2, Settings::default(), || {
        let shared = read_write();
        together(vec![
            task(&shared, write),
            task(&shared, write),
            task(&shared, read),
        ]);
        assert_eq!(shared.1.get(), 2);
        assert!(shared.0.try_write());
    });
}

/// Two readers, and a writer that has to wait for one, or both, or none.
#[test]
fn the_last_reader_lets_the_writer_in() {
    for settings in [Settings::default(), SPINNING] {
        explore(2, settings, || {
            let shared = read_write();
            together(vec![
                task(&shared, read),
                task(&shared, read),
                task(&shared, write),
            ]);
            assert_eq!(shared.1.get(), 1);
            assert!(shared.0.try_write());
        });
    }
}

/// Waits until a writer has come.
fn await_writer(lock: &RawRwLock) {
    while lock.try_read() {
        // SAFETY: `try_read` has let us in.
        unsafe { lock.read_unlock() };
        thread::yield_now();
    }
}

/// The last reader to leave for one writer (stage 1) comes to the line when the next writer stands
/// there, who waits for another reader (stage 2).
#[test]
fn a_late_reader_does_not_let_the_next_writer_in() {
    let patient = Settings {
        spins: 20,
        long: false,
    };
    explore(0, patient, || {
        let shared = Arc::new((RawRwLock::new(), Watched::new(), AtomicU32::new(0)));
        shared.0.read();
        let writer = thread::spawn(task(&shared, |(lock, data, stage)| {
            // The first time it sees by spinning that the late reader has gone.
            lock.write();
            data.add(1);
            // SAFETY: locked above.
            unsafe { lock.write_unlock() };
            set(Settings::default());
            await_stage(stage, 2);
            lock.write();
            data.add(1);
            // SAFETY: locked above.
            unsafe { lock.write_unlock() };
        }));
        let reader = thread::spawn(task(&shared, |(lock, data, stage)| {
            await_stage(stage, 1);
            lock.read();
            stage.store(2, Ordering::Relaxed);
            data.get();
            await_stage(stage, 3);
            data.get();
            // SAFETY: locked above.
            unsafe { lock.read_unlock() };
        }));
        await_writer(&shared.0);
        // SAFETY: locked at the beginning.
        let last = unsafe { shared.0.read_release() } && shared.0.leave();
        assert!(last);
        shared.2.store(1, Ordering::Relaxed);
        await_stage(&shared.2, 2);
        await_writer(&shared.0);
        thread::yield_now();
        shared.0.end_drain();
        shared.2.store(3, Ordering::Relaxed);
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(shared.1.get(), 2);
    });
}

/// However often others read, a writer comes in: it waits for no reader that came after it. Here:
/// a reader that comes while the writer waits is not let in before it.
#[test]
fn a_waiting_writer_bars_new_readers() {
    explore(3, Settings::default(), || {
        let shared = read_write();
        shared.0.read();
        let writer = thread::spawn(task(&shared, write));
        // The writer has come, or will: once a reader is refused, all are.
        let refused = !shared.0.try_read();
        if refused {
            assert!(!shared.0.try_read());
        } else {
            // SAFETY: `try_read` has let us in.
            unsafe { shared.0.read_unlock() };
        }
        // SAFETY: locked at the beginning.
        unsafe { shared.0.read_unlock() };
        if refused {
            // Waits for that one writer at most.
            shared.0.read();
            assert_eq!(shared.1.get(), 1);
            // SAFETY: locked above.
            unsafe { shared.0.read_unlock() };
        }
        writer.join().unwrap();
    });
}

/// A writer that becomes a reader lets other readers in, but no writer.
#[test]
fn a_downgrade_lets_no_writer_in() {
    explore(2, Settings::default(), || {
        let shared = read_write();
        together(vec![
            task(&shared, write),
            task(&shared, read),
            task(&shared, |(lock, data)| {
                lock.write();
                data.add(1);
                let before = data.get();
                // SAFETY: locked above.
                unsafe { lock.downgrade() };
                assert_eq!(data.get(), before);
                // SAFETY: a reader by now.
                unsafe { lock.read_unlock() };
            }),
        ]);
        assert_eq!(shared.1.get(), 2);
        assert!(shared.0.try_write());
    });
}

#[test]
fn trying_to_read_or_write_excludes_as_well() {
    explore(2, Settings::default(), || {
        let shared = read_write();
        together(vec![
            task(&shared, |(lock, data)| {
                if lock.try_write() {
                    data.add(1);
                    // SAFETY: locked above.
                    unsafe { lock.write_unlock() };
                }
            }),
            task(&shared, |(lock, data)| {
                if lock.try_read() {
                    data.get();
                    // SAFETY: locked above.
                    unsafe { lock.read_unlock() };
                }
            }),
            task(&shared, write),
        ]);
        assert!(shared.0.try_write());
    });
}

#[test]
fn a_lock_survives_cancelled_readers_and_writers() {
    explore(2, Settings::default(), || {
        let shared = read_write();
        together(vec![
            task(&shared, |s| {
                cancel_next_wait();
                read(s);
            }),
            task(&shared, |s| {
                cancel_next_wait();
                write(s);
            }),
            task(&shared, |s| {
                read(s);
                write(s);
            }),
        ]);
        assert_eq!(shared.1.get(), 2);
        assert!(shared.0.try_write());
    });
}

// ---- condition variable -------------------------------------------------------------------------

type Signalled = (RawMutex, RawCondvar, Watched);

fn signalled() -> Arc<Signalled> {
    Arc::new((RawMutex::new(), RawCondvar::new(), Watched::new()))
}

/// Takes one token, waiting until there is one.
fn take_token((mutex, condvar, tokens): &Signalled) {
    mutex.lock();
    while tokens.get() == 0 {
        // SAFETY: locked.
        unsafe { condvar.wait(mutex, None) };
    }
    tokens.0.with_mut(|n| {
        // SAFETY: under the mutex.
        unsafe { *n -= 1 };
    });
    // SAFETY: locked.
    unsafe { mutex.unlock() };
}

/// Adds `n` tokens.
fn put_tokens((mutex, _, tokens): &Signalled, n: u32) {
    mutex.lock();
    tokens.add(n);
    // SAFETY: locked.
    unsafe { mutex.unlock() };
}

#[test]
fn no_notification_is_lost() {
    for settings in [Settings::default(), STARVED] {
        for under_the_lock in [false, true] {
            explore(3, settings, move || {
                let shared = signalled();
                together(vec![
                    task(&shared, take_token),
                    task(&shared, move |shared| {
                        if under_the_lock {
                            shared.0.lock();
                            shared.2.add(1);
                            shared.1.notify_one();
                            // SAFETY: locked.
                            unsafe { shared.0.unlock() };
                        } else {
                            put_tokens(shared, 1);
                            shared.1.notify_one();
                        }
                    }),
                ]);
            });
        }
    }
}

#[test]
fn all_are_notified() {
    for settings in [Settings::default(), STARVED] {
        for under_the_lock in [false, true] {
            explore(2, settings, move || {
                let shared = signalled();
                together(vec![
                    task(&shared, take_token),
                    task(&shared, take_token),
                    task(&shared, move |shared| {
                        if under_the_lock {
                            shared.0.lock();
                            shared.2.add(2);
                            shared.1.notify_all();
                            // SAFETY: locked.
                            unsafe { shared.0.unlock() };
                        } else {
                            put_tokens(shared, 2);
                            shared.1.notify_all();
                        }
                    }),
                ]);
            });
        }
    }
}

/// One of two that wait may time out, or be cancelled; the notification goes to the other then.
#[test]
fn a_notification_is_not_lost_on_one_that_has_timed_out() {
    for deadline in [some_time(), None] {
        explore(2, Settings::default(), move || {
            let shared = signalled();
            together(vec![
                task(&shared, take_token),
                task(&shared, move |shared| {
                    let (mutex, condvar, tokens) = shared;
                    mutex.lock();
                    if tokens.get() == 0 {
                        if deadline.is_none() {
                            cancel_next_wait();
                        }
                        // SAFETY: locked.
                        let outcome = unsafe { condvar.wait(mutex, deadline) };
                        if outcome == Outcome::Ready {
                            // It has got the one notification, and passes it on.
                            condvar.notify_one();
                        }
                    }
                    // SAFETY: locked.
                    unsafe { mutex.unlock() };
                }),
                task(&shared, |shared| {
                    put_tokens(shared, 1);
                    shared.1.notify_one();
                }),
            ]);
        });
    }
}

/// The waits end, whatever the mutex is used for meanwhile.
#[test]
fn those_notified_share_the_mutex_with_others() {
    for settings in [Settings::default(), STARVED] {
        explore(2, settings, || {
            let shared = signalled();
            together(vec![
                task(&shared, take_token),
                task(&shared, |shared| {
                    shared.0.lock();
                    shared.2.add(1);
                    shared.1.notify_all();
                    // SAFETY: locked.
                    unsafe { shared.0.unlock() };
                }),
                task(&shared, |shared| put_tokens(shared, 1)),
            ]);
        });
    }
}
