//! What the behaviour tests share: the same body on plain threads, on goroutines and on both.
#![allow(dead_code)] // each test file uses some of it

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};

use marmot_netpoll::{Poller, TcpListener, TcpStream};
use marmot_scheduler::event::EventSource;
use marmot_scheduler::wait::on_goroutine;
use marmot_scheduler::{Config, Scheduler};

/// A runtime with a poller.
pub(crate) fn runtime(procs: usize) -> (Scheduler, Arc<Poller>) {
    let poller = Arc::new(Poller::new().unwrap());
    let config = Config::from_env().unwrap().max_procs(procs).unwrap();
    // SAFETY: the tests touch no thread-local on both sides of a wait.
    let scheduler = unsafe { Scheduler::start_migrating(config, poller.clone()) }.unwrap();
    (scheduler, poller)
}

/// Runs the body on a plain thread; on a goroutine with one, two and four processors; and once with
/// tasks of both kinds in turn.
pub(crate) fn everywhere(body: impl Fn() + Send + Sync) {
    body();
    for procs in [1, 2, 4] {
        let (scheduler, poller) = runtime(procs);
        scheduler.handle().run(&body);
        assert!(!poller.has_waiters(), "all waits have ended");
    }
    // Now: a body may leave no descriptors for it.
    mixed();
    std::thread::scope(|s| {
        let mixed = std::thread::Builder::new().name(MIXED.to_owned());
        let mixed = mixed.spawn_scoped(s, &body).unwrap();
        if let Err(panic) = mixed.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The name of threads that spawn threads and goroutines in turn.
const MIXED: &str = "mixed";
/// As many processors has the runtime whose goroutines do so, and no other.
const MIXED_PROCS: usize = 3;

/// The runtime for tasks of both kinds.
fn mixed() -> &'static Scheduler {
    static RUNTIME: LazyLock<(Scheduler, Arc<Poller>)> = LazyLock::new(|| runtime(MIXED_PROCS));
    &RUNTIME.0
}

/// A task that [`spawn`] has started.
pub(crate) enum Task<T> {
    Thread(std::thread::JoinHandle<T>),
    Goroutine(marmot_scheduler::JoinHandle<T>),
}

/// A task of the caller's kind; for one that is mixed, of each kind in turn.
pub(crate) fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let is_mixed = match on_goroutine() {
        true => marmot_scheduler::max_procs() == MIXED_PROCS,
        false => std::thread::current().name() == Some(MIXED),
    };
    let goroutine = match is_mixed {
        true => TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(2),
        false => on_goroutine(),
    };
    match (goroutine, is_mixed) {
        (true, true) => Task::Goroutine(mixed().handle().go(f)),
        (true, false) => Task::Goroutine(marmot_scheduler::go(f)),
        (false, true) => {
            let thread = std::thread::Builder::new().name(MIXED.to_owned());
            Task::Thread(thread.spawn(f).unwrap())
        }
        (false, false) => Task::Thread(std::thread::spawn(f)),
    }
}

impl<T> Task<T> {
    pub(crate) fn join(self) -> T {
        match self {
            Task::Thread(handle) => marmot_scheduler::blocking(|| handle.join()).unwrap(),
            Task::Goroutine(handle) => handle.join().unwrap(),
        }
    }
}

pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Spins until a goroutine waits in the poller. From a plain thread.
pub(crate) fn until_someone_waits(poller: &Poller) {
    while !poller.has_waiters() {
        std::thread::yield_now();
    }
}

/// Runs the body on a thread of its own, and fails if it takes absurdly long: a lost wake-up.
pub(crate) fn within_a_minute<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || done.send(body()).unwrap());
    let result = wait.recv_timeout(std::time::Duration::from_secs(60));
    match result {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it sends before it ends"),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing has happened for a minute"),
    }
}
