//! Making the files of stores known by name, and letting go of them.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::Place;
use super::inode::{Inode, Reason};
use super::journal::Record;
use super::sealed::{Sealed, set_attributes};
use super::{Result, Vfs};
use crate::backend::zarr::{SealedEntry, SealedId, Stores};
use crate::backend::{Access, ByteSource, Expected, PublishError};
use crate::config::Originals;
use crate::model::{Attr, FileKind, RelPath, Tier};

/// Two files are compared in steps of so many bytes.
const COMPARED: usize = 1 << 20;

/// Stores that others make or remove are noticed after this many milliseconds.
const LOOK_AGAIN: u64 = 1000;

impl Vfs {
    /// Reads the stores that stand in a directory, and makes a stub for each file in them: at the first look, and when a
    /// store has appeared or vanished since. Not under the namespace lock.
    pub(super) fn load_stores(&self, dir: &Arc<Inode>) -> Result<()> {
        let Some(stores) = self.stores.as_deref().filter(|_| self.memory.is_some()) else { return Ok(()) };
        let is_fresh = |now: u64| {
            let last = dir.stores_read.load(Ordering::Acquire);
            last != 0 && now.saturating_sub(last) < LOOK_AGAIN
        };
        if is_fresh(self.now()) {
            return Ok(());
        }
        let first = dir.stores_read.load(Ordering::Acquire) == 0;
        let looking = if first { Some(dir.reading_stores.lock()) } else { dir.reading_stores.try_lock() };
        if looking.is_none() || is_fresh(self.now()) {
            return Ok(());
        }
        let read = self.read_stores(dir, stores);
        dir.stores_read.store(self.now(), Ordering::Release);
        read
    }

    fn read_stores(&self, dir: &Arc<Inode>, stores: &dyn Stores) -> Result<()> {
        let revision = || {
            let path = {
                let _names = self.namespace.read();
                dir.path()
            };
            path.map(|path| (stores.revision(&path).unwrap_or_default(), path))
        };
        let is_known = |revision| dir.stores_revision.load(Ordering::Acquire) == revision;
        {
            let _in_place = self.seals.in_place.read();
            if revision().is_none_or(|(revision, _)| is_known(revision)) {
                return Ok(());
            }
        }
        let _in_place = self.seals.in_place.write();
        // Again: the directory may have been renamed in between.
        let Some((revision, path)) = revision() else { return Ok(()) };
        if is_known(revision) {
            return Ok(());
        }
        dir.stores_revision.store(revision, Ordering::Release);
        let entries = match stores.listing(&path) {
            Ok(entries) => entries,
            Err(e) => {
                tracing::error!("{path}: its stores cannot be read, so the files in them are not shown: {e}");
                return Ok(());
            }
        };
        let proven = self.proven(&entries, stores);
        let _names = self.namespace.write();
        self.drop_vanished(&path);
        for entry in entries {
            if let Err(e) = self.make_stub(&entry, &proven) {
                tracing::error!("{:?} is sealed in a store in {path}, but cannot be shown: {e}", entry.names);
            }
        }
        Ok(())
    }

    /// Names whose store somebody has removed vanish. Hold the namespace lock for writing.
    fn drop_vanished(&self, dir: &RelPath) {
        let Some(stores) = &self.stores else { return };
        let known: Vec<_> = self.seals.by_id.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
        for (id, inode) in known {
            if !inode.is_below(dir) || stores.stored_at(id).is_some() {
                continue;
            }
            self.seals.by_id.remove(&id);
            if !inode.is_absent() && !inode.is_partial() {
                // What memory has is the only copy now.
                inode.content.write().sealed = None;
                self.mark_dirty(&inode, inode.place());
                continue;
            }
            tracing::warn!("{:?} vanishes: its store was removed from the workspace", inode.paths());
            if let Err(e) = self.drop_stub(&inode) {
                tracing::error!("a name of a store that was removed stays: {e}");
            }
        }
    }

