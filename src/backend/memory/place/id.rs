//! Which workspace a place belongs to.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};
use xxhash_rust::xxh3::xxh3_64;

/// The identity of a workspace: 16 hexadecimal digits.
///
/// The same directory has the same id whatever path leads to it and whatever has been deleted in it: the id follows
/// from the device, the inode number and, where the file system keeps it, the time of birth of the workspace's root.
/// The time of birth tells a directory from an earlier one with the same number, and one disk from another that
/// appears under the same device number; it never changes while a directory lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// The id of the directory behind `root`: the workspace itself, never a mount over it.
    pub fn of(root: impl AsFd) -> io::Result<WorkspaceId> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let stat = rustix::fs::statx(root, "", AtFlags::EMPTY_PATH, wanted)?;
        let born = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let (secs, nanos) = if born { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { (0, 0) };
        let mut bytes = Vec::with_capacity(28);
        bytes.extend_from_slice(&stat.stx_dev_major.to_le_bytes());
        bytes.extend_from_slice(&stat.stx_dev_minor.to_le_bytes());
        bytes.extend_from_slice(&stat.stx_ino.to_le_bytes());
        bytes.extend_from_slice(&secs.to_le_bytes());
        bytes.extend_from_slice(&nanos.to_le_bytes());
        Ok(WorkspaceId(format!("{:016x}", xxh3_64(&bytes))))
    }

    /// Takes what [`WorkspaceId::as_str`] gave; `None` for anything else.
    pub fn parse(text: &str) -> Option<WorkspaceId> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (text.len() == 16 && digits).then(|| WorkspaceId(text.to_owned()))
    }

    /// The id of what a read-only mount keeps in memory: names of sealed files, beside what an earlier mount may have
    /// left under the workspace's own id.
    pub fn for_reading(&self) -> WorkspaceId {
        WorkspaceId(format!("{:016x}", xxh3_64(format!("{} read-only", self.0).as_bytes())))
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::Path;

    fn id(path: &Path) -> WorkspaceId {
        WorkspaceId::of(File::open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_directory_keeps_its_id_under_another_name_and_with_other_contents() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join(".scopefs")).unwrap();
        let before = id(&a);
        fs::remove_dir_all(a.join(".scopefs")).unwrap();
        fs::rename(&a, &b).unwrap();
        assert_eq!(id(&b), before);
        assert_eq!(WorkspaceId::parse(before.as_str()), Some(before));
    }

    #[test]
    fn a_directory_made_anew_under_the_same_name_is_another_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        fs::create_dir(&path).unwrap();
        let before = id(&path);
        let Ok(born) = fs::metadata(&path).unwrap().created() else {
            eprintln!("skipped: this file system keeps no time of birth");
            return;
        };
        // Until the file system's clock has moved on: a tick of some milliseconds.
        while fs::metadata(&path).unwrap().created().unwrap() == born {
            fs::remove_dir(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        assert_ne!(id(&path), before);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "../../etc/passwd", "0123456789ABCDEF", "0123456789abcdef0"] {
            assert_eq!(WorkspaceId::parse(text), None, "{text}");
        }
    }
}
