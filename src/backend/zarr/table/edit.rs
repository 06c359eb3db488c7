//! A change of the records of one owner.
//!
//! The order that makes it safe is the caller's part:
//!
//! 1. [`Edit::put`], [`Edit::remove`]: nothing but memory changes;
//! 2. [`Edit::writes`]: the pages, to be made durable;
//! 3. [`Edit::commit`]: the table answers with the new records;
//! 4. what is due is done;
//! 5. [`Committed::settled`]: the pages need not say any more that it is due.
//!
//! An edit that is dropped before 3 leaves the table as it was; if its pages were written, the store has to be read
//! anew. One that is dropped before 5 leaves it to later edits to write again what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::store::{PageReader, PageWrite, Table, TableError};
use super::{Due, FormatError, Page, Record, RecordId};

/// A change that is being made; other owners' can be made at the same time.
#[derive(Debug)]
pub struct Edit<'t, R: PageReader> {
    table: &'t Table<R>,
    owner: Busy<'t, R>,
    pages: BTreeMap<u64, Page>,
    changed: BTreeSet<u64>,
    put: BTreeMap<RecordId, (u64, Record)>,
    removed: BTreeSet<RecordId>,
}

/// A change that has been made, and what is due because of it.
#[derive(Debug)]
#[must_use = "what is due is to be done, and then settled"]
pub struct Committed<'t, R: PageReader> {
    owner: Busy<'t, R>,
    pages: Vec<(u64, Arc<Page>)>,
}

/// The right to change the records of an owner.
#[derive(Debug)]
pub(super) struct Busy<'t, R: PageReader> {
    pub(super) table: &'t Table<R>,
    pub(super) owner: String,
    /// Pages that were taken and that the index does not know as the owner's yet.
    pub(super) taken: BTreeSet<u64>,
}

impl<R: PageReader> Drop for Busy<'_, R> {
    fn drop(&mut self) {
        let mut index = self.table.write_index();
        self.taken.iter().for_each(|page| index.give_back(*page));
        drop(index);
        self.table.release(&self.owner);
    }
}

