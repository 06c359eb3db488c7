//! Starting from what an earlier daemon left in memory.
//!
//! The mirror tree tells which files there are; the journal tells which of them are clean, what they shadow, and
//! whether a rename was under way. Nothing is copied here: a mount is ready as soon as the tree has been read.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::identity::Place;
use super::inode::{Dentry, Inode, Reason};
use super::journal::{Record, RenameIntent};
use super::remembered::{Remembered, SealedAs};
use super::sealed::Sealed;
use super::{Result, Vfs};
use crate::backend::zarr::SealedId;
use crate::backend::{Access, Time, Times, lease};
use crate::model::{Attr, FileKind, Identity, Name, RelPath, Tier, Timestamp};

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Files in memory.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Temporary files that were removed.
    pub swept: u64,
}

/// What recovery decides about one name in the mirror.
enum Verdict {
    /// Memory has what the disk does not; the name shadows this version.
    Dirty(Option<Identity>),
    /// The disk has it all, in this version.
    Clean(Identity),
    /// The disk has moved on without the copy.
    Outdated,
}

impl Vfs {
    /// Takes over the memory tier; called once, before anybody else knows the file system.
    pub(super) fn recover(&self, records: Vec<Record>) -> Result<Recovered> {
        let mut recovered = Recovered::default();
        if !self.read_only {
            recovered.swept += self.disk.tree().sweep_staging()? as u64;
        }
        let Some(memory) = &self.memory else { return Ok(recovered) };
        recovered.swept += memory.tree().sweep_staging()? as u64;
        let mut remembered = Remembered::read(records);
        let reshadow = remembered.rename.take().map(|intent| self.finish_rename(&intent)).transpose()?.flatten();
        let root = self.root.clone();
        self.recover_dir(&root, &RelPath::root(), &mut remembered, reshadow.as_ref(), &mut recovered)?;
        self.recover_records(&mut remembered)?;
        self.recover_waiting(&remembered);
        if let Some(journal) = &self.journal {
            journal.rewrite(|| self.live_records())?;
        }
        Ok(recovered)
    }

    /// Finishes a rename that had begun on disk; returns the intent if its ends must be looked at with care.
    fn finish_rename(&self, intent: &RenameIntent) -> Result<Option<RenameIntent>> {
        let disk = |path: &RelPath| -> Result<u64> { Ok(self.disk.tree().find(path)?.map_or(0, |attr| attr.ino)) };
        let (from, to) = (disk(&intent.from)?, disk(&intent.to)?);
        let begun = match intent.disk {
            (0, second) => intent.exchange && second != 0 && from == second,
            (first, _) => to == first,
        };
        if !begun {
            return Ok(None);
        }
        let memory = self.memory()?;
        let there = |path: &RelPath| -> Result<u64> { Ok(memory.tree().find(path)?.map_or(0, |attr| attr.ino)) };
        let waiting = match intent.memory {
            (0, second) => second != 0 && there(&intent.to)? == second,
            (first, _) => there(&intent.from)? == first,
        };
        if waiting {
            for path in [&intent.from, &intent.to] {
                if let Some((dir, _)) = path.split() {
                    memory.make_dirs(&dir)?;
                }
            }
            self.rename_mirror(intent)?;
            tracing::info!("finished the rename of {} to {} that was under way", intent.from, intent.to);
        }
        Ok(Some(intent.clone()))
    }

    fn recover_dir(
        &self,
        dir: &Arc<Inode>,
        path: &RelPath,
        remembered: &mut Remembered,
        renamed: Option<&RenameIntent>,
        recovered: &mut Recovered,
    ) -> Result<()> {
        let memory = self.memory()?;
        dir.mirrored.store(true, Ordering::Release);
        if let Some(stores) = &self.stores {
            let listed = stores.listing(path)?;
            remembered.entries.extend(listed.into_iter().map(|entry| (entry.id, entry)));
        }
        for entry in memory.tree().list(path)? {
            let below = path.join(&entry.name);
            if entry.kind != FileKind::Directory {
                self.recover_file(dir, &below, remembered, renamed, recovered)?;
                continue;
            }
            if !memory.holds_files(&below)? {
                memory.remove_dirs(&below)?;
                continue;
            }
            self.make_dir_again(&below)?;
            let attr = self.disk.tree().stat(&below)?;
            let inode = self.disk_inode(dir, &entry.name, &below, &attr, false);
            self.recover_dir(&inode, &below, remembered, renamed, recovered)?;
        }
        Ok(())
    }

