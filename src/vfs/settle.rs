//! Files that come to rest: which home they go to, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::frozen::can_freeze;
use super::inode::{Inode, Reason};
use super::journal::Record;
use super::open::wait_for_writers;
use super::{Error, Goal, MoveError, OWN_DIR, Progress, Result, Vfs};
use crate::backend::zarr::Within;
use crate::model::{FileKind, RelPath, Tier};

/// Files that are sealed together.
const BATCH: usize = 64;
/// However often a writer comes back, a file is sealed after this much rest.
const REST_MOST: Duration = Duration::from_secs(3600);
/// Writing a file of so many bytes twice is worth a moment's wait.
const LARGE: u64 = 8 << 20;
/// What is part of the name of every store.
pub(super) const STORE_SUFFIX: &[u8] = b".ome.zarr";

type Moved = std::result::Result<(), MoveError>;

/// Which way a file goes home.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A store has it: its pages are dropped.
    Drop,
    /// Into a store.
    Seal,
    /// To disk.
    Disk,
}

impl Vfs {
    /// Brings files home, each to where its rule says: into a store, or to disk. With [`Goal::Home`] they leave
    /// memory. What cannot be sealed goes to disk as it is.
    pub(super) fn send_home(&self, inodes: &[Arc<Inode>], goal: Goal, reason: Reason, wait: bool) -> Vec<Moved> {
        if self.stores.is_none() {
            return self.depart_batch(inodes, goal, reason, wait);
        }
        let in_need = goal == Goal::Home && !wait;
        let ways: Vec<Way> = inodes.iter().map(|inode| self.way_home(inode, in_need, reason)).collect();
        let mut results: Vec<Option<Moved>> = inodes.iter().map(|_| None).collect();
        for way in [Way::Drop, Way::Seal, Way::Disk] {
            // What could not go another way goes to disk.
            let chosen: Vec<usize> = (0..inodes.len())
                .filter(|&n| match (&results[n], way) {
                    (None, _) => ways[n] == way,
                    (Some(Err(e)), Way::Disk) => ways[n] == Way::Seal && !matches!(e, MoveError::NotThere),
                    _ => false,
                })
                .collect();
            let files: Vec<Arc<Inode>> = chosen.iter().map(|&n| inodes[n].clone()).collect();
            let done = match way {
                Way::Drop => files.iter().map(|inode| self.drop_copy_of_sealed(inode, goal, wait)).collect(),
                Way::Seal if files.is_empty() => Vec::new(),
                Way::Seal => self.seal_batch(&files, goal, reason, wait),
                Way::Disk if files.is_empty() => Vec::new(),
                Way::Disk => self.depart_batch(&files, goal, reason, wait),
            };
            for (n, result) in chosen.into_iter().zip(done) {
                results[n] = Some(result);
            }
        }
        results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
    }

    /// Where `in_need` of its memory, a file that the disk has too just leaves: it can be sealed from there.
    fn way_home(&self, inode: &Inode, in_need: bool, reason: Reason) -> Way {
        if self.is_large_image_to_be(inode) {
            wait_for_writers(inode);
        }
        let _names = self.namespace.read();
        if inode.is_sealed() && !inode.is_dirty() {
            Way::Drop
        } else if in_need && !inode.is_dirty() {
            Way::Disk
        } else if self.wants_seal(inode) && self.may_be_sealed_now(inode, reason) {
            Way::Seal
        } else {
            Way::Disk
        }
    }

    /// Whether nobody writes to a file, or that does not matter.
    fn may_be_sealed_now(&self, inode: &Inode, reason: Reason) -> bool {
        let opens = inode.opens.lock();
        opens.writers == 0 || (reason == Reason::Rule && can_freeze(inode, &opens))
    }

    /// Whether a file would be sealed, and writing it to disk as it is would be dear.
    fn is_large_image_to_be(&self, inode: &Inode) -> bool {
        let _names = self.namespace.read();
        let large = self.attr(inode).is_ok_and(|attr| attr.size >= LARGE);
        large && self.wants_seal(inode)
    }

    fn drop_copy_of_sealed(&self, inode: &Arc<Inode>, goal: Goal, wait: bool) -> Moved {
        if goal == Goal::Clean {
            return Ok(());
        }
        let _moving = match wait {
            true => inode.moving.lock(),
            false => inode.moving.try_lock().ok_or(MoveError::Held)?,
        };
        self.drop_pages(inode)
    }

