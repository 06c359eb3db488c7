//! How large datasets are, kept as they grow, and what that means for their files.
//!
//! Each file that somebody may write to knows its dataset, so that growth is an addition and nothing else. Files that
//! nobody has touched are in the sum since the last count (`count`). What cannot be added up as it happens (a directory
//! that comes into another dataset, links between datasets) puts the sum in doubt: it is counted again, in the
//! background.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::inode::{Content, Inode};
use super::{Result, Vfs};
use crate::model::{Attr, FileKind, RelPath, Tier, Timestamp};
use crate::route::{Decision, Lines, Row, is_image};

/// One dataset.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    bytes: AtomicI64,
    files: AtomicI64,
    /// How often the two have changed: tells a count whether it was disturbed.
    changes: AtomicU64,
    row: AtomicU8,
    /// It has become large, and what was written to disk before waits to be looked at.
    pub(super) crossed: AtomicBool,
    /// What was there before the mount and could be sealed, as of the last count.
    pub(super) adoptable: Mutex<Adoptable>,
}

/// Found images that a rule would seal if it adopted them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Adoptable {
    /// Under rules that seal whatever the size: files and bytes.
    pub always: (u64, u64),
    /// Under rules that seal large datasets.
    pub if_large: (u64, u64),
}

impl Dataset {
    /// Bytes, files and changes so far.
    pub(super) fn sums(&self) -> (i64, i64, u64) {
        let changes = self.changes.load(Ordering::Acquire);
        (self.bytes.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed), changes)
    }

    /// How large it is.
    pub(super) fn row(&self) -> Row {
        match self.row.load(Ordering::Relaxed) {
            0 => Row::Small,
            1 => Row::Middle,
            _ => Row::Large,
        }
    }

    fn set_row(&self, row: Row) {
        self.row.store(row as u8, Ordering::Relaxed);
    }
}

/// A top-level directory whose datasets are to be counted again; empty: the files at the top.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// How often a count was disturbed.
    pub tries: u32,
    /// Not before this, in milliseconds of the mount's clock.
    pub not_before: u64,
    /// Files that are known may belong to another dataset than they say.
    pub moved: bool,
}

/// All datasets of a mount.
#[derive(Debug)]
pub(crate) struct Datasets {
    lines: Lines,
    by_name: DashMap<Box<[u8]>, Arc<Dataset>>,
    pub(super) doubts: Mutex<BTreeMap<Box<[u8]>, Doubt>>,
    /// Images on disk that were written through this mount and may have to be sealed later, with the version that was
    /// written.
    made: DashMap<u64, (Timestamp, u64)>,
    /// Every file of the workspace is in the sums.
    pub(super) counted: AtomicBool,
    /// What found images would take if they were sealed, in parts of 1,000; 0 if that is not known.
    pub(super) permille: AtomicU64,
}

/// A dataset as `status` and `explain` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetView {
    /// Its directory; the root for files at the top.
    pub name: RelPath,
    /// Length of its files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// How large that is.
    pub row: Row,
    /// Size at which it is in the next row.
    pub next_at: Option<u64>,
    /// Size below which it is in the row before.
    pub back_below: Option<u64>,
    /// Found images in it that would be sealed if their rule adopted them: files and bytes.
    pub adoptable: (u64, u64),
}

impl Datasets {
    pub(super) fn new(lines: Lines) -> Datasets {
        Datasets {
            lines,
            by_name: DashMap::new(),
            doubts: Mutex::default(),
            made: DashMap::new(),
            counted: AtomicBool::new(false),
            permille: AtomicU64::new(0),
        }
    }

    /// The dataset of this name, which begins to exist with that.
    pub(super) fn named(&self, name: &[u8]) -> Arc<Dataset> {
        if let Some(known) = self.by_name.get(name) {
            return known.clone();
        }
        self.by_name.entry(name.into()).or_default().clone()
    }

    fn row_of(&self, name: &[u8]) -> Row {
        self.by_name.get(name).map_or(Row::Small, |dataset| dataset.row())
    }

    /// Every dataset with its name.
    pub(super) fn all(&self) -> Vec<(Box<[u8]>, Arc<Dataset>)> {
        self.by_name.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }

    /// Something came or went.
    pub(super) fn add(&self, dataset: &Dataset, bytes: i64, files: i64) {
        dataset.changes.fetch_add(1, Ordering::AcqRel);
        self.correct(dataset, bytes, files);
    }

    /// As [`Datasets::add`], by a count.
    pub(super) fn correct(&self, dataset: &Dataset, bytes: i64, files: i64) {
        dataset.files.fetch_add(files, Ordering::Relaxed);
        dataset.bytes.fetch_add(bytes, Ordering::Relaxed);
        loop {
            let before = dataset.row();
            let row = self.lines.row(dataset.bytes.load(Ordering::Relaxed).max(0) as u64, before);
            if row == before {
                return;
            }
            // Again, because somebody else may have added meanwhile.
            dataset.set_row(row);
            dataset.crossed.fetch_or(row == Row::Large, Ordering::Relaxed);
        }
    }

