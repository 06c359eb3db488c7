//! What has happened to files since the mount began, summed up where another rule, limit or threshold could have spared
//! it; for `advise`.
//!
//! Files are told apart by rule, dataset and the ending of their names, as a rule of a configuration would. Counting
//! costs an atomic addition where something happens to a file that happens seldom: it is written home, sealed, evicted,
//! deleted, opened again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::Vfs;
use super::identity::Place;
use super::inode::{Inode, Reason};
use crate::model::{RelPath, Tier};
use crate::route::{Row, RuleId};

/// Groups that are told apart; what comes later is counted under the rule alone.
const GROUPS: usize = 1024;
/// Files that left memory of which it is remembered, in case they are wanted again. 48 bytes each.
const GHOSTS: usize = 16 << 10;

/// Files that a rule could mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The rule that decided about them.
    pub rule: RuleId,
    /// The dataset that they belong to; the root where they belong to none, or to one of too many.
    pub dataset: RelPath,
    /// The ending of their names, with no dot; empty for none.
    pub ending: String,
}

/// A number of files with their bytes, counted from many threads.
#[derive(Debug, Default)]
pub struct Amount {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Amount {
    fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many files and bytes.
    pub fn of(files: u64, bytes: u64) -> Amount {
        Amount { files: files.into(), bytes: bytes.into() }
    }

    /// Files.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What has happened to the files of a group.
#[derive(Debug, Default)]
pub struct Tally {
    /// Written to disk or sealed, each time that they were.
    pub brought_home: Amount,
    /// Of that, what was brought home again: the version before was replaced.
    pub brought_again: Amount,
    /// Of that, what was deleted afterwards.
    pub deleted_after: Amount,
    /// Written to disk because they had been idle, and changed again within five minutes.
    pub written_early: Amount,
    /// The longest idle time after which that happened, in milliseconds.
    pub written_early_idle: AtomicU64,
    /// Opened for writing within an hour after they were sealed.
    pub unsealed: Amount,
    /// The longest rest after which that happened, in milliseconds.
    pub unsealed_rest: AtomicU64,
    /// Moved to disk because they were synced again and again.
    pub synced: Amount,
    /// Opened again on disk, each time that they were.
    pub opened_again: Amount,
    /// Written to disk at once, because their dataset is beyond `memory_below`, and replaced or deleted afterwards.
    pub past_memory_below: Past,
    /// Opened for writing within an hour after they were sealed, because their dataset is beyond `zarr_above`.
    pub past_zarr_above: Past,
}

/// What happened because a dataset is beyond one of the two sizes of `auto`.
#[derive(Debug, Default)]
pub struct Past {
    /// To so many files.
    pub amount: Amount,
    /// The largest that the dataset was when one of its files was written or opened, in bytes.
    pub most: AtomicU64,
}

/// Files that left memory under pressure and were opened again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// How often.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// Bytes that memory would have had to hold in addition, so that nine of ten of these bytes had still been there.
    pub missing: u64,
}

/// Files that left memory, in the order in which they did.
#[derive(Debug, Default)]
struct Ghosts {
    /// With the bytes that had left memory before.
    gone: HashMap<Place, (u64, u64)>,
    order: VecDeque<Place>,
    left: u64,
    /// Bytes that came back, by the power of two from which on what left memory meanwhile lies.
    back: BTreeMap<u32, u64>,
    files: u64,
}

impl Ghosts {
    fn leave(&mut self, place: Place, bytes: u64) {
        if self.order.len() >= GHOSTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        if self.gone.insert(place, (self.left, bytes)).is_none() {
            self.order.push_back(place);
        }
        self.left += bytes;
    }

    fn open(&mut self, place: Place) {
        // Its place in `order` goes when it is the oldest.
        let Some((before, bytes)) = self.gone.remove(&place) else { return };
        let distance = self.left - before;
        *self.back.entry(distance.max(1).ilog2()).or_default() += bytes;
        self.files += 1;
    }

    fn returned(&self) -> Returned {
        let bytes: u64 = self.back.values().sum();
        let mut seen = 0;
        let enough = self.back.iter().find(|(_, back)| {
            seen += **back;
            seen >= bytes - bytes / 10
        });
        // The upper end of the bucket.
        let missing = enough.map_or(0, |(power, _)| 2_u64.saturating_pow(power + 1));
        Returned { files: self.files, bytes, missing: missing.min(self.left) }
    }
}

/// All that was counted.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    groups: DashMap<Group, Arc<Tally>>,
    ghosts: Mutex<Ghosts>,
    spared: Amount,
    short: Amount,
    evicted: Amount,
}

