//! A million goroutines wait on one channel: each with a guarded stack, at most 5 KiB each, page
//! tables included; then all are woken.
//!
//! `MARMOT_TEST_GOROUTINES` changes the number.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use marmot::channel::unbounded;
use marmot::{Runtime, go};

/// The bit of a `/proc/self/pagemap` entry that marks a guard (Linux 6.15 and later).
const GUARD_BIT: u64 = 1 << 58;
/// The size of a default stack slot, whose low end is the guard.
const SLOT: usize = 256 * 1024;
const PAGE: usize = 4096;

/// A field of `/proc/self/status` that is given in KiB, in bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Whether the first page below the usable part of the slot that holds `address`, and the lowest
/// one, are guards.
fn is_guarded(pagemap: &File, address: usize) -> bool {
    let base = address / SLOT * SLOT;
    [base, base + 64 * 1024 - PAGE].iter().all(|at| {
        let mut entry = [0_u8; 8];
        pagemap
            .read_exact_at(&mut entry, (at / PAGE * 8) as u64)
            .unwrap();
        u64::from_ne_bytes(entry) & GUARD_BIT != 0
    })
}

/// The kernel's major and minor version.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_million_goroutines_park_on_one_channel() {
    assert!(
        kernel() >= (6, 15),
        "this test reads guard marks from the page map, which takes Linux 6.15"
    );
    let count: usize =
        std::env::var("MARMOT_TEST_GOROUTINES").map_or(1_000_000, |n| n.parse().unwrap());
    // SAFETY: no thread-local is used in the goroutines.
    let rt = unsafe { Runtime::migrating() }.unwrap();
    rt.run(|| {
        // What the test itself needs is there, and touched, before the measurement.
        let stacks: Arc<Vec<AtomicUsize>> =
            Arc::new((0..count).map(|_| AtomicUsize::new(1)).collect());
        let waiting = Arc::new(AtomicUsize::new(0));
        let sum = Arc::new(AtomicU64::new(0));
        let (done, all_done) = unbounded();
        let (sender, receiver) = unbounded::<u64>();
        let before = status("VmRSS") + status("VmPTE");
        let begin = Instant::now();
        for i in 0..count {
            let (stacks, waiting, sum) = (stacks.clone(), waiting.clone(), sum.clone());
            let (receiver, done) = (receiver.clone(), done.clone());
            go(move || {
                let local = 0_u8;
                stacks[i].store((&raw const local).addr(), Ordering::Relaxed);
                waiting.fetch_add(1, Ordering::Relaxed);
                let value = receiver.recv().unwrap();
                if sum.fetch_add(value, Ordering::Relaxed) + value == count as u64 {
                    done.send(()).unwrap();
                }
            });
        }
        while waiting.load(Ordering::Relaxed) < count {
            marmot::yield_now();
        }
        // The last ones are between counting and parking; their stacks are touched already.
        let started = begin.elapsed();
        let each = (status("VmRSS") + status("VmPTE")).saturating_sub(before) / count as u64;
        println!(
            "{count} goroutines started in {started:?}: {each} bytes each, page tables included"
        );
        println!("{} mappings", mappings());

        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let unguarded = stacks
            .iter()
            .filter(|address| !is_guarded(&pagemap, address.load(Ordering::Relaxed)))
            .count();
        assert_eq!(unguarded, 0, "stacks without a guard");
        assert!(mappings() < 10_000, "{} mappings", mappings());
        assert!(each <= 5 * 1024, "{each} bytes each");

        let begin = Instant::now();
        for _ in 0..count {
            sender.send(1).unwrap();
        }
        all_done.recv_timeout(Duration::from_secs(120)).unwrap();
        println!("all woken in {:?}", begin.elapsed());
        assert_eq!(sum.load(Ordering::Relaxed), count as u64);
    });
}
