//! A former handler is not called while somebody is subscribed, and at once when nobody is.
//!
//! In a test binary of its own: the handlers are the process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use marmot_netpoll::signal::{SIGUSR1, SIGUSR2, Subscriber, subscribe};

const LONG: Duration = Duration::from_secs(30);

static PLAIN: AtomicUsize = AtomicUsize::new(0);
static WITH_INFO: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(signal: libc::c_int) {
    assert_eq!(signal, SIGUSR1);
    PLAIN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn with_info(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    assert_eq!(signal, SIGUSR2);
    assert!(!info.is_null() && !context.is_null());
    WITH_INFO.fetch_add(1, Ordering::SeqCst);
}

fn set_handlers() {
    // SAFETY: all zeroes is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = plain as extern "C" fn(_) as libc::sighandler_t;
    // SAFETY: the action is valid, and its handler does nothing that a handler may not.
    let set = unsafe { libc::sigaction(SIGUSR1, &action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    action.sa_sigaction = with_info as extern "C" fn(_, _, _) as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: as above.
    let set = unsafe { libc::sigaction(SIGUSR2, &action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// To this thread, before it returns.
fn raise(signal: i32) {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

struct Forward {
    to: Sender<i32>,
    gone: Arc<AtomicBool>,
}

impl Subscriber for Forward {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn deliver(&self, signal: i32) -> bool {
        let _ = self.to.send(signal);
        true
    }
}

fn forward(signals: &[i32]) -> (Receiver<i32>, Arc<AtomicBool>) {
    let (to, from) = channel();
    let gone = Arc::new(AtomicBool::new(false));
    let subscriber = Forward {
        to,
        gone: gone.clone(),
    };
    subscribe(signals, Box::new(subscriber)).unwrap();
    (from, gone)
}

#[test]
fn former_handlers_come_back_at_once() {
    set_handlers();
    let calls = || {
        (
            PLAIN.load(Ordering::SeqCst),
            WITH_INFO.load(Ordering::SeqCst),
        )
    };
    for round in 0..50 {
        let (signals, gone) = forward(&[SIGUSR1, SIGUSR2]);
        for signal in [SIGUSR1, SIGUSR2] {
            raise(signal);
            assert_eq!(signals.recv_timeout(LONG), Ok(signal));
        }
        assert_eq!(calls(), (round, round));
        gone.store(true, Ordering::Release);
        raise(SIGUSR1);
        raise(SIGUSR2);
        assert_eq!(calls(), (round + 1, round + 1));
        assert!(signals.try_recv().is_err());
    }
}
