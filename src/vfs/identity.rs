//! Which inode number, and which ctime, the mount shows for an inode of a backend.
//!
//! Numbers follow from the backend's own, so that nothing need be remembered for a file that stays where it is: disk
//! inodes of the workspace's file system keep theirs, memory inodes get a range above. Only files that were moved
//! between tiers have an entry here: the number that programs know them by, and the ctime that the move must not show.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::{DashMap, DashSet};

use crate::model::{Attr, Tier, Timestamp};

/// The root's number in the FUSE protocol.
pub const ROOT: u64 = 1;
/// Disk inode numbers below this are shown as they are.
const DISK_END: u64 = 1 << 60;
/// Memory inode `n` is shown as `MEMORY + n`.
const MEMORY: u64 = 1 << 61;
/// Numbers given out one by one.
const FRESH: u64 = 1 << 62;
/// Numbers of the virtual directory.
pub const VIRTUAL: u64 = 1 << 63;

/// An inode on a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which tier.
    pub tier: Tier,
    /// Device of the backend's file system.
    pub dev: u64,
    /// Inode number there.
    pub ino: u64,
}

impl Place {
    /// The place that `attr` was read from.
    pub fn of(tier: Tier, attr: &Attr) -> Place {
        Place { tier, dev: attr.dev, ino: attr.ino }
    }
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    ino: u64,
    /// While the backend's ctime is the first, the mount shows the second.
    ctime: Option<(Timestamp, Timestamp)>,
}

/// The table of files that are shown under another number or ctime than their backend's.
#[derive(Debug)]
pub struct Identities {
    root: Place,
    shown: DashMap<Place, Shown>,
    /// Numbers that belong to another inode than the one they follow from.
    taken: DashSet<u64>,
    fresh: AtomicU64,
}

impl Identities {
    /// For a workspace whose root directory is `root`.
    pub fn new(root: Place) -> Identities {
        Identities { root, shown: DashMap::new(), taken: DashSet::new(), fresh: AtomicU64::new(FRESH) }
    }

    /// The number that the mount shows for `place`.
    pub fn ino(&self, place: Place) -> u64 {
        if let Some(shown) = self.shown.get(&place) {
            return shown.ino;
        }
        match self.own(place) {
            Some(ino) if !self.taken.contains(&ino) => ino,
            _ => self.renumber(place),
        }
    }

    /// The number that follows from the place alone.
    fn own(&self, place: Place) -> Option<u64> {
        match place.tier {
            _ if place == self.root => Some(ROOT),
            Tier::Memory => Some(MEMORY + place.ino),
            _ if place.dev == self.root.dev && (ROOT + 1..DISK_END).contains(&place.ino) => Some(place.ino),
            _ => None,
        }
    }

    /// Gives `place` a number that nothing has had, because the one it had is still in use by a deleted file.
    pub fn renumber(&self, place: Place) -> u64 {
        let ino = self.fresh.fetch_add(1, Ordering::Relaxed);
        self.shown.insert(place, Shown { ino, ctime: None });
        ino
    }

    /// The file known as `ino` now lives at `to`, whose ctime `actual` must be shown as `as_before`.
    pub fn moved(&self, ino: u64, to: Place, actual: Timestamp, as_before: Timestamp) {
        if self.own(to) != Some(ino) {
            self.taken.insert(ino);
        }
        self.shown.insert(to, Shown { ino, ctime: Some((actual, as_before)) });
    }

    /// The ctime to show for `place`.
    pub fn ctime(&self, place: Place, actual: Timestamp) -> Timestamp {
        match self.shown.get(&place).and_then(|shown| shown.ctime) {
            Some((at, as_before)) if at == actual => as_before,
            _ => actual,
        }
    }

    /// The file known as `ino` replaced its older version at `place`: whatever comes to be there is another file.
    pub fn left(&self, ino: u64, place: Place) {
        self.shown.remove_if(&place, |_, shown| shown.ino == ino);
    }

    /// The inode at `place` is gone for good.
    pub fn forget(&self, place: Place) {
        if let Some((_, shown)) = self.shown.remove(&place) {
            self.taken.remove(&shown.ino);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp { secs: 5, nanos: 0 };
    const BEFORE: Timestamp = Timestamp { secs: 1, nanos: 7 };

    fn disk(ino: u64) -> Place {
        Place { tier: Tier::Disk, dev: 9, ino }
    }

    fn table() -> Identities {
        Identities::new(disk(2))
    }

    #[test]
    fn a_file_keeps_its_number_and_ctime_when_it_moves() {
        let table = table();
        let ino = table.ino(Place { tier: Tier::Memory, dev: 3, ino: 40 });
        table.moved(ino, disk(77), AT, BEFORE);
        assert_eq!(table.ino(disk(77)), ino);
        assert_eq!(table.ctime(disk(77), AT), BEFORE);
        assert_eq!(table.ctime(disk(77), Timestamp { secs: 6, nanos: 0 }).secs, 6, "a later change shows");
    }

    #[test]
    fn a_reused_disk_inode_does_not_get_the_number_of_a_file_that_moved_away() {
        let table = table();
        assert_eq!(table.ino(disk(50)), 50);
        table.moved(50, disk(77), AT, BEFORE);
        assert_ne!(table.ino(disk(50)), 50);
        assert_eq!(table.ino(disk(77)), 50);
    }

    #[test]
    fn a_disk_inode_that_was_replaced_and_used_again_has_a_number_of_its_own() {
        let table = table();
        assert_eq!(table.ino(disk(50)), 50);
        // Up into memory, over the disk file, and back as a newer version.
        table.moved(50, disk(50), AT, BEFORE);
        table.moved(50, Place { tier: Tier::Memory, dev: 3, ino: 40 }, AT, BEFORE);
        table.left(50, disk(50));
        table.moved(50, disk(77), AT, BEFORE);
        assert_ne!(table.ino(disk(50)), 50);
        assert_eq!(table.ino(disk(77)), 50);
    }

    #[test]
    fn the_root_is_number_one() {
        assert_eq!(table().ino(disk(2)), ROOT);
    }
}
