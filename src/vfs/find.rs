//! Which files are in a tier or state, how large, how old, under which rule: answered from what is known of each tier,
//! not from the tree.
//!
//! | asked for | looked through |
//! | --- | --- |
//! | memory, dirty or clean | the census: the inodes in that state, and no others; or, for some paths out of many files, the mirror tree there |
//! | zarr | the tables of the stores |
//! | disk | the directories at and below the paths that were asked for |
//!
//! Whatever is found is looked at once more before it is told: the answer holds what was so at that moment.

mod plain;
mod query;
mod sieve;

use std::collections::HashSet;
use std::sync::Arc;

pub use query::{Found, FoundAll, Query, Sort};

use super::census::Heading;
use super::inode::Inode;
use super::{Result, Vfs};
use crate::backend::zarr::{SealedFile, StoreTotal};
use crate::model::{Attr, FileKind, RelPath, State, Tier};
use sieve::Sieve;

/// More files than this in one state are not gone through for those in a few directories.
const MANY: u64 = 4096;

impl Vfs {
    /// Hands the files that `query` asks for to `tell`, some at a time. With a limit they come in the order that was
    /// asked for; without one in no order, so that nothing has to be kept here.
    ///
    /// # Errors
    /// A path that does not exist.
    pub fn find_files(&self, query: &Query, tell: &mut dyn FnMut(Vec<Found>)) -> Result<FoundAll> {
        for path in &query.under {
            self.load_stores_to(path)?;
            let _names = self.namespace.read();
            self.walk(path)?;
        }
        let query = &query.without_repeats();
        let mut sieve = Sieve::new(query, &self.router, tell);
        let headings = [(Heading::Dirty, State::Dirty), (Heading::Clean, State::Clean)];
        let wanted = headings.into_iter().filter(|(_, state)| query.wants(Tier::Memory, *state));
        let (few, many): (Vec<_>, Vec<_>) = wanted
            .map(|(heading, _)| heading)
            .partition(|heading| query.under.is_empty() || self.inodes.census.sum(*heading).files < MANY);
        few.into_iter().for_each(|heading| self.find_in_memory(heading, &mut sieve));
        if !many.is_empty() {
            self.find_in_mirror(&many, &mut sieve);
        }
        let sealed = query.wants(Tier::Zarr, State::Sealed);
        if let Some(stores) = self.stores.as_ref().filter(|_| sealed) {
            stores.visit_sealed(&query.under, &mut |file| {
                self.find_sealed(file, &mut sieve);
                !sieve.is_full()
            });
        }
        if query.wants(Tier::Disk, State::Clean) {
            self.find_on_disk(query, &mut sieve);
        }
        Ok(FoundAll { complete: !sealed || self.has_counted(), ..sieve.finish() })
    }

    /// The stores that are known, each with what it holds; and whether these are all.
    pub fn find_stores(&self) -> (Vec<StoreTotal>, bool) {
        (self.stores.as_ref().map(|stores| stores.totals()).unwrap_or_default(), self.has_counted())
    }

    fn find_in_memory(&self, heading: Heading, sieve: &mut Sieve<'_>) {
        for ino in self.inodes.census.inodes(heading) {
            if sieve.is_full() {
                return;
            }
            let Some(inode) = self.inodes.get(ino) else { continue };
            // By what is counted, so that those which cannot be asked for cost no look at the file.
            if sieve.takes_size(inode.length()) {
                let _names = self.namespace.read();
                self.describe(&inode, sieve);
            }
        }
    }

    /// As [`Vfs::find_in_memory`], where so many files are in a state that it is quicker to look in the directories that
    /// were asked for.
    fn find_in_mirror(&self, headings: &[Heading], sieve: &mut Sieve<'_>) {
        let Some(memory) = &self.memory else { return };
        let mut linked = HashSet::new();
        let mut take = |ino: u64, sieve: &mut Sieve<'_>| {
            let Some(inode) = self.inodes.resident(ino).filter(|inode| headings.contains(&inode.heading())) else {
                return;
            };
            let _names = self.namespace.read();
            // One with several names is met under each of them.
            let again = inode.names.read().len() > 1 && !linked.insert(inode.ino);
            if !again && sieve.takes_size(inode.length()) {
                self.describe(&inode, sieve);
            }
        };
        let mut dirs = sieve.under().to_vec();
        while let Some(dir) = dirs.pop().filter(|_| !sieve.is_full()) {
            match memory.tree().find(&dir) {
                Ok(Some(attr)) if attr.kind == FileKind::Directory => {}
                Ok(Some(attr)) => {
                    take(attr.ino, sieve);
                    continue;
                }
                _ => continue,
            }
            for entry in memory.tree().list(&dir).unwrap_or_default() {
                match entry.kind {
                    FileKind::Directory => dirs.push(dir.join(&entry.name)),
                    _ => take(entry.ino, sieve),
                }
            }
        }
    }

    /// Tells of a file in memory or in a store, if it still is where it was found. Hold the namespace lock.
    fn describe(&self, inode: &Arc<Inode>, sieve: &mut Sieve<'_>) {
        let names = inode.names.read().clone();
        for dentry in &names {
            let Some(path) = dentry.parent.path().map(|dir| dir.join(&dentry.name)) else { continue };
            if !sieve.takes_path(&path) {
                continue;
            }
            // What is clean may have been changed behind the mount's back: that comes out when it is looked up.
            let attr = match inode.is_dirty() {
                true => self.attr(inode).ok(),
                false => self
                    .find(&dentry.parent, &dentry.name, false)
                    .ok()
                    .filter(|(same, _)| same.ino == inode.ino)
                    .map(|(_, attr)| attr),
            };
            let Some(attr) = attr else { continue };
            sieve
                .take(Found { stored_bytes: attr.blocks * 512, ..found(path, inode.tier(), self.state(inode), &attr) });
            return;
        }
    }

    fn find_sealed(&self, file: SealedFile, sieve: &mut Sieve<'_>) {
        if !sieve.takes_size(file.size) || self.seals.dropped.contains(&file.id) {
            return;
        }
        let _names = self.namespace.read();
        if let Some(inode) = self.sealed_inode(file.id) {
            // One with a copy in memory was found there.
            if inode.is_absent() {
                self.describe_sealed(&inode, file, sieve);
            }
            return;
        }
        // Nobody has looked there yet. A plain file of that name is newer.
        let hidden = |found: std::io::Result<Option<Attr>>| !matches!(found, Ok(None));
        if !sieve.takes_path(&file.name)
            || hidden(self.disk.tree().find(&file.name))
            || self.memory.as_ref().is_some_and(|memory| hidden(memory.tree().find(&file.name)))
        {
            return;
        }
        sieve.take(Found {
            path: file.name,
            tier: Tier::Zarr,
            state: State::Sealed,
            size: file.size,
            stored_bytes: file.stored_bytes,
            mtime: file.mtime,
        });
    }

    fn describe_sealed(&self, inode: &Inode, file: SealedFile, sieve: &mut Sieve<'_>) {
        let Some(path) = inode.paths().into_iter().find(|path| sieve.takes_path(path)) else { return };
        let Ok(attr) = self.attr(inode) else { return };
        let stored_bytes = file.stored_bytes;
        sieve.take(Found { stored_bytes, ..found(path, inode.tier(), self.state(inode), &attr) });
    }
}

fn found(path: RelPath, tier: Tier, state: State, attr: &Attr) -> Found {
    Found { path, tier, state, size: attr.size, stored_bytes: 0, mtime: attr.mtime }
}
