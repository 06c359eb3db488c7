//! What the file system tells about itself.

use std::ffi::OsStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::census::Heading;
use super::inode::{Inode, Reason};
use super::journal::Record;
use super::{DatasetView, Error, MoveError, Result, Vfs};
use crate::backend::zarr::{SealedId, StoreFigures, StoredAt};
use crate::model::{Attr, Identity, RelPath, State, Tier};

/// Failures kept for `status`; older ones make room.
const FAILURES: usize = 100;

/// A file that could not be brought home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it is in the tree.
    pub path: RelPath,
    /// What went wrong.
    pub cause: String,
    /// The inode, to take the entry back when it is mended.
    pub ino: u64,
}

/// Figures for `status`.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Files in memory.
    pub memory_files: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Files known on disk, and their bytes.
    pub disk_files: u64,
    /// See `disk_files`.
    pub disk_bytes: u64,
    /// Whether the disk's figures cover the whole tree.
    pub disk_complete: bool,
    /// Files that only memory has in full.
    pub dirty_files: u64,
    /// Their bytes.
    pub dirty_bytes: u64,
    /// Files in memory that are pinned there.
    pub pinned_files: u64,
    /// Their bytes.
    pub pinned_bytes: u64,
    /// Age of the oldest change that the home does not have.
    pub oldest_dirty: Option<Duration>,
    /// Open file handles.
    pub open_handles: u64,
    /// Files brought home since the mount began.
    pub materialized_files: u64,
    /// Their bytes.
    pub materialized_bytes: u64,
    /// Attempts to bring a file home that failed.
    pub failed: u64,
    /// Files brought up into memory.
    pub promoted_files: u64,
    /// Inodes known.
    pub inodes: u64,
    /// What could not be brought home and has not been mended since.
    pub failures: Vec<Failure>,
    /// Files that stand beside what somebody else wrote meanwhile.
    pub conflicts: Vec<RelPath>,
    /// The home has no room for more.
    pub home_full: bool,
    /// What the known stores hold.
    pub stores: StoreFigures,
    /// Files sealed since the mount began.
    pub sealed_files: u64,
    /// Their bytes.
    pub sealed_bytes: u64,
    /// Files that could not be held as chunks.
    pub refused: u64,
}

/// All there is to say about one file.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Where its bytes are.
    pub tier: Tier,
    /// Whether the home has them.
    pub state: State,
    /// The rule that decided, as it is called.
    pub rule: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Attributes, as the mount shows them.
    pub attr: Attr,
    /// Where the bytes can be found, relative to the workspace or to the tmpfs.
    pub stored_at: RelPath,
    /// Allocated bytes.
    pub stored_size: u64,
    /// The store that has this version of it, if one has.
    pub store: Option<StoredAt>,
    /// The dataset that a file counts to, and what its size means for the file.
    pub dataset: Option<(DatasetView, &'static str)>,
}

impl Vfs {
    /// Figures as they are now.
    pub fn figures(&self) -> Figures {
        let census = &self.inodes.census;
        let pinned = self.pinned();
        let (clean, dirty) = (census.sum(Heading::Clean), census.sum(Heading::Dirty));
        Figures {
            open_handles: self.handles.count() as u64,
            materialized_files: self.counters.materialized_files.load(Ordering::Relaxed),
            materialized_bytes: self.counters.materialized_bytes.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
            promoted_files: self.counters.promoted_files.load(Ordering::Relaxed),
            disk_files: self.counters.disk_files.load(Ordering::Relaxed).max(0) as u64,
            disk_bytes: self.counters.disk_bytes.load(Ordering::Relaxed).max(0) as u64,
            disk_complete: self.counters.disk_counted.load(Ordering::Relaxed),
            inodes: self.inodes.len() as u64,
            failures: self.failures.lock().clone(),
            conflicts: self.conflicts.lock().clone(),
            home_full: self.budget.is_home_full(),
            stores: self.stores.as_ref().map(|stores| stores.figures()).unwrap_or_default(),
            sealed_files: self.counters.sealed_files.load(Ordering::Relaxed),
            sealed_bytes: self.counters.sealed_bytes.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            memory_files: clean.files + dirty.files,
            memory_bytes: clean.bytes + dirty.bytes,
            dirty_files: dirty.files,
            dirty_bytes: dirty.bytes,
            oldest_dirty: self.oldest_dirty(),
            pinned_files: pinned.0,
            pinned_bytes: pinned.1,
        }
    }

    /// Files in memory that stay there, and their bytes.
    fn pinned(&self) -> (u64, u64) {
        if self.pins.is_empty() {
            return (0, 0);
        }
        let (mut files, mut bytes) = (0, 0);
        for inode in self.inodes.residents().into_iter().filter(|inode| !inode.is_absent()) {
            let _names = self.namespace.read();
            if self.stays_in_memory(&inode)
                && let Ok(attr) = self.attr(&inode)
            {
                files += 1;
                bytes += attr.size;
            }
        }
        (files, bytes)
    }

