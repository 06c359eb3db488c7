//! The memory cgroups above this process, v1 and v2 at once (a machine may have both).
//!
//! `/proc/self/cgroup` says where we are in each hierarchy, `/proc/self/mountinfo` where that hierarchy is mounted and
//! which part of it. From our own directory every one up to the mount point counts: a limit holds for all below it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use super::CgroupUse;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The directories at or above a process in which memory is accounted, innermost first.
///
/// Found once: a process that is moved to another cgroup later is rare, and parsing mountinfo is not cheap.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    dirs: Vec<(Version, PathBuf)>,
}

impl Ancestry {
    /// Reads `proc/self/…` below `root` (`/`, or a fake tree in tests). What cannot be read is no limit.
    pub(super) fn find(root: &Path) -> Ancestry {
        let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        // Mount points may be any bytes; only the cgroup lines matter to us.
        let mountinfo = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        let mountinfo = String::from_utf8_lossy(&mountinfo);
        let mut dirs = Vec::new();
        for line in memberships.lines() {
            let Some((version, ours)) = membership(line) else { continue };
            let mounts: Vec<Hierarchy> =
                mountinfo.lines().filter_map(hierarchy).filter(|m| m.version == version).collect();
            // Of several mounts of one hierarchy, the one that shows our own directory. None does in a container that
            // is told its path on the host but sees its own cgroup as the top: there the top is ours.
            let shown = mounts.iter().find_map(|m| Some((m, m.directory_of(root, ours)?)));
            let Some((mount, leaf)) = shown.or_else(|| mounts.first().map(|m| (m, under(root, &m.point)))) else {
                continue;
            };
            let top = under(root, &mount.point);
            dirs.extend(leaf.ancestors().take_while(|dir| dir.starts_with(&top)).map(|dir| (version, dir.to_owned())));
        }
        Ancestry { dirs }
    }

    /// What each of them that has a limit uses now.
    pub(super) fn read(&self) -> Vec<CgroupUse> {
        self.dirs.iter().filter_map(|(version, dir)| read_one(*version, dir)).collect()
    }
}

/// The mount of one hierarchy that accounts memory.
struct Hierarchy {
    version: Version,
    /// Which directory of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
}

impl Hierarchy {
    /// The directory of cgroup `ours`, if this mount shows it.
    fn directory_of(&self, root: &Path, ours: &str) -> Option<PathBuf> {
        let rest = Path::new(ours).strip_prefix(&self.root).ok()?;
        let inside = rest.components().all(|c| matches!(c, Component::Normal(_)));
        let dir = under(root, &self.point.join(rest));
        (inside && dir.is_dir()).then_some(dir)
    }
}

/// `9:memory:/path` or `0::/path`: version and path, if this hierarchy can account memory.
fn membership(line: &str) -> Option<(Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if id == "0" && controllers.is_empty() {
        return Some((Version::V2, path));
    }
    controllers.split(',').any(|c| c == "memory").then_some((Version::V1, path))
}

/// One line of mountinfo, if it is a cgroup hierarchy that can account memory (proc(5), `/proc/pid/mountinfo`).
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (unescape(left.next()?), unescape(left.next()?));
    let mut right = right.split(' ');
    let (fstype, _source, options) = (right.next()?, right.next()?, right.next()?);
    let version = match fstype {
        "cgroup2" => Version::V2,
        "cgroup" if options.split(',').any(|o| o == "memory") => Version::V1,
        _ => return None,
    };
    Some(Hierarchy { version, root, point })
}

/// Undoes mountinfo's octal escapes (`\040` is a blank).
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                plain.push(byte);
                at += 4;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// An absolute path, taken below `root`.
fn under(root: &Path, absolute: &Path) -> PathBuf {
    let relative = absolute.strip_prefix("/").unwrap_or(absolute);
    if relative.as_os_str().is_empty() { root.to_owned() } else { root.join(relative) }
}

