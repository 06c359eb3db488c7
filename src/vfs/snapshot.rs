//! The plain files of a large workspace as its walk found them: a list on disk, by size and by age, so that a question
//! about few of them does not walk the tree again.
//!
//! The list is a file without a name beside the files on their way: it goes with the daemon, whatever ends that, and is
//! made anew by each mount. Integers are little endian.
//!
//! ```text
//! records   size u64, mtime in seconds i64, length of the path u16, path     one for each file
//! by size   offset of the record u64                                          the largest first
//! by age    offset of the record u64                                          the oldest first
//! ```
//!
//! What is changed through the mount after a file was listed is noted in memory and looked at by itself, up to a bound;
//! past it the list is no longer used.

mod changed;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::backend::{ByteSource, Object};
use crate::model::RelPath;
use changed::Changed;

/// A workspace with fewer files is walked in a moment.
const LEAST: usize = 50_000;
/// Written to disk at once, in bytes.
const PIECE: usize = 1 << 20;
const HEADER: usize = 18;
/// Offsets that are read at once.
const AHEAD: u64 = 256;

/// The list, as long as it can be relied on, and what has changed since.
#[derive(Debug, Default)]
pub(super) struct Listing {
    list: RwLock<Option<Arc<List>>>,
    noting: AtomicBool,
    changed: Mutex<Changed>,
}

/// The list itself.
#[derive(Debug)]
pub(super) struct List {
    file: Arc<Object>,
    count: u64,
    by_size: u64,
    by_age: u64,
}

/// One file of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// As it was.
    pub path: RelPath,
    /// As it was, in bytes.
    pub size: u64,
    /// As it was, in seconds since 1970.
    pub mtime: i64,
}

/// An order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The largest first.
    Size,
    /// The oldest first.
    Age,
}

/// A list being made.
#[derive(Debug, Default)]
pub(super) struct Lister {
    file: Option<Arc<Object>>,
    pool: Vec<u8>,
    written: u64,
    index: Vec<(u64, i64, u64)>,
    /// More would take too much memory.
    most: usize,
}

impl Lister {
    /// A list of at most `most` files: each takes 24 bytes of memory while it is made.
    pub fn new(most: u64) -> Lister {
        Lister { most: usize::try_from(most).unwrap_or(usize::MAX), ..Lister::default() }
    }

    /// Adds a file; `make` gives a new file on disk when one is needed.
    pub fn add(&mut self, listed: &Listed, make: impl FnOnce() -> io::Result<Arc<Object>>) -> io::Result<()> {
        let path = listed.path.as_bytes();
        let (true, Ok(len)) = (self.index.len() < self.most, u16::try_from(path.len())) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.index.push((listed.size, listed.mtime, self.written + self.pool.len() as u64));
        self.pool.extend_from_slice(&listed.size.to_le_bytes());
        self.pool.extend_from_slice(&listed.mtime.to_le_bytes());
        self.pool.extend_from_slice(&len.to_le_bytes());
        self.pool.extend_from_slice(path);
        if self.index.len() < LEAST || self.pool.len() < PIECE {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(make()?);
        }
        self.write_out()
    }

    fn write_out(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&self.pool, self.written)?;
        self.written += self.pool.len() as u64;
        self.pool.clear();
        Ok(())
    }

    /// The whole list; `None` if so few files need none.
    pub fn finish(mut self) -> io::Result<Option<List>> {
        let Some(file) = self.file.clone() else { return Ok(None) };
        self.write_out()?;
        let (by_size, count) = (self.written, self.index.len() as u64);
        self.index.sort_unstable_by_key(|(size, _, at)| (std::cmp::Reverse(*size), *at));
        self.write_order()?;
        let by_age = self.written;
        self.index.sort_unstable_by_key(|(_, mtime, at)| (*mtime, *at));
        self.write_order()?;
        Ok(Some(List { file, count, by_size, by_age }))
    }

    fn write_order(&mut self) -> io::Result<()> {
        for at in 0..self.index.len() {
            let offset = self.index.get(at).map_or(0, |(_, _, offset)| *offset);
            self.pool.extend_from_slice(&offset.to_le_bytes());
            if self.pool.len() >= PIECE {
                self.write_out()?;
            }
        }
        self.write_out()
    }
}

impl List {
    /// How many files it has.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Where in an order the files are for which `is_before` says no for the first time; it says yes to all before them.
    fn boundary(&self, by: By, is_before: impl Fn(&Listed) -> bool) -> io::Result<u64> {
        let mut range = 0..self.count;
        while range.start < range.end {
            let middle = range.start + (range.end - range.start) / 2;
            match is_before(&self.listed(self.offsets(by, middle, 1)?[0])?) {
                true => range.start = middle + 1,
                false => range.end = middle,
            }
        }
        Ok(range.start)
    }

