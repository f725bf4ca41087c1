//! Two goroutines hand a number back and forth over two unbuffered channels: what one hand-off costs.
//!
//! ```text
//! cargo run --release --bin pingpong
//! cargo run --release --bin pingpong -- --rounds 10000000
//! ```
//!
//! With `MARMOT_MAXPROCS=1` both share one thread. With more, the one that is handed the number
//! still runs next on the same processor, while that is quicker than waking another.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use marmot::channel::bounded;
use marmot::{Runtime, go};

/// Times round trips over unbuffered channels.
#[derive(Parser)]
struct Args {
    /// How many round trips to make.
    #[arg(long, default_value_t = 1_000_000)]
    rounds: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // SAFETY: the goroutines use channels and numbers, and no thread-local.
    let rt = match unsafe { Runtime::migrating() } {
        Ok(rt) => rt,
        Err(error) => {
            eprintln!("pingpong: {error}");
            return ExitCode::FAILURE;
        }
    };
    let begin = Instant::now();
    let last = rt.run(|| ping_pong(args.rounds));
    let elapsed = begin.elapsed();
    assert_eq!(last, args.rounds, "each round adds one");
    println!(
        "{} round trips in {:.3} s, {} ns each, with {} processors",
        args.rounds,
        elapsed.as_secs_f64(),
        elapsed.as_nanos() / u128::from(args.rounds.max(1)),
        rt.max_procs(),
    );
    ExitCode::SUCCESS
}

fn ping_pong(rounds: u64) -> u64 {
    // Capacity 0: a send waits for its receive.
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let partner = go(move || {
        for n in pinged {
            if pong.send(n + 1).is_err() {
                break;
            }
        }
    });
    let mut n = 0;
    for _ in 0..rounds {
        ping.send(n).expect("the partner listens");
        n = ponged.recv().expect("the partner answers");
    }
    // The partner's loop ends with the channel.
    drop(ping);
    partner.join().expect("the partner does not panic");
    n
}
