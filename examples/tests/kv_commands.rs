//! Every command of `kv`, by `redis-cli`, and the texts of its errors.

#[allow(dead_code)] // made for all servers
mod common;
mod kv_client;

use kv_client::{PROCS, cli, end, start};
use std::time::{Duration, Instant};

/// What is asked, and what `redis-cli` shows. Quotes keep words together.
const SESSION: &str = r#"
PING | PONG
PING hello | hello
PING a b | ERR wrong number of arguments for 'ping' command
ECHO hi | hi
echo | ERR wrong number of arguments for 'echo' command
SELECT 0 | OK
SELECT 7 | ERR DB index is out of range
SELECT x | ERR value is not an integer or out of range
GET nothing |
SET k v | OK
GET k | v
GET k k | ERR wrong number of arguments for 'get' command
SET k w NX |
SET k w XX GET | v
SET new w XX |
SET k w NX XX | ERR syntax error
SET k w EX | ERR syntax error
SET k w EX x | ERR value is not an integer or out of range
SET k w EX 0 | ERR invalid expire time in 'set' command
SET k w EX 9223372036854775807 | ERR invalid expire time in 'set' command
SET k w PX 9223372036854775807 | ERR invalid expire time in 'set' command
SET k w EX 10 PX 10 | ERR syntax error
SET k w EX 100 | OK
TTL k | 100
SET k u KEEPTTL | OK
TTL k | 100
PERSIST k | 1
PERSIST k | 0
TTL k | -1
PTTL k | -1
TTL nothing | -2
PTTL nothing | -2
EXPIRE k 50 | 1
TTL k | 50
PEXPIRE k 60000 | 1
TTL k | 60
EXPIRE nothing 5 | 0
EXPIRE k x | ERR value is not an integer or out of range
EXPIRE k 9223372036854775807 | ERR invalid expire time in 'expire' command
PEXPIRE k 9223372036854775807 | ERR invalid expire time in 'pexpire' command
TYPE k | string
TYPE nothing | none
STRLEN k | 1
EXPIRE k -1 | 1
EXISTS k | 0
MSET a 1 b 2 c 3 | OK
MSET a 1 b | ERR wrong number of arguments for 'mset' command
MGET a b nothing c | 1 2  3
EXISTS a b a nothing | 3
INCR a | 2
INCRBY a 40 | 42
DECR a | 41
DECRBY a 1 | 40
INCR counter | 1
SET text abc | OK
INCR text | ERR value is not an integer or out of range
INCRBY a 1.5 | ERR value is not an integer or out of range
SET big 9223372036854775807 | OK
INCR big | ERR increment or decrement would overflow
DECRBY a -9223372036854775808 | ERR decrement would overflow
GET big | 9223372036854775807
DEL a b nothing | 2
DBSIZE | 4
KEYS *t* | 
KEYS c | c
KEYS x* |
COMMAND COUNT | 35
COMMAND NONSENSE | ERR unknown subcommand 'NONSENSE'. Try COMMAND HELP.
CONFIG GET save | save 
CONFIG GET appendonly | appendonly no
CONFIG GET proto-max* | proto-max-bulk-len 8388608
CONFIG SET a b | ERR unknown subcommand 'SET'. Try CONFIG HELP.
CLIENT SETNAME me | OK
CLIENT SETINFO lib-name test | OK
CLIENT GETNAME |
CLIENT SETNAME | ERR wrong number of arguments for 'client|setname' command
HELLO 3 | NOPROTO unsupported protocol version
HELLO x | ERR Protocol version is not an integer or out of range
UNSUBSCRIBE t | unsubscribe t 0
PUBLISH t m | 0
RESET | RESET
FLUSHALL now | ERR syntax error
FLUSHALL | OK
DBSIZE | 0
QUIT | OK
FOO bar baz | ERR unknown command 'FOO', with args beginning with: 'bar' 'baz'
SUBSCRIBE | ERR wrong number of arguments for 'subscribe' command
"#;