    /// Age of the oldest change that the home does not have.
    fn oldest_dirty(&self) -> Option<Duration> {
        let since = |ino| Some(self.inodes.get(ino)?.dirty_since.load(Ordering::Relaxed));
        let oldest = self.inodes.census.oldest_dirty(since)?;
        Some(Duration::from_millis(self.now().saturating_sub(oldest)))
    }

    /// Rule, tier, state and reason of the file at `path`.
    pub fn explain(&self, path: &RelPath) -> Result<Explained> {
        self.load_stores_to(path)?;
        let _names = self.namespace.read();
        let (inode, attr) = self.walk(path)?;
        let decision = self.decide(path);
        let mut reason = format!("{}; {}", why(inode.reason()), self.router.explain(&decision));
        if inode.is_found() && decision.home == Tier::Zarr && !self.router.rule(decision.rule).adopt {
            reason = format!("not sealed: it was there before, and its rule does not say adopt = true; {reason}");
        }
        if let Some(refusal) = self.why_refused(&inode).filter(|_| !inode.is_sealed()) {
            reason = format!("not sealed: {refusal}; {reason}");
        }
        if let Some(pin) = self.explain_pin(path) {
            reason = format!("{pin}; {reason}");
        }
        let known = inode.sealed_id().filter(|_| inode.is_sealed());
        let store = known.and_then(|id| self.stores.as_ref()?.stored_at(id));
        if let Some(role) = store.as_ref().and_then(|at| self.role_of(path, at)) {
            reason = format!("{role}; {reason}");
        }
        // A copy in memory is nearer.
        let at = store.clone().filter(|_| inode.is_absent());
        let explained = Explained {
            tier: inode.tier(),
            state: self.state(&inode),
            rule: self.rule_name(&inode),
            reason,
            attr,
            stored_size: at.as_ref().map_or(attr.blocks * 512, |at| at.stored_bytes),
            stored_at: at.map_or_else(|| path.clone(), |at| at.store),
            store,
            dataset: self
                .dataset_of(path)
                .filter(|_| inode.kind == crate::model::FileKind::Regular)
                .map(|dataset| (dataset, self.router.consequence(&decision))),
        };
        let ino = inode.ino;
        drop(inode);
        self.inodes.remove_if_unused(ino);
        Ok(explained)
    }

    /// Files at and below `path`, for operations on whole trees.
    pub fn files_below(&self, path: &RelPath) -> Result<Vec<RelPath>> {
        self.load_stores_to(path)?;
        let (inode, _) = {
            let _names = self.namespace.read();
            self.walk(path)?
        };
        self.load_stores(&inode)?;
        if inode.kind != crate::model::FileKind::Directory {
            return Ok(vec![path.clone()]);
        }
        let fh = self.opendir_inode(inode);
        let entries = self.readdir(fh, true);
        self.releasedir(fh);
        let mut files = Vec::new();
        for entry in entries?.iter().filter(|entry| entry.name != "." && entry.name != "..") {
            match entry.kind {
                crate::model::FileKind::Directory => files.extend(self.files_below(&path.join(&entry.name))?),
                crate::model::FileKind::Regular => files.push(path.join(&entry.name)),
                _ => {}
            }
        }
        Ok(files)
    }

    fn opendir_inode(&self, inode: std::sync::Arc<Inode>) -> super::Fh {
        self.handles.add_dir(inode)
    }

    /// Moves the file at `path`.
    pub fn migrate_path(&self, path: &RelPath, tier: Tier) -> std::result::Result<(), MoveError> {
        self.load_stores_to(path)?;
        let (inode, _) = {
            let _names = self.namespace.read();
            self.walk(path)?
        };
        self.migrate(&inode, tier)
    }

    /// The rule that decides about an inode, as it is called.
    pub(super) fn rule_name(&self, inode: &Inode) -> String {
        let Some(path) = inode.path() else { return "none: the file has no name any more".to_owned() };
        self.router.rule(self.router.decide(&path).rule).name.clone()
    }

    /// Remembers a failure, and gives it back as what the caller reports.
    pub(super) fn failed(&self, inode: &Inode, error: Error) -> MoveError {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let path = inode.path().unwrap_or_default();
        tracing::error!("{path} could not be brought from memory to disk and stays in memory: {error}");
        let mut failures = self.failures.lock();
        failures.retain(|failure| failure.ino != inode.ino);
        if failures.len() >= FAILURES {
            failures.remove(0);
        }
        failures.push(Failure { path, cause: error.to_string(), ino: inode.ino });
        MoveError::Failed(error)
    }

