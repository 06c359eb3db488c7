//! Finding names in two trees that are shown as one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::{Place, ROOT};
use super::inode::{Inode, Reason};
use super::{Error, OWN_DIR, Result, Vfs};
use crate::backend::is_absent;
use crate::model::{Attr, FileKind, Name, RelPath, Tier};

/// What an inode and its place in the tables take, measured.
const BYTES_PER_INODE: u64 = 512;
/// However small the limit, this many inodes are always remembered.
const INODES_LEAST: usize = 10_000;

/// What stands at one name in the two trees.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layers {
    /// The file in memory.
    pub memory: Option<Attr>,
    /// Whatever is on disk.
    pub disk: Option<Attr>,
}

impl Layers {
    /// Whether there is anything.
    pub fn any(&self) -> bool {
        self.memory.is_some() || self.disk.is_some()
    }
}

impl Vfs {
    /// Finds `name` in the directory `parent` and counts one lookup of it.
    pub fn lookup(&self, parent: u64, name: &Name) -> Result<Attr> {
        let dir = self.dir_inode(parent)?;
        let _names = self.namespace.read();
        let (_, attr) = self.find(&dir, name, true)?;
        Ok(attr)
    }

    /// The kernel forgets `count` lookups of `ino`.
    pub fn forget(&self, ino: u64, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// Names (directory and name) that the kernel should be asked to forget, because remembering them takes more of
    /// the memory limit than a sixteenth: what the kernel forgets, we may.
    pub fn names_to_forget(&self) -> Vec<(u64, Box<Name>)> {
        let most = (self.budget.limit() / 16 / BYTES_PER_INODE) as usize;
        let over = self.inodes.len().saturating_sub(most.max(INODES_LEAST));
        if over == 0 { Vec::new() } else { self.inodes.remembered(over + most / 8) }
    }

    /// Lets go of an inode that neither the kernel nor anybody else needs.
    pub fn drop_if_forgotten(&self, parent: u64, name: &Name) {
        let Ok(dir) = self.dir_inode(parent) else { return };
        let _names = self.namespace.read();
        if let Ok((inode, _)) = self.find(&dir, name, false) {
            self.let_go(inode);
        }
    }

    /// Attributes, as they are now.
    pub fn getattr(&self, ino: u64) -> Result<Attr> {
        let inode = self.inode(ino)?;
        let _names = self.namespace.read();
        self.attr(&inode)
    }

    /// What a symbolic link points to.
    pub fn readlink(&self, ino: u64) -> Result<std::ffi::OsString> {
        let inode = self.inode(ino)?;
        let _names = self.namespace.read();
        Ok(self.disk.tree().readlink(&inode.path().ok_or(Error::NotFound)?)?)
    }

    /// The inode at `path`, found name by name. Not counted as a lookup.
    pub(super) fn walk(&self, path: &RelPath) -> Result<(Arc<Inode>, Attr)> {
        let mut inode = self.root.clone();
        let mut attr = self.attr(&inode)?;
        for name in path.components() {
            if inode.kind != FileKind::Directory {
                return Err(Error::NotDirectory);
            }
            (inode, attr) = self.find(&inode, name, false)?;
        }
        Ok((inode, attr))
    }

    /// The path of a directory; fails if it was removed.
    pub(super) fn dir_path(&self, dir: &Inode) -> Result<RelPath> {
        dir.path().ok_or(Error::NotFound)
    }

    /// What stands at `path`, whose directory is `dir`.
    pub(super) fn layers(&self, dir: &Inode, path: &RelPath) -> Result<Layers> {
        Ok(Layers { memory: self.in_memory(dir, path)?, disk: self.disk.tree().find(path)? })
    }

    /// The memory file at `path`, whose directory is `dir`.
    pub(super) fn in_memory(&self, dir: &Inode, path: &RelPath) -> Result<Option<Attr>> {
        match &self.memory {
            Some(memory) if dir.is_mirrored() => {
                Ok(memory.tree().find(path)?.filter(|attr| attr.kind != FileKind::Directory))
            }
            _ => Ok(None),
        }
    }

    /// Finds `name` in `dir`, memory before disk. Hold the namespace lock.
    pub(super) fn find(&self, dir: &Arc<Inode>, name: &Name, counted: bool) -> Result<(Arc<Inode>, Attr)> {
        if dir.ino == ROOT && name == OWN_DIR {
            return Err(Error::NotFound);
        }
        let path = self.dir_path(dir)?.join(name);
        if let Some(attr) = self.in_memory(dir, &path)?
            && let Some(found) = self.find_resident(dir, name, &path, attr, counted)?
        {
            return Ok(found);
        }
        let attr = match self.disk.tree().stat(&path) {
            Ok(attr) => attr,
            Err(e) if is_absent(&e) => return self.find_lost_dir(dir, name, &path, counted),
            Err(e) => return Err(e.into()),
        };
        let inode = self.disk_inode(dir, name, &path, &attr, counted);
        let shown = self.show(&inode, attr);
        Ok((inode, shown))
    }

    fn find_resident(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        path: &RelPath,
        attr: Attr,
        counted: bool,
    ) -> Result<Option<(Arc<Inode>, Attr)>> {
        let Some(inode) = self.inodes.resident(attr.ino) else { return Ok(None) };
        inode.know_name(dir, name);
        if !inode.is_dirty() && self.changed_behind(&inode, dir, name, path)? && self.drop_copy(&inode)? {
            return Ok(None);
        }
        if counted {
            // It cannot leave the table meanwhile: we hold a reference.
            inode.lookups.fetch_add(1, Ordering::AcqRel);
        }
        let shown = self.show(&inode, attr);
        Ok(Some((inode, shown)))
    }

    /// Whether the disk file under a clean copy is no longer the one that was copied.
    fn changed_behind(&self, inode: &Inode, dir: &Inode, name: &Name, path: &RelPath) -> Result<bool> {
        let over = inode.over(dir, name);
        Ok(self.disk.tree().find(path)?.map(|attr| attr.identity()) != over)
    }

    /// The inode of a disk file found at `path`.
    pub(super) fn disk_inode(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        path: &RelPath,
        attr: &Attr,
        counted: bool,
    ) -> Arc<Inode> {
        let place = Place::of(Tier::Disk, attr);
        let mut ino = self.identities.ino(place);
        loop {
            let mut fresh = false;
            let inode = self.inodes.get_or_insert(ino, counted, || {
                fresh = true;
                let inode = Inode::new(ino, attr.kind, place, Reason::Found);
                inode.found.store(!self.datasets.is_made(attr), Ordering::Release);
                inode
            });
            // The number may still belong to a deleted file whose disk inode was used again, or to one that is
            // somewhere else now.
            if !fresh && !inode.is_at(attr, place) {
                if counted {
                    self.inodes.forget(ino, 1);
                }
                ino = self.identities.renumber(place);
                continue;
            }
            if fresh && attr.kind == FileKind::Directory && dir.is_mirrored() {
                self.find_mirror(&inode, path);
                if inode.is_mirrored() {
                    self.adopt_residents(&inode, path);
                }
            }
            if attr.kind == FileKind::Directory {
                self.rename_dir_behind(&inode, dir, name);
            } else {
                inode.know_name(dir, name);
            }
            return inode;
        }
    }

    /// A directory has one name: if it was known under another, somebody renamed it behind the mount's back.
    fn rename_dir_behind(&self, inode: &Arc<Inode>, dir: &Arc<Inode>, name: &Name) {
        if inode.names.read().first().is_some_and(|dentry| dentry.is(dir, name)) {
            return;
        }
        inode.names.write().clear();
        inode.know_name(dir, name);
    }

    fn find_mirror(&self, dir: &Inode, path: &RelPath) {
        let there = self.memory.as_ref().and_then(|memory| memory.tree().find(path).ok().flatten());
        dir.mirrored.store(there.is_some(), Ordering::Release);
    }

    /// A directory was replaced behind the mount's back: the files in memory below its path are in the new one now.
    fn adopt_residents(&self, dir: &Arc<Inode>, path: &RelPath) {
        for file in self.inodes.residents() {
            for dentry in file.names.write().iter_mut() {
                if dentry.parent.ino != dir.ino && dentry.parent.path().as_ref() == Some(path) {
                    dentry.parent = dir.clone();
                }
            }
        }
    }

    /// A directory that is gone from the disk while memory holds unsaved files below it is made again; one whose
    /// files were all clean is gone, as whoever removed it wanted.
    fn find_lost_dir(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        path: &RelPath,
        counted: bool,
    ) -> Result<(Arc<Inode>, Attr)> {
        let Some(memory) = self.memory.as_ref().filter(|_| dir.is_mirrored()) else { return Err(Error::NotFound) };
        if !memory.tree().find(path)?.is_some_and(|attr| attr.kind == FileKind::Directory) {
            return Err(Error::NotFound);
        }
        if !self.inodes.residents().iter().any(|file| file.is_dirty() && file.is_below(path)) {
            return Err(Error::NotFound);
        }
        self.make_dir_again(path)?;
        let attr = self.disk.tree().stat(path)?;
        let inode = self.disk_inode(dir, name, path, &attr, counted);
        let shown = self.show(&inode, attr);
        Ok((inode, shown))
    }

    /// Makes a directory again that somebody removed behind the mount's back.
    pub(super) fn make_dir_again(&self, path: &RelPath) -> Result<()> {
        if path.is_root() || self.disk.tree().find(path)?.is_some() {
            return Ok(());
        }
        if let Some((above, _)) = path.split() {
            self.make_dir_again(&above)?;
        }
        tracing::warn!("{path} was removed from the workspace while files in it were only in memory: made again");
        self.disk.tree().forget_dirs();
        match self.disk.tree().mkdir(path, 0o755) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => Ok(made?),
        }
    }

