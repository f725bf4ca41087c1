//! Waiting: the wait word, the park token, completion and `runnext`.
//!
//! The last part models a slot whose memory is given back and taken again, that is, zeroed. Faults
//! planted there, and who caught them:
//!
//! | the fault                                                    | caught by                      |
//! |--------------------------------------------------------------|--------------------------------|
//! | `resume` begins at 0 again, or below the mark                | `a_claim_from_before_the_trim` |
//! | `forget` does not raise the mark, or lowers it               | the same; `the_mark_only_grows`|
//! | `OPEN` is 0, so that zeroes are an open wait 0               | `an_unpark_from_before_the_trim` |
//! | `publish` stores its number, not raises it                   | `a_publish_from_before_the_trim` |

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use loom::thread;

use crate::completion::Completion;
use crate::park_token::ParkToken;
use crate::run_next::RunNext;
use crate::wait_word::{Outcome, WaitWord};

/// A waiter with a frame that only the winner of the claim may write.
struct Waiter {
    word: WaitWord,
    frame: UnsafeCell<u32>,
    ready: AtomicBool,
}

// SAFETY: the frame is guarded by the claim, which is what the model checks.
unsafe impl Sync for Waiter {}
// SAFETY: as above.
unsafe impl Send for Waiter {}

/// A value and a deadline race for one wait, from before it is open. At most one wins; it sees what
/// the waiter wrote before it opened, may write the waiter's frame, and the waiter sees that.
#[test]
fn one_claim_wins_and_owns_the_frame() {
    use loom::sync::atomic::Ordering::{Acquire, Release};
    loom::model(|| {
        let waiter = Arc::new(Waiter {
            word: WaitWord::new(),
            frame: UnsafeCell::new(0),
            ready: AtomicBool::new(false),
        });
        let number = waiter.word.next();
        let claim = |outcome, value| {
            let waiter = waiter.clone();
            thread::spawn(move || {
                let won = waiter.word.claim(number, outcome);
                if won {
                    waiter.frame.with_mut(|f| unsafe { *f += value });
                    waiter.ready.store(true, Release);
                }
                won
            })
        };
        let deadline = claim(Outcome::TimedOut, 10);
        let value = claim(Outcome::Ready, 20);
        waiter.frame.with_mut(|f| unsafe { *f = 1 });
        assert_eq!(waiter.word.open(), number);
        if waiter.ready.load(Acquire) {
            // It runs again: the frame is its own.
            waiter.frame.with_mut(|f| unsafe { *f += 1 });
        }
        let won = [deadline.join().unwrap(), value.join().unwrap()];
        let frame = waiter.frame.with(|f| unsafe { *f });
        match won {
            [true, true] => panic!("both ended the wait"),
            [true, false] => assert_eq!(waiter.word.outcome(), Outcome::TimedOut),
            [false, true] => assert_eq!(waiter.word.outcome(), Outcome::Ready),
            [false, false] => assert!(waiter.word.is_open(), "both came too early"),
        }
        let base = [1, 11, 21][if won[0] {
            1
        } else if won[1] {
            2
        } else {
            0
        }];
        assert!(frame == base || frame == base + 1);
    });
}

/// A claim that comes late meets the next wait of the same word, and fails.
#[test]
fn a_stale_claim_has_no_effect() {
    loom::model(|| {
        let word = Arc::new(WaitWord::new());
        let first = word.open();
        let late = thread::spawn({
            let word = word.clone();
            move || word.claim(first, Outcome::TimedOut)
        });
        if word.claim(first, Outcome::Ready) {
            let second = word.open();
            assert!(!late.join().unwrap());
            assert!(word.claim(second, Outcome::Ready), "the next wait is open");
        } else {
            assert!(late.join().unwrap());
        }
    });
}

#[test]
fn claims_need_an_open_wait() {
    loom::model(|| {
        let word = WaitWord::new();
        let first = word.next();
        assert!(!word.claim(first, Outcome::Ready), "not open yet");
        assert_eq!(word.open(), first);
        assert!(word.is_open());
        assert!(word.claim(first, Outcome::Cancelled));
        assert!(!word.is_open());
        assert_eq!(word.outcome(), Outcome::Cancelled);
    });
}

