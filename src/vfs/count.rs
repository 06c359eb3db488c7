//! Counting what is in the workspace: once after the mount, and again where the sums of datasets are in doubt.
//!
//! A top-level directory is counted as a whole, both trees and the stores in it, without a lock: what comes and goes
//! meanwhile is added up by whoever does it, and a count that was disturbed is made again when it is calmer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::datasets::{Adoptable, Dataset, Doubt, unit_of};
use super::settle::STORE_SUFFIX;
use super::walk::Walked;
use super::{OWN_DIR, Vfs};
use crate::backend::zarr::{Within, compressed_size};
use crate::backend::{Access, ByteSource, TreeEntry};
use crate::model::{Attr, FileKind, RelPath, Tier};
use crate::route::{Row, is_image};

/// Found images of a directory that are looked at to estimate what sealing would save, and bytes of each.
const SAMPLES: usize = 8;
const SAMPLE: usize = 256 << 10;
/// Files in stores from which on what they take says more than samples.
const SEALED_ENOUGH: u64 = 64;
/// A disturbed count is made again after this many milliseconds, and twice as many the next time.
const AGAIN: u64 = 1000;
const AGAIN_MOST: u64 = 60_000;

/// What a count has found.
#[derive(Default)]
struct Tally {
    disk: (i64, i64),
    /// Files and bytes of each dataset.
    sums: HashMap<Box<[u8]>, (i64, i64)>,
    found: HashMap<Box<[u8]>, Adoptable>,
    samples: Vec<RelPath>,
    /// Files that were counted in their stores.
    from_stores: HashSet<RelPath>,
    /// Files with several names, each counted once in a dataset.
    linked: HashSet<(Box<[u8]>, u64, u64)>,
    /// What is noted besides, at the first count.
    walked: Option<Walked>,
}

type Before = BTreeMap<Box<[u8]>, (Arc<Dataset>, (i64, i64, u64))>;

impl Vfs {
    /// Counts the whole workspace; `stop` ends it early.
    pub fn count_tree(&self, stop: &AtomicBool) {
        let mut disk = (0, 0);
        let (mut samples, mut walked) = (Vec::new(), Some(self.begin_walk()));
        let tops = self.disk.tree().list(&RelPath::root()).unwrap_or_default();
        let dirs = tops.iter().filter(|entry| entry.kind == FileKind::Directory && entry.name != OWN_DIR);
        for unit in std::iter::once(RelPath::root()).chain(dirs.map(|dir| RelPath::root().join(&dir.name))) {
            let Some(tally) = self.count_unit(&unit, stop, 0, walked.take()) else { return self.end_walk(None) };
            walked = tally.walked;
            disk = (disk.0 + tally.disk.0, disk.1 + tally.disk.1);
            samples.extend(tally.samples);
        }
        self.counters.disk_files.store(disk.0, Ordering::Relaxed);
        self.counters.disk_bytes.store(disk.1, Ordering::Relaxed);
        self.end_walk(walked);
        self.datasets.counted.store(true, Ordering::Relaxed);
        self.estimate(&samples);
    }

    /// Counts again what is in doubt, and looks for what is to be sealed in datasets that have become large. Called
    /// every second or so once the whole has been counted.
    pub fn follow_datasets(&self, stop: &AtomicBool) {
        let now = self.now();
        let due: Vec<(Box<[u8]>, Doubt)> = {
            let mut doubts = self.datasets.doubts.lock();
            let due = doubts.iter().filter(|(_, doubt)| doubt.not_before <= now);
            let due: Vec<_> = due.map(|(unit, doubt)| (unit.clone(), *doubt)).collect();
            doubts.retain(|unit, _| !due.iter().any(|(taken, _)| taken == unit));
            due
        };
        if due.iter().any(|(_, doubt)| doubt.moved) {
            self.know_datasets_again();
        }
        for (unit, doubt) in due {
            if let Some(unit) = RelPath::from_bytes(&unit)
                && let Some(tally) = self.count_unit(&unit, stop, doubt.tries, None)
            {
                self.estimate(&tally.samples);
            }
        }
        self.seal_crossed(stop);
    }

    /// Datasets that have become large: what lies on disk in them and is ours, or adopted, waits to be sealed.
    pub(super) fn seal_crossed(&self, stop: &AtomicBool) {
        let crossed: Vec<RelPath> = self
            .datasets
            .all()
            .iter()
            .filter(|(_, dataset)| dataset.crossed.swap(false, Ordering::AcqRel))
            .filter_map(|(name, _)| RelPath::from_bytes(name))
            .collect();
        let adopts = self.router.rules().any(|(_, rule)| rule.adopt);
        if adopts || self.datasets.any_made() {
            crossed.iter().for_each(|dir| self.adopt_below(dir, stop));
        }
    }

