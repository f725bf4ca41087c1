//! A tour: goroutines, channels, select, scopes and panics, each in a few lines.
//!
//! ```text
//! cargo run --release --bin tour
//! ```

use std::io;
use std::time::Duration;

use marmot::channel::{after, bounded, unbounded};
use marmot::{Runtime, go, scope, select, sleep};

fn main() -> io::Result<()> {
    // SAFETY: what runs below keeps nothing of a thread-local over a wait; `println!` does not wait
    // for other goroutines.
    let rt = unsafe { Runtime::migrating() }?;
    rt.run(|| {
        spawning();
        channels();
        selecting();
        borrowing();
        panicking();
    });
    Ok(())
}

fn spawning() {
    let squares: Vec<_> = (1..=5_u32).map(|n| go(move || n * n)).collect();
    let sum: u32 = squares
        .into_iter()
        .map(|square| square.join().unwrap())
        .sum();
    println!("spawning: the squares of 1 to 5 add up to {sum}");
}

fn channels() {
    let (jobs, todo) = bounded(8);
    let (done, results) = unbounded();
    for _ in 0..3 {
        let (todo, done) = (todo.clone(), done.clone());
        go(move || {
            for job in todo {
                done.send(job * 10_u32).unwrap();
            }
        });
    }
    drop(done);
    for job in 1..=4 {
        jobs.send(job).unwrap();
    }
    // Closing a channel ends the loops of its receivers.
    drop(jobs);
    let mut results: Vec<_> = results.iter().collect();
    results.sort_unstable();
    println!("channels: three workers made {results:?}");
}

fn selecting() {
    let (slow, news) = bounded::<&str>(0);
    go(move || {
        sleep(Duration::from_millis(20));
        // Nobody may be listening any more.
        let _ = slow.send("late news");
    });
    let heard = select! {
        recv(news) -> message => message.unwrap(),
        recv(after(Duration::from_millis(5))) -> _ => "nothing in time",
    };
    println!("selecting: {heard}");
}

fn borrowing() {
    let text = "goroutines may borrow from the one that waits for them";
    let (mut words, mut letters) = (0, 0);
    scope(|s| {
        s.go(|| words = text.split(' ').count());
        s.go(|| letters = text.chars().filter(|c| c.is_alphabetic()).count());
    });
    println!("borrowing: {words} words, {letters} letters");
}

fn panicking() {
    let bad = go(|| std::panic::resume_unwind(Box::new("on purpose")));
    let payload = bad.join().unwrap_err();
    let reason = payload.downcast_ref::<&str>().unwrap();
    println!("panicking: one goroutine ended {reason}, the others go on");
}