    fn recover_file(
        &self,
        dir: &Arc<Inode>,
        path: &RelPath,
        remembered: &mut Remembered,
        renamed: Option<&RenameIntent>,
        recovered: &mut Recovered,
    ) -> Result<()> {
        let tree = self.memory()?.tree();
        let attr = tree.stat(path)?;
        let Some((_, name)) = path.split() else { return Ok(()) };
        if self.recover_sealed(dir, path, &attr, remembered)? {
            return Ok(());
        }
        let moved = renamed.is_some_and(|intent| [&intent.from, &intent.to].contains(&path));
        let verdict = self.judge(dir, path, &attr, remembered, moved)?;
        if matches!(verdict, Verdict::Outdated) {
            // Removing one name changes the inode by which the next would be judged: they go together.
            remembered.left.insert(attr.ino);
            // What a store has of it is older than what is on disk.
            remembered.dropping.extend(remembered.sealed.get(&attr.ino).map(|sealed| sealed.id));
            tree.unlink(path)?;
            return Ok(());
        }
        let inode = self.inodes.resident(attr.ino).unwrap_or_else(|| {
            recovered.files += 1;
            recovered.bytes += attr.size;
            self.recovered_inode(&attr)
        });
        if let Some(sealed) = remembered.sealed.get(&attr.ino) {
            let known = remembered.partial.get(&attr.ino);
            let entry = known.and_then(|_| remembered.entry_of(sealed.id, path));
            self.remember_sealed(&inode, entry.map_or(sealed.id, |entry| entry.id), attr.atime);
            if let Some(known) = known {
                self.recover_partial(&inode, entry, known, attr.size);
            }
        }
        inode.found.store(remembered.found.contains(&attr.ino), Ordering::Release);
        let is_unheld = || Ok(lease::is_unheld(&tree.open(path, Access::Read)?)?);
        self.recover_name(&inode, (dir, name), verdict, is_unheld, &attr)
    }

    /// Notes a name of a file in memory, and what is known of its home.
    fn recover_name(
        &self,
        inode: &Arc<Inode>,
        (dir, name): (&Arc<Inode>, &OsStr),
        verdict: Verdict,
        is_unheld: impl FnOnce() -> Result<bool>,
        attr: &Attr,
    ) -> Result<()> {
        match verdict {
            // Through a handle or mapping that outlived the daemon it can change, and nobody would tell us.
            // But for one that nobody opens to write.
            Verdict::Clean(over) if !inode.is_found() && !is_unheld()? => {
                inode.add_name(dir, name, Some(over));
                inode.dirty.store(true, Ordering::Release);
                inode.opens.lock().kernel_written = true;
            }
            Verdict::Clean(over) => {
                inode.add_name(dir, name, Some(over));
                self.count_clean(inode, attr.blocks * 512);
            }
            Verdict::Dirty(over) => {
                inode.add_name(dir, name, over);
                inode.dirty.store(true, Ordering::Release);
                self.uncount_clean(inode);
            }
            Verdict::Outdated => {}
        }
        self.inodes.census.recount(inode);
        Ok(())
    }

    /// Takes over a file of which a store holds the newest version; `false` if it is not one.
    fn recover_sealed(
        &self,
        dir: &Arc<Inode>,
        path: &RelPath,
        attr: &Attr,
        remembered: &mut Remembered,
    ) -> Result<bool> {
        let Some(sealed) = remembered.sealed.get(&attr.ino).filter(|sealed| sealed.current).copied() else {
            return Ok(false);
        };
        let Some((_, name)) = path.split() else { return Ok(false) };
        let over = self.shadowed(dir, path, attr, remembered)?;
        // One of which nothing was written is as good as absent.
        let absent = sealed.absent || (remembered.partial.contains_key(&attr.ino) && sealed.memory == attr.identity());
        let sealed = SealedAs { absent, ..sealed };
        if !sealed.absent && sealed.memory != attr.identity() {
            if let Some(known) = remembered.sealed.get_mut(&attr.ino) {
                known.current = false;
            }
            return Ok(false);
        }
        if let Some(known) = self.inodes.resident(attr.ino) {
            known.add_name(dir, name, over);
            return self.finish_seal(&known, dir, name, over, attr).map(|()| true);
        }
        let tree = self.memory()?.tree();
        let Some(entry) = remembered.entries.get(&sealed.id) else {
            if sealed.absent {
                tracing::warn!("{path}: its store is gone, and so is the file");
                tree.unlink(path)?;
            }
            return Ok(sealed.absent);
        };
        let inode = self.recovered_inode(attr);
        inode.add_name(dir, name, over);
        inode.seal_is_current.store(true, Ordering::Release);
        self.remember_sealed(&inode, sealed.id, entry.atime);
        if sealed.absent {
            // The daemon may have been killed while it gave the pages back.
            let object = tree.open(path, Access::Write)?;
            object.set_size(entry.size)?;
            self.empty(&object, entry.size);
            object.set_times(Times { atime: Time::At(entry.atime), mtime: Time::At(entry.mtime) })?;
            inode.absent.store(true, Ordering::Release);
            self.inodes.census.recount(&inode);
        } else {
            self.count_clean(&inode, attr.blocks * 512);
        }
        self.finish_seal(&inode, dir, name, over, attr).map(|()| true)
    }

