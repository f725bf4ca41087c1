//! Sockets that outlive their runtime, serve several, or have none.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;

use common::{pair, runtime, until_someone_waits, within_a_minute};
use marmot_netpoll::Pollable;
use marmot_scheduler::event::NoEvents;
use marmot_scheduler::{Config, Scheduler};

#[test]
fn a_socket_outlives_its_runtimes() {
    within_a_minute(|| {
        let (mut a, mut b) = pair();
        for _ in 0..5 {
            let (scheduler, poller) = runtime(1);
            let mut reader = a.try_clone().unwrap();
            let reading = scheduler
                .handle()
                .go(move || reader.read(&mut [0; 8]).unwrap());
            until_someone_waits(&poller);
            b.write_all(b"x").unwrap();
            assert_eq!(reading.join().unwrap(), 1);
            drop(scheduler);
        }
        let other = std::thread::spawn(move || a.read(&mut [0; 8]).unwrap());
        b.write_all(b"x").unwrap();
        assert_eq!(other.join().unwrap(), 1);
    });
}

#[test]
fn two_runtimes_and_a_thread_read_one_socket() {
    const EACH: usize = 300;
    within_a_minute(|| {
        let (first, _) = runtime(1);
        let (second, _) = runtime(1);
        let (a, mut b) = pair();
        let a = Arc::new(a);
        let read = {
            let a = a.clone();
            move || (0..EACH).for_each(|_| (&*a).read_exact(&mut [0; 1]).unwrap())
        };
        let one = first.handle().go(read.clone());
        let two = second.handle().go(read.clone());
        let three = std::thread::spawn(read);
        for _ in 0..EACH {
            b.write_all(b"xyz").unwrap();
        }
        one.join().unwrap();
        two.join().unwrap();
        three.join().unwrap();
    });
}

#[test]
fn a_runtime_without_a_poller_blocks_the_thread() {
    within_a_minute(|| {
        let config = Config::from_env().unwrap().max_procs(2).unwrap();
        // SAFETY: nothing here touches a thread-local.
        let scheduler = unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) };
        let scheduler = scheduler.unwrap();
        let (mut a, mut b) = pair();
        let reading = scheduler.handle().go(move || a.read(&mut [0; 8]).unwrap());
        b.write_all(b"x").unwrap();
        assert_eq!(reading.join().unwrap(), 1);
    });
}

#[test]
fn leaked_waiters_do_no_harm() {
    within_a_minute(|| {
        let (mut a, mut b) = pair();
        let (scheduler, poller) = runtime(1);
        let mut reader = a.try_clone().unwrap();
        scheduler.handle().go(move || reader.read(&mut [0; 8]));
        until_someone_waits(&poller);
        drop(scheduler);
        b.write_all(b"x").unwrap();
        assert_eq!(a.read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn a_pipe_waits_like_a_socket() {
    within_a_minute(|| {
        common::everywhere(|| {
            let (reader, writer) = std::io::pipe().unwrap();
            let reader = Pollable::new(reader).unwrap();
            let writer = Pollable::new(writer).unwrap();
            let writing = common::spawn(move || {
                let data = vec![7; 300_000];
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let n = writer.write_with(|mut pipe| pipe.write(rest)).unwrap();
                    rest = &rest[n..];
                }
            });
            let mut total = 0;
            loop {
                let mut buf = [0; 4096];
                match reader.read_with(|mut pipe| pipe.read(&mut buf)).unwrap() {
                    0 => break,
                    n => total += n,
                }
            }
            writing.join();
            assert_eq!(total, 300_000);
        });
    });
}

#[test]
fn what_cannot_be_polled_never_waits() {
    common::everywhere(|| {
        let file = std::fs::File::open("/proc/self/cmdline").unwrap();
        let file = Pollable::new(file).unwrap();
        let mut buf = [0; 16];
        assert!(file.read_with(|mut file| file.read(&mut buf)).unwrap() > 0);
    });
}
