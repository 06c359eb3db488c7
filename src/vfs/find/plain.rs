//! Plain files on disk: by the list that the walk has made, where the question is about few of a large workspace, else by
//! the directories.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

use super::sieve::Sieve;
use super::{Found, Query, Sort, found};
use crate::backend::zarr::Within;
use crate::model::{Attr, FileKind, RelPath, State, Tier};
use crate::vfs::snapshot::{By, List};
use crate::vfs::{OWN_DIR, Vfs};

/// Of a part of the tree, no more than so many files of the list are gone through: the part may be small.
const OF_A_PART: u64 = 20_000;
/// A list is gone through if at most one of so many files can be meant; else walking is no slower, and never out of date.
const FEW: u64 = 8;

impl Vfs {
    pub(super) fn find_on_disk(&self, query: &Query, sieve: &mut Sieve<'_>) {
        match self.find_listed(query, sieve) {
            Ok(true) => {}
            Ok(false) => self.find_in_dirs(sieve),
            Err(e) => {
                tracing::warn!("the list of plain files cannot be read, so the tree is walked: {e}");
                self.find_in_dirs(sieve);
            }
        }
    }

    /// `false` if the list is of no use for this.
    fn find_listed(&self, query: &Query, sieve: &mut Sieve<'_>) -> io::Result<bool> {
        let Some((list, changed)) = self.listing.get() else { return Ok(false) };
        let Some((by, range)) = stretch(&list, query)? else { return Ok(false) };
        list.visit(by, range, &mut |file| {
            // In the order that was asked for, all that follow are further behind.
            if sieve.is_full() || !sieve.takes_listed(by, file.size, file.mtime) {
                return false;
            }
            let path = changed.now(file.path);
            if !changed.has(&path) && sieve.takes_path(&path) {
                self.look(&path, sieve);
            }
            true
        })?;
        changed.touched().filter(|path| sieve.takes_path(path)).cloned().collect::<Vec<_>>().iter().for_each(|path| {
            self.look(path, sieve);
        });
        Ok(true)
    }

    /// Takes the file at `path` as it is now.
    fn look(&self, path: &RelPath, sieve: &mut Sieve<'_>) {
        if let Ok(Some(attr)) = self.disk.tree().find(path)
            && attr.kind == FileKind::Regular
            && !self.is_shadowed(path)
        {
            self.take_plain(path.clone(), &attr, sieve);
        }
    }

    fn find_in_dirs(&self, sieve: &mut Sieve<'_>) {
        let root = [RelPath::root()];
        let under = sieve.under().to_vec();
        let mut dirs = Vec::new();
        for path in if under.is_empty() { &root[..] } else { &under } {
            match self.disk.tree().find(path) {
                Ok(Some(attr)) if attr.kind == FileKind::Directory => dirs.push(path.clone()),
                Ok(Some(_)) if self.is_shadowed(path) => {}
                Ok(Some(attr)) if attr.kind == FileKind::Regular => self.take_plain(path.clone(), &attr, sieve),
                _ => {}
            }
        }
        while let Some(dir) = dirs.pop() {
            if sieve.is_full() {
                return;
            }
            self.find_in_dir(&dir, &mut dirs, sieve);
        }
    }

    fn find_in_dir(&self, dir: &RelPath, dirs: &mut Vec<RelPath>, sieve: &mut Sieve<'_>) {
        let Ok(entries) = self.disk.tree().list(dir) else { return };
        let above = self.memory.as_ref().and_then(|memory| memory.tree().list(dir).ok()).unwrap_or_default();
        let mirrored: HashSet<_> = above.iter().map(|entry| &*entry.name).collect();
        for entry in &entries {
            let path = dir.join(&entry.name);
            match entry.kind {
                FileKind::Directory if dir.is_root() && entry.name == OWN_DIR => {}
                FileKind::Directory if !self.show_stores && self.standing_in_store(&path) == Within::Store => {}
                FileKind::Directory => dirs.push(path),
                FileKind::Regular if !mirrored.contains(&*entry.name) && sieve.takes_path(&path) => {
                    if let Ok(Some(attr)) = self.disk.tree().find(&path) {
                        self.take_plain(path, &attr, sieve);
                    }
                }
                _ => {}
            }
        }
    }

    fn take_plain(&self, path: RelPath, attr: &Attr, sieve: &mut Sieve<'_>) {
        if sieve.takes_path(&path) && sieve.takes_size(attr.size) {
            sieve.take(Found { stored_bytes: attr.blocks * 512, ..found(path, Tier::Disk, State::Clean, attr) });
        }
    }

    /// Whether memory has a file of this name.
    fn is_shadowed(&self, path: &RelPath) -> bool {
        self.memory.as_ref().is_some_and(|memory| matches!(memory.tree().find(path), Ok(Some(_))))
    }
}

/// Where in the list the files are that can be meant; `None` if that is too many, or if nothing is said of size and age.
fn stretch(list: &List, query: &Query) -> io::Result<Option<(By, Range<u64>)>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // A second more on either side: times are listed in whole seconds.
    let ago = |age: std::time::Duration| now.saturating_sub(age).as_secs() as i64;
    let (from, to) = (query.newer.map(|age| ago(age) - 1), query.older.map(|age| ago(age) + 1));
    let by_size = list.of_size(query.at_least, query.at_most)?;
    let by_age = list.of_age(from, to)?;
    let length = |range: &Range<u64>| range.end - range.start;
    let first = match query.sort.filter(|_| query.limit.is_some()) {
        Some(Sort::Size) => Some((By::Size, by_size.clone())),
        Some(Sort::Age) => Some((By::Age, by_age.clone())),
        _ => None,
    };
    let shorter = if length(&by_size) <= length(&by_age) { (By::Size, by_size) } else { (By::Age, by_age) };
    let few = length(&shorter.1) <= list.len() / FEW;
    let chosen = first.or(Some(shorter).filter(|_| few));
    Ok(chosen.filter(|(_, range)| query.under.is_empty() || length(range) <= OF_A_PART))
}
