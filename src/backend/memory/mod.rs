//! The memory backend: a mirror of the workspace's tree in a private tmpfs.
//!
//! ```text
//! ROOT/tree/…      files in memory, under their own relative paths; directories are made with their first file
//! ROOT/staging/    copies on their way into the mirror
//! ROOT/journal     what a tmpfs cannot say: which file is clean, which disk file a name shadows, renames under way
//! ```
//!
//! The tree is the index: it outlives the daemon, and nothing has to be written per request to keep it true.

pub mod place;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self as sys, AtFlags, Mode, OFlags, RenameFlags};

use super::tree::{Tree, is_absent};
use super::{Access, Backend, ByteSource, Expected, Kind, Object, PublishError, Staged};
use crate::model::{Attr, FileKind, RelPath, Tier};

/// The registry's line.
pub static KIND: Kind =
    Kind { name: "memory", tier: Tier::Memory, summary: "a private tmpfs that mirrors the workspace's tree" };

/// Permission bits of mirror directories: nobody but the daemon walks there.
const MIRROR_PERM: u16 = 0o700;

/// The mirror tree.
#[derive(Debug)]
pub struct Memory {
    top: OwnedFd,
    tree: Tree,
}

impl Memory {
    /// The memory tier in the tmpfs whose root is `top`; what an earlier daemon left there is kept.
    pub fn new(top: OwnedFd) -> io::Result<Memory> {
        let sub = |name: &str| -> io::Result<OwnedFd> {
            match sys::mkdirat(&top, name, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            Ok(sys::openat(&top, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let tree = Tree::new(sub("tree")?, sub("staging")?);
        Ok(Memory { top, tree })
    }

    /// Removes everything that makes a tmpfs a memory tier, if there is no file in it; ENOTEMPTY otherwise.
    pub fn clear(self) -> io::Result<()> {
        self.remove_dirs(&RelPath::root())?;
        self.tree.sweep_staging()?;
        for (name, flags) in
            [("tree", AtFlags::REMOVEDIR), ("staging", AtFlags::REMOVEDIR), ("journal", AtFlags::empty())]
        {
            match sys::unlinkat(&self.top, name, flags) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The mirror.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The top directory, where the journal lies.
    pub fn top(&self) -> std::os::fd::BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// Bytes that the tmpfs holds now.
    pub fn used_bytes(&self) -> io::Result<u64> {
        let stat = sys::fstatvfs(&self.top)?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }

    /// Makes the mirror directory of `dir` with those above it.
    pub fn make_dirs(&self, dir: &RelPath) -> io::Result<()> {
        if dir.is_root() || self.tree.find(dir)?.is_some() {
            return Ok(());
        }
        if let Some((above, _)) = dir.split() {
            self.make_dirs(&above)?;
        }
        match self.tree.mkdir(dir, MIRROR_PERM) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Whether the mirror of `dir` holds a file, at any depth.
    pub fn holds_files(&self, dir: &RelPath) -> io::Result<bool> {
        let entries = match self.tree.list(dir) {
            Err(e) if is_absent(&e) => return Ok(false),
            entries => entries?,
        };
        for entry in entries {
            if entry.kind != FileKind::Directory || self.holds_files(&dir.join(&entry.name))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the mirror of `dir` if there are only directories in it; ENOTEMPTY otherwise.
    pub fn remove_dirs(&self, dir: &RelPath) -> io::Result<()> {
        let entries = match self.tree.list(dir) {
            Err(e) if is_absent(&e) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            if entry.kind != FileKind::Directory {
                return Err(rustix::io::Errno::NOTEMPTY.into());
            }
            self.remove_dirs(&dir.join(&entry.name))?;
        }
        if dir.is_root() { Ok(()) } else { self.tree.rmdir(dir) }
    }
}

impl Backend for Memory {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn stat(&self, path: &RelPath) -> io::Result<Attr> {
        self.tree.stat(path)
    }

    fn open(&self, path: &RelPath, access: Access) -> io::Result<Option<Object>> {
        self.tree.open(path, access).map(Some)
    }

    fn stage(&self, source: &dyn ByteSource) -> io::Result<Staged> {
        let staged = self.tree.stage_empty()?;
        staged.fill(source)?;
        Ok(staged)
    }

    fn publish(&self, staged: Staged, path: &RelPath, expected: Expected) -> Result<Attr, PublishError> {
        if let Some((dir, _)) = path.split()
            && let Err(e) = self.make_dirs(&dir)
        {
            return Err(PublishError::Io(staged, e));
        }
        self.tree.publish(staged, path, expected)
    }

    fn remove(&self, path: &RelPath) -> io::Result<()> {
        self.tree.unlink(path)
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        if let Some((dir, _)) = to.split() {
            self.make_dirs(&dir)?;
        }
        self.tree.rename(from, to, RenameFlags::empty())
    }

    fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        if let Some((dir, _)) = to.split() {
            self.make_dirs(&dir)?;
        }
        self.tree.link(from, to)
    }

    fn sync(&self, _path: &RelPath) -> io::Result<()> {
        // Memory is as durable as it will ever be.
        Ok(())
    }
}