impl<'t, R: PageReader> Edit<'t, R> {
    pub(super) fn new(owner: Busy<'t, R>) -> Edit<'t, R> {
        Edit {
            table: owner.table,
            owner,
            pages: BTreeMap::new(),
            changed: BTreeSet::new(),
            put: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }

    /// A record as it will be.
    pub fn record(&self, id: RecordId) -> Result<Record, TableError> {
        match self.put.get(&id) {
            Some((_, record)) => Ok(record.clone()),
            None if self.removed.contains(&id) => Err(TableError::NoRecord),
            None => self.table.record(id),
        }
    }

    /// Puts a record in, new or in place of the one with its id; `dues` are what has to be done to make it true. An
    /// error of kind `TooLarge` if a page of its own would not hold both (see [`Record::needs_spill`]).
    pub fn put(&mut self, record: Record, dues: Vec<Due>) -> Result<(), TableError> {
        let body = record.encode();
        let page = match self.take_out(record.id)? {
            Some(at) if self.try_put(at, &record, &body, &dues)? => at,
            _ => self.put_anywhere(&record, &body, &dues)?,
        };
        self.removed.remove(&record.id);
        self.put.insert(record.id, (page, record));
        Ok(())
    }

    /// Changes a record in place.
    pub fn update(&mut self, id: RecordId, change: impl FnOnce(&mut Record)) -> Result<(), TableError> {
        let mut record = self.record(id)?;
        change(&mut record);
        self.put(Record { id, ..record }, Vec::new())
    }

    /// Takes a record out; `dues` are the chunks that go with it.
    pub fn remove(&mut self, id: RecordId, dues: Vec<Due>) -> Result<(), TableError> {
        let at = self.take_out(id)?.ok_or(TableError::NoRecord)?;
        self.put.remove(&id);
        self.removed.insert(id);
        let page = self.load(at)?;
        let before = page.dues.len();
        page.dues.extend_from_slice(&dues);
        if !page.fits() {
            page.dues.truncate(before);
            // In a page of its own it may become durable before the record is gone: what a record uses is not removed.
            self.new_page()?.1.dues = dues;
        }
        Ok(())
    }

    /// The pages to be written, all of which the change needs. Where there is more than one, a crash between them
    /// leaves some of the records changed, each as a whole.
    pub fn writes(&self) -> Result<Vec<PageWrite>, TableError> {
        let pages = self.changed.iter().filter_map(|at| Some((*at, self.pages.get(at)?)));
        pages
            .map(|(index, page)| {
                let bytes = if page.is_free() { Vec::new() } else { page.encode()? };
                Ok(PageWrite { index, bytes })
            })
            .collect()
    }

    /// The pages are durable: from now on the table answers with them.
    pub fn commit(mut self) -> Committed<'t, R> {
        let mut index = self.table.write_index();
        let mut pages = Vec::new();
        for &at in &self.changed {
            let Some(page) = self.pages.remove(&at) else { continue };
            self.owner.taken.remove(&at);
            index.own(&self.owner.owner, at, &page);
            let page = Arc::new(page);
            self.table.keep(at, page.clone());
            pages.push((at, page));
        }
        self.removed.iter().for_each(|id| index.remove(*id));
        self.put.values().for_each(|(at, record)| index.put(*at, record));
        drop(index);
        Committed { owner: self.owner, pages }
    }

    /// The page of `owner` for work; what it said was due and has been done is dropped.
    fn load(&mut self, at: u64) -> Result<&mut Page, TableError> {
        let mut page = match self.pages.remove(&at) {
            Some(page) => page,
            None => {
                let mut page = (*self.table.page(at)?).clone();
                if !self.table.read_index().is_unsettled(at) {
                    page.dues.clear();
                }
                page
            }
        };
        if self.changed.insert(at) {
            page.sequence += 1;
        }
        Ok(self.pages.entry(at).or_insert(page))
    }

    /// Takes the old version of a record out of its page, and tells which that was.
    fn take_out(&mut self, id: RecordId) -> Result<Option<u64>, TableError> {
        let known = self.put.get(&id).map(|(at, _)| *at);
        let at = match known {
            None if self.removed.contains(&id) => None,
            None => self.table.entry(id).map(|entry| entry.page),
            known => known,
        };
        let Some(at) = at else { return Ok(None) };
        // Looked at before it is loaded: what is loaded will be written.
        let ours = match self.pages.get(&at) {
            Some(_) => true,
            None => self.table.page(at)?.owner.as_deref() == Some(self.owner.owner.as_str()),
        };
        if !ours {
            return Err(FormatError::Malformed("the record is another owner's, or its page is damaged").into());
        }
        self.load(at)?.remove(id);
        Ok(Some(at))
    }

    fn put_anywhere(&mut self, record: &Record, body: &[u8], dues: &[Due]) -> Result<u64, TableError> {
        let mut candidates = self.table.read_index().pages_of(&self.owner.owner);
        candidates.extend(&self.owner.taken);
        for at in candidates.into_iter().rev().take(2) {
            if self.try_put(at, record, body, dues)? {
                return Ok(at);
            }
        }
        let at = self.new_page()?.0;
        if self.try_put(at, record, body, dues)? {
            return Ok(at);
        }
        Err(FormatError::TooLarge("a record and what is due for it need more than a page").into())
    }

    /// A page that this edit alone knows.
    fn new_page(&mut self) -> Result<(u64, &mut Page), TableError> {
        let at = self.table.write_index().take_page();
        self.owner.taken.insert(at);
        let mut page = Page::new(&self.owner.owner);
        // A page that was freed keeps counting, so that an older version is never taken for a newer.
        page.sequence = self.table.read_index().sequence(at);
        self.pages.insert(at, page);
        Ok((at, self.load(at)?))
    }

    fn try_put(&mut self, at: u64, record: &Record, body: &[u8], dues: &[Due]) -> Result<bool, TableError> {
        let was_changed = self.changed.contains(&at);
        let page = self.load(at)?;
        let before = page.dues.len();
        page.dues.extend_from_slice(dues);
        if page.owner.is_some() && page.put(record.id, body.to_vec()) {
            return Ok(true);
        }
        page.dues.truncate(before);
        if !was_changed {
            self.changed.remove(&at);
            self.pages.remove(&at);
        }
        Ok(false)
    }
}

impl<R: PageReader> Committed<'_, R> {
    /// What is due now, in the order in which it is to be done.
    pub fn dues(&self) -> impl Iterator<Item = &Due> {
        self.pages.iter().flat_map(|(_, page)| &page.dues)
    }

    /// All of it has been done. Returns the pages that held nothing else, to be removed.
    pub fn settled(self) -> Vec<PageWrite> {
        let mut index = self.owner.table.write_index();
        let mut empty = Vec::new();
        for (at, page) in &self.pages {
            index.settle(*at);
            let mut rest = (**page).clone();
            rest.dues.clear();
            if rest.is_free() && !page.is_free() {
                index.own(&self.owner.owner, *at, &rest);
                empty.push(PageWrite { index: *at, bytes: Vec::new() });
            }
        }
        empty
    }
}
