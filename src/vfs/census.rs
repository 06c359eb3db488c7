//! How many files are in memory, which of them are dirty, and how long they are: known at any moment, without a look at
//! every file.
//!
//! Each inode notes under which heading it is counted, and with how many bytes. Whoever changes its state calls
//! [`Census::recount`] afterwards, which compares that with what the inode is now. Calls may come in any order and any
//! number: the last one sees the last state. The sets hold inode numbers, so a rename touches nothing here, whatever it
//! moves.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashSet;
use parking_lot::Mutex;

use super::inode::Inode;

/// Entries of files that are dirty no longer that may stay, besides four for each file that is.
const SLACK: usize = 1024;

/// What a file in the memory tier is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Heading {
    /// Not in memory: on disk, in a store alone, or without a name.
    #[default]
    None,
    /// In memory, and the home has all of it.
    Clean,
    /// In memory, and the home has not.
    Dirty,
}

/// How an inode is counted at present.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    heading: Heading,
    size: u64,
}

/// Files under one heading.
#[derive(Debug, Default)]
struct Column {
    inodes: DashSet<u64>,
    bytes: AtomicI64,
}

/// Number and length of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Files.
    pub files: u64,
    /// Their lengths in bytes.
    pub bytes: u64,
}

/// The files in memory by state.
#[derive(Debug, Default)]
pub(crate) struct Census {
    clean: Column,
    dirty: Column,
    /// When files became dirty, and which; entries that are true no longer go when they come to the top.
    since: Mutex<BinaryHeap<Reverse<(u64, u64)>>>,
}

impl Census {
    /// Brings the count of an inode up to what it is now. A leaf: takes no lock that others wait for.
    pub fn recount(&self, inode: &Inode) {
        self.recount_locked(inode, &mut inode.counted.lock());
    }

    /// A file in memory may have got another length, which `length` tells.
    pub fn measure(&self, inode: &Inode, length: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        // Asked under the lock: of two that measure at once, the later look is the one that stays.
        let mut counted = inode.counted.lock();
        inode.size.store(length()?, Ordering::Release);
        self.recount_locked(inode, &mut counted);
        Ok(())
    }

    fn recount_locked(&self, inode: &Inode, counted: &mut Counted) {
        let (before, now) = (*counted, Counted { heading: inode.heading(), size: inode.length() });
        if before.heading != now.heading {
            if let Some(column) = self.column(before.heading) {
                column.inodes.remove(&inode.ino);
            }
            if let Some(column) = self.column(now.heading) {
                column.inodes.insert(inode.ino);
            }
            if now.heading == Heading::Dirty {
                self.note_dirty(inode);
            }
        }
        if let Some(column) = self.column(before.heading) {
            column.bytes.fetch_sub(before.size as i64, Ordering::Relaxed);
        }
        if let Some(column) = self.column(now.heading) {
            column.bytes.fetch_add(now.size as i64, Ordering::Relaxed);
        }
        *counted = now;
    }

    fn note_dirty(&self, inode: &Inode) {
        let mut since = self.since.lock();
        since.push(Reverse((inode.dirty_since.load(Ordering::Relaxed), inode.ino)));
        // One file that stays dirty for long must not keep all entries behind it for ever.
        if since.len() > SLACK + 4 * self.dirty.inodes.len() {
            let mut oldest: HashMap<u64, u64> = HashMap::new();
            for Reverse((at, ino)) in since.drain().filter(|Reverse((_, ino))| self.dirty.inodes.contains(ino)) {
                oldest.entry(ino).and_modify(|known| *known = at.min(*known)).or_insert(at);
            }
            since.extend(oldest.into_iter().map(|(ino, at)| Reverse((at, ino))));
        }
    }

    /// What is counted under a heading; nothing under [`Heading::None`].
    pub fn sum(&self, heading: Heading) -> Sum {
        self.column(heading).map_or_else(Sum::default, |column| Sum {
            files: column.inodes.len() as u64,
            bytes: column.bytes.load(Ordering::Relaxed).max(0) as u64,
        })
    }

    /// The inodes under a heading, as they were a moment ago: 8 bytes each.
    pub fn inodes(&self, heading: Heading) -> Vec<u64> {
        self.column(heading).map_or_else(Vec::new, |column| column.inodes.iter().map(|ino| *ino).collect())
    }

