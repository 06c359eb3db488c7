//! What was written to a file while it was being copied.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// More ranges than this are merged into the one that spans them: a bound on memory, at the price of copying more.
const MOST: usize = 1024;

/// Of a file that is written to while it is read, no more older bytes than these are kept.
const KEPT_MOST: u64 = 1 << 20;

/// Byte ranges whose copy is out of date.
#[derive(Debug, Default)]
pub struct Delta {
    ranges: Vec<Range<u64>>,
    /// Where the version at the beginning is to be read to its end: what is written over.
    before: Option<Before>,
}

/// The version that a file was at some moment, as far as it has been written over since.
#[derive(Debug, Default)]
struct Before {
    size: u64,
    /// Older bytes by where they were; pieces do not overlap.
    pieces: BTreeMap<u64, Vec<u8>>,
    kept: u64,
    /// Too much was written over.
    lost: bool,
}

impl Before {
    /// What of `range` has to be kept and is not yet.
    fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut at, end) = (range.start, range.end.min(self.size));
        let mut gaps = Vec::new();
        let overlapping = self.pieces.range(..end).filter(|(start, piece)| **start + piece.len() as u64 > range.start);
        for (start, piece) in overlapping {
            if at < *start {
                gaps.push(at..*start);
            }
            at = at.max(start + piece.len() as u64);
        }
        if at < end {
            gaps.push(at..end);
        }
        gaps
    }
}

impl Delta {
    /// For a file of `size` bytes that is to be read as it is now, whatever is written to it meanwhile.
    pub fn preserving(size: u64) -> Delta {
        Delta { ranges: Vec::new(), before: Some(Before { size, ..Before::default() }) }
    }

    /// Keeps what stands in `range`, which is about to be written over; `read` fills a buffer from an offset.
    pub fn preserve(&mut self, range: Range<u64>, read: impl Fn(&mut [u8], u64) -> io::Result<usize>) {
        let Some(before) = self.before.as_mut().filter(|before| !before.lost) else { return };
        for gap in before.gaps(range) {
            let len = gap.end - gap.start;
            before.kept += len;
            let mut piece = vec![0; if before.kept > KEPT_MOST { 0 } else { len as usize }];
            if before.kept > KEPT_MOST || read(&mut piece, gap.start).is_err() {
                *before = Before { lost: true, ..Before::default() };
                return;
            }
            before.pieces.insert(gap.start, piece);
        }
    }

    /// Puts older bytes in the place of those that were written over, into what was read at `offset`.
    ///
    /// # Errors
    /// Not all of them were kept.
    pub fn restore(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        if before.lost {
            return Err(io::Error::other("it was written over while it was read"));
        }
        let end = offset + buf.len() as u64;
        for (start, piece) in before.pieces.range(..end).filter(|(start, piece)| **start + piece.len() as u64 > offset)
        {
            let (from, to) = (offset.max(*start), end.min(start + piece.len() as u64));
            let kept = &piece[(from - start) as usize..(to - start) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(kept);
        }
        Ok(())
    }

    /// Whether the version at the beginning can still be read.
    pub fn preserves(&self) -> bool {
        self.before.as_ref().is_some_and(|before| !before.lost)
    }

    /// Notes that `range` changed.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Sequential writers are the common case: they extend the last range.
        if let Some(last) = self.ranges.last_mut()
            && range.start <= last.end
            && range.end >= last.start
        {
            last.start = last.start.min(range.start);
            last.end = last.end.max(range.end);
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() > MOST {
            let start = self.ranges.iter().map(|r| r.start).min().unwrap_or(0);
            let end = self.ranges.iter().map(|r| r.end).max().unwrap_or(0);
            self.ranges.clear();
            self.ranges.push(start..end);
        }
    }

    /// The ranges noted so far, leaving none.
    pub fn take(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.ranges)
    }

    /// Bytes that would have to be copied again.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_writes_make_one_range() {
        let mut delta = Delta::default();
        for at in 0..100 {
            delta.add(at * 10..at * 10 + 10);
        }
        assert_eq!(delta.take().first(), Some(&(0..1000)));
        assert_eq!(delta.bytes(), 0);
    }

    #[test]
    fn the_version_at_the_beginning_can_be_read_whatever_is_written() {
        let original: Vec<u8> = (0..200).collect();
        let mut file = original.clone();
        let mut delta = Delta::preserving(200);
        // Overlapping, adjoining, inside, across the end, behind it.
        for (at, len) in [(50, 10), (55, 10), (40, 10), (45, 30), (190, 20), (300, 5), (0, 1), (0, 200)] {
            delta.preserve(at..at + len, |buf, at| {
                buf.copy_from_slice(&file[at as usize..at as usize + buf.len()]);
                Ok(buf.len())
            });
            file.resize(file.len().max((at + len) as usize), 0);
            file[at as usize..(at + len) as usize].fill(255);
            for (offset, len) in [(0, 200), (43, 30), (199, 1), (60, 0)] {
                let mut read = file[offset..offset + len].to_vec();
                delta.restore(&mut read, offset as u64).expect("is kept");
                assert_eq!(read, original[offset..offset + len]);
            }
        }
        assert!(delta.preserves());
    }

    #[test]
    fn no_more_is_kept_than_has_a_bound() {
        let mut delta = Delta::preserving(1 << 30);
        delta.preserve(0..KEPT_MOST, |buf, _| Ok(buf.len()));
        assert!(delta.preserves());
        delta.preserve(1 << 29..(1 << 29) + 1, |buf, _| Ok(buf.len()));
        assert!(!delta.preserves() && delta.restore(&mut [0; 8], 0).is_err());
        assert!(!Delta::default().preserves(), "nobody asked for it");
    }

    #[test]
    fn scattered_writes_stay_bounded_and_none_is_lost() {
        let mut delta = Delta::default();
        for at in (0..10_000u64).rev() {
            delta.add(at * 100..at * 100 + 1);
        }
        let ranges = delta.take();
        assert!(ranges.len() <= MOST);
        for at in 0..10_000u64 {
            assert!(ranges.iter().any(|r| r.contains(&(at * 100))));
        }
    }
}