fn read_one(version: Version, dir: &Path) -> Option<CgroupUse> {
    let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = match version {
        Version::V1 => bounded(number("memory.limit_in_bytes")),
        // "max" does not parse, so it is no limit. Past memory.high a process is throttled almost to a halt, and
        // pages of a tmpfs without swap cannot be reclaimed: for us that is a limit as well.
        Version::V2 => [number("memory.max"), number("memory.high")].into_iter().filter_map(bounded).min(),
    }?;
    let (usage, prefix) = match version {
        Version::V1 => ("memory.usage_in_bytes", "total_"),
        Version::V2 => ("memory.current", ""),
    };
    let file = file_pages(&fs::read_to_string(dir.join("memory.stat")).unwrap_or_default(), prefix);
    Some(CgroupUse { limit, used: number(usage)?.saturating_sub(file), path: dir.to_owned() })
}

/// v1 says "no limit" with the largest number of whole pages, 9223372036854771712 with pages of 4 KiB.
fn bounded(limit: Option<u64>) -> Option<u64> {
    limit.filter(|&bytes| bytes < (i64::MAX as u64) - (1 << 20))
}

/// File pages that the kernel gives back on demand: those on the two file lists.
///
/// Not `file` (v2) or `cache` (v1): both include `shmem`, the pages of a tmpfs, and so would hide what we ourselves
/// hold. The file lists leave out shmem, which stands on the anonymous lists, and locked pages. Where a kernel does
/// not show the lists, `file` less `shmem` comes nearest.
fn file_pages(stat: &str, prefix: &str) -> u64 {
    let value = |name: &str| -> Option<u64> {
        stat.lines().find_map(|line| line.strip_prefix(prefix)?.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    match (value("active_file"), value("inactive_file")) {
        (Some(active), Some(inactive)) => active.saturating_add(inactive),
        _ => value("file").or_else(|| value("cache")).unwrap_or(0).saturating_sub(value("shmem").unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(cgroup: &str, mountinfo: &str) -> Tree {
            let tree = Tree(tempfile::tempdir().unwrap());
            tree.put("proc/self/cgroup", cgroup);
            tree.put("proc/self/mountinfo", mountinfo);
            tree
        }

        fn put(&self, path: &str, text: &str) -> &Tree {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn v2(&self, dir: &str, max: &str, current: u64, stat: &str) -> &Tree {
            self.put(&format!("{dir}/memory.max"), max);
            self.put(&format!("{dir}/memory.current"), &current.to_string());
            self.put(&format!("{dir}/memory.stat"), stat)
        }

        fn v1(&self, dir: &str, limit: u64, usage: u64, stat: &str) -> &Tree {
            self.put(&format!("{dir}/memory.limit_in_bytes"), &limit.to_string());
            self.put(&format!("{dir}/memory.usage_in_bytes"), &usage.to_string());
            self.put(&format!("{dir}/memory.stat"), stat)
        }

        fn found(&self) -> Vec<(String, u64, u64)> {
            let groups = Ancestry::find(self.0.path()).read();
            let show =
                |g: CgroupUse| (g.path.strip_prefix(self.0.path()).unwrap().display().to_string(), g.limit, g.used);
            groups.into_iter().map(show).collect()
        }
    }

    const V2_MOUNT: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_MOUNTS: &str = "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                             35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn every_v2_ancestor_with_a_limit_is_found_innermost_first() {
        let tree = Tree::new("0::/user.slice/user-7.slice/job\n", V2_MOUNT);
        tree.v2("sys/fs/cgroup/user.slice/user-7.slice/job", "max\n", GIB, "");
        tree.v2("sys/fs/cgroup/user.slice/user-7.slice", "2147483648\n", GIB, "");
        tree.v2("sys/fs/cgroup/user.slice", "8589934592\n", 3 * GIB, "");
        let found = tree.found();
        assert_eq!(
            found,
            [
                ("sys/fs/cgroup/user.slice/user-7.slice".to_owned(), 2 * GIB, GIB),
                ("sys/fs/cgroup/user.slice".to_owned(), 8 * GIB, 3 * GIB)
            ]
        );
    }

    #[test]
    fn file_pages_are_subtracted_but_tmpfs_pages_are_not() {
        let tree = Tree::new("0::/job\n", V2_MOUNT);
        // 1000 in use: 600 of cache, of which 450 are tmpfs pages; 150 can be given back.
        let stat = "anon 400\nfile 600\nshmem 450\nactive_anon 500\ninactive_file 100\nactive_file 50\n";
        tree.v2("sys/fs/cgroup/job", "4096\n", 1000, stat);
        assert_eq!(tree.found()[0].2, 850);
        tree.v2("sys/fs/cgroup/job", "4096\n", 1000, "anon 400\nfile 600\nshmem 450\n");
        assert_eq!(tree.found()[0].2, 850, "the same from file less shmem where the lists are not shown");
    }

    #[test]
    fn v1_reads_the_totals_of_the_subtree() {
        let tree = Tree::new("8:pids:/\n4:memory:/job/step\n0::/\n", V1_MOUNTS);
        let stat = "cache 1\nactive_file 1\ninactive_file 1\ntotal_cache 600\ntotal_shmem 450\n\
                    total_inactive_file 100\ntotal_active_file 50\n";
        tree.v1("sys/fs/cgroup/memory/job/step", 9_223_372_036_854_771_712, 900, "");
        tree.v1("sys/fs/cgroup/memory/job", 4096, 1000, stat);
        tree.v1("sys/fs/cgroup/memory", 9_223_372_036_854_771_712, 5000, stat);
        assert_eq!(tree.found(), [("sys/fs/cgroup/memory/job".to_owned(), 4096, 850)]);
    }

    #[test]
    fn memory_high_is_a_limit_too() {
        let tree = Tree::new("0::/job\n", V2_MOUNT);
        tree.v2("sys/fs/cgroup/job", "8192\n", 10, "").put("sys/fs/cgroup/job/memory.high", "4096\n");
        assert_eq!(tree.found()[0].1, 4096);
    }

    #[test]
    fn limits_in_both_hierarchies_are_seen() {
        let tree = Tree::new("4:memory:/a\n0::/b\n", V1_MOUNTS);
        tree.v1("sys/fs/cgroup/memory/a", 4096, 10, "");
        tree.v2("sys/fs/cgroup/unified/b", "2048\n", 10, "");
        assert_eq!(tree.found().iter().map(|g| g.1).collect::<Vec<_>>(), [4096, 2048]);
    }

    #[test]
    fn a_container_that_sees_only_its_own_cgroup_finds_its_limit() {
        // The host's path in /proc/self/cgroup, the container's own cgroup as the mount's top.
        let mount = "35 31 0:32 /docker/f00 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let tree = Tree::new("4:memory:/docker/f00\n", mount);
        tree.v1("sys/fs/cgroup/memory", 4096, 10, "");
        assert_eq!(tree.found()[0].1, 4096);
        let elsewhere = Tree::new("4:memory:/docker/f00\n", V1_MOUNTS);
        elsewhere.v1("sys/fs/cgroup/memory", 8192, 10, "");
        assert_eq!(elsewhere.found()[0].1, 8192);
    }

    #[test]
    fn a_mount_point_with_a_blank_is_found() {
        let tree = Tree::new("0::/\n", "31 23 0:28 / /my\\040cgroups rw - cgroup2 none rw\n");
        tree.v2("my cgroups", "4096\n", 1, "");
        assert_eq!(tree.found()[0].1, 4096);
    }

    #[test]
    fn without_proc_there_is_no_limit() {
        assert!(Ancestry::find(tempfile::tempdir().unwrap().path()).read().is_empty());
    }
}
