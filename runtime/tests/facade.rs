//! The facade has the names, the traits and the edges it promises.

use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use marmot::{Builder, Handle, JoinHandle, Runtime, goroutine};

fn runtime() -> Runtime {
    // SAFETY: no goroutine of these tests uses a thread-local on both sides of a wait.
    unsafe { Runtime::builder().max_procs(2).build_migrating() }.expect("a runtime starts")
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or(payload.downcast_ref::<&str>().copied()).unwrap()
}

#[test]
fn handles_may_go_anywhere() {
    fn is<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    is::<Runtime>();
    is::<Handle>();
    is::<Builder>();
    fn shared<T: Send + Sync>() {}
    shared::<JoinHandle<()>>();
    shared::<goroutine::Goroutine>();
}

#[test]
fn outside_a_runtime_the_panic_names_the_method() {
    for (name, call) in [
        ("go", (|| drop(marmot::go(|| ()))) as fn()),
        ("scope", || marmot::scope(|_| ())),
        ("num_goroutines", || {
            marmot::num_goroutines();
        }),
        ("max_procs", || {
            marmot::max_procs();
        }),
    ] {
        let payload = catch_unwind(call).unwrap_err();
        let text = message(&*payload);
        assert!(text.contains(&format!("Runtime::{name}")), "{text}");
    }
}

#[test]
fn plain_threads_sleep_and_yield() {
    let begin = Instant::now();
    marmot::sleep(Duration::from_millis(3));
    marmot::yield_now();
    assert!(begin.elapsed() >= Duration::from_millis(3));
    goroutine::current().unpark();
    goroutine::park();
}

#[test]
fn a_goroutine_knows_where_it_was_spawned() {
    let rt = runtime();
    let by_runtime = rt.go(|| ());
    let line = line!() - 1;
    assert_eq!(by_runtime.goroutine().spawned_at().line(), line);
    assert!(
        by_runtime
            .goroutine()
            .spawned_at()
            .file()
            .ends_with("facade.rs")
    );
    let inside = rt.run(|| goroutine::current().spawned_at().line());
    assert_eq!(inside, line!() - 1);
}

#[test]
fn several_runtimes_live_side_by_side() {
    let (a, b) = (runtime(), runtime());
    let answer = a.run(|| b.run(|| a.go(|| 1).join().unwrap() + b.go(|| 2).join().unwrap()));
    assert_eq!(answer, 3);
    drop(a);
    assert_eq!(b.run(|| 4), 4);
}

#[test]
fn run_hands_the_panic_on_and_goes_on() {
    let rt = runtime();
    let payload = catch_unwind(AssertUnwindSafe(|| rt.run(|| panic!("deliberate")))).unwrap_err();
    assert_eq!(message(&*payload), "deliberate");
    assert_eq!(rt.run(|| 1), 1);
}

#[test]
fn threads_carry_the_name() {
    // SAFETY: as in `runtime`.
    let rt = unsafe { Runtime::builder().name("burrow").build_migrating() }.unwrap();
    // Asked inside a function that does not park.
    let name = rt.run(|| std::thread::current().name().map(str::to_owned));
    assert_eq!(name.as_deref(), Some("burrow"));
}

#[test]
fn out_of_range_calls_are_errors() {
    for builder in [
        Runtime::builder().max_procs(0),
        Runtime::builder().max_procs(65_537),
        Runtime::builder().stack_size((1 << 30) + 1),
        Runtime::builder().main_stack_size((1 << 30) + 1),
        Runtime::builder().name("a\0b"),
    ] {
        // SAFETY: nothing is run.
        let error = unsafe { builder.build_migrating() }.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
}