    /// Attributes of an inode, wherever it is. Hold the namespace lock.
    pub(super) fn attr(&self, inode: &Inode) -> Result<Attr> {
        let (place, open) = {
            let content = inode.content.read();
            match (&content.object, &content.gone) {
                (Some(object), Some(gone)) => {
                    let now = object.stat()?;
                    (content.place, Some(nameless(now, gone.attr.ctime)))
                }
                (Some(object), None) => (content.place, Some(object.stat()?)),
                (None, Some(gone)) => {
                    let now = gone.node.as_ref().and_then(|node| node.stat().ok()).unwrap_or(gone.attr);
                    (content.place, Some(nameless(now, gone.attr.ctime)))
                }
                (None, None) => (content.place, None),
            }
        };
        if let Some(attr) = open {
            return Ok(self.show(inode, attr));
        }
        for path in inode.paths() {
            let found = match place.tier {
                Tier::Memory => self.memory()?.tree().find(&path)?,
                _ => self.disk.tree().find(&path)?,
            };
            if let Some(attr) = found.filter(|attr| Place::of(place.tier, attr) == place) {
                return Ok(self.show(inode, attr));
            }
        }
        // The place may have changed between the two looks; whoever moved it holds no lock that we wait for here.
        if inode.place() != place { self.attr(inode) } else { Err(Error::Stale) }
    }