/// The happy race and the lost wake-up: an `unpark` comes at any moment of a `park`, and what was
/// written before it is seen after.
#[test]
fn an_unpark_is_never_lost() {
    loom::model(|| {
        let token = Arc::new(ParkToken::new());
        let word = Arc::new(WaitWord::new());
        let flag = Arc::new(AtomicU64::new(0));
        token.begin(7);
        let unparker = thread::spawn({
            let (token, word, flag) = (token.clone(), word.clone(), flag.clone());
            move || {
                flag.store(1, Relaxed);
                match token.notify(7) {
                    None => false,
                    Some(number) => {
                        let number = crate::wait_word::WaitNumber::from_u64(number);
                        word.claim(number, Outcome::Ready)
                    }
                }
            }
        });
        // `park_until`, without the sleep: either it goes on by itself, or it has to be claimed.
        let mut parked = false;
        if !token.consume(7) {
            let number = word.open();
            if token.publish(7, number.as_u64()) {
                parked = true;
            } else {
                assert!(word.claim(number, Outcome::Ready));
                token.leave();
            }
        }
        if parked {
            assert!(unparker.join().unwrap(), "parked for ever");
            token.leave();
            assert_eq!(flag.load(Relaxed), 1);
        } else {
            assert_eq!(
                flag.load(Relaxed),
                1,
                "the token came without what it told of"
            );
            assert!(!unparker.join().unwrap());
        }
        assert!(!token.consume(7), "one unpark, one return");
    });
}

/// The drop during: the goroutine ends, and its slot gets a new one, while a handle unparks it.
#[test]
fn an_unpark_never_reaches_the_next_goroutine() {
    loom::model(|| {
        let token = Arc::new(ParkToken::new());
        token.begin(7);
        let unparker = thread::spawn({
            let token = token.clone();
            move || token.notify(7)
        });
        token.retire();
        token.begin(8);
        // What the new goroutine then reads cannot be asked here: loom orders a plain store after
        // a read-modify-write of another thread only if one happens before the other, which is
        // weaker than the language.
        assert!(unparker.join().unwrap().is_none(), "it was never parked");
    });
}

/// The machine of a park that has timed out publishes it late, while the goroutine parks again on
/// another: an unpark of the later park still finds it.
#[test]
fn a_late_publish_hides_no_later_park() {
    loom::model(|| {
        let token = Arc::new(ParkToken::new());
        let word = Arc::new(WaitWord::new());
        token.begin(7);
        let first = word.open();
        let late = thread::spawn({
            let (token, word) = (token.clone(), word.clone());
            move || {
                if !token.publish(7, first.as_u64()) {
                    assert!(!word.claim(first, Outcome::Ready));
                }
            }
        });
        assert!(word.claim(first, Outcome::TimedOut));
        token.leave();
        if !token.consume(7) {
            let second = word.open();
            if token.publish(7, second.as_u64()) {
                let number = token.notify(7).expect("it is parked");
                let number = crate::wait_word::WaitNumber::from_u64(number);
                assert!(word.claim(number, Outcome::Ready), "parked for ever");
            }
        }
        late.join().unwrap();
    });
}

/// A handle of a goroutine that has ended, whose slot another one lives in.
#[test]
fn a_stale_unpark_has_no_effect() {
    loom::model(|| {
        let token = ParkToken::new();
        token.begin(7);
        token.retire();
        token.begin(8);
        assert!(token.notify(7).is_none());
        assert!(!token.consume(8));
        assert!(token.publish(8, 1));
        assert!(token.notify(7).is_none());
        assert_eq!(token.notify(8), Some(1));
        assert!(token.notify(8).is_none(), "it is told once");
        token.leave();
        assert!(!token.consume(8));
        assert!(token.notify(8).is_none());
        assert!(token.consume(8));
        assert!(!token.consume(8), "one token, one return");
    });
}

