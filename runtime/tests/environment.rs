//! The environment is read when a runtime is built; each case in a process of its own.

use std::process::Command;

use marmot::Runtime;

/// What the child does with its environment: prints `max_procs`, or the error.
const CASE: &str = "MARMOT_TEST_CASE";

/// Runs this test executable again as a child, with `vars` set; what it said.
fn child(case: &str, vars: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env_remove("MARMOT_MAXPROCS")
        .env_remove("MARMOT_STACK_SIZE")
        .env_remove("MARMOT_DEBUG")
        .env(CASE, case)
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let said = text.lines().find_map(|line| line.split_once("said: "));
    said.unwrap_or_else(|| panic!("no answer in {text}"))
        .1
        .to_owned()
}

/// Does nothing unless it is the child of one of the other tests.
#[test]
fn the_child() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    let builder = match case.as_str() {
        "call" => Runtime::builder().max_procs(3),
        _ => Runtime::builder(),
    };
    // SAFETY: no thread-local is used in the goroutine.
    match unsafe { builder.build_migrating() } {
        Ok(rt) => println!("\nsaid: {}", rt.run(marmot::max_procs)),
        Err(error) => println!("\nsaid: {error}"),
    }
}

#[test]
fn maxprocs_is_read() {
    assert_eq!(child("", &[("MARMOT_MAXPROCS", "5")]), "5");
}

#[test]
fn a_call_wins() {
    assert_eq!(child("call", &[("MARMOT_MAXPROCS", "5")]), "3");
}

#[test]
fn empty_is_unset() {
    let cores = std::thread::available_parallelism().unwrap().to_string();
    assert_eq!(child("", &[("MARMOT_MAXPROCS", "")]), cores);
}

#[test]
fn an_unreadable_variable_is_an_error_even_where_a_call_would_win() {
    for case in ["", "call"] {
        for text in ["0", "65537", "many", "-3"] {
            let said = child(case, &[("MARMOT_MAXPROCS", text)]);
            for part in ["MARMOT_MAXPROCS", text, "1 to 65536"] {
                assert!(said.contains(part), "{said}");
            }
        }
        let said = child(case, &[("MARMOT_DEBUG", "chaos=x")]);
        for part in ["MARMOT_DEBUG", "chaos=x", "schedtrace=MS"] {
            assert!(said.contains(part), "{said}");
        }
        let said = child(case, &[("MARMOT_STACK_SIZE", "3K")]);
        for part in ["MARMOT_STACK_SIZE", "3K", "64K to 1G"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
