//! Sealed files that are changed in part: what was written since is in memory, the rest still in the store.
//!
//! A large file that somebody writes to is not brought back as a whole: whoever appends to a stack of gigabytes touches
//! its tail and a few bytes before it. Its *stub* takes what is written, at its own offset, and a list of ranges tells
//! which bytes of it count. Bytes from `upto` on have never been in the store, or were cut off since.
//!
//! The journal has each range once it is written, so a successor of a killed daemon reads the same; a write that was
//! never answered may be missing. A record's names lie in its store's table: before such a file gets another name, or
//! what can only be done to whole files is done to it, the rest of its bytes are fetched ([`super::Vfs::make_whole`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::inode::{Content, Inode};
use super::journal::Record;
use crate::backend::zarr::SealedId;
use crate::backend::{ByteSource, Object};

/// More ranges than this are not kept apart: the file is fetched as a whole.
const RANGES_MOST: usize = 1024;
/// Bytes fetched in one step, for which readers and writers of the file wait.
const STEP: u64 = 1 << 20;

/// Which bytes of a file are in memory, and where the others are.
pub(crate) struct Partial(Mutex<Parts>);

struct Parts {
    source: Arc<dyn ByteSource>,
    /// Bytes from here on are in memory.
    upto: u64,
    /// Below it, so are these: start to end, apart from each other. The journal has them.
    written: BTreeMap<u64, u64>,
    /// And so are all before this, which the journal does not know.
    fetched: u64,
}

/// What the journal says of a file that was partly in memory.
#[derive(Debug, Default, Clone)]
pub(super) struct KnownParts {
    /// Bytes from here on were in memory.
    pub upto: u64,
    /// So were these.
    pub written: Vec<Range<u64>>,
}

/// Where a piece of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Memory,
    Store,
}

impl Partial {
    /// Nothing of the first `upto` bytes is in memory.
    pub fn new(source: Arc<dyn ByteSource>, upto: u64) -> Partial {
        Partial(Mutex::new(Parts { source, upto, written: BTreeMap::new(), fetched: 0 }))
    }

    /// Bytes from `range` are in memory now; whether that is news for the journal.
    pub fn add(&self, range: &Range<u64>) -> bool {
        self.0.lock().add(range)
    }

    /// The file was cut to `size` bytes; returns from where on it is in memory.
    pub fn cut(&self, size: u64) -> u64 {
        let mut parts = self.0.lock();
        parts.upto = parts.upto.min(size);
        parts.upto
    }

    /// The store has another version, equal to this one in all that is not in memory.
    pub fn rebase(&self, source: Arc<dyn ByteSource>) {
        self.0.lock().source = source;
    }

    /// Whether it would be better to have all of it.
    pub fn is_scattered(&self) -> bool {
        self.0.lock().written.len() > RANGES_MOST
    }

    /// Bytes of a file of `size` bytes that are in memory.
    pub fn held(&self, size: u64) -> u64 {
        let parts = self.0.lock();
        let written: u64 = parts.written.iter().map(|(start, end)| end - start.max(&parts.fetched).min(end)).sum();
        size.saturating_sub(parts.upto) + parts.fetched + written
    }

    /// What the journal must say of it.
    pub fn records(&self, memory: u64, id: SealedId) -> Vec<Record> {
        let parts = self.0.lock();
        let written = parts.written.iter().map(|(&start, &end)| Record::Written { memory, start, end });
        [Record::Partial { memory, id, upto: parts.upto }].into_iter().chain(written).collect()
    }

    /// Copies the next bytes that only the store has into `object`, of a file of `size` bytes, while nobody writes to it;
    /// `false` when there are no more.
    pub fn fetch_into(&self, object: &Object, size: u64) -> io::Result<bool> {
        let mut parts = self.0.lock();
        let (mut at, until) = (parts.fetched, parts.upto.min(size).min(parts.fetched + STEP));
        if at >= until {
            return Ok(false);
        }
        let mut buf = vec![0; (until - at) as usize];
        while at < until {
            let (side, next, source) = parts.side(at, until);
            if side == Side::Store {
                let out = &mut buf[..(next - at) as usize];
                if source.read_at(out, at)? != out.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                object.write_all_at(out, at)?;
            }
            at = next;
        }
        parts.fetched = until;
        Ok(true)
    }

    /// Reads at `offset`, what is in memory from `object`.
    pub fn read_at(&self, object: &Object, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = object.size()?;
        let end = size.min(offset.saturating_add(buf.len() as u64));
        let mut done = 0;
        while offset + (done as u64) < end {
            let at = offset + done as u64;
            let (side, until, source) = self.0.lock().side(at, end);
            let len = (until - at) as usize;
            let out = &mut buf[done..done + len];
            let got = match side {
                Side::Memory => object.read_at(out, at)?,
                Side::Store => source.read_at(out, at)?,
            };
            if got == 0 {
                break;
            }
            done += got;
        }
        Ok(done)
    }
}