    /// Counts one part of the tree and puts the sums right. `None` if it was stopped.
    fn count_unit(&self, unit: &RelPath, stop: &AtomicBool, tries: u32, walked: Option<Walked>) -> Option<Tally> {
        let before: Before = self
            .datasets
            .all()
            .into_iter()
            .filter(|(name, _)| RelPath::from_bytes(name).is_some_and(|name| name.top() == unit.top()))
            .map(|(name, dataset)| (name, (dataset.clone(), dataset.sums())))
            .collect();
        let tally = self.sum_up(unit, stop, walked)?;
        if self.settle_sums(before, &tally) {
            let mut doubts = self.datasets.doubts.lock();
            let doubt = doubts.entry(unit.as_bytes().into()).or_default();
            doubt.tries = tries + 1;
            doubt.not_before = self.now() + (AGAIN << tries.min(6)).min(AGAIN_MOST);
        }
        Some(tally)
    }

    /// Whether somebody changed something meanwhile.
    fn settle_sums(&self, mut before: Before, tally: &Tally) -> bool {
        for name in tally.sums.keys() {
            before.entry(name.clone()).or_insert_with(|| (self.datasets.named(name), (0, 0, 0)));
        }
        let mut disturbed = false;
        for (name, (dataset, (bytes, files, changes))) in before {
            let (found_files, found_bytes) = tally.sums.get(&name).copied().unwrap_or_default();
            disturbed |= dataset.sums().2 != changes;
            self.datasets.correct(&dataset, found_bytes - bytes, found_files - files);
            *dataset.adoptable.lock() = tally.found.get(&name).cloned().unwrap_or_default();
            self.datasets.forget_if_empty(&name, dataset);
        }
        disturbed
    }

    fn sum_up(&self, unit: &RelPath, stop: &AtomicBool, walked: Option<Walked>) -> Option<Tally> {
        let mut tally = Tally { walked, ..Tally::default() };
        let mut dirs = vec![unit.clone()];
        if !unit.is_root() {
            // A store at the top may hold what lies in directories.
            self.tally_stores(&RelPath::root(), unit, &mut tally);
        }
        while let Some(dir) = dirs.pop() {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let entries = self.disk.tree().list(&dir).unwrap_or_default();
            let is_store =
                |entry: &TreeEntry| entry.kind == FileKind::Directory && entry.name.as_bytes().ends_with(STORE_SUFFIX);
            // Before the files in memory: what is in a store may get its name there at any moment.
            if entries.iter().any(is_store) {
                self.tally_stores(&dir, unit, &mut tally);
            }
            let in_memory = self.tally_memory(&dir, &mut tally);
            for entry in entries {
                let path = dir.join(&entry.name);
                match entry.kind {
                    FileKind::Directory if self.standing_in_store(&path) == Within::Store => {}
                    FileKind::Directory if unit.is_root() => {}
                    FileKind::Directory => dirs.push(path),
                    FileKind::Regular => self.tally_disk(&path, in_memory.contains(&*entry.name), &mut tally),
                    _ => {}
                }
            }
        }
        Some(tally)
    }

    /// Counts the files of a directory that are in memory; gives their names.
    fn tally_memory(&self, dir: &RelPath, tally: &mut Tally) -> HashSet<std::ffi::OsString> {
        let Some(memory) = &self.memory else { return HashSet::new() };
        let mut names = HashSet::new();
        for entry in memory.tree().list(dir).unwrap_or_default() {
            let path = dir.join(&entry.name);
            if entry.kind == FileKind::Regular
                && let Ok(attr) = memory.tree().stat(&path)
            {
                if !tally.from_stores.contains(&path) {
                    self.tally_file(&path, &attr, tally);
                }
                names.insert(entry.name);
            }
        }
        names
    }

    fn tally_disk(&self, path: &RelPath, shadowed: bool, tally: &mut Tally) {
        let Ok(attr) = self.disk.tree().stat(path) else { return };
        tally.disk = (tally.disk.0 + 1, tally.disk.1 + attr.size as i64);
        if let Some(walked) = &mut tally.walked {
            self.walk_by(walked, path, &attr);
        }
        if !shadowed {
            self.tally_file(path, &attr, tally);
            self.tally_found(path, &attr, tally);
        }
    }