    /// A dataset without files is forgotten, unless somebody knows it.
    pub(super) fn forget_if_empty(&self, name: &[u8], ours: Arc<Dataset>) {
        drop(ours);
        self.by_name.remove_if(name, |_, dataset| {
            let (bytes, files, _) = dataset.sums();
            bytes == 0 && files == 0 && Arc::strong_count(dataset) == 1
        });
    }

    /// The sums below the top-level directory of `path` are to be counted again.
    pub(super) fn doubt(&self, path: &RelPath, moved: bool) {
        let mut doubts = self.doubts.lock();
        let doubt = doubts.entry(unit_of(path).into()).or_default();
        doubt.moved |= moved;
    }

    /// A directory at the top, and so all datasets in it, has another name. `false` if there is a dataset of that name.
    fn rename(&self, from: &RelPath, to: &RelPath) -> bool {
        let Some(dataset) = self.by_name.get(from.as_bytes()).map(|entry| entry.clone()) else { return false };
        if self.by_name.get(to.as_bytes()).is_some_and(|known| known.sums().1 != 0) {
            return false;
        }
        self.by_name.insert(to.as_bytes().into(), dataset);
        self.by_name.remove(from.as_bytes());
        true
    }

    /// Whether this version of a disk file was written through this mount.
    pub(super) fn is_made(&self, attr: &Attr) -> bool {
        self.made.get(&attr.ino).is_some_and(|made| *made == (attr.mtime, attr.size))
    }

    /// Whether anything was written to disk that may have to be sealed.
    pub(super) fn any_made(&self) -> bool {
        !self.made.is_empty()
    }

    fn make(&self, attr: &Attr) {
        self.made.insert(attr.ino, (attr.mtime, attr.size));
    }
}

/// The top-level directory of a file's path: the part of the tree that is counted as a whole. Empty at the top.
pub(super) fn unit_of(path: &RelPath) -> &[u8] {
    let bytes = path.as_bytes();
    bytes.iter().position(|byte| *byte == b'/').and_then(|slash| bytes.get(..slash)).unwrap_or_default()
}

impl Vfs {
    /// What holds for a file of this path, the size of its dataset included.
    pub(super) fn decide(&self, path: &RelPath) -> Decision {
        let decision = self.router.decide(path);
        if decision.row.is_none() {
            return decision;
        }
        decision.in_row(self.datasets.row_of(self.router.dataset(path)), path)
    }

    fn dataset_at(&self, path: &RelPath) -> Arc<Dataset> {
        self.datasets.named(self.router.dataset(path))
    }

    /// A file was created.
    pub(super) fn count_created(&self, inode: &Inode, path: &RelPath) {
        let dataset = self.dataset_at(path);
        self.datasets.add(&dataset, 0, 1);
        inode.length.store(0, Ordering::Relaxed);
        inode.content.write().dataset = Some(dataset);
    }

    /// Somebody is about to change a file's length: from now on it is known, with the dataset that it counts to. What
    /// others have changed behind the mount is made up for. Not under the namespace lock.
    pub(super) fn track(&self, inode: &Inode) -> Result<()> {
        if inode.kind != FileKind::Regular {
            return Ok(());
        }
        let _names = self.namespace.read();
        let opens = inode.opens.lock();
        if opens.total > 0 && inode.content.read().dataset.is_some() {
            return Ok(());
        }
        let size = self.attr(inode)?.size;
        let Some(path) = inode.path() else { return Ok(()) };
        self.doubt_links(inode);
        let mut content = inode.content.write();
        match &content.dataset {
            Some(_) => self.resized(inode, &content, size),
            None => {
                inode.length.store(size, Ordering::Relaxed);
                content.dataset = Some(self.dataset_at(&path));
            }
        }
        Ok(())
    }

    /// A file with several names counts in the dataset of each, and grows in one: the rest is counted again.
    pub(super) fn doubt_links(&self, inode: &Inode) {
        let paths = inode.paths();
        if paths.len() > 1 {
            paths.iter().for_each(|path| self.datasets.doubt(path, true));
        }
    }

    /// An open file reaches to `end` now, at least.
    pub(super) fn grew(&self, inode: &Inode, content: &Content, end: u64) {
        let before = inode.length.fetch_max(end, Ordering::Relaxed);
        if let Some(dataset) = content.dataset.as_ref().filter(|_| end > before) {
            self.datasets.add(dataset, (end - before) as i64, 0);
        }
    }

    /// An open file is this long now.
    pub(super) fn resized(&self, inode: &Inode, content: &Content, size: u64) {
        let before = inode.length.swap(size, Ordering::Relaxed);
        if let Some(dataset) = content.dataset.as_ref().filter(|_| size != before) {
            self.datasets.add(dataset, size as i64 - before as i64, 0);
        }
    }

    /// A file that was open for writing is closed: what the kernel wrote by itself is learnt now.
    pub(super) fn settle_length(&self, inode: &Inode) {
        {
            let _names = self.namespace.read();
            self.doubt_links(inode);
        }
        let content = inode.content.read();
        if let Some(object) = content.object.as_ref().filter(|_| !inode.is_absent())
            && let Ok(attr) = object.stat()
        {
            self.resized(inode, &content, attr.size);
        }
    }