    /// The disk file that the name of a sealed one hides: known to the journal, or a copy that had just been given its
    /// place when the daemon was killed.
    fn shadowed(&self, dir: &Inode, path: &RelPath, attr: &Attr, remembered: &Remembered) -> Result<Option<Identity>> {
        if let Some((_, dev, ino)) = remembered.publishing.get(&attr.ino)
            && let Some(disk) = self.disk.tree().find(path)?.filter(|disk| (disk.dev, disk.ino) == (*dev, *ino))
        {
            return Ok(Some(disk.identity()));
        }
        let name = path.split().map(|(_, name)| name.to_owned()).unwrap_or_default();
        Ok(remembered.over.get(&(attr.ino, dir.place().ino, name)).copied().flatten())
    }

    /// The plain file that was sealed may still be there: its stub came before it was to go.
    fn finish_seal(
        &self,
        inode: &Inode,
        dir: &Arc<Inode>,
        name: &Name,
        over: Option<Identity>,
        attr: &Attr,
    ) -> Result<()> {
        if over.is_none() {
            return Ok(());
        }
        self.remove_plain_copy(inode, &Dentry { parent: dir.clone(), name: name.to_owned().into(), over }, attr.ino)
    }

    fn remember_sealed(&self, inode: &Arc<Inode>, id: SealedId, atime: Timestamp) {
        inode.content.write().sealed = Some(Sealed::new(id, atime));
        self.seals.by_id.insert(id, inode.clone());
    }

    /// Plain files that were to be sealed, where they still lie.
    fn recover_waiting(&self, remembered: &Remembered) {
        for (path, ino) in &remembered.waiting {
            if let Ok((inode, _)) = self.walk(path)
                && inode.place() == (Place { tier: Tier::Disk, dev: self.root.place().dev, ino: *ino })
            {
                // It was written through a mount: noted only then.
                inode.found.store(false, Ordering::Release);
                self.remember_made(&inode);
                if self.wants_seal(&inode) {
                    self.seals.waiting.insert(inode.ino, inode);
                }
            }
        }
    }

    fn recovered_inode(&self, attr: &Attr) -> Arc<Inode> {
        let place = Place::of(Tier::Memory, attr);
        let ino = self.identities.ino(place);
        let inode = self.inodes.get_or_insert(ino, false, || Inode::new(ino, attr.kind, place, Reason::Recovered));
        let now = self.now();
        for at in [&inode.dirty_since, &inode.changed, &inode.used] {
            at.store(now, Ordering::Relaxed);
        }
        // Whatever was open or mapped through the kernel may still be.
        inode.opens.lock().maybe_mapped = true;
        self.inodes.settle(attr.ino, inode.clone(), attr.size);
        inode
    }

    fn judge(
        &self,
        dir: &Inode,
        path: &RelPath,
        attr: &Attr,
        remembered: &mut Remembered,
        moved: bool,
    ) -> Result<Verdict> {
        let disk = self.disk.tree().find(path)?.map(|disk| disk.identity());
        let name = path.split().map(|(_, name)| name.to_owned()).unwrap_or_default();
        let over = remembered.over.get(&(attr.ino, dir.place().ino, name)).copied().flatten();
        let unchanged = remembered.clean.get(&attr.ino) == Some(&attr.identity());
        if remembered.left.contains(&attr.ino) {
            return Ok(Verdict::Outdated);
        }
        // Whether a clean file's several names still belong together is easier seen on disk, which has all of it.
        if unchanged && attr.nlink > 1 {
            return Ok(Verdict::Outdated);
        }
        // A copy of this file that was renamed into place just before the daemon was killed.
        if let Some((version, dev, ino)) = remembered.publishing.get(&attr.ino)
            && let Some(disk) = disk.filter(|disk| (disk.dev, disk.ino) == (*dev, *ino))
            && over.is_none_or(|over| over.ino != *ino)
        {
            return Ok(if *version == attr.identity() { Verdict::Clean(disk) } else { Verdict::Dirty(Some(disk)) });
        }
        Ok(match (over, disk) {
            (Some(over), Some(disk)) if over == disk && unchanged => Verdict::Clean(disk),
            (Some(over), Some(disk)) if !unchanged && over.is_same_version(&disk) => Verdict::Dirty(Some(disk)),
            // A rename moves the ctime of the disk file, and that of the copy.
            (_, Some(disk)) if moved => Verdict::Dirty(Some(disk)),
            (Some(_), _) if unchanged => Verdict::Outdated,
            (over, _) => Verdict::Dirty(over),
        })
    }
}