/// A look at what was counted.
#[derive(Debug)]
pub struct Observed {
    /// How long the mount has lasted.
    pub lasted: Duration,
    /// By group, in order.
    pub groups: Vec<(Group, Arc<Tally>)>,
    /// Files that were deleted before they were ever written home, and their bytes.
    pub spared: (u64, u64),
    /// Files that were made on disk, or had to go there while they were written, because memory was short.
    pub short: u64,
    /// Files that left memory under pressure, and their bytes.
    pub evicted: (u64, u64),
    /// Of these, what was opened again.
    pub returned: Returned,
    /// Files that could not be sealed, by the reason.
    pub refused: Vec<Refused>,
    /// Images that lay on disk as plain files when the workspace was walked, by the rule that decides about them.
    pub images: Vec<(RuleId, u64, u64)>,
}

/// Files that could not be sealed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: String,
    /// How many.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// One of them.
    pub example: RelPath,
}

impl Vfs {
    /// What has happened so far.
    pub fn observed(&self) -> Observed {
        let seen = &self.seen;
        let mut groups: Vec<_> = seen.groups.iter().map(|group| (group.key().clone(), group.value().clone())).collect();
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        Observed {
            lasted: self.clock.now().saturating_sub(self.began),
            groups,
            spared: (seen.spared.files(), seen.spared.bytes()),
            short: seen.short.files(),
            evicted: (seen.evicted.files(), seen.evicted.bytes()),
            returned: seen.ghosts.lock().returned(),
            refused: self.refused_by_reason(),
            images: self.plain_images(),
        }
    }

    fn refused_by_reason(&self) -> Vec<Refused> {
        let mut reasons: HashMap<String, Refused> = HashMap::new();
        for entry in &self.seals.refused {
            let Some(example) = self.inodes.get(*entry.key()).and_then(|inode| inode.path()) else { continue };
            let (_, size, why) = entry.value();
            let fresh = || Refused { why: why.clone(), files: 0, bytes: 0, example };
            let sum = reasons.entry(why.clone()).or_insert_with(fresh);
            (sum.files, sum.bytes) = (sum.files + 1, sum.bytes + size);
        }
        let mut reasons: Vec<Refused> = reasons.into_values().collect();
        reasons.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.why.cmp(&b.why)));
        reasons
    }

    /// Where a file is counted: by the name that it had when something first happened to it.
    fn tally(&self, inode: &Inode) -> Arc<Tally> {
        inode.tally.get_or_init(|| self.seen.tally(self.group(&inode.path().unwrap_or_default()))).clone()
    }

    fn group(&self, path: &RelPath) -> Group {
        let name = Path::new(path.split().map_or(OsStr::new(""), |(_, name)| name));
        let ending = name.extension().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        Group { rule: self.router.decide(path).rule, dataset: self.router.dataset_of(path), ending }
    }

    /// A file was written to disk, or sealed; for [`Reason::Rule`], because it had been idle.
    pub(super) fn saw_home(&self, inode: &Inode, bytes: u64, reason: Reason) {
        inode.written_behind.store(reason == Reason::Rule, Ordering::Relaxed);
        let tally = self.tally(inode);
        tally.brought_home.add(bytes);
        let dataset = if reason == Reason::Rule { self.past(inode, Row::Middle) } else { None };
        tally.past_memory_below.most.fetch_max(dataset.unwrap_or(0), Ordering::Relaxed);
        let at_once = inode.written_at_once.swap(dataset.is_some(), Ordering::Relaxed);
        if inode.brought_home.fetch_add(bytes, Ordering::Relaxed) > 0 {
            tally.brought_again.add(bytes);
            if at_once {
                tally.past_memory_below.amount.add(bytes);
            }
        }
    }

    /// The size of the file's dataset, if that is in this row of `auto`.
    fn past(&self, inode: &Inode, row: Row) -> Option<u64> {
        let path = inode.path()?;
        self.decide(&path).row.filter(|its| *its == row)?;
        Some(self.dataset_of(&path)?.bytes)
    }

    /// A file has left memory for good.
    pub(super) fn saw_leave(&self, inode: &Inode, bytes: u64, reason: Reason) {
        match reason {
            Reason::Outgrown => self.seen.short.add(bytes),
            Reason::Synced => self.tally(inode).synced.add(bytes),
            _ => {}
        }
    }

    /// A file in memory that was clean is changed; its last change was at `before`.
    pub(super) fn saw_change(&self, inode: &Inode, before: u64) {
        let idle = self.now().saturating_sub(before);
        if inode.written_behind.swap(false, Ordering::Relaxed) && before > 0 && idle < WRITTEN_SOON {
            let tally = self.tally(inode);
            tally.written_early.add(inode.length());
            tally.written_early_idle.fetch_max(idle, Ordering::Relaxed);
        }
    }

    /// A file was evicted under pressure. Where it is now may be all that is remembered of it.
    pub(super) fn saw_evicted(&self, inode: &Inode, bytes: u64) {
        self.seen.evicted.add(bytes);
        self.seen.ghosts.lock().leave(inode.place(), bytes);
    }

    /// A new file was made on disk.
    pub(super) fn saw_made(&self, path: &RelPath, reason: Reason) {
        self.count_disk(1, 0);
        self.listing.touch(path);
        // For the same reason as under pressure while the mount ends, which is no shortage.
        if reason == Reason::PressureAtCreate && !self.draining.load(Ordering::Relaxed) {
            self.seen.short.add(0);
        }
    }

    /// A file has lost its last name.
    pub(super) fn saw_gone(&self, inode: &Inode, place: Place, size: u64) {
        let written = inode.brought_home.load(Ordering::Relaxed);
        if written > 0 {
            let tally = self.tally(inode);
            tally.deleted_after.add(written);
            if inode.written_at_once.load(Ordering::Relaxed) {
                tally.past_memory_below.amount.add(size);
            }
        } else if place.tier == Tier::Memory && inode.is_dirty() {
            self.seen.spared.add(size);
        }
    }

    /// A file is opened. Hold the namespace lock.
    pub(super) fn saw_open(&self, inode: &Inode, place: Place, write: bool) {
        if place.tier == Tier::Memory && !inode.is_absent() {
            return;
        }
        if self.seen.evicted.files() > 0 {
            self.seen.ghosts.lock().open(place);
        }
        if write && place.tier == Tier::Disk {
            self.touch(inode);
        }
        if !write && place.tier == Tier::Disk && inode.opened.fetch_add(1, Ordering::Relaxed) > 0 {
            let size = self.attr(inode).map_or(0, |attr| attr.size);
            self.tally(inode).opened_again.add(size);
        }
    }

    /// A sealed file is opened for writing.
    pub(super) fn saw_unseal(&self, inode: &Inode) {
        let changed = inode.changed.load(Ordering::Relaxed);
        let rest = self.now().saturating_sub(changed);
        if changed > 0 && rest < UNSEALED_SOON {
            let tally = self.tally(inode);
            tally.unsealed.add(inode.length());
            tally.unsealed_rest.fetch_max(rest, Ordering::Relaxed);
            if let Some(dataset) = self.past(inode, Row::Large) {
                tally.past_zarr_above.amount.add(inode.length());
                tally.past_zarr_above.most.fetch_max(dataset, Ordering::Relaxed);
            }
        }
    }
}

