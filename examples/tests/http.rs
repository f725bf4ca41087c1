//! The HTTP server, as a process, under real clients: curl, wrk and h2load.

#[allow(dead_code, reason = "each test file uses some of it")]
mod common;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::Server;

fn http(arguments: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http"));
    command.args(["--addr", "127.0.0.1:0"]).args(arguments);
    Server::start(&mut command)
}

/// What a client printed. A client that is not installed fails the test.
fn client(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program} has to be installed: {e}"))
}

/// What curl printed: with `-i`, the heads as well.
fn curl(server: &Server, path: &str, arguments: &[&str]) -> String {
    let url = format!("http://{}{path}", server.addr);
    let output = client(
        "curl",
        &[&["-sS", "--max-time", "20"], arguments, &[url.as_str()]].concat(),
    );
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{url}, {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn ends_well(server: Server) {
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn every_route_answers_curl() {
    let server = http(&[]);
    let hello = curl(&server, "/", &["-i"]);
    for part in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nContent-Type: text/plain\r\n",
        "\r\nContent-Length: 13\r\n",
        "\r\nDate: ",
        "\r\n\r\nHello, world!",
    ] {
        assert!(hello.contains(part), "{part:?} in {hello}");
    }
    assert!(!hello.contains("Connection:"), "{hello}");
    assert_eq!(curl(&server, "/echo", &["-d", "a body"]), "a body");
    assert_eq!(curl(&server, "/echo", &["-d", ""]), "");
    assert_eq!(curl(&server, "/sleep?ms=20", &[]), "slept\n");
    assert_eq!(curl(&server, "/healthz", &[]), "ok\n");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    for (path, arguments, code) in [
        ("/nothing", &[][..], "404"),
        ("/", &["-d", "x"], "405"),
        ("/", &["-X", "DELETE"], "405"),
        ("/", &["-X", "BREW"], "501"),
        ("/echo", &[], "405"),
        ("/echo", &["-X", "POST"], "411"),
        ("/sleep", &[], "400"),
        ("/sleep?ms=-1", &[], "400"),
        ("/sleep?ms=60001", &[], "400"),
    ] {
        let got = curl(&server, path, &[arguments, &status].concat());
        assert_eq!(got, code, "{path} {arguments:?}");
    }
    assert!(curl(&server, "/echo", &["-i"]).contains("\r\nAllow: POST\r\n"));
    let metrics = curl(&server, "/metrics", &[]);
    for line in [
        "http_requests_total{status=\"200\"} 5",
        "http_requests_total{status=\"405\"} 4",
        "http_requests_total{status=\"400\"} 3",
        "http_connections 1",
        "marmot_threads_refused_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    ends_well(server);
}

#[test]
fn head_has_no_body_and_the_length_of_one() {
    let server = http(&[]);
    for (path, length) in [("/", 13), ("/healthz", 3), ("/nothing", 13)] {
        // A body would be an error of curl: excess data.
        let head = curl(&server, path, &["-I"]);
        assert!(
            head.contains(&format!("\r\nContent-Length: {length}\r\n")),
            "{head}"
        );
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
    // The second request finds the beginning of its answer where it should be.
    let url = format!("http://{}/", server.addr);
    let both = curl(&server, "/", &["-I", &url, "-w", "%{num_connects} "]);
    assert!(both.ends_with("\r\n\r\n0 "), "one connection: {both}");
    ends_well(server);
}

#[test]
fn uploads_come_back_whole() {
    let server = http(&["--max-body", "300000"]);
    let file = std::env::temp_dir().join(format!("marmot-upload-{}", std::process::id()));
    let bytes: Vec<u8> = (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(&file, &bytes).unwrap();
    let data = format!("@{}", file.display());
    let url = format!("http://{}/echo", server.addr);
    for headers in [
        &["-H", "Expect:"][..],
        &["-H", "Expect: 100-continue"],
        &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
        &[
            "-H",
            "Expect: 100-continue",
            "-H",
            "Transfer-Encoding: chunked",
        ],
        &["-0"],
    ] {
        let arguments = ["-sS", "--max-time", "20", "--data-binary", &data, &url];
        let output = client("curl", &[headers, &arguments].concat());
        assert!(output.status.success(), "{headers:?}: {output:?}");
        assert!(output.stdout == bytes, "{headers:?}: altered");
    }
    // One byte too many.
    std::fs::write(&file, [bytes.as_slice(), b"x"].concat()).unwrap();
    for headers in [
        &["-H", "Expect:"][..],
        &["-H", "Expect: 100-continue"],
        &["-H", "Transfer-Encoding: chunked", "-H", "Expect:"],
    ] {
        let more = [
            "--data-binary",
            &data,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ];
        assert_eq!(curl(&server, "/echo", &[headers, &more].concat()), "413");
    }
    std::fs::remove_file(&file).unwrap();
    ends_well(server);
}

#[test]
fn http_1_0_closes_unless_it_is_asked_not_to() {
    let server = http(&[]);
    let once = curl(&server, "/", &["-0", "-i"]);
    assert!(once.contains("\r\nConnection: close\r\n"), "{once}");
    let url = format!("http://{}/", server.addr);
    let kept = [
        "-0",
        "-i",
        "-H",
        "Connection: keep-alive",
        &url,
        "-w",
        "%{num_connects} ",
    ];
    let twice = curl(&server, "/", &kept);
    assert!(twice.contains("\r\nConnection: keep-alive\r\n"), "{twice}");
    assert!(
        twice.ends_with("Hello, world!0 "),
        "one connection: {twice}"
    );
    ends_well(server);
}

#[test]
fn load_from_wrk_meets_no_error() {
    let server = http(&[]);
    let url = format!("http://{}/", server.addr);
    let output = client("wrk", &["-t", "1", "-c", "50", "-d", "2", &url]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("Socket errors"), "{text}");
    assert!(!text.contains("Non-2xx"), "{text}");
    let requests = text
        .lines()
        .find_map(|l| l.trim().split_once(" requests in"));
    let requests: u64 = requests.expect("a number of requests").0.parse().unwrap();
    assert!(requests > 1000, "{text}");
    ends_well(server);
}

#[test]
fn load_from_h2load_with_pipelining_meets_no_error() {
    let server = http(&[]);
    for (path, pipelined) in [("/", "1"), ("/", "16"), ("/healthz", "4")] {
        let url = format!("http://{}{path}", server.addr);
        let arguments = ["--h1", "-n", "20000", "-c", "20", "-m", pipelined, &url];
        let output = client("h2load", &arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let all = "20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(output.status.success() && text.contains(all), "{text}");
        assert!(
            text.contains("status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx"),
            "{text}"
        );
    }
    ends_well(server);
}