    /// A file has lost a name, the last one if `last` has no other.
    pub(super) fn count_unlinked(&self, inode: &Inode, path: &RelPath, last: &Attr) {
        if inode.kind != FileKind::Regular {
            return;
        }
        if last.nlink > 1 {
            inode.paths().iter().chain([path]).for_each(|path| self.datasets.doubt(path, true));
            return;
        }
        let mut content = inode.content.write();
        if content.place.tier == Tier::Disk {
            self.datasets.made.remove(&content.place.ino);
        }
        let (dataset, size) = match content.dataset.take() {
            Some(dataset) => (dataset, inode.length.swap(0, Ordering::Relaxed)),
            None => (self.dataset_at(path), last.size),
        };
        drop(content);
        self.datasets.add(&dataset, -(size as i64), -1);
    }

    /// A file has another name.
    pub(super) fn count_renamed(&self, inode: &Inode, from: &RelPath, to: &RelPath, attr: &Attr) {
        if self.router.dataset(from) == self.router.dataset(to) {
            return;
        }
        if attr.nlink > 1 {
            self.datasets.doubt(from, false);
            return self.datasets.doubt(to, true);
        }
        let mut content = inode.content.write();
        let into = self.dataset_at(to);
        let (dataset, size) = match content.dataset.replace(into.clone()) {
            Some(dataset) => (dataset, inode.length.load(Ordering::Relaxed)),
            None => {
                inode.length.store(attr.size, Ordering::Relaxed);
                (self.dataset_at(from), attr.size)
            }
        };
        drop(content);
        self.datasets.add(&dataset, -(size as i64), -1);
        self.datasets.add(&into, size as i64, 1);
    }

    /// A directory has another name, and everything below it another path. In an exchange neither dataset can take the
    /// other's name: their files look again where they count.
    pub(super) fn count_dir_renamed(&self, from: &RelPath, to: &RelPath, exchange: bool) {
        if from.top() == to.top() && !self.router.names_datasets() {
            return;
        }
        let at_the_top = |path: &RelPath| path.components().nth(1).is_none();
        let whole = !exchange && at_the_top(from) && at_the_top(to) && !self.router.names_datasets();
        let followed = whole && self.datasets.rename(from, to);
        for path in [from, to] {
            // A directory at the top is a part of its own, not a file there.
            self.datasets.doubt(&path.join("x".as_ref()), !followed);
        }
    }

    /// An image lies on disk that was written through this mount, and may have to be sealed when its dataset has grown.
    /// Hold the namespace lock.
    pub(super) fn remember_made(&self, inode: &Inode) {
        let Some(path) = inode.path() else { return };
        if inode.is_found() || inode.place().tier != Tier::Disk || !is_image(&path) || !self.router.decide(&path).seals
        {
            return;
        }
        if let Ok(Some(attr)) = self.disk.tree().find(&path) {
            self.datasets.make(&attr);
        }
    }

    /// Whether a file lies on disk as it was written through this mount. Hold the namespace lock.
    pub(super) fn is_as_made(&self, inode: &Inode) -> bool {
        self.datasets.any_made()
            && inode.place().tier == Tier::Disk
            && self.on_disk(inode).is_some_and(|attr| self.datasets.is_made(&attr))
    }

    /// The attributes of such a file have changed through the mount: it is still the one.
    pub(super) fn make_again(&self, inode: &Inode) {
        if let Some(attr) = self.on_disk(inode) {
            self.datasets.make(&attr);
        }
    }

    fn on_disk(&self, inode: &Inode) -> Option<Attr> {
        self.disk.tree().find(&inode.path()?).ok().flatten()
    }

    /// Every dataset, the largest first.
    pub fn datasets(&self) -> Vec<DatasetView> {
        let mut views: Vec<DatasetView> = self
            .datasets
            .all()
            .iter()
            .filter_map(|(name, dataset)| Some(self.dataset_view(RelPath::from_bytes(name)?, dataset)))
            .filter(|view| view.files > 0)
            .collect();
        views.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        views
    }

    /// The dataset of the file at `path`.
    pub(super) fn dataset_of(&self, path: &RelPath) -> Option<DatasetView> {
        let name = self.router.dataset(path);
        Some(self.dataset_view(RelPath::from_bytes(name)?, &self.datasets.named(name)))
    }

    fn dataset_view(&self, name: RelPath, dataset: &Dataset) -> DatasetView {
        let (bytes, files, _) = dataset.sums();
        let row = dataset.row();
        let found = dataset.adoptable.lock().clone();
        let also = if row == Row::Large { found.if_large } else { (0, 0) };
        DatasetView {
            name,
            bytes: bytes.max(0) as u64,
            files: files.max(0) as u64,
            row,
            next_at: self.router.lines().next_at(row),
            back_below: self.router.lines().back_below(row),
            adoptable: (found.always.0 + also.0, found.always.1 + also.1),
        }
    }
}