    /// Takes the names of a file away whose bytes are gone.
    fn drop_stub(&self, inode: &Arc<Inode>) -> Result<()> {
        let last = self.attr(inode)?;
        for path in inode.paths() {
            match self.memory()?.tree().unlink(&path) {
                Err(e) if !crate::backend::is_absent(&e) => return Err(e.into()),
                _ => {}
            }
        }
        inode.names.write().clear();
        self.mark_gone(inode, last, None);
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
    fn make_stub(&self, entry: &SealedEntry, proven: &HashSet<SealedId>) -> Result<()> {
        // Deleted, perhaps, since the stores were read.
        let gone = self.stores()?.stored_at(entry.id).is_none();
        if gone || self.sealed_inode(entry.id).is_some() {
            return Ok(());
        }
        if entry.names.is_empty() || self.seals.dropped.contains(&entry.id) {
            self.remove_sealed(entry.id);
            return Ok(());
        }
        let mut names = Vec::new();
        for path in &entry.names {
            if self.is_free(path, entry, proven)? {
                names.push(path.clone());
            }
        }
        let Some(first) = names.first() else {
            if self.is_outdated(entry)? {
                self.remove_sealed(entry.id);
            }
            return Ok(());
        };
        let staged = self.memory()?.tree().stage_empty()?;
        let object = staged.object().clone();
        object.set_size(entry.size)?;
        set_attributes(&object, entry)?;
        // Before it has a name: without this a successor would take the stub's zeros for the file.
        self.note(&Record::Sealed { memory: object.stat()?.identity(), id: entry.id, absent: true })?;
        self.publish_stub(staged, first)?;
        for further in &names[1..] {
            if let Some((above, _)) = further.split() {
                self.memory()?.make_dirs(&above)?;
            }
            self.memory()?.tree().link(first, further)?;
        }
        let attr = object.stat()?;
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
            content.sealed = Some(Sealed::new(id, attr.atime));
            inode.absent.store(true, Ordering::Release);
            inode.seal_is_current.store(true, Ordering::Release);
        }
        self.seals.by_id.insert(id, inode.clone());
        self.inodes.settle(attr.ino, inode.clone(), attr.size);
    }

    /// Of sealed files beside which the plain file still lies that they were sealed from, those that read back equal.
    /// After a loss of power the chunks may be gone that the record tells of: then the plain file is all there is. Not
    /// under the namespace lock.
    fn proven(&self, entries: &[SealedEntry], stores: &dyn Stores) -> HashSet<SealedId> {
        let mut proven = HashSet::new();
        for entry in entries.iter().filter(|entry| entry.found.is_some()) {
            for path in &entry.names {
                match self.reads_back(path, entry, stores) {
                    None => {}
                    Some(Ok(true)) => drop(proven.insert(entry.id)),
                    Some(Ok(false)) => {
                        tracing::error!(
                            "{path}: what its store has differs from the plain file, which is kept and shown"
                        );
                    }
                    Some(Err(e)) => {
                        tracing::error!("{path}: its store cannot be read ({e}), so the plain file is kept and shown");
                    }
                }
            }
        }
        proven
    }

    /// Whether the plain file at `path` and what was sealed from it are equal; `None` if it is not there any more.
    fn reads_back(&self, path: &RelPath, entry: &SealedEntry, stores: &dyn Stores) -> Option<io::Result<bool>> {
        let plain = self.disk.tree().open(path, Access::Read).ok()?;
        if plain.stat().ok().map(|attr| attr.identity()) != entry.found || self.keeps_plain(path) {
            return None;
        }
        Some(stores.open(entry.id).and_then(|sealed| is_equal(&plain, &*sealed)))
    }

    /// Whether plain files at `path` stay beside what was sealed from them.
    fn keeps_plain(&self, path: &RelPath) -> bool {
        self.read_only || self.originals(path) == Originals::Keep
    }

    /// Whether a sealed file can have this name. A plain file that lies there is newer, or it is the one that was
    /// sealed and was about to be removed.
    fn is_free(&self, path: &RelPath, entry: &SealedEntry, proven: &HashSet<SealedId>) -> Result<bool> {
        if let Some(memory) = &self.memory
            && memory.tree().find(path)?.is_some()
        {
            return Ok(false);
        }
        let Some(disk) = self.disk.tree().find(path)? else { return Ok(true) };
        if self.is_being_sealed(path) {
            return Ok(false);
        }
        if entry.found != Some(disk.identity()) {
            tracing::warn!("{path}: a plain file has the name of a sealed one; the plain one is shown");
            return Ok(false);
        }
        if self.keeps_plain(path) {
            let (inode, attr) = self.walk(path)?;
            self.keep_original(&inode, entry.id, &attr);
            return Ok(false);
        }
        if !proven.contains(&entry.id) {
            return Ok(false);
        }
        self.disk.tree().unlink(path)?;
        self.count_disk(-1, -(disk.size as i64));
        Ok(true)
    }

