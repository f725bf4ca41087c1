//! Resizing: no processor stays idle that is too many, and none that is wanted stays away.

use loom::thread;

use crate::fences::{self, Model};
use crate::flags::SURPLUS;
use crate::stand_in::{P, Sched};

/// All threads are done: invariants 2 and 3, and each processor is somewhere, once.
fn check(sched: &Sched) {
    let alive = sched.size.alive();
    let surplus = alive.saturating_sub(sched.size.wanted());
    let lists = sched.lot.lock();
    assert!(surplus == 0 || lists.idle.is_empty(), "idle, and too many");
    assert_eq!(sched.flags.has(SURPLUS), surplus > 0, "the flag");
    let given = lists.given.iter().flatten().count();
    let there = lists.idle.len() + given + lists.running as usize;
    assert_eq!(there as u32, alive);
}

/// One processor less, while a machine gives one of two up.
fn fewer_against_release() {
    let sched = Sched::new(0, 2);
    sched.lot.lock().running = 1;
    let resizer = thread::spawn({
        let sched = sched.clone();
        move || sched.set_max_procs(1)
    });
    sched.release_p(0, Box::new(P), false);
    assert_eq!(resizer.join().unwrap(), 2);
    check(&sched);
}

/// The same while two machines give theirs up.
fn fewer_against_two_releases() {
    let sched = Sched::new(0, 2);
    let resizer = thread::spawn({
        let sched = sched.clone();
        move || sched.set_max_procs(1)
    });
    let other = thread::spawn({
        let sched = sched.clone();
        move || sched.release_p(1, Box::new(P), false)
    });
    sched.release_p(0, Box::new(P), false);
    resizer.join().unwrap();
    other.join().unwrap();
    check(&sched);
    assert_eq!(sched.size.alive(), 1);
}

/// One less, and one more again, while a machine gives its processor up.
fn fewer_and_more_against_release() {
    let sched = Sched::new(0, 2);
    sched.lot.lock().running = 1;
    let resizer = thread::spawn({
        let sched = sched.clone();
        move || {
            sched.set_max_procs(1);
            sched.set_max_procs(2)
        }
    });
    sched.release_p(0, Box::new(P), false);
    assert_eq!(resizer.join().unwrap(), 1);
    check(&sched);
    assert_eq!(sched.size.alive(), 2);
}

/// Two set the number at once: one of them is the last.
fn two_resize() {
    let sched = Sched::new(2, 0);
    let other = thread::spawn({
        let sched = sched.clone();
        move || sched.set_max_procs(1)
    });
    let mine = sched.set_max_procs(3);
    let theirs = other.join().unwrap();
    check(&sched);
    let last = sched.size.wanted();
    assert_eq!((mine, theirs), if last == 3 { (1, 2) } else { (2, 3) });
    assert_eq!(sched.size.alive(), last);
}

/// One less, while sysmon hands a processor off that nobody waits for.
fn fewer_against_hand_off() {
    let sched = Sched::new(0, 2);
    sched.lot.lock().running = 1;
    let resizer = thread::spawn({
        let sched = sched.clone();
        move || sched.set_max_procs(1)
    });
    sched.hand_off(Box::new(P));
    resizer.join().unwrap();
    check(&sched);
}

/// One less, while a machine searches: it is no reason to leave the idle one where it is.
fn fewer_beside_a_searcher() {
    let sched = Sched::new(1, 1);
    sched.lot.lock().running = 1;
    assert!(sched.idle.try_search(2));
    sched.set_max_procs(1);
    check(&sched);
    assert_eq!(sched.size.alive(), 1);
}

/// One less and then two more, by two, while a machine is called: the processor that was to be put
/// away is kept, and whoever has left work to the searcher that was counted meanwhile is served.
fn kept_against_call() {
    let sched = Sched::new(1, 1);
    sched.lot.lock().running = 1;
    sched.enlist(0, None);
    let fewer = thread::spawn({
        let sched = sched.clone();
        move || sched.set_max_procs(1)
    });
    let readier = thread::spawn({
        let sched = sched.clone();
        move || sched.go_home(0)
    });
    sched.set_max_procs(3);
    fewer.join().unwrap();
    readier.join().unwrap();
    check(&sched);
    sched.check();
}

pub const MODELS: [Model; 7] = [
    Model::full("fewer against release", fewer_against_release),
    Model::bounded(2, "fewer against two releases", fewer_against_two_releases),
    Model::full(
        "fewer and more against release",
        fewer_and_more_against_release,
    ),
    Model::full("fewer beside a searcher", fewer_beside_a_searcher),
    Model::full("two resize", two_resize),
    Model::bounded(2, "kept against call", kept_against_call),
    Model::full("fewer against hand-off", fewer_against_hand_off),
];

#[test]
fn all_models_hold() {
    fences::all_hold(&MODELS);
}
