//! The pages of a store on disk: which there are, whose they are, and which record is in which.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use super::array::{ArraySpec, ChunkArray};
use super::blosc::{BloscError, Frame, Scratch};
use super::documents::put_array;
use super::ground::{Ground, below, chunk_path, zarr_version};
use super::table::{CHUNK, Page, RecordId, TABLES};
use crate::config::Ngff;
use crate::model::RelPath;
use crate::view::Dtype;

/// Most bytes that a page takes as stored: incompressible, and the frame around it.
const STORED_MOST: usize = CHUNK + (64 << 10);

/// Which pages a store has.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Pages of each owner; the last is the one that is being filled.
    owners: HashMap<String, Vec<u64>>,
    /// In which page a record is.
    home: HashMap<u64, u64>,
    /// The records of each page.
    content: HashMap<u64, Vec<u64>>,
    free: BTreeSet<u64>,
    /// Pages that there are.
    count: u64,
    /// Pages that the array's metadata declares.
    extent: u64,
    sequence: u64,
    /// Some pages could not be read: there may be records in them.
    pub unread: bool,
}

impl Pages {
    /// Reads all pages of the store at `store`, handing each to `each` with its number.
    pub fn load(
        ground: &Ground,
        store: &RelPath,
        version: Ngff,
        each: &mut dyn FnMut(u64, &Page),
    ) -> io::Result<Pages> {
        let mut pages = Pages { extent: declared(ground, store, version)?, ..Pages::default() };
        let dir = below(store, TABLES);
        let dir = if version == Ngff::V05 { below(&dir, "c") } else { dir };
        let entries = match ground.files.tree().list(&dir) {
            Err(e) if crate::backend::is_absent(&e) => Vec::new(),
            listed => listed?,
        };
        let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| entry.name.to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        let mut newest: HashMap<u64, u64> = HashMap::new();
        for number in numbers {
            pages.count = number + 1;
            let page = match pages.read(ground, store, version, number) {
                Ok(page) => page,
                Err(e) => {
                    // Its files are lost to sight, the others are not; and it is not ours to write over.
                    tracing::error!("{e}; run scopefs check");
                    pages.unread = true;
                    continue;
                }
            };
            pages.sequence = pages.sequence.max(page.sequence);
            if page.is_vacant() {
                pages.free.insert(number);
                each(number, &page);
                continue;
            }
            pages.owners.entry(page.owner.clone().unwrap_or_default()).or_default().push(number);
            for (id, _) in page.records() {
                // A record that was moved to another page, and the move was not finished.
                pages.content.entry(number).or_default().push(id.0);
                if newest.get(&id.0).is_none_or(|sequence| *sequence <= page.sequence) {
                    newest.insert(id.0, page.sequence);
                    pages.home.insert(id.0, number);
                }
            }
            each(number, &page);
        }
        Ok(pages)
    }

