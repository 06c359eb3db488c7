//! The workspace, walked once a mount with nobody waiting: what lies there as plain files.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inode::Inode;
use super::snapshot::{Listed, Lister};
use super::{Result, Vfs};
use crate::backend::Object;
use crate::model::{Attr, RelPath, Tier};
use crate::route::{RuleId, is_image};

/// A list may take this part of the memory limit while it is made, so many bytes for each file.
const LISTER_SHARE: u64 = 16;
const BYTES_PER_FILE: u64 = 24;
/// What has changed since may take this part of the memory limit, and no more than so many bytes.
const CHANGED_SHARE: u64 = 64;
const CHANGED_MOST: u64 = 16 << 20;

/// What a walk has seen besides sums.
#[derive(Debug, Default)]
pub(super) struct Walked {
    images: HashMap<RuleId, (u64, u64)>,
    /// As long as the list can be made.
    lister: Option<Lister>,
}

/// Plain files of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskTotals {
    /// How many.
    pub files: u64,
    /// Their lengths in bytes.
    pub bytes: u64,
}

impl Vfs {
    /// What an earlier mount counted: shown until the walk has counted anew.
    pub fn start_from(&self, totals: DiskTotals) {
        self.counters.disk_files.store(totals.files as i64, Ordering::Relaxed);
        self.counters.disk_bytes.store(totals.bytes as i64, Ordering::Relaxed);
    }

    /// What the next mount may start from; `None` as long as not everything was counted.
    pub fn disk_totals(&self) -> Option<DiskTotals> {
        let at_least = |counter: &std::sync::atomic::AtomicI64| counter.load(Ordering::Relaxed).max(0) as u64;
        let totals =
            DiskTotals { files: at_least(&self.counters.disk_files), bytes: at_least(&self.counters.disk_bytes) };
        self.has_counted().then_some(totals)
    }

    /// Whether the walk has seen the whole tree.
    pub(super) fn has_counted(&self) -> bool {
        self.counters.disk_counted.load(Ordering::Relaxed)
    }

    /// Images that were found as plain files, by rule: how many, and their bytes.
    pub(super) fn plain_images(&self) -> Vec<(RuleId, u64, u64)> {
        self.counters.images.lock().clone()
    }

    /// Begins to list what is on disk, for `find`, while the workspace is counted.
    pub(super) fn begin_walk(&self) -> Walked {
        let limit = self.budget.limit();
        let lister = (!self.read_only).then(|| Lister::new(limit / LISTER_SHARE / BYTES_PER_FILE));
        self.begin_listing((limit / CHANGED_SHARE).min(CHANGED_MOST));
        Walked { lister, ..Walked::default() }
    }

    /// The walk has seen everything; `None` if it was stopped.
    pub(super) fn end_walk(&self, walked: Option<Walked>) {
        let Some(walked) = walked else { return self.listing.end(None) };
        self.listing.end(walked.lister.and_then(|lister| told(lister.finish()).flatten()));
        let mut images: Vec<_> = walked.images.into_iter().map(|(rule, (n, bytes))| (rule, n, bytes)).collect();
        images.sort_unstable();
        *self.counters.images.lock() = images;
        self.counters.disk_counted.store(true, Ordering::Relaxed);
    }

    /// Notes a plain file.
    pub(super) fn walk_by(&self, walked: &mut Walked, path: &RelPath, attr: &Attr) {
        let file = Listed { path: path.clone(), size: attr.size, mtime: attr.mtime.secs };
        walked.list(file, || self.unnamed_file());
        if is_image(path) {
            let sum = walked.images.entry(self.router.decide(path).rule).or_default();
            *sum = (sum.0 + 1, sum.1 + attr.size);
        }
    }

    /// What changes from now on is noted, and what is being changed already.
    fn begin_listing(&self, bytes: u64) {
        self.listing.begin(bytes);
        self.handles.writers().iter().for_each(|inode| self.touch(inode));
    }

    /// The attributes or bytes of a file are about to change.
    pub(super) fn touch(&self, inode: &Inode) {
        if self.listing.is_noting() && inode.place().tier == Tier::Disk {
            inode.paths().iter().for_each(|path| self.listing.touch(path));
        }
    }

    /// A further name for a disk file.
    pub(super) fn link_on_disk(&self, from: &RelPath, to: &RelPath) -> Result<()> {
        self.disk.tree().link(from, to)?;
        self.listing.touch(to);
        Ok(())
    }

    /// A file on the workspace's disk that goes with its last descriptor.
    fn unnamed_file(&self) -> io::Result<Arc<Object>> {
        let staged = self.disk.tree().stage_empty()?;
        Ok(staged.object().clone())
    }
}

impl Walked {
    fn list(&mut self, file: Listed, make: impl FnOnce() -> io::Result<Arc<Object>>) {
        let Some(lister) = &mut self.lister else { return };
        if told(lister.add(&file, make)).is_none() {
            self.lister = None;
        }
    }
}

/// Without a list the tree is walked for each question: no reason to stop.
fn told<T>(result: io::Result<T>) -> Option<T> {
    result.inspect_err(|e| tracing::debug!("the plain files of the workspace are not listed: {e}")).ok()
}
