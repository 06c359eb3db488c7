//! The workspace, walked once a mount with nobody waiting: what lies there as plain files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{OWN_DIR, Vfs};
use crate::model::{FileKind, RelPath};
use crate::route::RuleId;

/// Endings of files that may be images.
const IMAGES: [&str; 3] = ["tif", "tiff", "npy"];

/// What a walk has counted.
#[derive(Debug, Default)]
struct Counted {
    files: i64,
    bytes: i64,
    images: HashMap<RuleId, (u64, u64)>,
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
        let mut counted = Counted::default();
        while let Some(dir) = dirs.pop() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.count_dir(&dir, &mut dirs, &mut counted);
        }
        let mut images: Vec<_> = counted.images.into_iter().map(|(rule, (n, bytes))| (rule, n, bytes)).collect();
        images.sort_unstable();
        *self.counters.images.lock() = images;
        self.counters.disk_files.store(counted.files, Ordering::Relaxed);
        self.counters.disk_bytes.store(counted.bytes, Ordering::Relaxed);
        self.counters.disk_counted.store(true, Ordering::Relaxed);
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
                    let size = self.disk.tree().stat(&path).map(|attr| attr.size).unwrap_or(0);
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

fn is_image(path: &RelPath) -> bool {
    let ending = path.as_path().extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| IMAGES.iter().any(|image| ending.eq_ignore_ascii_case(image)))
}
