//! Open handles of files and directories.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::inode::Inode;
use super::{Error, Result};
use crate::model::FileKind;

/// The number of an open handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fh(pub u64);

/// One entry of a directory listing.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// Inode number as the mount shows it.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// Its name.
    pub name: OsString,
}

/// An open file.
#[derive(Debug)]
pub(super) struct FileHandle {
    pub inode: Arc<Inode>,
    pub write: bool,
    pub sync: bool,
    pub execute: bool,
    /// When it was opened, in milliseconds of the mount's clock.
    pub opened: u64,
}

/// An open directory. The listing is taken when reading starts, and anew after a rewind.
#[derive(Debug)]
pub(super) struct DirHandle {
    pub inode: Arc<Inode>,
    pub entries: Mutex<Option<Arc<Vec<DirEntry>>>>,
}

/// Every open handle.
#[derive(Debug, Default)]
pub(super) struct Handles {
    next: AtomicU64,
    files: DashMap<u64, Arc<FileHandle>>,
    dirs: DashMap<u64, Arc<DirHandle>>,
}

impl Handles {
    fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add_file(&self, handle: FileHandle) -> Fh {
        let fh = self.fresh();
        self.files.insert(fh, Arc::new(handle));
        Fh(fh)
    }

    pub fn add_dir(&self, inode: Arc<Inode>) -> Fh {
        let fh = self.fresh();
        self.dirs.insert(fh, Arc::new(DirHandle { inode, entries: Mutex::new(None) }));
        Fh(fh)
    }

    pub fn file(&self, fh: Fh) -> Result<Arc<FileHandle>> {
        self.files.get(&fh.0).map(|handle| handle.clone()).ok_or(Error::BadHandle)
    }

    pub fn dir(&self, fh: Fh) -> Result<Arc<DirHandle>> {
        self.dirs.get(&fh.0).map(|handle| handle.clone()).ok_or(Error::BadHandle)
    }

    pub fn remove_file(&self, fh: Fh) -> Option<Arc<FileHandle>> {
        self.files.remove(&fh.0).map(|(_, handle)| handle)
    }

    pub fn remove_dir(&self, fh: Fh) -> Option<Arc<DirHandle>> {
        self.dirs.remove(&fh.0).map(|(_, handle)| handle)
    }

    /// Files that are open for writing.
    pub fn writers(&self) -> Vec<Arc<Inode>> {
        self.files.iter().filter(|handle| handle.write).map(|handle| handle.inode.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.files.len()
    }
}
