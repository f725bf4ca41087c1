//! How many processors this process may use: the least of its affinity mask and its CPU quotas.
//!
//! A quota is set for a control group, and binds all groups below it too. So the groups that count
//! are the one of this process and all its ancestors, as far up as they can be seen: inside a
//! container the upper ones cannot. Where they are takes two files to find out:
//!
//! - `/proc/self/cgroup` names the group in each hierarchy: version 2 (`0::/a/b`), version 1 by
//!   controller (`3:cpu,cpuacct:/a/b`), or both, of which one has the `cpu` controller.
//! - `/proc/self/mountinfo` says where a hierarchy is mounted, and which group is the root of what
//!   can be seen there: `/`, a container's group, or, where the mount was made outside the group
//!   namespace, something that begins with `/..`, as the group itself may.
//!
//! Everything here that does not parse is passed by: a strange system runs with what the rest says,
//! at worst with the affinity mask alone. Files that are missing are looked for again at every
//! [`Limits::read`], for a controller may be enabled later. What is not noticed is that the process
//! is moved to another group.
//!
//! # Rejected
//!
//! `std::thread::available_parallelism`: it looks for the groups anew at each call, expects version 2
//! at its usual place, and rounds down.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::MAX_PROCS;
use crate::sys;

/// The places where a limit may be set for this process.
#[derive(Debug)]
pub(crate) struct Limits {
    quotas: Vec<Quota>,
}

/// The files that hold the quota of one group.
#[derive(Debug, PartialEq, Eq)]
enum Quota {
    /// `cpu.max`: quota and period, in microseconds.
    V2(PathBuf),
    /// `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    V1 { quota: PathBuf, period: PathBuf },
}

impl Limits {
    /// Finds the groups of this process. Reads files, some of which may be long.
    pub(crate) fn of_process() -> Limits {
        Limits::below(Path::new("/"))
    }

    /// The same, with all files below `root`: for tests.
    fn below(root: &Path) -> Limits {
        let read = |name: &str| fs::read(root.join("proc/self").join(name)).unwrap_or_default();
        let groups = Groups::parse(&read("cgroup"));
        let mut quotas = Vec::new();
        for mount in mounts(&read("mountinfo")) {
            let group = match mount.version {
                Version::V1 => &groups.v1,
                Version::V2 => &groups.v2,
            };
            let Some(below) = group.as_deref().and_then(|g| path_below(g, mount.root)) else {
                continue;
            };
            let place = unescape(mount.point);
            let mut place = root.join(place.strip_prefix("/").unwrap_or(&place));
            quotas.push(Quota::of(mount.version, &place));
            for name in below {
                place.push(OsStr::from_bytes(name));
                quotas.push(Quota::of(mount.version, &place));
            }
        }
        Limits { quotas }
    }

    /// How many processors may be used now, from 1 to [`MAX_PROCS`]. Opens and reads two or three
    /// small files for each group, allocates nothing unless their paths are long, and never fails.
    ///
    /// The affinity mask is that of the calling thread, which those it starts inherit.
    pub(crate) fn read(&self) -> usize {
        let quotas = self.quotas.iter().filter_map(Quota::read);
        quotas
            .fold(sys::allowed_cpus(), usize::min)
            .clamp(1, MAX_PROCS)
    }
}

impl Quota {
    fn of(version: Version, group: &Path) -> Quota {
        match version {
            Version::V2 => Quota::V2(group.join("cpu.max")),
            Version::V1 => Quota::V1 {
                quota: group.join("cpu.cfs_quota_us"),
                period: group.join("cpu.cfs_period_us"),
            },
        }
    }

    /// The quota in processors, rounded up; `None` if there is none.
    fn read(&self) -> Option<usize> {
        let (mut first, mut second) = ([0; 64], [0; 64]);
        match self {
            Quota::V2(path) => {
                let mut words = text(path, &mut first)?.split_ascii_whitespace();
                processors(words.next()?, words.next()?)
            }
            Quota::V1 { quota, period } => {
                let quota = text(quota, &mut first)?.trim_ascii();
                processors(quota, text(period, &mut second)?.trim_ascii())
            }
        }
    }
}