    /// Whether the file there is on its way into a store: whoever brings it there makes its stub.
    fn is_being_sealed(&self, path: &RelPath) -> bool {
        self.walk(path).is_ok_and(|(inode, _)| inode.content.read().delta.is_some())
    }

    /// Whether the very file that was sealed still lies there, changed since: then nobody needs what was read of it.
    fn is_outdated(&self, entry: &SealedEntry) -> Result<bool> {
        let Some(found) = entry.found.filter(|_| !self.read_only) else { return Ok(false) };
        for path in &entry.names {
            let disk = self.disk.tree().find(path)?.map(|disk| disk.identity());
            let same = disk.is_some_and(|disk| (disk.dev, disk.ino) == (found.dev, found.ino) && disk != found);
            if !same || self.is_being_sealed(path) || self.originals(path) == Originals::Keep {
                return Ok(false);
            }
        }
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
        // What names were lost in this mount says nothing of files that have them now, and without their stubs nothing
        // would tell a successor so.
        if let Some(journal) = &self.journal
            && let Err(e) = journal.rewrite(|| self.live_records())
        {
            tracing::error!("the memory tier's journal cannot be rewritten, so sealed files keep their stubs: {e}");
            return;
        }
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
            inode.stores_read.store(0, Ordering::Release);
            inode.stores_revision.store(0, Ordering::Release);
        }
    }

    /// Removes a record whose file has lost its last name, or has another home now. What fails is tried again when
    /// the store is next read.
    pub(super) fn remove_sealed(&self, id: SealedId) {
        self.give_up(id);
        self.remove_given_up(&[id]);
    }

    /// A record is not its file's any more: whoever reads its store takes no notice of it. It is removed by
    /// [`Vfs::remove_given_up`].
    pub(super) fn give_up(&self, id: SealedId) {
        // Whoever read the stores between a commit and the moment at which its file, deleted meanwhile, gave the record
        // up, has made a stub of it.
        if let Some((_, ghost)) = self.seals.by_id.remove(&id)
            && ghost.is_absent()
            && ghost.sealed_id() == Some(id)
            && let Err(e) = self.drop_stub(&ghost)
        {
            tracing::error!("a name of a sealed file that is not needed any more stays: {e}");
        }
        self.seals.dropped.insert(id);
    }

    /// As [`Vfs::remove_given_up`], by who does not hold the namespace lock: what is written to a store whose directory
    /// is renamed meanwhile would make the old one again.
    pub(super) fn remove_given_up_in_place(&self, ids: &[SealedId]) {
        if !ids.is_empty() {
            let _in_place = self.seals.in_place.read();
            self.remove_given_up(ids);
        }
    }

    /// Removes records that were given up from their stores, together where that is cheaper. Hold the namespace lock.
    pub(super) fn remove_given_up(&self, ids: &[SealedId]) {
        let Some(stores) = self.stores.as_deref().filter(|_| !ids.is_empty()) else { return };
        let failed = stores.remove_all(ids);
        for id in ids {
            match failed.iter().find(|(kept, _)| kept == id) {
                None => drop(self.seals.dropped.remove(id)),
                // Whoever has emptied its store was faster.
                Some((_, e)) if e.kind() == io::ErrorKind::NotFound => drop(self.seals.dropped.remove(id)),
                Some((_, e)) => {
                    tracing::error!("a sealed file that is not needed any more stays in its store: {e}");
                }
            }
        }
    }
}

/// Whether two files have the same bytes.
fn is_equal(one: &dyn ByteSource, other: &dyn ByteSource) -> io::Result<bool> {
    let size = one.size()?;
    if other.size()? != size {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; COMPARED], vec![0; COMPARED]);
    let mut at = 0;
    while at < size {
        let len = COMPARED.min(usize::try_from(size - at).unwrap_or(COMPARED));
        let (left, right) = (&mut left[..len], &mut right[..len]);
        if one.read_at(left, at)? != len || other.read_at(right, at)? != len || left != right {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}
