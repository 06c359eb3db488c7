//! What names mean for stores: records follow their files, and files that leave a store's reach are unsealed.

use std::sync::Arc;

use super::inode::Inode;
use super::inode::Reason;
use super::journal::Record;
use super::open::wait_for_closes;
use super::rename::{End, RenameMode};
use super::{Error, Goal, MoveError, Result, Vfs};
use crate::backend::zarr::SealedId;
use crate::model::{Attr, FileKind, Identity, Name, RelPath};

/// What a sealed file has lost.
#[derive(Clone, Copy)]
pub(super) enum Forsaken {
    /// Its last name.
    Wholly(SealedId),
    /// One of its names.
    PartOf,
}

impl Vfs {
    /// Unseals what a rename takes out of the reach of its store: a record's names lie below the directory in which
    /// the store stands. Not under the namespace lock.
    pub(super) fn follow_into_stores(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        to_dir: &Arc<Inode>,
        to_name: &Name,
        mode: RenameMode,
    ) -> Result<()> {
        if self.stores.is_none() {
            return Ok(());
        }
        let (found, other) = {
            let _names = self.namespace.read();
            (self.find(dir, name, false), self.find(to_dir, to_name, false))
        };
        let Ok((inode, _)) = found else { return Ok(()) };
        let in_vain = match mode {
            RenameMode::Replace => false,
            RenameMode::NoReplace => other.is_ok(),
            RenameMode::Exchange => other.is_err(),
        };
        if in_vain {
            return Ok(());
        }
        if inode.kind != FileKind::Directory {
            if let (RenameMode::Exchange, Ok((other, _))) = (mode, &other) {
                self.make_whole(other)?;
            }
            return self.stay_in_store(&inode, to_dir, to_name);
        }
        self.load_below(&inode)?;
        let (from, to) = {
            let _names = self.namespace.read();
            (self.dir_path(dir)?.join(name), self.dir_path(to_dir)?.join(to_name))
        };
        for (file, id, path) in self.sealed_below(&from) {
            let moves_along = self.store_is_below(id, &from);
            if !moves_along && !path.below(&from, &to).is_some_and(|new| self.holds(id, &new)) {
                self.unseal_wholly(&file)?;
            } else if !moves_along {
                self.make_whole(&file)?;
            }
        }
        Ok(())
    }

    /// A file gets a name: if its store cannot hold that, the file is unsealed first. The table tells names of files as
    /// they were sealed, so one that was changed in part must not need it any more.
    pub(super) fn stay_in_store(&self, inode: &Arc<Inode>, dir: &Arc<Inode>, name: &Name) -> Result<()> {
        self.make_whole(inode)?;
        let Some(id) = inode.sealed_id() else { return Ok(()) };
        let to = {
            let _names = self.namespace.read();
            self.dir_path(dir)?.join(name)
        };
        if self.holds(id, &to) { Ok(()) } else { self.unseal_wholly(inode) }
    }