#[test]
fn commands_answer_as_redis_does() {
    for procs in PROCS {
        let server = start(procs, &[]);
        for line in SESSION.lines().filter(|line| !line.is_empty()) {
            let (request, wanted) = line.split_once(" |").unwrap();
            if request == "KEYS *t*" {
                let got = cli(server.addr, &["KEYS", "*t*"]);
                let mut got: Vec<_> = got.lines().collect();
                got.sort_unstable();
                assert_eq!(got, ["counter", "text"]);
                continue;
            }
            let arguments: Vec<_> = request.split(' ').collect();
            let got = cli(server.addr, &arguments).replace('\n', " ");
            assert_eq!(got.trim(), wanted.trim(), "{request}");
        }
        end(server);
    }
}

#[test]
fn hello_and_info_say_what_it_is() {
    let server = start(2, &[]);
    let hello = cli(server.addr, &["HELLO", "2", "SETNAME", "me"]);
    for word in ["server", "redis", "proto", "standalone", "master"] {
        assert!(hello.lines().any(|line| line == word), "{hello}");
    }
    cli(server.addr, &["MSET", "a", "1", "b", "2"]);
    cli(server.addr, &["EXPIRE", "a", "100"]);
    let info = cli(server.addr, &["INFO"]);
    for text in [
        "# Server",
        "connected_clients:1",
        "db0:keys=2,expires=1",
        "# Memory",
    ] {
        assert!(info.contains(text), "{info}");
    }
    // The real one: it asked for port 0.
    let port = server.addr.port();
    assert_eq!(kv_client::info(server.addr, "tcp_port"), u64::from(port));
    assert_eq!(
        cli(server.addr, &["CONFIG", "GET", "port"]),
        format!("port\n{port}")
    );
    let stats = cli(server.addr, &["INFO", "stats"]);
    assert!(
        stats.starts_with("# Stats") && !stats.contains("# Server"),
        "{stats}"
    );
    // What an interactive client asks for first.
    assert_eq!(cli(server.addr, &["COMMAND", "DOCS"]), "");
    assert!(cli(server.addr, &["COMMAND"]).contains("incrby"));
    end(server);
}

#[test]
fn keys_expire_on_access_and_by_themselves() {
    for procs in PROCS {
        let server = start(procs, &[]);
        for n in 0..50 {
            cli(server.addr, &["SET", &format!("k{n}"), "v", "PX", "100"]);
        }
        cli(server.addr, &["SET", "stays", "v"]);
        cli(server.addr, &["SET", "later", "v", "EX", "1000"]);
        let limit = Instant::now() + Duration::from_secs(30);
        // Counting looks at no key, so it is the timers that remove them.
        while cli(server.addr, &["DBSIZE"]) != "2" {
            assert!(Instant::now() < limit, "keys do not expire");
        }
        assert_eq!(kv_client::info(server.addr, "expired_keys"), 50);
        assert_eq!(cli(server.addr, &["GET", "k7"]), "");
        assert_eq!(cli(server.addr, &["MGET", "stays", "later"]), "v\nv");
        end(server);
    }
}

#[test]
fn a_pattern_that_takes_too_long_is_given_up() {
    let server = start(2, &[]);
    assert_eq!(cli(server.addr, &["SET", &"a".repeat(100_000), "v"]), "OK");
    let pattern = format!("*{}b", "a".repeat(10_000));
    assert_eq!(
        cli(server.addr, &["KEYS", &pattern]),
        "ERR the pattern takes too long"
    );
    assert_eq!(cli(server.addr, &["DBSIZE"]), "1");
    end(server);
}

#[test]
fn a_full_store_refuses_to_grow_and_goes_on() {
    let server = start(2, &["--max-memory", "100000"]);
    let value = "x".repeat(60_000);
    assert_eq!(cli(server.addr, &["SET", "a", &value]), "OK");
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(cli(server.addr, &["SET", "b", &value]), oom);
    assert_eq!(cli(server.addr, &["MSET", "b", "1", "c", &value]), oom);
    assert_eq!(
        cli(server.addr, &["EXISTS", "b", "c"]),
        "0",
        "all or nothing"
    );
    assert_eq!(cli(server.addr, &["DEL", "a"]), "1");
    assert_eq!(cli(server.addr, &["SET", "b", &value]), "OK");
    end(server);
}