    /// Files from `least` to `most` bytes, in [`By::Size`].
    pub fn of_size(&self, least: Option<u64>, most: Option<u64>) -> io::Result<Range<u64>> {
        let start = most.map_or(Ok(0), |most| self.boundary(By::Size, |file| file.size > most))?;
        let end = least.map_or(Ok(self.count), |least| self.boundary(By::Size, |file| file.size >= least))?;
        Ok(start..end.max(start))
    }

    /// Files last changed from `from` to `to`, in seconds since 1970, in [`By::Age`].
    pub fn of_age(&self, from: Option<i64>, to: Option<i64>) -> io::Result<Range<u64>> {
        let start = from.map_or(Ok(0), |from| self.boundary(By::Age, |file| file.mtime < from))?;
        let end = to.map_or(Ok(self.count), |to| self.boundary(By::Age, |file| file.mtime <= to))?;
        Ok(start..end.max(start))
    }

    /// Shows `visit` the files of a range in their order, until it says `false`.
    pub fn visit(&self, by: By, range: Range<u64>, visit: &mut dyn FnMut(Listed) -> bool) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let offsets = self.offsets(by, at, AHEAD.min(range.end - at))?;
            at += offsets.len() as u64;
            for offset in offsets {
                if !visit(self.listed(offset)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn offsets(&self, by: By, at: u64, count: u64) -> io::Result<Vec<u64>> {
        let order = if by == By::Size { self.by_size } else { self.by_age };
        let mut bytes = vec![0; 8 * count as usize];
        self.read(&mut bytes, order + 8 * at)?;
        Ok(bytes.chunks_exact(8).map(|offset| u64::from_le_bytes(fixed(offset))).collect())
    }

    fn listed(&self, offset: u64) -> io::Result<Listed> {
        let mut header = [0; HEADER];
        self.read(&mut header, offset)?;
        let mut path = vec![0; usize::from(u16::from_le_bytes(fixed(&header[16..])))];
        self.read(&mut path, offset + HEADER as u64)?;
        let path = RelPath::from_bytes(&path).ok_or(io::ErrorKind::InvalidData)?;
        let (size, mtime) = (u64::from_le_bytes(fixed(&header)), i64::from_le_bytes(fixed(&header[8..])));
        Ok(Listed { path, size, mtime })
    }

    fn read(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let got = self.file.read_at(bytes, offset)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = bytes.get_mut(got..).unwrap_or_default();
            offset += got as u64;
        }
        Ok(())
    }
}

/// The first bytes, as many as fit; zeros where there are fewer.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

impl Listing {
    /// A walk begins: what changes from now on may not be as it is listed. `bytes` of memory may be taken for that.
    pub fn begin(&self, bytes: u64) {
        *self.changed.lock() = Changed::new(bytes);
        self.noting.store(true, Ordering::Release);
    }

    /// The walk is over; without a list nothing need be noted any more.
    pub fn end(&self, list: Option<List>) {
        self.noting.store(list.is_some(), Ordering::Release);
        let mut changed = self.changed.lock();
        match list {
            Some(list) if !changed.has_moved() => *self.list.write() = Some(Arc::new(list)),
            _ => *changed = Changed::default(),
        }
    }

    /// The list with what was changed since; `None` if there is none that can be relied on.
    pub fn get(&self) -> Option<(Arc<List>, Changed)> {
        let list = self.list.read().clone()?;
        let changed = self.changed.lock();
        (!changed.is_too_much()).then(|| (list, changed.clone()))
    }

    /// Whether changes are noted.
    pub fn is_noting(&self) -> bool {
        self.noting.load(Ordering::Acquire)
    }

    /// A plain file came to `path`, or is about to change.
    pub fn touch(&self, path: &RelPath) {
        if self.is_noting() {
            self.changed.lock().touch(path);
        }
    }

    /// A name moved; for a directory, all that is below it too.
    pub fn renamed(&self, from: &RelPath, to: &RelPath, is_dir: bool) {
        if !self.is_noting() {
            return;
        }
        let mut changed = self.changed.lock();
        if is_dir { changed.renamed(from, to) } else { changed.touch(to) }
    }

    /// Names moved in a way that cannot be told in few words.
    pub fn give_up(&self) {
        if self.is_noting() {
            self.changed.lock().give_up();
        }
    }
}

#[cfg(test)]
mod tests;
