//! After a kill: records of stores and files of the memory tier are brought together again.
//!
//! A store changes by steps of its own: a record is committed before the journal tells of it, a record that was replaced
//! in another page or store goes after the new one has come, a name is changed in the trees before it is in the store.
//! Whichever step was the last, each file ends with the one record that is its own, and no record is left without a file.

use std::sync::Arc;

use super::inode::Inode;
use super::remembered::Remembered;
use super::{Result, Vfs};
use crate::backend::zarr::{SealedEntry, SealedId};
use crate::config::Originals;
use crate::model::RelPath;

/// What becomes of a record of which the journal does not tell.
enum Fate {
    /// It is a version of this file.
    Of(Arc<Inode>),
    /// Nobody needs it.
    Unneeded,
    /// Whoever reads the store makes a file of it.
    Listed,
}

impl Vfs {
    /// Finishes what was under way between the trees and the stores. The mirror has been taken over.
    pub(super) fn recover_records(&self, remembered: &mut Remembered) -> Result<()> {
        self.read_stores_of_lost_names(remembered)?;
        for id in remembered.dropping.iter().filter(|id| self.sealed_inode(**id).is_none()) {
            if remembered.entries.contains_key(id) {
                self.remove_sealed(*id);
            } else {
                // Its store has not been read yet: it goes when that is.
                self.seals.dropped.insert(*id);
            }
        }
        self.recover_names(remembered);
        self.recover_committed(remembered)
    }

    /// A record under a name that was lost while it was made may be in a store beside which nothing is in memory, so
    /// that it has not been read with the mirror.
    fn read_stores_of_lost_names(&self, remembered: &mut Remembered) -> Result<()> {
        let Some(stores) = &self.stores else { return Ok(()) };
        for name in &remembered.unnamed {
            let mut above = name.split().map(|(dir, _)| dir);
            while let Some(dir) = above {
                let listed = stores.listing(&dir)?;
                remembered.entries.extend(listed.into_iter().map(|entry| (entry.id, entry)));
                above = dir.split().map(|(dir, _)| dir);
            }
        }
        Ok(())
    }

    /// Records whose names or attributes had not followed their files yet.
    fn recover_names(&self, remembered: &Remembered) {
        for (id, entry) in in_order(remembered) {
            let Some(inode) = self.sealed_inode(*id).filter(|inode| inode.is_sealed()) else { continue };
            let follows = !remembered.updating.contains(id) && is_same_set(&entry.names, &inode.paths());
            if !follows && let Err(e) = self.update_sealed(&inode) {
                tracing::error!("a store's table could not follow a change of names: {e}");
            }
        }
    }

    /// Records of which the journal does not know yet: their files were sealed when the daemon was killed, and are where
    /// they were. What becomes of the files becomes of the records too.
    fn recover_committed(&self, remembered: &Remembered) -> Result<()> {
        for (id, entry) in in_order(remembered) {
            if self.sealed_inode(*id).is_some() || remembered.dropping.contains(id) {
                continue;
            }
            match self.fate(entry, remembered)? {
                Fate::Of(inode) => self.join(&inode, *id, entry, remembered),
                Fate::Unneeded => self.remove_sealed(*id),
                Fate::Listed => {}
            }
        }
        Ok(())
    }

    fn fate(&self, entry: &SealedEntry, remembered: &Remembered) -> Result<Fate> {
        let memory = self.memory()?.tree();
        let mut is_unneeded = !self.read_only;
        for path in &entry.names {
            if self.originals(path) == Originals::Keep {
                return Ok(Fate::Listed);
            }
            if let Some(attr) = memory.find(path)? {
                return Ok(self.inodes.resident(attr.ino).map_or(Fate::Listed, Fate::Of));
            }
            is_unneeded &= self.is_lost(path, entry, remembered)?;
        }
        Ok(if is_unneeded { Fate::Unneeded } else { Fate::Listed })
    }

    /// Whether the file of a record lost this name while it was sealed, to nobody or to a plain file on disk.
    fn is_lost(&self, path: &RelPath, entry: &SealedEntry, remembered: &Remembered) -> Result<bool> {
        if !remembered.unnamed.iter().any(|name| path.starts_with(name)) {
            return Ok(false);
        }
        let found = entry.found.map(|found| (found.dev, found.ino));
        Ok(self.disk.tree().find(path)?.is_none_or(|disk| Some((disk.dev, disk.ino)) != found))
    }

    /// A file in memory and a record under its name. The file may have another record, which the new one was about to
    /// replace, or which replaced the new one: a file that has changed since is content with the newer.
    fn join(&self, inode: &Arc<Inode>, id: SealedId, entry: &SealedEntry, remembered: &Remembered) {
        let known = inode.sealed_id().filter(|known| remembered.entries.contains_key(known));
        if known.is_some() && inode.is_sealed() {
            return self.remove_sealed(id);
        }
        // What is only there of a file that is partly in memory is the same in both.
        self.replace_record(inode, id, entry.atime);
        if let Some(older) = known {
            self.remove_sealed(older);
        }
    }
}

/// All records that were read; those of one store in the order in which they were made.
fn in_order(remembered: &Remembered) -> Vec<(&SealedId, &SealedEntry)> {
    let mut all: Vec<_> = remembered.entries.iter().collect();
    all.sort_unstable_by_key(|(id, _)| (id.store, id.record));
    all
}

fn is_same_set(one: &[RelPath], other: &[RelPath]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.contains(name))
}
