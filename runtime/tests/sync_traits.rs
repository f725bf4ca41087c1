//! Bounds, text and shape of the locks are std's.

use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};

use marmot::sync as ours;
use std::sync as theirs;

/// Which of the automatic traits a type has: of a constant of `Has` and one of the same name of a
/// trait, the former is found first, if its bound holds.
macro_rules! traits {
    ($type:ty) => {{
        #[allow(dead_code)]
        trait Lacks {
            const SEND: bool = false;
            const SYNC: bool = false;
            const UNPIN: bool = false;
            const UNWIND_SAFE: bool = false;
            const REF_UNWIND_SAFE: bool = false;
        }
        #[allow(dead_code)]
        struct Has<T: ?Sized>(std::marker::PhantomData<T>);
        impl<T: ?Sized> Lacks for Has<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + Send> Has<T> {
            const SEND: bool = true;
        }
        #[allow(dead_code)]
        impl<T: ?Sized + Sync> Has<T> {
            const SYNC: bool = true;
        }
        #[allow(dead_code)]
        impl<T: ?Sized + Unpin> Has<T> {
            const UNPIN: bool = true;
        }
        #[allow(dead_code)]
        impl<T: ?Sized + UnwindSafe> Has<T> {
            const UNWIND_SAFE: bool = true;
        }
        #[allow(dead_code)]
        impl<T: ?Sized + RefUnwindSafe> Has<T> {
            const REF_UNWIND_SAFE: bool = true;
        }
        [
            <Has<$type>>::SEND,
            <Has<$type>>::SYNC,
            <Has<$type>>::UNPIN,
            <Has<$type>>::UNWIND_SAFE,
            <Has<$type>>::REF_UNWIND_SAFE,
        ]
    }};
}

#[test]
fn the_macro_tells_them_apart() {
    assert_eq!(traits!(u8), [true; 5]);
    assert_eq!(traits!(Cell<u8>), [true, false, true, true, false]);
    assert_eq!(traits!(&'static mut u8), [true, true, true, false, true]);
    assert_eq!(
        traits!(std::marker::PhantomPinned),
        [true, true, false, true, true]
    );
}

/// `Send`, not `Sync`, not `RefUnwindSafe`.
type OnlySend = Cell<u8>;
/// `Sync`, not `Send`.
type OnlySync = theirs::MutexGuard<'static, u8>;
/// Neither.
type Neither = *const UnsafeCell<u8>;
/// Not `UnwindSafe`.
type NotUnwindSafe = &'static mut u8;

macro_rules! same {
    ($($path:ident),+; $($argument:ty),+) => {
        same!(@each [$($path),+] ($($argument),+));
    };
    (@each [$($path:ident),+] $arguments:tt) => {
        $(same!(@one $path $arguments);)+
    };
    (@one $path:ident ($($argument:ty),+)) => {
        $(assert_eq!(
            traits!(ours::$path<$argument>),
            traits!(theirs::$path<$argument>),
            concat!(stringify!($path), " of ", stringify!($argument)),
        );)+
    };
}

#[test]
fn the_bounds_are_those_of_std() {
    same!(
        Mutex, RwLock, OnceLock, LazyLock, MutexGuard, RwLockReadGuard, RwLockWriteGuard;
        u8, OnlySend, OnlySync, Neither, NotUnwindSafe
    );
    macro_rules! same_plain {
        ($($path:ident),+) => {
            $(assert_eq!(traits!(ours::$path), traits!(theirs::$path), stringify!($path));)+
        };
    }
    same_plain!(Condvar, Barrier, BarrierWaitResult, Once, WaitTimeoutResult);
    // Ours can be shared as well; nothing is lost by that.
    assert_eq!(traits!(ours::OnceState), [true; 5]);
    assert_eq!(
        traits!(ours::LazyLock<u8, OnlySync>),
        traits!(theirs::LazyLock<u8, OnlySync>)
    );
    assert_eq!(
        traits!(ours::LazyLock<u8, NotUnwindSafe>),
        traits!(theirs::LazyLock<u8, NotUnwindSafe>)
    );
}

/// The same text comes from both.
macro_rules! same_text {
    ($sync:ident => $text:expr) => {{
        let ours = {
            use marmot::sync as $sync;
            $text
        };
        let theirs = {
            use std::sync as $sync;
            $text
        };
        assert_eq!(ours, theirs);
        ours
    }};
}

#[test]
fn the_text_is_that_of_std() {
    std::panic::set_hook(Box::new(|_| ()));
    same_text!(sync => {
        let mutex = sync::Mutex::new("a");
        let free = format!("{mutex:?} {mutex:#?}");
        let guard = mutex.lock().unwrap();
        let held = format!("{mutex:?} {guard:?} {guard}");
        let refused = format!("{:?} {}", mutex.try_lock(), mutex.try_lock().unwrap_err());
        drop(guard);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _guard = mutex.lock();
            panic!();
        }));
        assert!(failed.is_err());
        let error = format!("{:?}", mutex.lock());
        let error = format!("{error} {}", mutex.lock().unwrap_err());
        let tried = format!("{:?}", mutex.try_lock());
        let tried = format!("{tried} {}", mutex.try_lock().unwrap_err());
        format!("{free} {held} {refused} {mutex:?} {error} {tried}")
    });
    same_text!(sync => {
        let lock = sync::RwLock::new("a");
        let free = format!("{lock:?} {lock:#?}");
        let reader = lock.read().unwrap();
        let shared = format!("{lock:?} {reader:?} {reader}");
        drop(reader);
        let writer = lock.write().unwrap();
        let held = format!("{lock:?} {writer:?} {writer}");
        let refused = format!("{:?} {:?}", lock.try_read(), lock.try_write());
        drop(writer);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.write();
            panic!();
        }));
        assert!(failed.is_err());
        format!("{free} {shared} {held} {refused} {lock:?} {:?}", lock.read())
    });
    same_text!(sync => {
        let (lock, condvar) = (sync::Mutex::new(()), sync::Condvar::default());
        let wait = condvar.wait_timeout(lock.lock().unwrap(), std::time::Duration::ZERO);
        format!("{condvar:?} {:?}", wait.unwrap())
    });
    same_text!(sync => {
        let barrier = sync::Barrier::new(1);
        format!("{barrier:?} {:?}", barrier.wait())
    });
    same_text!(sync => {
        let once = sync::Once::new();
        let mut state = String::new();
        once.call_once_force(|s| state = format!("{s:?}"));
        format!("{once:?} {state}")
    });
    same_text!(sync => {
        let cell = sync::OnceLock::new();
        let empty = format!("{cell:?}");
        cell.set(1).unwrap();
        format!("{empty} {cell:?} {cell:#?}")
    });
    same_text!(sync => {
        let lazy = sync::LazyLock::new(|| 1);
        let empty = format!("{lazy:?}");
        format!("{empty} {} {lazy:?}", *lazy)
    });
    same_text!(sync => {
        let once = sync::Once::new();
        let run = |f: fn()| {
            let payload = catch_unwind(AssertUnwindSafe(|| once.call_once(f))).unwrap_err();
            payload.downcast_ref::<&str>().map(|text| text.to_string())
        };
        format!("{:?} {:?}", run(|| panic!("first")), run(|| ()))
    });
    same_text!(sync => {
        let lazy: sync::LazyLock<u32> = sync::LazyLock::new(|| panic!("first"));
        let force = || {
            let payload = catch_unwind(AssertUnwindSafe(|| *lazy)).unwrap_err();
            payload.downcast_ref::<&str>().map(|text| text.to_string())
        };
        format!("{:?} {:?}", force(), force())
    });
}

