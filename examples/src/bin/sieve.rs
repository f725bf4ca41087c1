//! The concurrent prime sieve: a chain of goroutines, one for each prime, that filter out its
//! multiples. Every number travels down the chain over unbuffered channels.
//!
//! ```text
//! cargo run --release --bin sieve
//! cargo run --release --bin sieve -- --primes 2000 --quiet
//! ```
//!
//! A poor way to find primes, and a good way to see what channels cost: 2,000 primes take some 2.7
//! million hand-offs.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use marmot::channel::{Receiver, bounded};
use marmot::{Runtime, go};

/// Finds the first primes with a chain of goroutines.
#[derive(Parser)]
struct Args {
    /// How many primes to find.
    #[arg(long, default_value_t = 100)]
    primes: usize,
    /// Print the last prime only.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    match sieve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sieve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn sieve(args: &Args) -> io::Result<()> {
    // SAFETY: the goroutines use channels and numbers, and no thread-local.
    let rt = unsafe { Runtime::migrating() }?;
    let begin = Instant::now();
    let primes = rt.run(|| first_primes(args.primes));
    let elapsed = begin.elapsed();
    let mut out = io::stdout();
    let shown = if args.quiet {
        primes.len().saturating_sub(1)
    } else {
        0
    };
    for prime in &primes[shown..] {
        writeln!(out, "{prime}")?;
    }
    writeln!(
        out,
        "{} primes in {:.3} s with {} processors",
        primes.len(),
        elapsed.as_secs_f64(),
        rt.max_procs(),
    )
}

fn first_primes(count: usize) -> Vec<u64> {
    let (numbers, mut chain) = bounded(0);
    go(move || {
        // Until nobody receives any more.
        for n in 2.. {
            if numbers.send(n).is_err() {
                break;
            }
        }
    });
    let mut primes = Vec::new();
    for _ in 0..count {
        // What comes through all the filters is the next prime.
        let prime = chain.recv().expect("numbers do not end");
        primes.push(prime);
        chain = without_multiples(chain, prime);
    }
    // Dropping the end of the chain ends every goroutine in it, one after the other.
    primes
}

/// What comes out of `numbers`, without the multiples of `prime`.
fn without_multiples(numbers: Receiver<u64>, prime: u64) -> Receiver<u64> {
    let (rest, filtered) = bounded(0);
    go(move || {
        for n in numbers {
            if n % prime != 0 && rest.send(n).is_err() {
                break;
            }
        }
    });
    filtered
}
