//! `redis-benchmark` against `kv`: it ends well, and every request was counted and had its effect.

#[allow(dead_code)] // made for all servers
mod common;
mod kv_client;

use kv_client::{cli, end, info, redis, start};

const REQUESTS: u64 = 20_000;

fn run(procs: usize, pipeline: &str) {
    let server = start(procs, &[]);
    let before = info(server.addr, "total_commands_processed");
    let count = REQUESTS.to_string();
    let output = redis(
        "redis-benchmark",
        server.addr,
        &[
            "-n",
            &count,
            "-P",
            pipeline,
            "-c",
            "50",
            "-t",
            "ping,set,get,incr,mset",
            "--csv",
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{errors}");
    assert!(!errors.to_lowercase().contains("error"), "{errors}");
    // The head, and PING inline, PING, SET, GET, INCR and MSET.
    assert_eq!(text.lines().count(), 7, "{text}");
    for line in text.lines().skip(1) {
        let rate = line.split(',').nth(1).unwrap().trim_matches('"');
        assert!(rate.parse::<f64>().unwrap() > 0.0, "{text}");
    }
    let counted = info(server.addr, "total_commands_processed") - before;
    // Besides, it asks for the configuration, and we for information.
    assert!(
        (6 * REQUESTS..6 * REQUESTS + 20).contains(&counted),
        "{counted}"
    );
    let counter: u64 = cli(server.addr, &["GET", "counter:__rand_int__"])
        .parse()
        .unwrap();
    assert_eq!(counter, REQUESTS);
    assert_eq!(cli(server.addr, &["GET", "key:__rand_int__"]), "VXK");
    // One key for SET, one for INCR, one for the ten of MSET.
    assert_eq!(cli(server.addr, &["DBSIZE"]), "2");
    end(server);
}

#[test]
fn one_request_at_a_time() {
    for procs in kv_client::PROCS {
        run(procs, "1");
    }
}

#[test]
fn sixteen_at_a_time() {
    for procs in kv_client::PROCS {
        run(procs, "16");
    }
}

#[test]
fn many_keys_are_all_there() {
    let server = start(2, &[]);
    let output = redis(
        "redis-benchmark",
        server.addr,
        &[
            "-n",
            "30000",
            "-P",
            "16",
            "-r",
            "100000000",
            "-t",
            "set",
            "-q",
        ],
    );
    assert!(output.status.success());
    let size: u64 = cli(server.addr, &["DBSIZE"]).parse().unwrap();
    // A few are drawn twice.
    assert!((29_900..=30_000).contains(&size), "{size}");
    let keys = cli(server.addr, &["KEYS", "key:*"]).lines().count() as u64;
    assert_eq!(keys, size);
    assert_eq!(cli(server.addr, &["FLUSHALL"]), "OK");
    assert_eq!(cli(server.addr, &["DBSIZE"]), "0");
    assert_eq!(info(server.addr, "used_memory"), 0);
    end(server);
}