    /// What had failed has succeeded.
    pub(super) fn mended(&self, inode: &Inode) {
        let mut failures = self.failures.lock();
        if !failures.is_empty() {
            failures.retain(|failure| failure.ino != inode.ino);
        }
    }

    /// Files and bytes came to the disk, or left it.
    pub(super) fn count_disk(&self, files: i64, bytes: i64) {
        self.counters.disk_files.fetch_add(files, Ordering::Relaxed);
        self.counters.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rewrites the journal when it has grown long.
    pub(super) fn compact_journal(&self) {
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.is_long()) else { return };
        // In the middle of a commit, names that were lost since it began stand nowhere else.
        let Some(_in_place) = self.seals.in_place.try_write() else { return };
        // For writing: whatever makes a file clean or gives it a shadow holds this for reading.
        let _names = self.namespace.write();
        if let Err(e) = journal.rewrite(|| self.live_records()) {
            tracing::error!("cannot rewrite the memory tier's journal: {e}");
        }
    }

    /// What the journal must say about the files in memory. Hold the namespace lock for writing.
    pub(super) fn live_records(&self) -> Vec<Record> {
        let waiting = self.seals.waiting.iter();
        let mut records: Vec<Record> =
            waiting.filter_map(|entry| Some(Record::Waiting { path: entry.path()?, ino: entry.place().ino })).collect();
        // Their stores may not have been read yet: they go when that is.
        records.extend(self.seals.dropped.iter().map(|id| Record::Dropping { id: *id }));
        for inode in self.inodes.residents() {
            let memory = inode.place().ino;
            if let Some(id) = inode.sealed_id().filter(|_| !inode.is_sealed())
                && let Some(attr) =
                    inode.path().and_then(|path| self.memory.as_ref()?.tree().find(&path).ok().flatten())
            {
                // An older version is in the store; the next one takes its place.
                records.push(Record::Sealed { memory: attr.identity(), id, absent: false });
                records.extend(partial_records(&inode, memory, id));
                records.push(Record::Dirty { memory });
            }
            for dentry in inode.names.read().iter() {
                if dentry.over.is_some() {
                    records.push(over_record(memory, &dentry.parent, &dentry.name, dentry.over));
                }
            }
            // A write that makes it dirty after this look waits to append its record, which then follows ours.
            if inode.is_sealed()
                && let Some(id) = inode.sealed_id()
                && let Some(path) = inode.path()
                && let Some(attr) = self.memory.as_ref().and_then(|memory| memory.tree().find(&path).ok().flatten())
            {
                records.push(Record::Sealed { memory: attr.identity(), id, absent: inode.is_absent() });
                records.extend(partial_records(&inode, memory, id));
            } else if !inode.is_dirty()
                && let Some(path) = inode.path()
                && let Some(attr) = self.memory.as_ref().and_then(|memory| memory.tree().find(&path).ok().flatten())
            {
                records.push(Record::Clean { memory: attr.identity() });
                records.extend(inode.is_found().then_some(Record::Found { memory }));
            }
        }
        records
    }
}

/// Which bytes of a file that is partly in memory are there, for the journal.
fn partial_records(inode: &Inode, memory: u64, id: SealedId) -> Vec<Record> {
    inode.content.read().partial().map_or_else(Vec::new, |partial| partial.records(memory, id))
}

/// What `name` in `dir` shadows, for the journal.
pub(super) fn over_record(memory: u64, dir: &Inode, name: &OsStr, over: Option<Identity>) -> Record {
    Record::Over { memory, dir: dir.place().ino, name: name.to_owned(), over }
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Found => "found in the workspace",
        Reason::Rule => "placed by its rule",
        Reason::PressureAtCreate => "made on disk because memory was under pressure or the mount was ending",
        Reason::Evicted => "brought to disk because memory was under pressure or the mount was ending",
        Reason::Outgrown => "moved to disk while it was written, because it outgrew what memory had left",
        Reason::Synced => "moved to disk because it is synced again and again",
        Reason::Migrated => "moved on request",
        Reason::Attributes => "moved to disk because it has many extended attributes",
        Reason::Recovered => "was in memory when an earlier daemon ended",
        Reason::Linked => "on disk because it has several names there",
        Reason::OtherFileSystem => "on disk because its directory is on another file system than the workspace",
        Reason::NoMemoryTier => "on disk because this mount has no memory tier",
        Reason::Sealed => "sealed when it came to rest",
        Reason::Unsealed => "was sealed, and somebody writes to it",
        Reason::SessionBound => "on disk because memory held as much as can be written before the job or session ends",
        Reason::Promoted => "a copy, because it is read again and again, or somebody walks towards it",
    }
}
