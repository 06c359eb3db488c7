//! The journal, read to its end: what an earlier daemon knew of the files in memory.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;

use super::journal::{Record, RenameIntent};
use super::partial::KnownParts;
use crate::backend::zarr::{SealedEntry, SealedId};
use crate::model::{Identity, RelPath};

/// The journal, read to its end.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub over: HashMap<(u64, u64, OsString), Option<Identity>>,
    pub clean: HashMap<u64, Identity>,
    pub publishing: HashMap<u64, (Identity, u64, u64)>,
    pub rename: Option<RenameIntent>,
    pub left: HashSet<u64>,
    pub sealed: HashMap<u64, SealedAs>,
    pub dropping: HashSet<SealedId>,
    pub updating: HashSet<SealedId>,
    pub waiting: HashMap<RelPath, u64>,
    pub unnamed: Vec<RelPath>,
    /// Copies of files that were there before.
    pub found: HashSet<u64>,
    /// Of files that were partly in memory, which parts, by memory inode.
    pub partial: HashMap<u64, KnownParts>,
    /// What the stores say, of those that were read.
    pub entries: HashMap<SealedId, SealedEntry>,
}

/// What the journal says of a file that a store holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct SealedAs {
    pub memory: Identity,
    pub id: SealedId,
    pub absent: bool,
    pub current: bool,
}

impl Remembered {
    /// What all records together say.
    pub fn read(records: Vec<Record>) -> Remembered {
        let mut all = Remembered::default();
        for record in records {
            match record {
                Record::Over { memory, dir, name, over } => {
                    all.over.insert((memory, dir, name), over);
                }
                Record::Clean { memory } => {
                    all.clean.insert(memory.ino, memory);
                }
                Record::Dirty { memory } => {
                    all.clean.remove(&memory);
                    all.found.remove(&memory);
                    if let Some(sealed) = all.sealed.get_mut(&memory) {
                        sealed.current = false;
                    }
                }
                Record::Publishing { memory, dev, ino } => {
                    all.publishing.insert(memory.ino, (memory, dev, ino));
                }
                Record::Rename(intent) => all.rename = Some(*intent),
                Record::Renamed => all.rename = None,
                Record::Left { memory } => {
                    all.left.insert(memory);
                }
                of_stores => all.read_of_stores(of_stores),
            }
        }
        all
    }

    fn read_of_stores(&mut self, record: Record) {
        match record {
            Record::Sealed { memory, id, absent } => {
                if absent {
                    self.partial.remove(&memory.ino);
                }
                self.sealed.insert(memory.ino, SealedAs { memory, id, absent, current: true });
            }
            Record::Dropping { id } => {
                self.dropping.insert(id);
            }
            Record::Updating { id } => {
                self.updating.insert(id);
            }
            Record::Waiting { path, ino } => {
                self.waiting.insert(path, ino);
            }
            Record::Unnamed { path } => self.unnamed.push(path),
            Record::Partial { memory, id, upto } => {
                self.partial.entry(memory).or_default().upto = upto;
                if let Some(sealed) = self.sealed.get_mut(&memory) {
                    sealed.id = id;
                }
            }
            Record::Written { memory, start, end } => {
                self.partial.entry(memory).or_default().written.push(start..end);
            }
            Record::Whole { memory } => {
                self.partial.remove(&memory);
            }
            Record::Found { memory } => {
                self.found.insert(memory);
            }
            // The caller has read all others.
            _ => {}
        }
    }
}

impl Remembered {
    /// What a store has of the file at `path`: the record that the journal tells of, or the one that took its place when
    /// the daemon was killed.
    pub fn entry_of(&self, id: SealedId, path: &RelPath) -> Option<&SealedEntry> {
        let successor = || self.entries.values().find(|entry| entry.id.store == id.store && entry.names.contains(path));
        self.entries.get(&id).or_else(successor)
    }
}
