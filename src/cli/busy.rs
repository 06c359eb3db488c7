//! Who keeps a mount from being unmounted.
//!
//! Nothing in the mount itself is touched: descriptors are told by the id of their mount, mappings by their device,
//! directories by their path.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::mountinfo::Mount;
use crate::control::WirePath;

/// Files named for one process; the rest is counted.
const NAMED: usize = 3;

/// A process and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its command line, cut where it gets long.
    pub command: String,
    /// What of the mount it holds, with how: `open`, `mapped`, `working directory`, `root directory`, `program`.
    pub holds: Vec<(&'static str, PathBuf)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({}): ", self.pid, self.command)?;
        for (index, (how, path)) in self.holds.iter().take(NAMED).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} ({how})", WirePath(path.clone()))?;
        }
        match self.holds.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The processes that hold something of `mount`, as far as this user may look into them.
pub fn holders(mount: &Mount) -> Vec<Holder> {
    holders_in(Path::new("/proc"), mount)
}

fn holders_in(proc: &Path, mount: &Mount) -> Vec<Holder> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut holders: Vec<Holder> = pids.filter_map(|pid| holder(&proc.join(pid.to_string()), pid, mount)).collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

fn holder(dir: &Path, pid: u32, mount: &Mount) -> Option<Holder> {
    let mut holds = Vec::new();
    for (link, how) in [("cwd", "working directory"), ("root", "root directory"), ("exe", "program")] {
        if let Ok(path) = fs::read_link(dir.join(link))
            && path.starts_with(&mount.point)
        {
            holds.push((how, path));
        }
    }
    holds.extend(open_files(dir, mount).into_iter().map(|path| ("open", path)));
    for path in mapped_files(dir, mount) {
        if !holds.iter().any(|(_, held)| *held == path) {
            holds.push(("mapped", path));
        }
    }
    (!holds.is_empty()).then(|| Holder { pid, command: command(dir), holds })
}

/// `/proc/PID/fdinfo/N` names the mount by id: a path alone may lie below the mount point on another mount.
fn open_files(dir: &Path, mount: &Mount) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir.join("fdinfo")) else { return Vec::new() };
    let wanted = mount.id.to_string();
    let ours = entries.flatten().filter(|entry| {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        info.lines().any(|line| line.strip_prefix("mnt_id:").is_some_and(|id| id.trim() == wanted))
    });
    let mut paths: Vec<PathBuf> =
        ours.filter_map(|entry| fs::read_link(dir.join("fd").join(entry.file_name())).ok()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Lines of `/proc/PID/maps`: `start-end perms offset major:minor inode   path`, the device in hexadecimal.
fn mapped_files(dir: &Path, mount: &Mount) -> Vec<PathBuf> {
    let device = format!("{:02x}:{:02x}", mount.device.0, mount.device.1);
    let maps = fs::read(dir.join("maps")).unwrap_or_default();
    let mut paths: Vec<PathBuf> = maps
        .split(|&b| b == b'\n')
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split_ascii_whitespace();
            let ours = fields.nth(3)? == device;
            // The path is the rest of the line and may have blanks in it; it begins with a slash.
            ours.then(|| line.find('/').map(|at| PathBuf::from(&line[at..])))?
        })
        .collect();
    paths.dedup();
    paths
}

fn command(dir: &Path) -> String {
    let line = fs::read(dir.join("cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    let name = || fs::read_to_string(dir.join("comm")).unwrap_or_default();
    let text = if words.trim().is_empty() { name() } else { words };
    text.trim().chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mountinfo;
    use std::os::unix::fs::symlink;

    #[test]
    fn descriptors_directories_and_mappings_are_found_and_neighbours_are_not() {
        let proc = tempfile::tempdir().unwrap();
        let mount = mountinfo::for_tests(&[("/m", "fuse.scopefs", "/w")]).remove(1);
        let process = |pid: &str, cwd: &str, fds: &[(&str, u64)], maps: &str| {
            let dir = proc.path().join(pid);
            fs::create_dir_all(dir.join("fd")).unwrap();
            fs::create_dir_all(dir.join("fdinfo")).unwrap();
            symlink(cwd, dir.join("cwd")).unwrap();
            for (index, (path, id)) in fds.iter().enumerate() {
                symlink(path, dir.join(format!("fd/{index}"))).unwrap();
                fs::write(dir.join(format!("fdinfo/{index}")), format!("pos:\t0\nmnt_id:\t{id}\n")).unwrap();
            }
            fs::write(dir.join("maps"), maps).unwrap();
            fs::write(dir.join("cmdline"), format!("python3\0job{pid}.py\0")).unwrap();
        };
        let mapped = "7f00-7f10 rw-s 00000000 00:32 12     /m/my plate.tif\n7f10-7f20 r--p 0 08:01 1  /m/x\n";
        process("10", "/home", &[("/m/a.tif", 2), ("/m/a.tif", 2), ("/m/other", 99)], "");
        process("9", "/m/sub", &[], mapped);
        process("8", "/mx", &[("/etc/passwd", 1)], "");
        let found: Vec<String> = holders_in(proc.path(), &mount).iter().map(Holder::to_string).collect();
        assert_eq!(
            found,
            [
                "pid 9 (python3 job9.py): /m/sub (working directory), /m/my plate.tif (mapped)",
                "pid 10 (python3 job10.py): /m/a.tif (open)",
            ]
        );
    }

    #[test]
    fn this_process_is_found_holding_a_file_of_a_real_mount() {
        let mounts = mountinfo::read().unwrap();
        let file = fs::File::open("/proc/self/status").unwrap();
        let mount = mounts.iter().find(|mount| mount.point == Path::new("/proc")).unwrap();
        let found = holders(mount);
        drop(file);
        assert!(found.iter().any(|holder| holder.pid == std::process::id()), "{found:?}");
    }
}