/// A timeout of one park against an unpark that has seen it parked, and then the next park: the
/// token may end that one too early, but a park that follows an unpark always ends.
#[test]
fn an_unpark_against_a_timeout() {
    loom::model(|| {
        let token = Arc::new(ParkToken::new());
        let word = Arc::new(WaitWord::new());
        token.begin(7);
        let first = word.open();
        assert!(token.publish(7, first.as_u64()));
        let unparker = thread::spawn({
            let (token, word) = (token.clone(), word.clone());
            move || {
                token.notify(7).is_some_and(|number| {
                    let number = crate::wait_word::WaitNumber::from_u64(number);
                    word.claim(number, Outcome::Ready)
                })
            }
        });
        if word.claim(first, Outcome::TimedOut) {
            token.leave();
            // The next wait is none of `park`'s: the unparker may not claim it.
            let other = word.open();
            unparker.join().unwrap();
            assert!(word.is_open(), "an unpark has ended another wait");
            assert!(word.claim(other, Outcome::Ready));
        } else {
            assert!(unparker.join().unwrap());
        }
    });
}

/// What `arena.rs` and `g.rs` do to a free slot: it forgets, its memory becomes zeroes, and then
/// it serves a new goroutine.
struct TrimmedSlot {
    word: WaitWord,
    token: ParkToken,
    mark: AtomicU64,
}

impl TrimmedSlot {
    fn new() -> Arc<Self> {
        Arc::new(TrimmedSlot {
            word: WaitWord::new(),
            token: ParkToken::new(),
            mark: AtomicU64::new(0),
        })
    }

    fn trim(&self) {
        self.word.forget(&self.mark);
        self.token.forget();
    }
}

/// A deadline claims a wait of a goroutine that has ended since: before, while and after its slot is
/// trimmed and another goroutine waits there.
#[test]
fn a_claim_from_before_the_trim() {
    loom::model(|| {
        let slot = TrimmedSlot::new();
        let first = slot.word.open();
        let late = thread::spawn({
            let slot = slot.clone();
            move || slot.word.claim(first, Outcome::TimedOut)
        });
        if slot.word.claim(first, Outcome::Ready) {
            slot.trim();
            slot.word.resume(&slot.mark);
            assert_eq!(slot.word.outcome(), Outcome::Ready, "as new");
            let second = slot.word.open();
            assert!(second.as_u64() > first.as_u64());
            assert!(!late.join().unwrap(), "a stale claim has ended a wait");
            assert!(slot.word.claim(second, Outcome::Ready), "it is open");
        } else {
            assert!(late.join().unwrap());
        }
    });
}

/// Two slots are trimmed at once, by two scavengers: neither's numbers come again in the other.
#[test]
fn the_mark_only_grows() {
    loom::model(|| {
        let mark = Arc::new(AtomicU64::new(0));
        let busy = |waits: usize| {
            let mark = mark.clone();
            thread::spawn(move || {
                let word = WaitWord::new();
                for _ in 0..waits {
                    let number = word.open();
                    assert!(word.claim(number, Outcome::Ready));
                }
                word.forget(&mark);
                assert!(!word.is_open());
                word.resume(&mark);
                word.next().as_u64()
            })
        };
        let (one, three) = (busy(1), busy(3));
        assert!(one.join().unwrap() >= 2);
        assert_eq!(three.join().unwrap(), 4);
    });
}

/// An `unpark` has seen its goroutine parked; before it reads the number of the wait, the goroutine
/// times out and ends, and its slot is trimmed: it reads a number that claims nothing.
#[test]
fn an_unpark_from_before_the_trim() {
    loom::model(|| {
        let slot = TrimmedSlot::new();
        slot.token.begin(7);
        let first = slot.word.open();
        assert!(slot.token.publish(7, first.as_u64()));
        let unparker = thread::spawn({
            let slot = slot.clone();
            move || {
                slot.token.notify(7).is_some_and(|number| {
                    let number = crate::wait_word::WaitNumber::from_u64(number);
                    slot.word.claim(number, Outcome::Ready)
                })
            }
        });
        if slot.word.claim(first, Outcome::TimedOut) {
            slot.token.leave();
            slot.token.retire();
            slot.trim();
            assert!(!unparker.join().unwrap(), "a free slot was readied");
        } else {
            assert!(unparker.join().unwrap());
        }
    });
}

