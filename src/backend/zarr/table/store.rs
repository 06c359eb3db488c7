//! All pages of a store: an index in memory, the records themselves read when they are asked for.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use thiserror::Error;

use crate::model::RelPath;

use super::edit::{Busy, Edit};
use super::index::{Entry, Index};
use super::{Damage, Due, FormatError, Page, Record, RecordId};

/// Pages that are kept decoded.
const KEPT_PAGES: usize = 8;

/// Reads pages.
pub trait PageReader: Send + Sync {
    /// The decoded bytes of page `index`, zeros in place of damaged blocks.
    fn read_page(&self, index: u64) -> io::Result<Vec<u8>>;
}

/// A page to be written in place of what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWrite {
    /// Its index in `scopefs/tables`.
    pub index: u64,
    /// [`super::CHUNK`] bytes; none: nothing is left in the page, and its chunk file is to be removed.
    pub bytes: Vec<u8>,
}

/// Why the table cannot answer or be changed.
#[derive(Debug, Error)]
pub enum TableError {
    /// There is no such record.
    #[error("there is no such file in the store")]
    NoRecord,
    /// A page or record cannot be understood.
    #[error("the table of the store cannot be read: {0}")]
    Format(#[from] FormatError),
    /// A page could not be read.
    #[error("the table of the store cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What was found wrong while a table was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// A page could not be read; it is left alone.
    Unread {
        /// Its index.
        page: u64,
        /// Why.
        what: String,
    },
    /// A page could not be understood as a whole, and is left alone.
    Page {
        /// Its index.
        page: u64,
        /// Why.
        error: FormatError,
    },
    /// Bytes of a page are damaged.
    Bytes {
        /// Its index.
        page: u64,
        /// Where.
        damage: Damage,
    },
    /// Records are gone without a trace.
    Lost {
        /// The page.
        page: u64,
        /// How many.
        records: usize,
    },
    /// A record is sound as bytes, but says what cannot be.
    Record {
        /// The page.
        page: u64,
        /// The record.
        id: RecordId,
        /// Why.
        error: FormatError,
    },
}

/// The table of one store.
///
/// An owner's records are changed by one [`Edit`] at a time, those of different owners in parallel. Locks, in this
/// order: `busy`, `index`, `kept`; each for a moment only, never across reading or decoding.
#[derive(Debug)]
pub struct Table<R> {
    reader: R,
    index: RwLock<Index>,
    /// Owners whose records are being changed.
    busy: Mutex<HashSet<String>>,
    idle: Condvar,
    kept: Mutex<VecDeque<(u64, Arc<Page>)>>,
    next_record: AtomicU64,
    next_literal: AtomicU64,
}

/// What a table was when it was read.
#[derive(Debug, Default)]
pub struct Found {
    /// What is due, with the page that says so ([`Table::settle`]).
    pub dues: Vec<(u64, Due)>,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

impl<R: PageReader> Table<R> {
    /// The table of a new store.
    pub fn empty(reader: R) -> Table<R> {
        Table {
            reader,
            index: RwLock::default(),
            busy: Mutex::default(),
            idle: Condvar::new(),
            kept: Mutex::default(),
            next_record: AtomicU64::new(1),
            next_literal: AtomicU64::new(0),
        }
    }

    /// Reads all `pages` (indices of the chunk files that are there, ascending); `literals` is one more than the
    /// highest chunk of `scopefs/literals` that is there. What cannot be understood is told of and left out.
    pub fn load(reader: R, pages: &[u64], literals: u64) -> (Table<R>, Found) {
        let mut table = Table::empty(reader);
        let mut found = Found::default();
        let mut last = 0;
        for &at in pages {
            let mut index = table.write_index();
            let page = match table.reader.read_page(at).map(|bytes| Page::decode(&bytes)) {
                Ok(Ok(page)) => page,
                failed => {
                    // Not ours to write over.
                    let mut unknown = Page::default();
                    unknown.lost = 1;
                    index.note_page(at, &unknown);
                    found.flaws.push(match failed {
                        Ok(Err(error)) => Flaw::Page { page: at, error },
                        Err(error) => Flaw::Unread { page: at, what: error.to_string() },
                        Ok(Ok(_)) => continue,
                    });
                    continue;
                }
            };
            index.note_page(at, &page);
            for (id, body) in page.records() {
                last = last.max(id.0);
                match Record::decode(id, body) {
                    Ok(record) => index.put(at, &record),
                    Err(error) => found.flaws.push(Flaw::Record { page: at, id, error }),
                }
            }
            found.take(at, page);
        }
        table.next_record = AtomicU64::new(last.saturating_add(1));
        table.next_literal = AtomicU64::new(literals);
        (table, found)
    }