    /// Seals what has rested long enough; returns how many files were sealed.
    pub fn seal_rested(&self) -> usize {
        if self.stores.is_none() || self.memory.is_none() {
            return 0;
        }
        let now = self.now();
        let mut due: Vec<Arc<Inode>> = self.inodes.residents();
        due.extend(self.seals.waiting.iter().map(|entry| entry.value().clone()));
        let least = self.router.least_rest();
        due.retain(|inode| !inode.is_absent() && rest_of(inode, now) >= least && self.is_rested(inode, now));
        self.images_first(&mut due, |inode| inode);
        let mut sealed = 0;
        for batch in due.chunks(BATCH) {
            let results = self.seal_batch(batch, Goal::Clean, Reason::Sealed, false);
            sealed += results.iter().filter(|result| result.is_ok()).count();
            self.stop_waiting(batch);
        }
        if let Some(stores) = &self.stores
            && let Err(e) = {
                let _in_place = self.seals.in_place.read();
                stores.tidy()
            }
        {
            tracing::warn!("a store could not be put in order yet: {e}");
        }
        sealed
    }

    fn is_rested(&self, inode: &Inode, now: u64) -> bool {
        let _names = self.namespace.read();
        if inode.opens.lock().total > 0 || !self.wants_seal(inode) {
            return false;
        }
        let Some(path) = inode.path() else { return false };
        let gap = Duration::from_millis(inode.writer_gap.load(Ordering::Relaxed));
        let rest = self.router.decide(&path).settle.max((gap * 4).min(REST_MOST));
        rest_of(inode, now) >= rest
    }

    /// Seals everything at and below `under` that waits on disk for it. `true` entries failed for want of room.
    pub(super) fn seal_waiting(&self, under: &RelPath) {
        self.seal_crossed(&AtomicBool::new(false));
        let mut due: Vec<Arc<Inode>> = self
            .seals
            .waiting
            .iter()
            .map(|entry| entry.value().clone())
            .filter(|inode| {
                let _names = self.namespace.read();
                inode.is_below(under) && self.wants_seal(inode) && inode.opens.lock().writers == 0
            })
            .collect();
        self.images_first(&mut due, |inode| inode);
        for batch in due.chunks(BATCH) {
            for (inode, result) in batch.iter().zip(self.seal_batch(batch, Goal::Clean, Reason::Sealed, true)) {
                if let Err(e) = result {
                    tracing::debug!("inode {} stays plain: {e}", inode.ino);
                }
            }
            self.stop_waiting(batch);
        }
    }

    /// Files that were sealed, or cannot be, wait no longer.
    fn stop_waiting(&self, batch: &[Arc<Inode>]) {
        for inode in batch {
            let over = {
                let _names = self.namespace.read();
                inode.is_sealed() || inode.path().is_none() || self.is_refused(inode)
            };
            if over {
                self.seals.waiting.remove(&inode.ino);
            }
        }
    }

    /// Somebody is about to write to a file that was changed before.
    pub(super) fn note_writer(&self, inode: &Inode) {
        let changed = inode.changed.load(Ordering::Relaxed);
        if changed > 0 {
            inode.writer_gap.store(self.now().saturating_sub(changed), Ordering::Relaxed);
        }
    }

    /// A handle was closed. What was written on disk may have to be sealed later; what was deleted while it was open
    /// can be removed from its store.
    pub(super) fn rest(&self, inode: &Arc<Inode>, wrote: bool) {
        if self.stores.is_none() || inode.opens.lock().total > 0 {
            return;
        }
        let deleted = inode.content.read().gone.is_some();
        if deleted {
            let id = inode.content.write().sealed.take().map(|sealed| sealed.id);
            if let Some(id) = id {
                // No directory is renamed under the removal: what is written to its store would make the old one again.
                let _names = self.namespace.read();
                self.remove_deleted(id);
            }
        } else if wrote && inode.place().tier == Tier::Disk {
            inode.changed.store(self.now(), Ordering::Relaxed);
            self.wait_on_disk(inode);
        }
    }

    /// As [`Vfs::wait_on_disk`], for a file that may be there or anywhere.
    pub(super) fn wait_on_disk_if_there(&self, inode: &Arc<Inode>) {
        if self.stores.is_some() && inode.place().tier == Tier::Disk {
            self.wait_on_disk(inode);
        }
    }

    /// A file that lies on disk is to be sealed when it has come to rest, if its rule says so.
    pub(super) fn wait_on_disk(&self, inode: &Arc<Inode>) {
        let _names = self.namespace.read();
        self.remember_made(inode);
        if !self.wants_seal(inode) || self.seals.waiting.insert(inode.ino, inode.clone()).is_some() {
            return;
        }
        let noted = inode.path().map(|path| self.note(&Record::Waiting { path, ino: inode.place().ino }));
        if let Some(Err(e)) = noted {
            tracing::error!("cannot write the memory tier's journal: {e}");
        }
    }

