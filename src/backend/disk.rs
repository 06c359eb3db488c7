//! The disk backend: plain files in the workspace, under their own names.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::RenameFlags;

use super::tree::Tree;
use super::{Access, Backend, ByteSource, Expected, Kind, Object, PublishError, Staged};
use crate::model::{Attr, RelPath, Tier};

/// The registry's line.
pub static KIND: Kind =
    Kind { name: "disk", tier: Tier::Disk, summary: "plain files in the workspace, served by the kernel" };

/// The workspace's own tree.
#[derive(Debug)]
pub struct Disk {
    tree: Tree,
}

impl Disk {
    /// The workspace below `root`, with temporary files in `staging` on the same file system.
    pub fn new(root: OwnedFd, staging: OwnedFd) -> Disk {
        Disk { tree: Tree::new(root, staging) }
    }

    /// The tree, for directories, links and special files, which only live here.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

impl Backend for Disk {
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
        self.tree.publish(staged, path, expected)
    }

    fn remove(&self, path: &RelPath) -> io::Result<()> {
        self.tree.unlink(path)
    }

    fn rename(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        self.tree.rename(from, to, RenameFlags::empty())
    }

    fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        self.tree.link(from, to)
    }

    fn sync(&self, path: &RelPath) -> io::Result<()> {
        self.tree.open(path, Access::Read)?.sync(false)?;
        self.tree.sync_names(path)
    }
}
