//! Timeouts and deadlines, set before and moved during a wait.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use common::{everywhere, pair, runtime, spawn, until_someone_waits, within_a_minute};
use marmot_netpoll::{TcpListener, TcpStream};

const SHORT: Duration = Duration::from_millis(10);

fn fill(stream: &mut TcpStream) -> ErrorKind {
    let block = vec![0; 1 << 16];
    loop {
        if let Err(error) = stream.write(&block) {
            return error.kind();
        }
    }
}

#[test]
fn timeouts_are_those_of_std() {
    everywhere(|| {
        let (mut a, _b) = pair();
        assert_eq!(a.read_timeout().unwrap(), None);
        let error = a.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = a.set_write_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        a.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(a.try_clone().unwrap().read_timeout().unwrap(), Some(SHORT));
        for _ in 0..3 {
            let begin = Instant::now();
            let error = a.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(begin.elapsed() >= SHORT);
        }
        a.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(fill(&mut a), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_passed_deadline_counts_even_if_data_waits() {
    everywhere(|| {
        let (mut a, mut b) = pair();
        b.write_all(b"x").unwrap();
        a.peek(&mut [0; 1]).unwrap();
        a.set_read_deadline(Some(Instant::now())).unwrap();
        let error = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        a.write_all(b"y").unwrap();
        a.set_read_deadline(None).unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);

        a.set_deadline(Some(Instant::now() + SHORT)).unwrap();
        assert_eq!(fill(&mut a), ErrorKind::TimedOut);
        let error = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn the_shorter_of_both_counts() {
    everywhere(|| {
        let (mut a, _b) = pair();
        a.set_read_deadline(Some(Instant::now() + Duration::from_secs(3600)))
            .unwrap();
        a.set_read_timeout(Some(SHORT)).unwrap();
        let error = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        a.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
        a.set_read_deadline(Some(Instant::now() + SHORT)).unwrap();
        let error = a.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_deadline_moved_from_elsewhere_ends_the_wait() {
    within_a_minute(|| {
        everywhere(|| {
            for _ in 0..50 {
                let (a, _b) = pair();
                let mut reader = a.try_clone().unwrap();
                let mut writer = a.try_clone().unwrap();
                let reading = spawn(move || reader.read(&mut [0; 8]).unwrap_err().kind());
                let writing = spawn(move || fill(&mut writer));
                a.set_deadline(Some(Instant::now())).unwrap();
                assert_eq!(reading.join(), ErrorKind::TimedOut);
                assert_eq!(writing.join(), ErrorKind::TimedOut);
            }
        });
    });
}

#[test]
fn a_thread_moves_the_deadline_of_a_parked_goroutine() {
    within_a_minute(|| {
        let (scheduler, poller) = runtime(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let clone = listener.try_clone().unwrap();
        // A first deadline far away, then a near one, then one in the past.
        listener
            .set_deadline(Some(Instant::now() + Duration::from_secs(3600)))
            .unwrap();
        let accepting = scheduler
            .handle()
            .go(move || clone.accept().unwrap_err().kind());
        until_someone_waits(&poller);
        listener
            .set_deadline(Some(Instant::now() + Duration::from_secs(1800)))
            .unwrap();
        until_someone_waits(&poller);
        listener.set_deadline(Some(Instant::now() + SHORT)).unwrap();
        assert_eq!(accepting.join().unwrap(), ErrorKind::TimedOut);
    });
}

#[test]
fn timeouts_race_with_data() {
    // Nothing may be lost, and nothing be read twice, however a read ends.
    within_a_minute(|| {
        everywhere(|| {
            let (mut a, mut b) = pair();
            a.set_read_timeout(Some(Duration::from_micros(150)))
                .unwrap();
            b.set_nodelay(true).unwrap();
            let sending = spawn(move || {
                for i in 0..2000u32 {
                    b.write_all(&i.to_be_bytes()).unwrap();
                    // An answer now and then keeps both in step.
                    if i % 8 == 7 {
                        b.read_exact(&mut [0; 1]).unwrap();
                    }
                }
            });
            let mut data = Vec::new();
            let mut answered = 0;
            while data.len() < 8000 {
                let mut buf = [0; 64];
                match a.read(&mut buf) {
                    Ok(n) => data.extend_from_slice(&buf[..n]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                while answered < data.len() / 32 {
                    a.write_all(b"!").unwrap();
                    answered += 1;
                }
            }
            sending.join();
            let numbers = data
                .chunks(4)
                .map(|c| u32::from_be_bytes(c.try_into().unwrap()));
            assert!(numbers.eq(0..2000));
        });
    });
}
