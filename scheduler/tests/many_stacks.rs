//! Many goroutines, and the guards of older kernels.

mod common;

use std::process::Command;

use common::scheduler;
use marmot_scheduler::goroutine::{self, park};

const CASE: &str = "MARMOT_TEST_CASE";

/// With `mprotect` for guards there is a limit to the number of stacks: an error then, which names
/// the limit, and everything started before goes on.
#[test]
fn without_guard_advice_the_limit_is_an_error() {
    let name = "without_guard_advice_the_limit_is_an_error";
    if std::env::var_os(CASE).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CASE, "mprotect")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{errors}");
        return;
    }
    marmot_scheduler::force_mprotect_guards();
    let s = scheduler(2);
    s.handle().run(|| {
        let mut handles = Vec::new();
        let error = loop {
            match goroutine::Builder::new().spawn(park) {
                Ok(handle) => handles.push(handle),
                Err(error) => break error,
            }
            // `vm.max_map_count` is 65,530 unless somebody has raised it.
            if handles.len() == 40_000 {
                break std::io::Error::other("vm.max_map_count is raised on this machine");
            }
        };
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert!(handles.len() > 30_000, "{} stacks", handles.len());
        for handle in &handles {
            handle.goroutine().unpark();
        }
        for handle in handles {
            handle.join().unwrap();
        }
        // Slots that have been used serve again.
        let again = goroutine::Builder::new().spawn(|| 5).unwrap();
        assert_eq!(again.join().unwrap(), 5);
    });
}
