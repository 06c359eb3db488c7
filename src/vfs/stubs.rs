//! Making the files of stores known by name, and letting go of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::Place;
use super::inode::{Inode, Reason};
use super::journal::Record;
use super::sealed::{Sealed, set_attributes};
use super::{Result, Vfs};
use crate::backend::zarr::{SealedEntry, SealedId};
use crate::backend::{Expected, PublishError};
use crate::config::Originals;
use crate::model::{Attr, FileKind, RelPath, Tier};

impl Vfs {
    /// Reads the stores that stand in a directory, and makes a stub for each file in them. Once for each directory;
    /// not under the namespace lock.
    pub(super) fn load_stores(&self, dir: &Arc<Inode>) -> Result<()> {
        let Some(stores) = self.stores.as_deref().filter(|_| self.memory.is_some()) else { return Ok(()) };
        if dir.stores_read.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let path = {
            let _names = self.namespace.read();
            dir.path()
        };
        let Some(path) = path else { return Ok(()) };
        let entries = match stores.listing(&path) {
            Ok(entries) => entries,
            Err(e) => {
                tracing::error!("{path}: its stores cannot be read, so the files in them are not shown: {e}");
                return Ok(());
            }
        };
        if entries.is_empty() {
            return Ok(());
        }
        let _names = self.namespace.write();
        for entry in entries {
            if let Err(e) = self.make_stub(&entry) {
                tracing::error!("{:?} is sealed in a store in {path}, but cannot be shown: {e}", entry.names);
            }
        }
        Ok(())
    }

    /// The stores on the way to `path`.
    pub(super) fn load_stores_to(&self, path: &RelPath) -> Result<()> {
        let mut inode = self.root.clone();
        self.load_stores(&inode)?;
        for name in path.components() {
            let found = {
                let _names = self.namespace.read();
                self.find(&inode, name, false)
            };
            match found {
                Ok((next, _)) if next.kind == FileKind::Directory => inode = next,
                _ => break,
            }
            self.load_stores(&inode)?;
        }
        Ok(())
    }

    /// The file that is sealed as `id`.
    pub(super) fn sealed_inode(&self, id: SealedId) -> Option<Arc<Inode>> {
        self.seals.by_id.get(&id).map(|inode| inode.clone())
    }

    /// Gives a sealed file its names, with attributes and no bytes. Hold the namespace lock for writing.
    fn make_stub(&self, entry: &SealedEntry) -> Result<()> {
        if self.sealed_inode(entry.id).is_some() {
            return Ok(());
        }
        if entry.names.is_empty() || self.seals.dropped.contains(&entry.id) {
            self.remove_sealed(entry.id);
            return Ok(());
        }
        let mut names = Vec::new();
        for path in &entry.names {
            if self.is_free(path, entry)? {
                names.push(path.clone());
            }
        }
        let Some(first) = names.first() else { return Ok(()) };
        let staged = self.memory()?.tree().stage_empty()?;
        let object = staged.object().clone();
        object.set_size(entry.size)?;
        set_attributes(&object, entry)?;
        self.publish_stub(staged, first)?;
        for further in &names[1..] {
            self.memory()?.tree().link(first, further)?;
        }
        let attr = object.stat()?;
        self.note(&Record::Sealed { memory: attr.identity(), id: entry.id, absent: true })?;
        let place = Place::of(Tier::Memory, &attr);
        let ino = self.identities.ino(place);
        let inode = self.inodes.get_or_insert(ino, false, || Inode::new(ino, attr.kind, place, Reason::Sealed));
        for path in &names {
            self.name_stub(&inode, path)?;
        }
        self.become_stub(&inode, entry.id, &attr);
        Ok(())
    }

    fn publish_stub(&self, staged: crate::backend::Staged, path: &RelPath) -> Result<Attr> {
        use crate::backend::Backend;
        match self.memory()?.publish(staged, path, Expected::Absent) {
            Ok(attr) => Ok(attr),
            Err(PublishError::Conflict(_)) => Err(super::Error::Exists),
            Err(PublishError::Io(_, e)) => Err(e.into()),
        }
    }

    fn name_stub(&self, inode: &Arc<Inode>, path: &RelPath) -> Result<()> {
        let Some((above, name)) = path.split() else { return Ok(()) };
        self.make_dir_again(&above)?;
        let (dir, _) = self.walk(&above)?;
        self.mark_mirrored(&dir);
        inode.add_name(&dir, name, None);
        Ok(())
    }

    /// From now on the inode's bytes are those of a record.
    fn become_stub(&self, inode: &Arc<Inode>, id: SealedId, attr: &Attr) {
        {
            let mut content = inode.content.write();
            content.sealed = Some(Sealed::new(id));
            inode.absent.store(true, Ordering::Release);
            inode.seal_is_current.store(true, Ordering::Release);
        }
        self.seals.by_id.insert(id, inode.clone());
        self.inodes.settle(attr.ino, inode.clone());
    }

    /// Whether a sealed file can have this name. A plain file that lies there is newer, or it is the one that was
    /// sealed and was about to be removed.
    fn is_free(&self, path: &RelPath, entry: &SealedEntry) -> Result<bool> {
        if let Some(memory) = &self.memory
            && memory.tree().find(path)?.is_some()
        {
            return Ok(false);
        }
        let Some(disk) = self.disk.tree().find(path)? else { return Ok(true) };
        if entry.found != Some(disk.identity()) {
            tracing::warn!("{path}: a plain file has the name of a sealed one; the plain one is shown");
            return Ok(false);
        }
        if self.originals(path) == Originals::Keep || self.read_only {
            return Ok(false);
        }
        self.disk.tree().unlink(path)?;
        self.count_disk(-1, -(disk.size as i64));
        Ok(true)
    }

    /// What the rule of `path` says of plain files that were sealed.
    pub(super) fn originals(&self, path: &RelPath) -> Originals {
        self.router.rule(self.router.decide(path).rule).originals
    }

    /// Every stub leaves the mirror: the mount has ended, and the stores tell the rest.
    pub fn forget_stubs(&self) {
        let _names = self.namespace.write();
        let Ok(memory) = self.memory() else { return };
        for inode in self.inodes.residents() {
            if !inode.is_absent() {
                continue;
            }
            for path in inode.paths() {
                if let Err(e) = memory.tree().unlink(&path) {
                    tracing::warn!("{path}: what stood for it in memory cannot be removed: {e}");
                }
            }
            self.inodes.unsettle(inode.place().ino);
            if let Some(id) = inode.sealed_id() {
                self.seals.by_id.remove(&id);
            }
        }
        for inode in self.inodes.directories() {
            inode.stores_read.store(false, Ordering::Release);
        }
    }

    /// Removes a record whose file has lost its last name, or has another home now. What fails is tried again when
    /// the store is next read.
    pub(super) fn remove_sealed(&self, id: SealedId) {
        self.seals.by_id.remove(&id);
        self.seals.dropped.insert(id);
        let removed = self.stores().and_then(|stores| Ok(stores.remove(id)?));
        match removed {
            Ok(()) => {
                self.seals.dropped.remove(&id);
            }
            Err(e) => tracing::error!("a sealed file that is not needed any more stays in its store: {e}"),
        }
    }
}