/// The content of a short file.
fn text<'a>(path: &Path, buffer: &'a mut [u8; 64]) -> Option<&'a str> {
    let mut file = File::open(path).ok()?;
    let mut len = 0;
    loop {
        match file.read(&mut buffer[len..]) {
            // A full buffer is more than such a file holds.
            Ok(0) if len < 64 => return str::from_utf8(&buffer[..len]).ok(),
            Ok(0) => return None,
            Ok(n) => len += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// `quota` per `period`, rounded up. `None` for no quota (`max`, or `-1`) and for nonsense.
fn processors(quota: &str, period: &str) -> Option<usize> {
    let quota: u64 = quota.parse().ok()?;
    let period: u64 = period.parse().ok()?;
    if quota == 0 || period == 0 {
        return None;
    }
    usize::try_from(quota.div_ceil(period)).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The groups of this process, in the hierarchies that can have a CPU quota.
#[derive(Debug, Default)]
struct Groups {
    v1: Option<Vec<u8>>,
    v2: Option<Vec<u8>>,
}

impl Groups {
    /// Parses `/proc/self/cgroup`: lines of number, controllers and path, divided by colons, of
    /// which the path may hold more.
    fn parse(file: &[u8]) -> Groups {
        let mut groups = Groups::default();
        for line in file.split(|&b| b == b'\n') {
            let mut fields = line.splitn(3, |&b| b == b':');
            let (Some(number), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if number == b"0" && controllers.is_empty() {
                groups.v2 = Some(path.to_vec());
            } else if lists_cpu(controllers) {
                groups.v1 = Some(path.to_vec());
            }
        }
        groups
    }
}

/// Whether a list, divided by commas, has the `cpu` controller.
fn lists_cpu(list: &[u8]) -> bool {
    list.split(|&b| b == b',').any(|word| word == b"cpu")
}

/// A line of `/proc/self/mountinfo`, its paths escaped as they are there.
#[derive(Clone, Copy, Debug)]
struct Mount<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    root: &'a [u8],
    point: &'a [u8],
    version: Version,
}

/// The mounts of control groups that may have quotas, without those that others are mounted upon.
fn mounts(file: &[u8]) -> Vec<Mount<'_>> {
    let lines = || file.split(|&b| b == b'\n').filter_map(parse_mount);
    let hidden = |mount: &Mount<'_>| {
        lines().any(|(upper, _)| upper.parent == mount.id && upper.point == mount.point)
    };
    lines()
        .filter(|(_, is_group)| *is_group)
        .map(|(mount, _)| mount)
        .filter(|mount| !hidden(mount))
        .collect()
}

/// Parses a line of the kind below, and says whether it is about control groups that may have quotas.
///
/// `36 35 98:0 /root /point options optional... - type source options`, divided by single spaces.
fn parse_mount(line: &[u8]) -> Option<(Mount<'_>, bool)> {
    let mut fields = line.split(|&b| b == b' ');
    let (id, parent) = (fields.next()?, fields.next()?);
    let mut fields = fields.skip(1);
    let (root, point) = (fields.next()?, fields.next()?);
    let mut fields = fields.skip_while(|&field| field != b"-").skip(1);
    let (kind, _source) = (fields.next()?, fields.next()?);
    let (version, is_group) = match kind {
        b"cgroup2" => (Version::V2, true),
        b"cgroup" => (Version::V1, fields.next().is_some_and(lists_cpu)),
        _ => (Version::V1, false),
    };
    let mount = Mount {
        id,
        parent,
        root,
        point,
        version,
    };
    Some((mount, is_group))
}

/// Decodes the octal escapes of a path: `\040` for a space, and the like.
fn unescape(path: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after),
            _ => (first, after),
        };
        plain.push(byte);
        rest = after;
    }
    PathBuf::from(OsStr::from_bytes(&plain))
}

