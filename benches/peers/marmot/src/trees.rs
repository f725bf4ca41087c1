//! Trees, rows and rings of goroutines.

use marmot::channel::{Receiver, Sender, bounded};
use marmot::go;

/// Children of an inner node.
const CHILDREN: u64 = 10;
/// Below this, `fib` is computed where it stands.
const CUTOFF: u64 = 12;

/// A tree of goroutines, each of which sends up the sum of what is below it.
pub(crate) fn skynet(_tasks: u64, ops: u64) -> u64 {
    fn node(number: u64, size: u64, up: Sender<u64>) {
        if size == 1 {
            up.send(number).unwrap();
            return;
        }
        let (child, sums) = bounded(CHILDREN as usize);
        let size = size / CHILDREN;
        for i in 0..CHILDREN {
            let child = child.clone();
            go(move || node(number + i * size, size, child));
        }
        drop(child);
        up.send(sums.iter().fold(0, u64::wrapping_add)).unwrap();
    }
    let (root, sum) = bounded(1);
    go(move || node(0, ops, root));
    sum.recv().unwrap()
}

/// The sieve of filters in a row; the last prime that was asked for.
pub(crate) fn sieve(_tasks: u64, ops: u64) -> u64 {
    let (first, mut numbers): (Sender<u64>, Receiver<u64>) = bounded(0);
    // Ends when the first filter has gone.
    go(move || (2..).take_while(|&n| first.send(n).is_ok()).for_each(drop));
    let mut prime = 0;
    for _ in 0..ops {
        prime = numbers.recv().unwrap();
        let (pass, passed) = bounded(0);
        let upstream = std::mem::replace(&mut numbers, passed);
        go(move || {
            for n in upstream {
                if n % prime != 0 && pass.send(n).is_err() {
                    break;
                }
            }
        });
    }
    prime
}

/// A number goes round a ring of goroutines, and each adds one.
pub(crate) fn ring(tasks: u64, ops: u64) -> u64 {
    let (done, hops) = bounded(1);
    let (first, mut before): (Sender<u64>, Receiver<u64>) = bounded(0);
    for _ in 1..tasks {
        let (next, after) = bounded(0);
        let before = std::mem::replace(&mut before, after);
        let done = done.clone();
        go(move || pass_on(before, next, ops, done));
    }
    let start = first.clone();
    go(move || pass_on(before, first, ops, done));
    start.send(0).unwrap();
    hops.recv().unwrap()
}

/// One place in the ring. Ends when the number has come as far as it should, or the ring breaks.
fn pass_on(before: Receiver<u64>, next: Sender<u64>, ops: u64, done: Sender<u64>) {
    for n in before {
        let n = n + 1;
        if n == ops {
            done.send(n).unwrap();
            return;
        }
        if next.send(n).is_err() {
            return;
        }
    }
}

/// Fibonacci's numbers, by a goroutine for every other call.
pub(crate) fn fork_join(_tasks: u64, ops: u64) -> u64 {
    fn plain(n: u64) -> u64 {
        if n < 2 {
            n
        } else {
            plain(n - 1) + plain(n - 2)
        }
    }
    fn fib(n: u64) -> u64 {
        if n <= CUTOFF {
            return plain(n);
        }
        let one = go(move || fib(n - 1));
        let two = fib(n - 2);
        one.join().unwrap() + two
    }
    fib(ops)
}