    /// When the file became dirty that has been so for longest. `since` tells of an inode whether it is dirty, and since
    /// when.
    pub fn oldest_dirty(&self, since: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut heap = self.since.lock();
        while let Some(Reverse((noted, ino))) = heap.peek().copied() {
            match since(ino).filter(|_| self.dirty.inodes.contains(&ino)) {
                Some(now) if now <= noted => return Some(now),
                // Cleaned and made dirty again, or written through a mapping all the while.
                Some(later) => {
                    heap.pop();
                    heap.push(Reverse((later, ino)));
                }
                None => {
                    heap.pop();
                }
            }
        }
        None
    }

    fn column(&self, heading: Heading) -> Option<&Column> {
        match heading {
            Heading::None => None,
            Heading::Clean => Some(&self.clean),
            Heading::Dirty => Some(&self.dirty),
        }
    }
}

impl Inode {
    /// What this inode should be counted as.
    pub(super) fn heading(&self) -> Heading {
        if !self.resident.load(Ordering::Acquire) || self.is_absent() {
            Heading::None
        } else if self.is_dirty() {
            Heading::Dirty
        } else {
            Heading::Clean
        }
    }

    /// Length in bytes of a file in memory, as its writes and cuts have left it.
    pub(crate) fn length(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{FileKind, Tier};
    use crate::vfs::identity::Place;
    use crate::vfs::inode::Reason;

    fn inode(ino: u64, size: u64) -> Arc<Inode> {
        let place = Place { tier: Tier::Memory, dev: 1, ino };
        let inode = Inode::new(ino, FileKind::Regular, place, Reason::Rule);
        inode.size.store(size, Ordering::Relaxed);
        inode.resident.store(true, Ordering::Relaxed);
        Arc::new(inode)
    }

    fn set(inode: &Inode, dirty: bool, since: u64) {
        inode.dirty.store(dirty, Ordering::Relaxed);
        inode.dirty_since.store(since, Ordering::Relaxed);
    }

    #[test]
    fn each_file_is_counted_once_under_what_it_is_now() {
        let census = Census::default();
        let file = inode(7, 100);
        census.recount(&file);
        census.recount(&file);
        assert_eq!(census.sum(Heading::Clean), Sum { files: 1, bytes: 100 });
        set(&file, true, 5);
        file.size.store(130, Ordering::Relaxed);
        census.recount(&file);
        assert_eq!(census.sum(Heading::Clean), Sum::default());
        assert_eq!(census.sum(Heading::Dirty), Sum { files: 1, bytes: 130 });
        assert_eq!(census.inodes(Heading::Dirty), [7]);
        file.absent.store(true, Ordering::Relaxed);
        census.recount(&file);
        assert_eq!(census.sum(Heading::Dirty), Sum::default());
        file.absent.store(false, Ordering::Relaxed);
        file.resident.store(false, Ordering::Relaxed);
        census.recount(&file);
        assert_eq!((census.sum(Heading::Clean), census.sum(Heading::Dirty)), (Sum::default(), Sum::default()));
    }

    #[test]
    fn the_oldest_dirty_file_is_found_whatever_became_of_older_ones() {
        let census = Census::default();
        let files: Vec<Arc<Inode>> = (1..=3).map(|ino| inode(ino, 1)).collect();
        for (file, since) in files.iter().zip([10, 20, 30]) {
            set(file, true, since);
            census.recount(file);
        }
        let since = |ino: u64| {
            let file = files.get(ino as usize - 1)?;
            file.is_dirty().then(|| file.dirty_since.load(Ordering::Relaxed))
        };
        assert_eq!(census.oldest_dirty(since), Some(10));
        set(&files[0], false, 10);
        census.recount(&files[0]);
        assert_eq!(census.oldest_dirty(since), Some(20));
        // Written through a mapping: due again later, with no change of state between.
        files[1].dirty_since.store(40, Ordering::Relaxed);
        assert_eq!(census.oldest_dirty(since), Some(30));
        set(&files[2], false, 30);
        census.recount(&files[2]);
        assert_eq!(census.oldest_dirty(since), Some(40));
    }

    #[test]
    fn entries_of_files_that_are_clean_again_do_not_pile_up() {
        let census = Census::default();
        let (old, busy) = (inode(1, 1), inode(2, 1));
        set(&old, true, 1);
        census.recount(&old);
        for turn in 0..10_000 {
            set(&busy, true, turn + 2);
            census.recount(&busy);
            set(&busy, false, turn + 2);
            census.recount(&busy);
        }
        assert!(census.since.lock().len() < 2000);
    }
}