    /// The attributes as programs see them.
    pub(super) fn show(&self, inode: &Inode, mut attr: Attr) -> Attr {
        attr.ctime = self.identities.ctime(Place::of(inode.place().tier, &attr), attr.ctime);
        attr.ino = inode.ino;
        if inode.is_absent() || inode.is_partial() {
            // du and tar go by blocks: without any, tar would take the file for a hole.
            attr.blocks = attr.size.div_ceil(512);
        }
        attr
    }
}

impl Inode {
    /// Whether this is the inode of a disk file: it is there, or in memory over it (a search that looked into the
    /// mirror a moment before the file came up finds the disk file).
    fn is_at(&self, attr: &Attr, place: Place) -> bool {
        let content = self.content.read();
        let over =
            |dentry: &super::inode::Dentry| dentry.over.is_some_and(|o| (o.dev, o.ino) == (place.dev, place.ino));
        self.kind == attr.kind
            && content.gone.is_none()
            && (content.place == place || self.names.read().iter().any(over))
    }

    /// Whether a known path of this inode lies below `dir`.
    pub(super) fn is_below(&self, dir: &RelPath) -> bool {
        self.paths().iter().any(|path| path.starts_with(dir))
    }
}

/// The attributes of an inode that lost its last name at `lost`. That name may still be on disk, under a newer file in
/// memory that took it; only then is the moment ours to tell: files are stamped by a coarser clock than ours, and a
/// change soon after would not seem to move the ctime.
fn nameless(now: Attr, lost: crate::model::Timestamp) -> Attr {
    if now.nlink > 0 { Attr { nlink: 0, ctime: now.ctime.max(lost), ..now } } else { now }
}
