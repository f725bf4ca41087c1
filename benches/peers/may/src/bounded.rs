//! Workloads of channels that keep to their capacity.
//!
//! A sender first takes one of as many permits as the channel has places, and a receiver gives it
//! back: may's channels have no bound, and this is what its locks offer for one.

use std::sync::Arc;

use marmot_peer::{Size, share};
use may::coroutine::JoinHandle;
use may::go;
use may::sync::{Semphore, mpmc, mpsc, spsc};

use crate::tasks::sum;

pub(crate) fn spsc(size: Size) -> u64 {
    let (sender, receiver) = spsc::channel();
    let places = Arc::new(Semphore::new(128));
    let free = places.clone();
    let receiver: JoinHandle<u64> = go!(move || {
        let numbers = receiver.iter().inspect(|_: &u64| free.post());
        numbers.fold(0, u64::wrapping_add)
    });
    go!(move || {
        for number in 0..size.ops {
            places.wait();
            sender.send(number).expect("a receiver is there");
        }
    });
    receiver.join().expect("a coroutine returns")
}

pub(crate) fn mpmc(size: Size) -> u64 {
    let (sender, receiver) = mpmc::channel();
    let places = Arc::new(Semphore::new(128));
    let receivers = (0..4)
        .map(|_| {
            let (receiver, free) = (receiver.clone(), places.clone());
            go!(move || {
                let numbers = receiver.iter().inspect(|_: &u64| free.post());
                numbers.fold(0, u64::wrapping_add)
            })
        })
        .collect();
    for i in 0..4 {
        let (sender, places) = (sender.clone(), places.clone());
        go!(move || {
            for number in 0..share(size.ops, 4, i) {
                places.wait();
                sender.send(number).expect("a receiver is there");
            }
        });
    }
    drop((sender, receiver));
    sum(receivers)
}

/// Unbuffered: a sender goes on when a receiver has acknowledged what it sent.
pub(crate) fn mpmc_acknowledged(size: Size) -> u64 {
    let (sender, receiver) = mpmc::channel();
    let received: Arc<[Semphore; 4]> = Arc::new(std::array::from_fn(|_| Semphore::new(0)));
    let receivers = (0..4)
        .map(|_| {
            let (receiver, received) = (receiver.clone(), received.clone());
            go!(move || {
                receiver
                    .iter()
                    .fold(0_u64, |sum, (number, sender): (u64, usize)| {
                        received[sender].post();
                        sum.wrapping_add(number)
                    })
            })
        })
        .collect();
    for i in 0..4 {
        let (sender, received) = (sender.clone(), received.clone());
        go!(move || {
            for number in 0..share(size.ops, 4, i as u64) {
                sender.send((number, i)).expect("a receiver is there");
                received[i].wait();
            }
        });
    }
    drop((sender, receiver));
    sum(receivers)
}

pub(crate) fn fan_in(size: Size) -> u64 {
    let (sender, receiver) = mpsc::channel();
    let places = Arc::new(Semphore::new(1024));
    for i in 0..size.tasks {
        let (sender, places) = (sender.clone(), places.clone());
        go!(move || {
            for number in 0..share(size.ops, size.tasks, i) {
                places.wait();
                sender.send(number).expect("a receiver is there");
            }
        });
    }
    drop(sender);
    let receiver: JoinHandle<u64> = go!(move || {
        let numbers = receiver.iter().inspect(|_: &u64| places.post());
        numbers.fold(0, u64::wrapping_add)
    });
    receiver.join().expect("a coroutine returns")
}

/// A channel of numbers with one place: the smallest capacity that permits give. With one sender
/// and one receiver, permits pass through a channel of their own sooner than through a `Semphore`.
struct Sender {
    numbers: spsc::Sender<u64>,
    permits: spsc::Receiver<()>,
}

struct Receiver {
    numbers: spsc::Receiver<u64>,
    permits: spsc::Sender<()>,
}

fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = spsc::channel();
    let (free, permits) = spsc::channel();
    free.send(()).expect("the channel is open");
    (
        Sender {
            numbers: sender,
            permits,
        },
        Receiver {
            numbers: receiver,
            permits: free,
        },
    )
}

impl Sender {
    /// Sends; false if the receiver is gone.
    fn send(&self, number: u64) -> bool {
        self.permits.recv().is_ok() && self.numbers.send(number).is_ok()
    }
}

impl Receiver {
    fn receive(&self) -> Option<u64> {
        let number = self.numbers.recv().ok()?;
        // The sender may have ended after this number.
        self.permits.send(()).ok();
        Some(number)
    }
}

/// Without a bound the first task would send numbers until memory ends, so there is no other
/// variant.
pub(crate) fn sieve(size: Size) -> u64 {
    let (first, mut numbers) = channel();
    go!(move || {
        let mut number = 2;
        while first.send(number) {
            number += 1;
        }
    });
    for _ in 1..size.ops {
        let prime = numbers.receive().expect("numbers do not end");
        let (sender, next) = channel();
        go!(move || filter(prime, &numbers, &sender));
        numbers = next;
    }
    numbers.receive().expect("numbers do not end")
}

fn filter(prime: u64, numbers: &Receiver, next: &Sender) {
    while let Some(number) = numbers.receive() {
        if number % prime != 0 && !next.send(number) {
            break;
        }
    }
}
