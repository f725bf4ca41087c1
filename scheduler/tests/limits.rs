//! The default number of processors follows the affinity mask and the quotas of control groups.
//!
//! Each test runs itself again in a process of its own, which it restricts.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marmot_scheduler::event::NoEvents;
use marmot_scheduler::goroutine::yield_now;
use marmot_scheduler::{Config, MAX_PROCS, Scheduler};

const CASE: &str = "MARMOT_TEST_CASE";

/// The default of a new scheduler.
fn default_max_procs() -> usize {
    let config = Config::from_env().unwrap();
    // SAFETY: no goroutine is started.
    let scheduler = unsafe { Scheduler::start_migrating(config, Arc::new(NoEvents::new())) };
    scheduler.unwrap().handle().max_procs()
}

/// A child that runs the test `name` of this file, and answers each line with its default.
struct Asked(Child);

impl Asked {
    fn start(name: &str, cpus: usize) -> Asked {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CASE, cpus.to_string())
            .env_remove("MARMOT_MAXPROCS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Asked(child.unwrap())
    }

    fn ask(&mut self) -> usize {
        writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
        let mut answers = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap());
        loop {
            let mut line = String::new();
            assert!(
                answers.read_line(&mut line).unwrap() > 0,
                "the child has ended"
            );
            if let Some((_, answer)) = line.split_once("default: ") {
                return answer.trim().parse().unwrap();
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// In the child: keeps to the first so many of its CPUs, and answers. False in the parent.
fn answers() -> bool {
    let Ok(cpus) = std::env::var(CASE) else {
        return false;
    };
    restrict(cpus.parse().unwrap());
    for line in std::io::stdin().lines() {
        line.unwrap();
        println!("default: {}", default_max_procs());
    }
    true
}

/// Takes all but `count` CPUs out of the thread's affinity mask; how many there are then.
fn restrict(count: usize) -> usize {
    restrict_thread(0, count)
}

/// The same for another thread of the process.
fn restrict_thread(thread: i32, count: usize) -> usize {
    let mut mask = [0_u64; MAX_PROCS / 64];
    // SAFETY: the mask is valid for its size.
    let got =
        unsafe { libc::sched_getaffinity(thread, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    assert_eq!(got, 0);
    let mut left = count;
    let mut have = 0;
    for word in &mut mask {
        let mut kept = 0;
        while *word != 0 && left > 0 {
            kept |= *word & word.wrapping_neg();
            *word &= *word - 1;
            left -= 1;
            have += 1;
        }
        *word = kept;
    }
    // SAFETY: as above.
    let set = unsafe { libc::sched_setaffinity(thread, size_of_val(&mask), mask.as_ptr().cast()) };
    assert_eq!(set, 0);
    have
}

fn cpus() -> usize {
    std::thread::spawn(|| restrict(MAX_PROCS)).join().unwrap()
}

#[test]
fn the_affinity_mask_is_a_limit() {
    if answers() {
        return;
    }
    for cpus in 1..=cpus().min(4) {
        let answer = Asked::start("the_affinity_mask_is_a_limit", cpus).ask();
        assert!((1..=cpus).contains(&answer), "{answer} of {cpus}");
    }
}

/// A control group, removed in the end.
struct Group {
    path: PathBuf,
    v2: bool,
}

impl Group {
    /// A new group below `parent`, if it can be made and given a quota.
    fn make(parent: &Path, name: &str, v2: bool) -> Option<Group> {
        let path = parent.join(name);
        fs::create_dir(&path).ok()?;
        let group = Group { path, v2 };
        group.set(None).then_some(group)
    }

    /// Sets the quota, in hundredths of a processor. False if it cannot be set.
    fn set(&self, quota: Option<u32>) -> bool {
        let quota = quota.map(|hundredths| hundredths * 1000);
        let (file, text) = match (self.v2, quota) {
            (true, None) => ("cpu.max", "max".to_owned()),
            (true, Some(quota)) => ("cpu.max", format!("{quota} 100000")),
            (false, None) => ("cpu.cfs_quota_us", "-1".to_owned()),
            (false, Some(quota)) => ("cpu.cfs_quota_us", quota.to_string()),
        };
        fs::write(self.path.join(file), text).is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// Two groups, one around the other, of whichever version has the `cpu` controller here.
fn groups() -> Option<(Group, Group)> {
    let name = format!("marmot-limits-{}", std::process::id());
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let v2 = controllers.is_empty();
        let mount = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            list if list.split(',').any(|word| word == "cpu") => {
                format!("/sys/fs/cgroup/{controllers}")
            }
            _ => continue,
        };
        let parent = PathBuf::from(format!("{mount}{path}"));
        let Some(outer) = Group::make(&parent, &name, v2) else {
            continue;
        };
        if v2 {
            let control = outer.path.join("cgroup.subtree_control");
            if fs::write(control, "+cpu").is_err() {
                continue;
            }
        }
        if let Some(inner) = Group::make(&outer.path, "inner", v2) {
            return Some((outer, inner));
        }
    }
    None
}

#[test]
fn the_quotas_of_a_group_and_its_ancestors_are_limits() {
    if answers() {
        return;
    }
    let cpus = cpus();
    let Some((outer, inner)) = groups() else {
        println!("not tested: no control group with a quota can be made here");
        return;
    };
    let mut child = Asked::start(
        "the_quotas_of_a_group_and_its_ancestors_are_limits",
        MAX_PROCS,
    );
    let before = child.ask();
    assert!((1..=cpus).contains(&before));
    let pid = child.0.id().to_string();
    fs::write(inner.path.join("cgroup.procs"), pid).unwrap();
    for (of_inner, of_outer) in [
        (None, None),
        (Some(100), None),
        (Some(50), None),
        (Some(150), None),
        (None, Some(100)),
        (None, Some(101)),
        (Some(100), Some(200)),
        (Some(100), Some(100)),
    ] {
        // A quota below may not be above that of the group around it, so it goes first.
        assert!(inner.set(None) && outer.set(of_outer) && inner.set(of_inner));
        let processors = |quota: Option<u32>| quota.map_or(before, |q| q.div_ceil(100) as usize);
        let expected = before.min(processors(of_inner)).min(processors(of_outer));
        assert_eq!(child.ask(), expected, "{of_inner:?} in {of_outer:?}");
    }
    // The child ends before its group is removed.
    drop(child);
}

/// A runtime that runs follows the limits, unless the number was set by hand.
#[test]
fn a_running_scheduler_follows_the_mask() {
    let name = "a_running_scheduler_follows_the_mask";
    if std::env::var_os(CASE).is_none() {
        if cpus() < 2 {
            println!("not tested: there is one CPU");
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CASE, "child")
            .env_remove("MARMOT_MAXPROCS")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{errors}");
        return;
    }
    let start = || {
        let config = Config::from_env().unwrap();
        Scheduler::start_pinned(config, Arc::new(NoEvents::new())).unwrap()
    };
    let (follows, is_set) = (start(), start());
    assert!(follows.handle().max_procs() > 1);
    is_set.handle().set_max_procs(3);
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let thread = task.unwrap().file_name().to_string_lossy().parse().unwrap();
        restrict_thread(thread, 1);
    }
    // While something runs, which sysmon needs in order to look.
    let follow = |s: &Scheduler, expected: usize| {
        let handle = s.handle().clone();
        s.handle().run(move || {
            let begin = Instant::now();
            while handle.max_procs() != expected || begin.elapsed() < Duration::from_millis(1500) {
                assert!(
                    begin.elapsed() < Duration::from_secs(20),
                    "it does not follow"
                );
                yield_now();
            }
        });
    };
    follow(&follows, 1);
    follow(&is_set, 3);
}
