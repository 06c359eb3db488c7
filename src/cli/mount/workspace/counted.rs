//! What was counted in a large workspace, kept for the next mount.
//!
//! `.scopefs/counted` is JSON: `{"version": 1, "files": N, "bytes": N}`. It is a guess to start from, never relied on: each
//! mount walks the workspace again. A workspace that is walked in a moment keeps none, so that nothing of ours stays in
//! it after an unmount.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::vfs::DiskTotals;

pub(super) const NAME: &str = "counted";
const NEXT: &str = "counted.new";
const VERSION: u32 = 1;
/// Fewer files are counted before anybody asks.
const MANY: u64 = 50_000;
/// A file that is longer is none of ours.
const LONGEST: u64 = 4096;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    files: u64,
    bytes: u64,
}

/// The file in `.scopefs`.
#[derive(Debug)]
pub struct Counted {
    dir: OwnedFd,
}

impl Counted {
    pub(super) fn new(dir: OwnedFd) -> Counted {
        Counted { dir }
    }

    /// What was counted last; `None` if nothing was kept, or nothing that can be understood.
    pub fn read(&self) -> Option<DiskTotals> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&self.dir, NAME, flags, Mode::empty()).ok()?);
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        (kept.version == VERSION).then_some(DiskTotals { files: kept.files, bytes: kept.bytes })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps what was counted, or takes away what was kept if it is not worth it.
    pub fn keep(&self, totals: DiskTotals) -> io::Result<()> {
        if totals.files < MANY {
            return [NAME, NEXT].into_iter().try_for_each(|name| self.remove(name));
        }
        let kept = Kept { version: VERSION, files: totals.files, bytes: totals.bytes };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, NEXT, flags, Mode::from_raw_mode(0o644))?;
        File::from(file).write_all(&serde_json::to_vec(&kept)?)?;
        // Not synced: half of it is not understood, and then it is as if there was none.
        Ok(rustix::fs::renameat(&self.dir, NEXT, &self.dir, NAME)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dir: &std::path::Path) -> Counted {
        Counted::new(File::open(dir).expect("opens").into())
    }

    #[test]
    fn a_large_workspace_is_counted_from_where_the_last_mount_was() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let counted = counted(dir.path());
        assert_eq!(counted.read(), None);
        let totals = DiskTotals { files: MANY, bytes: 7 };
        counted.keep(totals).expect("writes");
        assert_eq!(counted.read(), Some(totals));
        for wrong in ["", "{\"version\": 1, \"files\"", "{\"version\": 2, \"files\": 1, \"bytes\": 1}"] {
            std::fs::write(dir.path().join(NAME), wrong).expect("writes");
            assert_eq!(counted.read(), None, "{wrong}");
        }
    }

    #[test]
    fn a_small_workspace_keeps_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let counted = counted(dir.path());
        counted.keep(DiskTotals { files: MANY, bytes: 7 }).expect("writes");
        counted.keep(DiskTotals { files: MANY - 1, bytes: 7 }).expect("removes");
        counted.keep(DiskTotals { files: 0, bytes: 0 }).expect("nothing is there to remove");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