/// The names that lead from a mount's root, still escaped, to the group: none if they are the same.
/// `None` if the group cannot be seen there.
///
/// Both paths start at the root of the group namespace, and a leading `..` leads out of it. Where
/// the mount's root lies above the namespace and the group does not say how to get down again, the
/// name of the namespace's own group is not known: then the quotas of the mount's root, which is an
/// ancestor, count and no others.
fn path_below<'a>(group: &'a [u8], root: &[u8]) -> Option<Vec<&'a [u8]>> {
    fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|&b| b == b'/').filter(|name| !name.is_empty())
    }
    let root = unescape(root);
    let root: Vec<_> = names(root.as_os_str().as_bytes()).collect();
    let group: Vec<_> = names(group).collect();
    if !group.starts_with(&root) {
        return root.iter().all(|name| *name == b"..").then(Vec::new);
    }
    let below = &group[root.len()..];
    // If it goes on upwards, it lies beside the mount's root, or above.
    (below.first() != Some(&&b".."[..])).then(|| below.to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory that stands for the root of the file system.
    struct Tree(PathBuf);

    impl Tree {
        fn new(cgroup: &str, mountinfo: &str) -> Tree {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "marmot-limits-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let tree = Tree(std::env::temp_dir().join(name));
            tree.file("proc/self/cgroup", cgroup);
            tree.file("proc/self/mountinfo", mountinfo);
            tree
        }

        fn file(&self, path: &str, text: impl AsRef<[u8]>) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn v1(&self, group: &str, quota: &str) {
            self.file(&format!("{group}/cpu.cfs_quota_us"), format!("{quota}\n"));
            self.file(&format!("{group}/cpu.cfs_period_us"), "100000\n");
        }

        /// The least of all quotas.
        fn quota(&self) -> Option<usize> {
            let limits = Limits::below(&self.0);
            assert!(limits.read() >= 1);
            limits.quotas.iter().filter_map(Quota::read).min()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const V2: &str = "22 27 0:21 / /proc rw - proc proc rw\n\
        31 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "34 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
        35 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn the_least_of_all_ancestors_counts() {
        let tree = Tree::new("0::/a/b/c\n", V2);
        assert_eq!(tree.quota(), None, "no files");
        tree.file("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
        assert_eq!(tree.quota(), None, "no quota");
        tree.file("sys/fs/cgroup/a/b/cpu.max", "550000 100000\n");
        assert_eq!(tree.quota(), Some(6), "rounded up");
        tree.file("sys/fs/cgroup/a/cpu.max", "10000 20000\n");
        assert_eq!(tree.quota(), Some(1), "half of one is one");
        tree.file("sys/fs/cgroup/a/cpu.max", "600000 100000\n");
        assert_eq!(tree.quota(), Some(6));
        tree.file("sys/fs/cgroup/cpu.max", "400000 100000\n");
        assert_eq!(tree.quota(), Some(4), "the root of a container has one");
        tree.file("sys/fs/cgroup/x/cpu.max", "100000 100000\n");
        assert_eq!(tree.quota(), Some(4), "another group");
    }

    #[test]
    fn a_quota_that_changes_is_read_again() {
        let tree = Tree::new("0::/a\n", V2);
        let limits = Limits::below(&tree.0);
        let all = limits.read();
        tree.file("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
        assert_eq!(limits.read(), 1);
        tree.file("sys/fs/cgroup/a/cpu.max", "max 100000\n");
        assert_eq!(limits.read(), all);
    }

    #[test]
    fn version_1_has_ancestors_too() {
        let tree = Tree::new("5:cpuset:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/s\n", V1);
        let cpu = "sys/fs/cgroup/cpu,cpuacct";
        tree.v1(&format!("{cpu}/a/b"), "-1");
        assert_eq!(tree.quota(), None);
        tree.v1(&format!("{cpu}/a"), "250000");
        assert_eq!(tree.quota(), Some(3));
        tree.v1("sys/fs/cgroup/cpuset/x", "100000");
        assert_eq!(tree.quota(), Some(3), "not the controller's");
        tree.v1(&format!("{cpu}/a/b"), "150000");
        assert_eq!(tree.quota(), Some(2));
    }

    #[test]
    fn a_hybrid_counts_both() {
        let unified = "36 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("4:cpu,cpuacct:/a\n0::/u\n", &format!("{V1}{unified}"));
        tree.v1("sys/fs/cgroup/cpu,cpuacct/a", "300000");
        assert_eq!(tree.quota(), Some(3));
        tree.file("sys/fs/cgroup/unified/u/cpu.max", "200000 100000");
        assert_eq!(tree.quota(), Some(2));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root_of_the_mount() {
        let mount = "9 8 0:31 /docker/1f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n\
            10 8 0:31 /docker/99 /other ro - cgroup cgroup rw,cpu\n";
        let tree = Tree::new("4:cpu:/docker/1f/sub\n", mount);
        tree.v1("sys/fs/cgroup/cpu", "200000");
        tree.v1("other", "100000");
        tree.v1("other/sub", "100000");
        assert_eq!(tree.quota(), Some(2));
        tree.v1("sys/fs/cgroup/cpu/sub", "100000");
        assert_eq!(tree.quota(), Some(1));
    }

    #[test]
    fn a_group_namespace_may_begin_below_the_mount() {
        // The process is in the namespace's root or below; the mount was made outside.
        let mount = "9 8 0:31 /.. /cg rw - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("0::/sub\n", mount);
        tree.file("cg/cpu.max", "300000 100000");
        tree.file("cg/sub/cpu.max", "100000 100000");
        assert_eq!(
            tree.quota(),
            Some(3),
            "the only group known to be an ancestor"
        );
        // The process was moved out of its namespace.
        let tree = Tree::new("0::/../other/sub\n", mount);
        tree.file("cg/cpu.max", "300000 100000");
        tree.file("cg/other/cpu.max", "200000 100000");
        assert_eq!(tree.quota(), Some(2));
        let tree = Tree::new("0::/../../other\n", mount);
        tree.file("cg/cpu.max", "300000 100000");
        assert_eq!(tree.quota(), None, "above the mount's root");
        let tree = Tree::new("0::/../other\n", V2);
        tree.file("sys/fs/cgroup/cpu.max", "300000 100000");
        assert_eq!(tree.quota(), None, "beside the mount's root");
    }

    #[test]
    fn paths_are_unescaped() {
        let mount = "9 8 0:31 /a\\040b /c\\134d\\040e rw - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("0::/a b/x:y\n", mount);
        tree.file("c\\d e/x:y/cpu.max", "300000 100000");
        assert_eq!(tree.quota(), Some(3));
        assert_eq!(unescape(b"\\1\\0401\\"), PathBuf::from("\\1 1\\"));
        assert_eq!(unescape(b"\\777"), PathBuf::from("\\777"));
    }

    #[test]
    fn a_mount_that_another_hides_does_not_count() {
        let above = "40 31 0:33 /b /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("0::/a\n", &format!("{V2}{above}"));
        tree.file("sys/fs/cgroup/a/cpu.max", "100000 100000");
        assert_eq!(tree.quota(), None, "this is /b/a");
    }

    #[test]
    fn a_bind_mount_serves_as_well() {
        let bind = "40 31 0:26 /a /mnt/a rw - cgroup2 cgroup2 rw\n";
        let tree = Tree::new("0::/a/b\n", bind);
        tree.file("mnt/a/cpu.max", "500000 100000");
        tree.file("mnt/a/b/cpu.max", "300000 100000");
        assert_eq!(tree.quota(), Some(3));
    }

    #[test]
    fn nonsense_is_passed_by() {
        for text in [
            "",
            "max",
            "-1 100000",
            "100000",
            "100000 0",
            "0 100000",
            "1e5 100000",
            "a b",
            "99999999999999999999999 100000",
            "100000 100000 and more than sixty-four bytes, which no such file has, ever",
        ] {
            let tree = Tree::new("0::/a\n", V2);
            tree.file("sys/fs/cgroup/a/cpu.max", text);
            assert_eq!(tree.quota(), None, "{text:?}");
        }
        let tree = Tree::new("0::/a\n", V2);
        tree.file("sys/fs/cgroup/a/cpu.max", b"\xff\xfe 1");
        fs::create_dir_all(tree.0.join("sys/fs/cgroup/cpu.max")).unwrap();
        assert_eq!(tree.quota(), None);
        for cgroup in ["", "\n\n", "0::", "0", "0:", ":::", "x:cpu", "4:cpu:"] {
            for mountinfo in [
                "",
                "\n",
                "1",
                "1 2 3 4 5",
                "1 2 3 / / - ",
                "1 2 3 / / -",
                "1 2 3 / / a b c",
                "1 2 3 / / - cgroup",
                "1 2 3 / / - cgroup x",
                V1,
                V2,
            ] {
                assert_eq!(Tree::new(cgroup, mountinfo).quota(), None);
            }
        }
        let nothing = Limits::below(Path::new("/nonexistent"));
        assert_eq!(nothing.quotas, []);
        assert_eq!(nothing.read(), sys::allowed_cpus());
    }

    #[test]
    fn this_process_has_processors() {
        let limits = Limits::of_process();
        assert!((1..=sys::allowed_cpus()).contains(&limits.read()));
    }
}