    /// Found files whose rule adopts them wait to be sealed, as if they had just been written. `stop` ends the walk.
    pub fn adopt(&self, stop: &AtomicBool) {
        if self.stores.is_none() || self.read_only || !self.router.rules().any(|(_, rule)| rule.adopt) {
            return;
        }
        self.adopt_below(&RelPath::root(), stop);
    }

    /// As [`Vfs::adopt`], at and below a directory, together with what was written through this mount.
    pub(super) fn adopt_below(&self, under: &RelPath, stop: &AtomicBool) {
        let mut dirs = vec![under.clone()];
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = self.disk.tree().list(&dir) else { continue };
            for entry in entries {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let path = dir.join(&entry.name);
                match entry.kind {
                    FileKind::Directory if dir.is_root() && entry.name == OWN_DIR => {}
                    FileKind::Directory if self.standing_in_store(&path) == Within::Store => {}
                    FileKind::Directory => dirs.push(path),
                    FileKind::Regular => self.adopt_file(&path),
                    _ => {}
                }
            }
        }
    }

    fn adopt_file(&self, path: &RelPath) {
        let decision = self.decide(path);
        let made = || self.disk.tree().stat(path).is_ok_and(|attr| self.datasets.is_made(&attr));
        if decision.home != Tier::Zarr || !(self.router.rule(decision.rule).adopt || made()) {
            return;
        }
        let found = {
            let _names = self.namespace.read();
            self.walk(path)
        };
        if let Ok((inode, _)) = found
            && inode.place().tier == Tier::Disk
        {
            inode.changed.store(self.now(), Ordering::Relaxed);
            self.wait_on_disk(&inode);
        }
    }

    /// Makes everything sealed at and below `under` plain files again, which stay so for the rest of the mount.
    /// Returns the files for which that failed.
    pub fn unseal_below(
        &self,
        under: &RelPath,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Vec<(RelPath, MoveError)>> {
        self.seals.plain.write().push(under.clone());
        let mut failed = Vec::new();
        let mut done = Progress::default();
        let sealed: Vec<RelPath> = self.files_below(under)?;
        done.of_files = sealed.len() as u64;
        for path in sealed {
            done.current = Some(path.clone());
            progress(&done);
            let (inode, attr) = {
                let _names = self.namespace.read();
                self.walk(&path)?
            };
            done.of_bytes += attr.size;
            if inode.is_sealed()
                && let Err(e) = self.depart(&inode, Goal::Home, Reason::Migrated)
            {
                failed.push((path, e));
            }
            done.files += 1;
            done.bytes += attr.size;
        }
        done.current = None;
        progress(&done);
        Ok(failed)
    }

    /// What is ours in a store is read-only for programs.
    pub(super) fn check_not_in_store(&self, inode: &Inode) -> Result<()> {
        if self.stores.is_none() {
            return Ok(());
        }
        let _names = self.namespace.read();
        inode.path().map_or(Ok(()), |path| self.check_outside_stores(&path))
    }

    /// As [`Vfs::check_not_in_store`], for a path.
    pub(super) fn check_outside_stores(&self, path: &RelPath) -> Result<()> {
        match self.within_store(path) {
            Within::Outside | Within::Foreign => Ok(()),
            Within::Store | Within::Ours => Err(Error::ReadOnly),
        }
    }

    /// Whether a directory is one of our stores, which listings leave out.
    pub(super) fn is_hidden(&self, path: &RelPath, kind: FileKind) -> bool {
        kind == FileKind::Directory && !self.show_stores && self.within_store(path) == Within::Store
    }

    /// Whether a file is somebody else's in one of our stores: it goes to disk at once, where commits look at what others
    /// noted.
    pub(super) fn is_in_store(&self, path: &RelPath) -> bool {
        self.within_store(path) != Within::Outside
    }

    /// As [`Vfs::within_store`], by who does not hold the namespace lock: a store whose directory is renamed meanwhile
    /// would be taken for one that was removed.
    pub(super) fn standing_in_store(&self, path: &RelPath) -> Within {
        let _in_place = self.seals.in_place.read();
        self.within_store(path)
    }

    /// Where a path stands. Hold the namespace lock.
    pub(super) fn within_store(&self, path: &RelPath) -> Within {
        match &self.stores {
            // Most paths are told apart by a glance.
            Some(stores) if path.as_bytes().windows(STORE_SUFFIX.len()).any(|part| part == STORE_SUFFIX) => {
                stores.within(path)
            }
            _ => Within::Outside,
        }
    }
}

/// How long nobody has changed or opened a file.
fn rest_of(inode: &Inode, now: u64) -> Duration {
    let since = inode.changed.load(Ordering::Relaxed).max(inode.used.load(Ordering::Relaxed));
    Duration::from_millis(now.saturating_sub(since))
}
