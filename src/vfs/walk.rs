//! The workspace, walked once a mount with nobody waiting: what lies there as plain files.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::inode::Inode;
use super::snapshot::{Listed, Lister};
use super::{OWN_DIR, Result, Vfs};
use crate::backend::Object;
use crate::model::{FileKind, RelPath, Tier};
use crate::route::RuleId;

/// Endings of files that may be images.
const IMAGES: [&str; 3] = ["tif", "tiff", "npy"];

/// A list may take this part of the memory limit while it is made, so many bytes for each file.
const LISTER_SHARE: u64 = 16;
const BYTES_PER_FILE: u64 = 24;
/// What has changed since may take this part of the memory limit, and no more than so many bytes.
const CHANGED_SHARE: u64 = 64;
const CHANGED_MOST: u64 = 16 << 20;

/// What a walk has counted.
#[derive(Debug, Default)]
struct Counted {
    files: i64,
    bytes: i64,
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

    /// Walks the workspace once, so that the disk's figures cover it; `stop` ends the walk early.
    pub fn count_tree(&self, stop: &AtomicBool) {
        let mut dirs = vec![RelPath::root()];
        let limit = self.budget.limit();
        let lister = (!self.read_only).then(|| Lister::new(limit / LISTER_SHARE / BYTES_PER_FILE));
        let mut counted = Counted { lister, ..Counted::default() };
        self.begin_listing((limit / CHANGED_SHARE).min(CHANGED_MOST));
        while let Some(dir) = dirs.pop() {
            if stop.load(Ordering::Relaxed) {
                self.listing.end(None);
                return;
            }
            self.count_dir(&dir, &mut dirs, &mut counted);
        }
        self.listing.end(counted.lister.and_then(|lister| told(lister.finish()).flatten()));
        let mut images: Vec<_> = counted.images.into_iter().map(|(rule, (n, bytes))| (rule, n, bytes)).collect();
        images.sort_unstable();
        *self.counters.images.lock() = images;
        self.counters.disk_files.store(counted.files, Ordering::Relaxed);
        self.counters.disk_bytes.store(counted.bytes, Ordering::Relaxed);
        self.counters.disk_counted.store(true, Ordering::Relaxed);
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

    fn count_dir(&self, dir: &RelPath, dirs: &mut Vec<RelPath>, counted: &mut Counted) {
        let Ok(entries) = self.disk.tree().list(dir) else { return };
        for entry in entries {
            let path = dir.join(&entry.name);
            match entry.kind {
                FileKind::Directory if dir.is_root() && entry.name == OWN_DIR => {}
                kind if self.is_hidden(&path, kind) => {}
                FileKind::Directory => dirs.push(path),
                FileKind::Regular => {
                    let attr = self.disk.tree().find(&path).ok().flatten();
                    let size = attr.map_or(0, |attr| attr.size);
                    let mtime = attr.map_or(0, |attr| attr.mtime.secs);
                    counted.list(Listed { path: path.clone(), size, mtime }, || self.unnamed_file());
                    counted.files += 1;
                    counted.bytes += size as i64;
                    if is_image(&path) {
                        let sum = counted.images.entry(self.router.decide(&path).rule).or_default();
                        *sum = (sum.0 + 1, sum.1 + size);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Counted {
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

fn is_image(path: &RelPath) -> bool {
    let ending = path.as_path().extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| IMAGES.iter().any(|image| ending.eq_ignore_ascii_case(image)))
}
