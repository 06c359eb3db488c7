//! Which names a store holds, in memory: enough for `lookup` and `stat`, and where the rest is.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::RelPath;

use super::{Attributes, Page, Record, RecordId};

/// What is known of a record without reading its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its names; those that a newer record claims too are not among them.
    pub names: Vec<RelPath>,
    /// The page that it is in.
    pub page: u64,
    /// Length of the file.
    pub size: u64,
    /// Owner, permissions, times.
    pub attributes: Attributes,
}

/// The index of a table.
#[derive(Debug, Default)]
pub(super) struct Index {
    names: HashMap<RelPath, RecordId>,
    records: HashMap<RecordId, Entry>,
    owners: BTreeMap<String, Vec<u64>>,
    free: Vec<u64>,
    /// One more than the highest page that was ever there.
    pages: u64,
    sequences: HashMap<u64, u64>,
    /// Pages whose dues may not have been done.
    unsettled: HashSet<u64>,
}

impl Index {
    pub(super) fn find(&self, name: &RelPath) -> Option<RecordId> {
        self.names.get(name).copied()
    }

    pub(super) fn entry(&self, id: RecordId) -> Option<&Entry> {
        self.records.get(&id)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (RecordId, &Entry)> {
        self.records.iter().map(|(id, entry)| (*id, entry))
    }

    /// The pages of `owner`, lowest first.
    pub(super) fn pages_of(&self, owner: &str) -> Vec<u64> {
        self.owners.get(owner).cloned().unwrap_or_default()
    }

    pub(super) fn owners(&self) -> Vec<String> {
        self.owners.keys().cloned().collect()
    }

    /// How many pages the array of pages has.
    pub(super) fn len(&self) -> u64 {
        self.pages
    }

    /// A page that nobody has: a freed one, or a new one.
    pub(super) fn take_page(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.pages += 1;
            self.pages - 1
        })
    }

    /// Gives back a page that was taken and not used.
    pub(super) fn give_back(&mut self, page: u64) {
        self.free.push(page);
    }

    /// Notes page `index` of a store that is being read; its records follow by [`Index::put`].
    pub(super) fn note_page(&mut self, index: u64, page: &Page) {
        self.free.extend(self.pages..index);
        self.pages = self.pages.max(index + 1);
        self.note(index, page);
        match &page.owner {
            Some(owner) if !page.is_free() => self.owners.entry(owner.clone()).or_default().push(index),
            None if !page.is_free() => {}
            _ => self.free.push(index),
        }
    }

    /// Notes that `page` of `owner` stands at `index`; one that holds nothing can be had by others.
    pub(super) fn own(&mut self, owner: &str, index: u64, page: &Page) {
        self.note(index, page);
        let pages = self.owners.entry(owner.to_owned()).or_default();
        let known = pages.binary_search(&index);
        match (known, page.is_free()) {
            (Err(at), false) => pages.insert(at, index),
            (Ok(at), true) => {
                pages.remove(at);
                self.free.push(index);
            }
            (Err(_), true) => self.free.push(index),
            (Ok(_), false) => {}
        }
        if pages.is_empty() {
            self.owners.remove(owner);
        }
    }

    /// Sequence of the page that the table answers with; 0 if there never was one.
    pub(super) fn sequence(&self, index: u64) -> u64 {
        self.sequences.get(&index).copied().unwrap_or(0)
    }

    /// Whether a new version of the page has to say again what is due.
    pub(super) fn is_unsettled(&self, index: u64) -> bool {
        self.unsettled.contains(&index)
    }

    pub(super) fn settle(&mut self, index: u64) {
        self.unsettled.remove(&index);
    }

    fn note(&mut self, index: u64, page: &Page) {
        self.sequences.insert(index, page.sequence);
        if page.dues.is_empty() {
            self.unsettled.remove(&index)
        } else {
            self.unsettled.insert(index)
        };
    }

    /// Notes a record in page `page`, in place of what is known of it. Of two records with one name the one with the
    /// higher id has it.
    pub(super) fn put(&mut self, page: u64, record: &Record) {
        self.remove(record.id);
        let mut names = Vec::with_capacity(record.names.len());
        for name in &record.names {
            match self.names.get(name).copied() {
                Some(other) if other > record.id => continue,
                Some(other) => {
                    if let Some(older) = self.records.get_mut(&other) {
                        older.names.retain(|kept| kept != name);
                    }
                }
                None => {}
            }
            self.names.insert(name.clone(), record.id);
            names.push(name.clone());
        }
        self.records.insert(record.id, Entry { names, page, size: record.size, attributes: record.attributes });
    }

    pub(super) fn remove(&mut self, id: RecordId) {
        let Some(entry) = self.records.remove(&id) else { return };
        for name in entry.names {
            if self.names.get(&name) == Some(&id) {
                self.names.remove(&name);
            }
        }
    }
}