    fn tally_file(&self, path: &RelPath, attr: &Attr, tally: &mut Tally) {
        let name: Box<[u8]> = self.router.dataset(path).into();
        if attr.nlink > 1 && !tally.linked.insert((name.clone(), attr.dev, attr.ino)) {
            return;
        }
        let sum = tally.sums.entry(name).or_default();
        *sum = (sum.0 + 1, sum.1 + attr.size as i64);
    }

    /// An image that was there before, and that its rule would seal if it adopted it.
    fn tally_found(&self, path: &RelPath, attr: &Attr, tally: &mut Tally) {
        let decision = self.router.decide(path);
        let sealed = decision.in_row(Row::Large, path).home == Tier::Zarr;
        if !sealed || !is_image(path) || self.router.rule(decision.rule).adopt || self.datasets.is_made(attr) {
            return;
        }
        let found = tally.found.entry(self.router.dataset(path).into()).or_default();
        let amount = if decision.row.is_some() { &mut found.if_large } else { &mut found.always };
        *amount = (amount.0 + 1, amount.1 + attr.size);
        // Spread: the first, the second, the fourth and so on.
        if tally.samples.len() < SAMPLES && amount.0.is_power_of_two() {
            tally.samples.push(path.clone());
        }
    }

    /// Files in the stores of a directory that have no name in memory yet.
    fn tally_stores(&self, dir: &RelPath, unit: &RelPath, tally: &mut Tally) {
        let Some(stores) = &self.stores else { return };
        let _in_place = self.seals.in_place.read();
        let Ok(entries) = stores.listing(dir) else { return };
        for entry in entries {
            let Some(name) = entry.names.first().filter(|name| unit_of(name) == unit.as_bytes()) else { continue };
            if self.sealed_inode(entry.id).is_some() || self.stands(name) {
                continue;
            }
            let sum = tally.sums.entry(self.router.dataset(name).into()).or_default();
            *sum = (sum.0 + 1, sum.1 + entry.size as i64);
            tally.from_stores.insert(name.clone());
        }
    }

    /// Whether a file of this name is in either tree.
    fn stands(&self, path: &RelPath) -> bool {
        let there = |found: std::io::Result<Option<Attr>>| found.is_ok_and(|attr| attr.is_some());
        self.memory.as_ref().is_some_and(|memory| there(memory.tree().find(path))) || there(self.disk.tree().find(path))
    }

    /// Directories have come into other datasets: files that know theirs look again.
    fn know_datasets_again(&self) {
        for inode in self.inodes.files() {
            let _names = self.namespace.read();
            let Some(path) = inode.path() else { continue };
            let mut content = inode.content.write();
            if content.dataset.is_some() {
                // What it adds up to is about to be counted.
                content.dataset = Some(self.datasets.named(self.router.dataset(&path)));
            }
        }
    }

    /// What found images would take if they were sealed, from samples in their middle.
    fn estimate(&self, samples: &[RelPath]) {
        let (mut plain, mut stored) = (0, 0);
        for path in samples {
            let Ok(Ok(object)) = self.disk.tree().open(path, Access::Read).map(|object| object.reopen_unseen()) else {
                continue;
            };
            let mut bytes = vec![0; SAMPLE];
            let middle = object.size().unwrap_or(0).saturating_sub(SAMPLE as u64) / 2;
            let got = object.read_at(&mut bytes, middle).unwrap_or(0);
            bytes.truncate(got);
            plain += got as u64;
            stored += compressed_size(&bytes) as u64;
        }
        if let Some(permille) = (stored * 1000u64).checked_div(plain) {
            self.datasets.permille.store(permille.max(1), Ordering::Relaxed);
        }
    }

    /// Images that were there before and that a rule would seal if it adopted them: how many, their bytes, and what
    /// sealing them would save, as far as that can be told: an estimate from what was sealed so far, or from samples.
    pub fn adoptable(&self) -> (u64, u64, Option<u64>) {
        let views = self.datasets();
        let files = views.iter().map(|view| view.adoptable.0).sum();
        let bytes: u64 = views.iter().map(|view| view.adoptable.1).sum();
        let sealed = self.stores.as_ref().map(|stores| stores.figures()).unwrap_or_default();
        let permille = match self.datasets.permille.load(Ordering::Relaxed) {
            _ if sealed.files >= SEALED_ENOUGH && sealed.bytes > 0 => sealed.stored_bytes * 1000 / sealed.bytes,
            0 => return (files, bytes, None),
            sampled => sampled,
        };
        (files, bytes, Some(bytes / 1000 * 1000u64.saturating_sub(permille)))
    }
}