/// A change that comes later than this would not have been waited for, in milliseconds.
const WRITTEN_SOON: u64 = 300_000;
/// Who comes back later than this, in milliseconds, would not have been waited for.
const UNSEALED_SOON: u64 = 3_600_000;

impl Seen {
    fn tally(&self, group: Group) -> Arc<Tally> {
        if let Some(known) = self.groups.get(&group) {
            return known.clone();
        }
        let full = self.groups.len() >= GROUPS;
        let group = if full { Group { dataset: RelPath::root(), ending: String::new(), ..group } } else { group };
        self.groups.entry(group).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ino: u64) -> Place {
        Place { tier: Tier::Disk, dev: 1, ino }
    }

    #[test]
    fn what_memory_lacked_is_what_left_it_until_the_file_was_wanted_again() {
        let mut ghosts = Ghosts::default();
        for ino in 0..10 {
            ghosts.leave(place(ino), 1000);
        }
        assert_eq!(ghosts.returned(), Returned::default());
        ghosts.open(place(7));
        // Itself and two more have left since: 3000 bytes, told in powers of two.
        assert_eq!(ghosts.returned(), Returned { files: 1, bytes: 1000, missing: 4096 });
        ghosts.open(place(7));
        assert_eq!(ghosts.returned().files, 1, "it is not gone any more");
        ghosts.open(place(0));
        assert_eq!(ghosts.returned(), Returned { files: 2, bytes: 2000, missing: 10_000 });
    }

    #[test]
    fn no_more_is_remembered_than_has_a_bound() {
        let mut ghosts = Ghosts::default();
        for ino in 0..3 * GHOSTS as u64 {
            ghosts.leave(place(ino), 1);
            ghosts.open(place(ino));
        }
        assert!(ghosts.order.len() <= GHOSTS && ghosts.gone.len() <= GHOSTS);
        let seen = Seen::default();
        for n in 0..3 * GROUPS {
            seen.tally(Group { rule: RuleId(0), dataset: RelPath::root(), ending: n.to_string() });
        }
        assert_eq!(seen.groups.len(), GROUPS + 1);
    }
}