static MUTEX: ours::Mutex<u32> = ours::Mutex::new(1);
static LOCK: ours::RwLock<u32> = ours::RwLock::new(2);
static CONDVAR: ours::Condvar = ours::Condvar::new();
static BARRIER: ours::Barrier = ours::Barrier::new(1);
static ONCE: ours::Once = ours::Once::new();
static CELL: ours::OnceLock<u32> = ours::OnceLock::new();
static LAZY: ours::LazyLock<u32> = ours::LazyLock::new(|| 3);

#[test]
fn all_can_be_statics() {
    CONDVAR.notify_all();
    ONCE.call_once(|| {
        BARRIER.wait();
    });
    let sum = *MUTEX.lock().unwrap() + *LOCK.read().unwrap() + *LAZY + CELL.get_or_init(|| 4);
    assert_eq!(sum, 10);
}

#[test]
fn they_are_made_from_values() {
    assert_eq!(*ours::Mutex::from(1).lock().unwrap(), 1);
    assert_eq!(*ours::RwLock::from(1).read().unwrap(), 1);
    assert_eq!(ours::Mutex::<u32>::default().into_inner().unwrap(), 0);
    assert_eq!(ours::RwLock::<u32>::default().into_inner().unwrap(), 0);
}

/// Errors and results are std's own types, so that code which names those goes on to compile.
#[test]
fn the_errors_are_those_of_std() {
    let mutex = ours::Mutex::new(1);
    let guard: theirs::LockResult<ours::MutexGuard<'_, i32>> = mutex.lock();
    let refused: theirs::TryLockResult<_> = mutex.try_lock();
    assert!(matches!(refused, Err(theirs::TryLockError::WouldBlock)));
    drop(refused);
    drop(guard);
    let error: theirs::PoisonError<u8> = ours::PoisonError::new(1);
    assert_eq!(error.into_inner(), 1);
}