    /// Where a directory is about to be renamed: waits for commits, and no other begins while the guard is held.
    pub(super) fn keep_stores_in_place(
        &self,
        dir: &Arc<Inode>,
        name: &Name,
        to_dir: &Arc<Inode>,
        to_name: &Name,
    ) -> Option<parking_lot::RwLockWriteGuard<'_, ()>> {
        self.stores.as_ref()?;
        let is_dir = {
            let _names = self.namespace.read();
            let is_dir =
                |found: Result<(Arc<Inode>, _)>| found.is_ok_and(|(inode, _)| inode.kind == FileKind::Directory);
            is_dir(self.find(dir, name, false)) || is_dir(self.find(to_dir, to_name, false))
        };
        is_dir.then(|| self.seals.in_place.write())
    }

    /// A file was renamed while it was sealed, to where no successor would look for its store. Its bytes are still where
    /// they were. Hold the namespace lock.
    pub(super) fn forgo_record(&self, inode: &Inode, id: SealedId) {
        if let Some(older) = inode.content.write().sealed.take() {
            self.seals.by_id.remove(&older.id);
        }
        self.remove_sealed(id);
    }

    /// Whether a sealed file at one end of a rename, or below it, has no place in its store under its name at the other.
    /// Hold the namespace lock for writing.
    pub(super) fn leaves_store(&self, end: &End, other: &End) -> bool {
        let Some(inode) = &end.inode else { return false };
        if inode.kind != FileKind::Directory {
            return inode.sealed_id().is_some_and(|id| inode.is_sealed() && !self.holds(id, &other.path));
        }
        self.seals.by_id.iter().any(|entry| {
            let (id, file) = (*entry.key(), entry.value());
            let stays = |path: &RelPath| path.below(&end.path, &other.path).is_none_or(|new| self.holds(id, &new));
            file.is_sealed()
                && file.is_below(&end.path)
                && !self.store_is_below(id, &end.path)
                && !file.paths().iter().all(stays)
        })
    }

    /// Whether the store of a record can hold this name.
    pub(super) fn holds(&self, id: SealedId, name: &RelPath) -> bool {
        self.stores.as_ref().is_some_and(|stores| stores.holds_name(id, name))
    }

    fn store_is_below(&self, id: SealedId, dir: &RelPath) -> bool {
        let at = self.stores.as_ref().and_then(|stores| stores.stored_at(id));
        at.is_some_and(|at| at.store.starts_with(dir) && at.store != *dir)
    }

    /// The file is a plain one from now on, and its record is gone.
    fn unseal_wholly(&self, inode: &Arc<Inode>) -> Result<()> {
        wait_for_closes(inode);
        match self.depart(inode, Goal::Home, Reason::Unsealed) {
            Ok(()) | Err(MoveError::NotThere) => Ok(()),
            Err(MoveError::Held) => self.unseal_beside(inode),
            Err(MoveError::Failed(e)) => Err(e),
        }
    }

    /// The kernel serves the copy of a sealed file in memory: that stays, and disk gets one beside it before the record
    /// goes.
    fn unseal_beside(&self, inode: &Arc<Inode>) -> Result<()> {
        {
            let _names = self.namespace.read();
            let _opens = inode.opens.lock();
            if inode.is_absent() || inode.is_partial() || !inode.in_mirror() {
                return Err(Error::Busy("the kernel serves a sealed file that would have to leave its store"));
            }
            self.mark_dirty(inode, inode.place());
        }
        match self.depart(inode, Goal::Clean, Reason::Unsealed) {
            Ok(()) | Err(MoveError::NotThere) => {}
            Err(MoveError::Held) => return Err(Error::Busy("the kernel serves the file")),
            Err(MoveError::Failed(e)) => return Err(e),
        }
        let _names = self.namespace.read();
        let record = inode.content.write().sealed.take();
        if let Some(sealed) = record {
            self.note(&Record::Dropping { id: sealed.id })?;
            self.remove_sealed(sealed.id);
        }
        Ok(())
    }

    /// Files of which a store holds a version, at and below `dir`, with a path of each.
    fn sealed_below(&self, dir: &RelPath) -> Vec<(Arc<Inode>, SealedId, RelPath)> {
        let _names = self.namespace.read();
        let all: Vec<_> = self.seals.by_id.iter().map(|entry| (entry.value().clone(), *entry.key())).collect();
        all.into_iter()
            .filter_map(|(inode, id)| {
                let path = inode.paths().into_iter().find(|path| path.starts_with(dir))?;
                Some((inode, id, path))
            })
            .collect()
    }

    /// The stores of all directories below one.
    fn load_below(&self, dir: &Arc<Inode>) -> Result<()> {
        self.load_stores(dir)?;
        let fh = self.opendir(dir.ino)?;
        let entries = self.readdir(fh, true);
        self.releasedir(fh);
        for entry in entries?.iter().filter(|entry| entry.kind == FileKind::Directory) {
            if entry.name == "." || entry.name == ".." {
                continue;
            }
            let found = {
                let _names = self.namespace.read();
                self.find(dir, &entry.name, false)
            };
            if let Ok((below, _)) = found {
                self.load_below(&below)?;
            }
        }
        Ok(())
    }

    /// Before the trees are changed: what will have to be done to records.
    pub(super) fn announce(&self, from: &End, to: &End, exchange: bool) -> Result<Option<Forsaken>> {
        for end in [from, to] {
            let stays = exchange || std::ptr::eq(end, from);
            if end.inode.as_ref().is_some_and(|inode| stays && inode.is_partial()) {
                return Err(Error::Busy("somebody began to write to it in this very moment; try again"));
            }
            if let Some(inode) = &end.inode {
                self.note_unnamed(inode, &end.path)?;
            }
            if let Some(id) = end.inode.as_ref().and_then(|inode| inode.sealed_id()) {
                self.note(&Record::Updating { id })?;
            }
        }
        match &to.inode {
            Some(lost) if !exchange && lost.kind != FileKind::Directory => {
                let links = to.layers.memory.or(to.layers.disk).map_or(0, |attr| attr.nlink);
                self.forsake(lost, &to.path, links == 1)
            }
            _ => Ok(None),
        }
    }

    /// After both trees were changed: the records follow. Hold the namespace lock for writing.
    pub(super) fn stores_follow(&self, from: &End, to: &End, exchange: bool, forsaken: Option<Forsaken>) -> Result<()> {
        if self.stores.is_none() {
            return Ok(());
        }
        let ends = if exchange { vec![(from, to), (to, from)] } else { vec![(from, to)] };
        let mut moved: Vec<(SealedId, Arc<Inode>)> = Vec::new();
        for (end, other) in ends {
            let Some(inode) = &end.inode else { continue };
            if inode.kind != FileKind::Directory {
                self.forget_kept(inode);
                moved.extend(inode.sealed_id().filter(|_| inode.is_sealed()).map(|id| (id, inode.clone())));
                continue;
            }
            let known = self.seals.by_id.iter().map(|entry| (*entry.key(), entry.value().clone()));
            let below: Vec<_> = known.filter(|(_, file)| file.is_sealed() && file.is_below(&other.path)).collect();
            moved.extend(below.into_iter().filter(|(id, _)| !self.store_is_below(*id, &other.path)));
        }
        // Of two that change names the older first: it keeps its own until the newer has let go of the other.
        moved.sort_unstable_by_key(|(id, _)| (id.store, id.record));
        moved.iter().try_for_each(|(_, file)| self.update_sealed(file))?;
        match (&to.inode, forsaken) {
            (Some(lost), what) => self.forsaken(lost, what),
            (None, _) => Ok(()),
        }
    }

    /// A sealed file is about to lose a name, and with `last` all of them: noted, so that a successor finishes it.
    pub(super) fn forsake(&self, inode: &Inode, name: &RelPath, last: bool) -> Result<Option<Forsaken>> {
        self.note_unnamed(inode, name)?;
        let Some(id) = inode.sealed_id() else { return Ok(None) };
        self.note(&if last { Record::Dropping { id } } else { Record::Updating { id } })?;
        Ok(Some(if last { Forsaken::Wholly(id) } else { Forsaken::PartOf }))
    }

    /// A store may get a record under this name just now, and nobody could tell a successor that it is of no use.
    fn note_unnamed(&self, inode: &Inode, path: &RelPath) -> Result<()> {
        let moving = inode.kind == FileKind::Directory || inode.content.read().delta.is_some();
        if self.stores.is_none() || !moving {
            return Ok(());
        }
        self.note(&Record::Unnamed { path: path.clone() })
    }

    /// The record holds a version that the file had. Without this a successor would know it by its name alone, and the
    /// file may get another.
    pub(super) fn note_older_version(&self, id: SealedId, before: &Attr) -> Result<()> {
        // No file has such a length: the record is never taken for what the file is now.
        let memory = Identity { size: u64::MAX, ..before.identity() };
        self.note(&Record::Sealed { memory, id, absent: false })?;
        self.note(&Record::Dirty { memory: before.ino })
    }

    /// The name is gone: the store follows. What is open is removed from it with the last handle.
    pub(super) fn forsaken(&self, inode: &Arc<Inode>, what: Option<Forsaken>) -> Result<()> {
        match what {
            Some(Forsaken::Wholly(id)) if inode.opens.lock().total == 0 => {
                inode.content.write().sealed = None;
                self.remove_deleted(id);
                Ok(())
            }
            Some(Forsaken::Wholly(id)) => {
                // Remembered until then, whatever becomes of the journal.
                self.seals.dropped.insert(id);
                Ok(())
            }
            Some(Forsaken::PartOf) if inode.is_sealed() => self.update_sealed(inode),
            _ => Ok(()),
        }
    }

    /// The stores of a directory let go of what has no name any more, because it is to be removed: files that somebody
    /// still has open come to memory. Commits and removals under way have ended, and none begins while the guard is held.
    pub(super) fn empty_stores_of(&self, dir: &RelPath) -> parking_lot::RwLockWriteGuard<'_, ()> {
        let nameless = || -> Vec<SealedId> {
            let stands = |id: &SealedId| {
                let at = self.stores.as_ref().and_then(|stores| stores.stored_at(*id));
                at.is_some_and(|at| at.store.split().is_some_and(|(base, _)| base == *dir))
            };
            let dropped: Vec<SealedId> = self.seals.dropped.iter().map(|id| *id).collect();
            dropped.into_iter().filter(stands).collect()
        };
        for inode in nameless().into_iter().filter_map(|id| self.sealed_inode(id)) {
            if let Err(e) = self.hold_in_memory(&inode) {
                tracing::warn!("a deleted file that is open keeps its store in {dir}: {e}");
            }
        }
        let in_place = self.seals.in_place.write();
        let unused: Vec<SealedId> =
            nameless().into_iter().filter(|id| self.sealed_inode(*id).is_none_or(|inode| !inode.is_absent())).collect();
        self.remove_given_up(&unused);
        if let Some(Err(e)) = self.stores.as_ref().map(|stores| stores.clear(dir)) {
            tracing::warn!("a store in {dir}, which is to be removed, stays: {e}");
        }
        in_place
    }

    /// A sealed file without a name, which somebody has open, is in memory alone from now on.
    fn hold_in_memory(&self, inode: &Arc<Inode>) -> std::result::Result<(), MoveError> {
        // As one that is read again and again: wholly.
        self.unseal(inode, false, Reason::Promoted)?;
        let _names = self.namespace.read();
        let record = inode.content.write().sealed.take();
        self.uncount_clean(inode);
        if let Some(sealed) = record {
            self.remove_sealed(sealed.id);
        }
        Ok(())
    }
}