/// The machine of a park that has timed out publishes it when the goroutine has ended, while its
/// slot is trimmed and the next goroutine parks there: an unpark of that one still finds it.
#[test]
fn a_publish_from_before_the_trim() {
    loom::model(|| {
        let slot = TrimmedSlot::new();
        slot.token.begin(7);
        let first = slot.word.open();
        assert!(slot.word.claim(first, Outcome::TimedOut));
        slot.token.leave();
        slot.token.retire();
        let late = thread::spawn({
            let slot = slot.clone();
            move || {
                assert!(!slot.token.publish(7, first.as_u64()));
                assert!(!slot.word.claim(first, Outcome::Ready));
            }
        });
        slot.trim();
        slot.word.resume(&slot.mark);
        slot.token.begin(8);
        let second = slot.word.open();
        assert!(slot.token.publish(8, second.as_u64()));
        let number = slot.token.notify(8).expect("it is parked");
        let number = crate::wait_word::WaitNumber::from_u64(number);
        assert!(slot.word.claim(number, Outcome::Ready), "parked for ever");
        late.join().unwrap();
    });
}

/// The waiter registers while the event happens: it is told, or it is claimed.
#[test]
fn a_completion_is_never_missed() {
    loom::model(|| {
        let done = Arc::new(Completion::<u32>::new());
        let result = Arc::new(AtomicU64::new(0));
        let completer = thread::spawn({
            let (done, result) = (done.clone(), result.clone());
            move || {
                result.store(1, Relaxed);
                done.complete()
            }
        });
        // SAFETY: the one waiter.
        let registered = unsafe { done.subscribe(9) };
        if !registered {
            assert!(done.is_done());
            assert_eq!(result.load(Relaxed), 1);
        }
        let told = completer.join().unwrap();
        assert_eq!(told, registered.then_some(9), "told exactly if registered");
    });
}

/// The waiter gives up while the event happens.
#[test]
fn a_registration_is_taken_back_or_told() {
    loom::model(|| {
        let done = Arc::new(Completion::<u32>::new());
        // SAFETY: the one waiter.
        assert!(unsafe { done.subscribe(9) });
        let completer = thread::spawn({
            let done = done.clone();
            move || done.complete()
        });
        let withdrawn = done.unsubscribe();
        if withdrawn {
            // SAFETY: the one waiter, which is not registered.
            let again = unsafe { done.subscribe(10) };
            assert_eq!(completer.join().unwrap(), again.then_some(10));
        } else {
            assert_eq!(completer.join().unwrap(), Some(9));
        }
    });
}

/// The owner puts and takes while a thief takes: each goroutine is run once, by somebody who sees
/// its state.
#[test]
fn runnext_gives_each_goroutine_once() {
    loom::model(|| {
        let slot = Arc::new(RunNext::<UnsafeCell<u32>>::new());
        let goroutines: Vec<usize> = (0..2)
            .map(|_| Box::into_raw(Box::new(UnsafeCell::new(0_u32))) as usize)
            .collect();
        // SAFETY: each pointer is used by whoever has taken it out, which loom checks.
        let touch = |g: NonNull<UnsafeCell<u32>>| unsafe { g.as_ref().with_mut(|n| *n += 1) };
        let thief = thread::spawn({
            let slot = slot.clone();
            move || {
                let taken = slot.take();
                if let Some(g) = taken {
                    // SAFETY: taken out.
                    unsafe { g.as_ref().with_mut(|n| *n += 1) };
                }
                usize::from(taken.is_some())
            }
        });
        let mut mine = 0;
        for &g in &goroutines {
            let g = NonNull::new(g as *mut UnsafeCell<u32>).unwrap();
            touch(g);
            if let Some(displaced) = slot.put(g) {
                touch(displaced);
                mine += 1;
            }
        }
        if let Some(g) = slot.take() {
            touch(g);
            mine += 1;
        }
        assert_eq!(mine + thief.join().unwrap(), 2);
        for g in goroutines {
            // SAFETY: made by `Box::into_raw`, and nobody uses it any more.
            let g = unsafe { Box::from_raw(g as *mut UnsafeCell<u32>) };
            assert_eq!(g.with(|n| unsafe { *n }), 2, "put once and run once");
        }
    });
}
