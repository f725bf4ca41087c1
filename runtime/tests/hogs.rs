//! Goroutines that compute without end, beside a ticker and a TCP echo on the same runtime.

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marmot::net::{TcpListener, TcpStream};
use marmot::{Runtime, go};

/// How long the hogs compute.
const TIME: Duration = Duration::from_secs(2);
/// Connections that are echoed to meanwhile.
const CLIENTS: usize = 4;

/// Sorts lateness or round trips: median, p99 and the most.
fn summary(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort_unstable();
    let last = times.len() - 1;
    (times[last / 2], times[last * 99 / 100], times[last])
}

/// Echoes until the client is gone.
fn serve(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        go(move || {
            let mut buffer = [0; 64];
            while let Ok(n) = stream.read(&mut buffer)
                && n > 0
            {
                stream.write_all(&buffer[..n]).unwrap();
            }
        });
    }
}

#[test]
fn a_ticker_and_an_echo_go_on_beside_four_hogs() {
    // SAFETY: no goroutine uses a thread-local on both sides of a wait.
    let rt = unsafe { Runtime::builder().max_procs(2).build_migrating() }.unwrap();
    let (late, trips) = rt.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        go(move || serve(listener));
        let stop = Arc::new(AtomicBool::new(false));
        let hogs: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                go(move || {
                    let mut n = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        n = black_box(n.wrapping_add(1));
                    }
                    n
                })
            })
            .collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|id| {
                let stop = stop.clone();
                go(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let mut trips = Vec::new();
                    let mut n = id as u64;
                    while !stop.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        stream.write_all(&n.to_be_bytes()).unwrap();
                        let mut echo = [0; 8];
                        stream.read_exact(&mut echo).unwrap();
                        assert_eq!(u64::from_be_bytes(echo), n);
                        trips.push(begin.elapsed());
                        n += CLIENTS as u64;
                    }
                    trips
                })
            })
            .collect();
        let begin = Instant::now();
        let mut next = begin;
        let mut late = Vec::new();
        while begin.elapsed() < TIME {
            next += Duration::from_millis(1);
            marmot::goroutine::sleep_until(next);
            let now = Instant::now();
            late.push(now - next);
            next = now;
        }
        stop.store(true, Ordering::Relaxed);
        for hog in hogs {
            assert!(hog.join().unwrap() > 0, "every hog has run");
        }
        let trips: Vec<Duration> = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        (late, trips)
    });
    let (ticks, count) = (late.len(), trips.len());
    let (median, p99, most) = summary(late);
    println!(
        "beside 4 hogs at max_procs=2: {ticks} ticks of 1 ms, late by {median:?} (median), {p99:?} (p99), {most:?} (max)"
    );
    assert!(p99 < Duration::from_millis(20), "p99 {p99:?}");
    let (median, p99, most) = summary(trips);
    println!(
        "{count} echoes over {CLIENTS} connections in {TIME:?}: {median:?} (median), {p99:?} (p99), {most:?} (max)"
    );
    assert!(count > 100, "{count} echoes");
    assert!(p99 < Duration::from_millis(200), "p99 {p99:?}");
}
