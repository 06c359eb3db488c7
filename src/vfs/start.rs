//! Where a new file starts.

use std::sync::atomic::Ordering;

use super::inode::{Inode, Reason};
use super::{OpenFlags, Room, Vfs};
use crate::model::{Durability, RelPath, Tier};

/// Where a new file starts.
pub(super) enum Start {
    /// In memory.
    Memory,
    /// On disk, and why.
    Disk(Reason),
}

impl Vfs {
    /// Memory if the rule wants it and everything is in its favour; otherwise disk, and why.
    pub(super) fn start(&self, path: &RelPath, dir: &Inode, flags: &OpenFlags) -> Start {
        if self.memory.is_none() {
            return Start::Disk(Reason::NoMemoryTier);
        }
        let decision = self.decide(path);
        if self.start_tier(path) != Tier::Memory {
            return Start::Disk(Reason::Rule);
        }
        if self.behind.is_over() && decision.durability != Durability::Scratch {
            return Start::Disk(Reason::SessionBound);
        }
        if flags.sync {
            return Start::Disk(Reason::Synced);
        }
        if dir.place().dev != self.root.place().dev {
            return Start::Disk(Reason::OtherFileSystem);
        }
        if self.draining.load(Ordering::Relaxed) || self.budget.is_pressed() {
            return Start::Disk(Reason::PressureAtCreate);
        }
        // A new file needs an inode at both places; its first page is asked for by the first write.
        if self.budget.ask(4096) != Room::Granted || !self.budget.ask_file(self.inodes.resident_count()) {
            (self.on_short)();
            return Start::Disk(Reason::PressureAtCreate);
        }
        Start::Memory
    }
}