impl Parts {
    /// Where the byte at `at` is, and the end of the piece that lies there, at most `end`.
    fn side(&self, at: u64, end: u64) -> (Side, u64, Arc<dyn ByteSource>) {
        let source = self.source.clone();
        if at >= self.upto {
            return (Side::Memory, end, source);
        }
        let covering = self.written.range(..=at).next_back().map(|(_, end)| *end).filter(|end| *end > at);
        if let Some(until) = covering.into_iter().chain((at < self.fetched).then_some(self.fetched)).max() {
            return (Side::Memory, until.min(end), source);
        }
        let next = self.written.range(at..).next().map_or(self.upto, |(start, _)| (*start).min(self.upto));
        (Side::Store, next.min(end), source)
    }

    fn add(&mut self, range: &Range<u64>) -> bool {
        let (mut start, mut end) = (range.start, range.end.min(self.upto));
        if start >= end {
            return false;
        }
        let before = self.written.range(..=start).next_back().filter(|(_, until)| **until >= start);
        if let Some((&first, &until)) = before {
            if until >= end {
                return false;
            }
            start = first;
        }
        while let Some((&next, &until)) = self.written.range(start..=end).next() {
            end = end.max(until);
            self.written.remove(&next);
        }
        self.written.insert(start, end);
        true
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.lock();
        f.debug_struct("Partial").field("upto", &parts.upto).field("written", &parts.written).finish()
    }
}

/// All of a file, whichever side each byte is on.
pub(super) struct Composite<'a> {
    object: &'a Object,
    partial: Arc<Partial>,
}

impl<'a> Composite<'a> {
    /// What `object` has of a file, and a store the rest.
    pub fn new(object: &'a Object, partial: Arc<Partial>) -> Composite<'a> {
        Composite { object, partial }
    }
}

impl ByteSource for Composite<'_> {
    fn size(&self) -> io::Result<u64> {
        self.object.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.partial.read_at(self.object, buf, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size = self.object.size()?;
        Ok((offset < size).then_some(offset..size))
    }
}

/// Stands for a version that its store does not have any more.
pub(super) struct Lost;

impl ByteSource for Lost {
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::Error::other("its store was removed, or cannot be read"))
    }

    fn next_data(&self, _offset: u64) -> io::Result<Option<Range<u64>>> {
        Ok(None)
    }
}

impl Content {
    /// Where the bytes of a file are that is partly in memory.
    pub(super) fn partial(&self) -> Option<&Arc<Partial>> {
        self.sealed.as_ref().and_then(|sealed| sealed.partial.as_ref())
    }
}

impl Inode {
    /// Whether some of its bytes are only in a store, and some perhaps only in memory.
    pub(crate) fn is_partial(&self) -> bool {
        self.partial.load(Ordering::Acquire)
    }

    /// Bytes that it holds in memory, where it is shown with `size` bytes in `blocks` blocks of 512.
    pub(super) fn held_bytes(&self, size: u64, blocks: u64) -> u64 {
        match self.is_partial() {
            true => self.content.read().partial().map_or(0, |partial| partial.held(size)),
            false => blocks * 512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(upto: u64) -> Partial {
        Partial::new(Arc::new(Lost), upto)
    }

    fn sides(partial: &Partial, end: u64) -> Vec<(Side, Range<u64>)> {
        let mut found: Vec<(Side, Range<u64>)> = Vec::new();
        let mut at = 0;
        while at < end {
            let (side, until, _) = partial.0.lock().side(at, end);
            match found.last_mut().filter(|(last, _)| *last == side) {
                Some((_, range)) => range.end = until,
                None => found.push((side, at..until)),
            }
            at = until;
        }
        found
    }

    #[test]
    fn what_is_written_is_in_memory_and_nothing_else() {
        let partial = partial(100);
        assert!(partial.add(&(10..20)));
        assert!(!partial.add(&(12..15)), "known already");
        assert!(partial.add(&(15..30)));
        assert!(!partial.add(&(100..120)), "behind the end there is only memory");
        assert!(partial.add(&(95..120)));
        use Side::{Memory, Store};
        assert_eq!(sides(&partial, 120), [(Store, 0..10), (Memory, 10..30), (Store, 30..95), (Memory, 95..120)]);
        assert_eq!(partial.held(120), 20 + 5 + 20);
    }

    #[test]
    fn ranges_that_meet_become_one_whatever_their_order() {
        for order in [[0..10, 20..30, 10..20], [20..30, 5..25, 0..10], [10..20, 0..30, 3..4]] {
            let partial = partial(30);
            assert!(order.iter().filter(|range| partial.add(range)).count() >= 2, "{order:?}");
            assert_eq!(sides(&partial, 30), [(Side::Memory, 0..30)], "{order:?}");
            assert_eq!(partial.0.lock().written.len(), 1, "{order:?}");
        }
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let partial = partial(100);
        partial.add(&(90..95));
        assert_eq!(partial.cut(50), 50);
        assert_eq!(partial.cut(80), 50);
        assert_eq!(sides(&partial, 80), [(Side::Store, 0..50), (Side::Memory, 50..80)]);
    }
}
