//! The virtual directory `.scopefs` at the top of a mount: reachable by name, never listed, so that no copy of a tree
//! picks it up.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use dashmap::DashMap;

use crate::model::{Attr, FileKind, Timestamp};
use crate::vfs::{OWN_DIR, ROOT, VIRTUAL};

/// Writes a file's contents anew at each open.
pub type Content = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// The files in the virtual directory, by name.
#[derive(Default)]
pub struct OwnFiles(pub Vec<(&'static str, Content)>);

/// The directory with its open files.
pub(super) struct OwnDir {
    files: OwnFiles,
    open: DashMap<u64, Arc<Vec<u8>>>,
    next: AtomicU64,
    made: Timestamp,
}

impl OwnDir {
    pub fn new(files: OwnFiles) -> OwnDir {
        let made = SystemTime::now().into();
        OwnDir { files, open: DashMap::new(), next: AtomicU64::new(VIRTUAL), made }
    }

    /// Whether an inode or handle number is one of ours.
    pub fn has(&self, number: u64) -> bool {
        number >= VIRTUAL
    }

    /// What `name` in `parent` is, if it is ours.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Option<Option<Attr>> {
        if parent == ROOT {
            return (name == OWN_DIR).then(|| self.attr(VIRTUAL));
        }
        if parent != VIRTUAL {
            return None;
        }
        let index = self.files.0.iter().position(|(own, _)| name == *own);
        Some(index.and_then(|index| self.attr(VIRTUAL + 1 + index as u64)))
    }

    /// Attributes of one of our inodes.
    pub fn attr(&self, ino: u64) -> Option<Attr> {
        let (kind, perm, size) = match ino - VIRTUAL {
            0 => (FileKind::Directory, 0o555, 0),
            n => (FileKind::Regular, 0o444, (self.files.0.get(n as usize - 1)?.1)().len() as u64),
        };
        let now = SystemTime::now().into();
        Some(Attr {
            dev: 0,
            ino,
            kind,
            perm,
            nlink: 1,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            size,
            blocks: size.div_ceil(512),
            blksize: 4096,
            atime: now,
            mtime: if kind == FileKind::Directory { self.made } else { now },
            ctime: self.made,
        })
    }

    /// Opens a file; what it says is fixed then.
    pub fn open(&self, ino: u64) -> Option<u64> {
        let (_, content) = self.files.0.get((ino - VIRTUAL).checked_sub(1)? as usize)?;
        let fh = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.insert(fh, Arc::new(content()));
        Some(fh)
    }

    /// Bytes of an open file.
    pub fn read(&self, fh: u64, offset: u64, size: u32) -> Option<Vec<u8>> {
        let bytes = self.open.get(&fh)?.clone();
        let start = (offset as usize).min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        Some(bytes[start..end].to_vec())
    }

    /// Closes a file.
    pub fn release(&self, fh: u64) {
        self.open.remove(&fh);
    }
}