    /// The page with this number; a free one if there is none.
    pub fn read(&self, ground: &Ground, store: &RelPath, version: Ngff, number: u64) -> io::Result<Page> {
        let path = below(store, &chunk_path(version, TABLES, &[number]));
        let Some(stored) = ground.files.read(&path, STORED_MOST)? else { return Ok(Page::default()) };
        let damaged = |e: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the page {path} of a store cannot be read: {e}"))
        };
        let bytes = decode_blocks(&stored).map_err(|e| damaged(&e))?;
        Page::decode(&bytes).map_err(|e| damaged(&e))
    }

    /// Writes a page, durably.
    pub fn write(
        &mut self,
        ground: &Ground,
        store: &RelPath,
        version: Ngff,
        number: u64,
        page: &mut Page,
    ) -> io::Result<()> {
        self.declare(ground, store, version, number + 1)?;
        self.sequence += 1;
        page.sequence = self.sequence;
        let bytes = page.encode().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let frame = ground.encode(&bytes, 1)?;
        ground.files.put(&below(store, &chunk_path(version, TABLES, &[number])), &frame.bytes, true)?;
        self.note(number, page);
        Ok(())
    }

    /// In which page a record is.
    pub fn home(&self, record: RecordId) -> Option<u64> {
        self.home.get(&record.0).copied()
    }

    /// Copies of records that were left in their page when another took them, and the pages; [`Pages::home`] is that
    /// other.
    pub fn left_behind(&self) -> BTreeMap<u64, Vec<RecordId>> {
        let mut left: BTreeMap<u64, Vec<RecordId>> = BTreeMap::new();
        for (number, records) in &self.content {
            for record in records.iter().filter(|record| self.home.get(record) != Some(number)) {
                left.entry(*number).or_default().push(RecordId(*record));
            }
        }
        left
    }

    /// The page that `owner` fills, or a new one.
    pub fn filling(&self, owner: &str) -> u64 {
        self.owners.get(owner).and_then(|pages| pages.last().copied()).unwrap_or_else(|| self.unused())
    }

    /// A page that nobody has.
    pub fn unused(&self) -> u64 {
        self.free.first().copied().unwrap_or(self.count)
    }

    fn note(&mut self, number: u64, page: &Page) {
        self.count = self.count.max(number + 1);
        let records: Vec<u64> = page.records().map(|(id, _)| id.0).collect();
        for gone in self.content.insert(number, records.clone()).unwrap_or_default() {
            if self.home.get(&gone) == Some(&number) {
                self.home.remove(&gone);
            }
        }
        self.home.extend(records.into_iter().map(|id| (id, number)));
        let owner = page.owner.clone().unwrap_or_default();
        if page.is_vacant() {
            self.free.insert(number);
            self.owners.values_mut().for_each(|pages| pages.retain(|other| *other != number));
            return;
        }
        self.free.remove(&number);
        let pages = self.owners.entry(owner).or_default();
        if !pages.contains(&number) {
            pages.push(number);
        }
    }

    /// Makes the array declare at least so many pages, in doublings.
    fn declare(&mut self, ground: &Ground, store: &RelPath, version: Ngff, pages: u64) -> io::Result<()> {
        if pages <= self.extent {
            return Ok(());
        }
        let extent = pages.next_power_of_two();
        put_array(ground, &below(store, TABLES), &bytes_spec(version, extent))?;
        self.extent = extent;
        Ok(())
    }
}

/// The bytes of a page, zeros in place of blocks that do not decode: what was in them is missed when it is read.
fn decode_blocks(stored: &[u8]) -> Result<Vec<u8>, BloscError> {
    let frame = Frame::open(stored, CHUNK as u64)?;
    let mut bytes = vec![0; CHUNK];
    for block in 0..frame.blocks() {
        let range = frame.range_of(block);
        let Some(part) = bytes.get_mut(range.start as usize..range.end as usize) else { continue };
        if frame.decode_range(range.start, part, &mut Scratch::default()).is_err() {
            part.fill(0);
        }
    }
    Ok(bytes)
}

/// An array of bytes in chunks of 1 MiB.
pub(super) fn bytes_spec(version: Ngff, chunks: u64) -> ArraySpec {
    ArraySpec {
        version: zarr_version(version),
        dtype: Dtype::U8,
        shape: vec![chunks * CHUNK as u64],
        chunk: vec![CHUNK as u64],
        shard: None,
        names: None,
    }
}

/// How many pages the array's metadata declares now.
fn declared(ground: &Ground, store: &RelPath, version: Ngff) -> io::Result<u64> {
    let version = zarr_version(version);
    let path = below(store, TABLES).join(ChunkArray::document_name(version));
    let Some(bytes) = ground.document(&path)? else { return Ok(0) };
    let array = ChunkArray::parse(version, &bytes).ok();
    Ok(array.and_then(|array| array.spec().shape.first().copied()).map_or(0, |bytes| bytes / CHUNK as u64))
}