    /// The record that has this name, and what `stat` needs of it.
    pub fn find(&self, name: &RelPath) -> Option<(RecordId, Entry)> {
        let index = self.read_index();
        let id = index.find(name)?;
        index.entry(id).map(|entry| (id, entry.clone()))
    }

    /// What is known of a record without reading it.
    pub fn entry(&self, id: RecordId) -> Option<Entry> {
        self.read_index().entry(id).cloned()
    }

    /// All records, in no order.
    pub fn entries(&self) -> Vec<(RecordId, Entry)> {
        self.read_index().entries().map(|(id, entry)| (id, entry.clone())).collect()
    }

    /// Owners that have records.
    pub fn owners(&self) -> Vec<String> {
        self.read_index().owners()
    }

    /// The records of `owner`: those that a chunk of it may be used by. Reads the owner's pages.
    pub fn records_of(&self, owner: &str) -> Result<Vec<RecordId>, TableError> {
        let pages = self.read_index().pages_of(owner);
        let mut ids = Vec::new();
        for at in pages {
            ids.extend(self.page(at)?.records().map(|(id, _)| id));
        }
        Ok(ids)
    }

    /// How many pages the array of pages has to have room for.
    pub fn pages(&self) -> u64 {
        self.read_index().len()
    }

    /// How many chunks the array of literal bytes has to have room for.
    pub fn literals(&self) -> u64 {
        self.next_literal.load(Ordering::Relaxed)
    }

    /// Indices for `count` new chunks of `scopefs/literals`, never given twice in a run.
    pub fn take_literals(&self, count: u64) -> std::ops::Range<u64> {
        let first = self.next_literal.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// An id that no record has or had in this run.
    pub fn take_id(&self) -> RecordId {
        RecordId(self.next_record.fetch_add(1, Ordering::Relaxed))
    }

    /// Reads a record.
    pub fn record(&self, id: RecordId) -> Result<Record, TableError> {
        // A record moves to another page when its own has no more room: then the index knows better the second time.
        for _ in 0..3 {
            let page = self.read_index().entry(id).map(|entry| entry.page).ok_or(TableError::NoRecord)?;
            if let Some(record) = self.page(page)?.record(id) {
                return Ok(record?);
            }
            self.forget(page);
        }
        Err(TableError::NoRecord)
    }

    /// Begins a change of the records of `owner`; waits until no other is going on.
    pub fn edit(&self, owner: &str) -> Edit<'_, R> {
        let mut busy = lock(&self.busy);
        while !busy.insert(owner.to_owned()) {
            busy = self.idle.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Edit::new(Busy { table: self, owner: owner.to_owned(), taken: BTreeSet::new() })
    }

    pub(super) fn release(&self, owner: &str) {
        lock(&self.busy).remove(owner);
        self.idle.notify_all();
    }

    /// What was due when the table was read has been done.
    pub fn settle(&self, page: u64) {
        self.write_index().settle(page);
    }

    /// The owner of a record.
    pub fn owner_of(&self, id: RecordId) -> Result<String, TableError> {
        let page = self.read_index().entry(id).map(|entry| entry.page).ok_or(TableError::NoRecord)?;
        Ok(self.page(page)?.owner.clone().unwrap_or_default())
    }

    pub(super) fn page(&self, index: u64) -> Result<Arc<Page>, TableError> {
        let sequence = self.read_index().sequence(index);
        let known = lock(&self.kept).iter().find(|(at, _)| *at == index).map(|(_, page)| page.clone());
        if let Some(page) = known.filter(|page| page.sequence >= sequence) {
            return Ok(page);
        }
        let page = Arc::new(Page::decode(&self.reader.read_page(index)?)?);
        // It may have been changed while it was read.
        if page.sequence == self.read_index().sequence(index) {
            self.keep(index, page.clone());
        }
        Ok(page)
    }

    /// Puts a page that was written in place of the one that is kept.
    pub(super) fn keep(&self, index: u64, page: Arc<Page>) {
        let mut kept = lock(&self.kept);
        kept.retain(|(at, _)| *at != index);
        keep(&mut kept, index, page);
    }

    fn forget(&self, index: u64) {
        lock(&self.kept).retain(|(at, _)| *at != index);
    }

    pub(super) fn read_index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_index(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn take(&mut self, at: u64, page: Page) {
        self.dues.extend(page.dues.into_iter().map(|due| (at, due)));
        self.flaws.extend(page.damage.into_iter().map(|damage| Flaw::Bytes { page: at, damage }));
        if page.lost > 0 {
            self.flaws.push(Flaw::Lost { page: at, records: page.lost });
        }
    }
}

fn keep(kept: &mut VecDeque<(u64, Arc<Page>)>, index: u64, page: Arc<Page>) {
    if kept.len() >= KEPT_PAGES {
        kept.pop_front();
    }
    kept.push_back((index, page));
}

/// Nothing under these locks can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
