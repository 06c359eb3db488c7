//! A frame to bytes: any range, at the cost of the blocks that it overlaps.

use std::io;
use std::ops::{Deref, Range};

use thiserror::Error;

use super::header::{Filter, HEADER, Header};
use super::{check_of, shuffle};
use crate::model::ByteSource;

/// Why bytes of a frame cannot be had.
#[derive(Debug, Error)]
pub enum BloscError {
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The beginning of the frame is damaged, or it is something else: nothing of it can be had.
    #[error("it is no Blosc frame that can be read: {0}")]
    Header(&'static str),
    /// It is a frame of something else.
    #[error("it holds {found} bytes and not {expected}")]
    Size {
        /// Bytes of a chunk.
        expected: u64,
        /// Bytes that the frame claims.
        found: u64,
    },
    /// A block does not decode; `range` are the decoded bytes that are lost.
    #[error("bytes {} to {} of it are damaged: {what}", range.start, range.end)]
    Damaged {
        /// The decoded bytes of the block.
        range: Range<u64>,
        /// What was found.
        what: &'static str,
    },
    /// A block decodes, but is not the one that was written.
    #[error("bytes {} to {} of it were changed", range.start, range.end)]
    Changed {
        /// The decoded bytes of the block.
        range: Range<u64>,
    },
    /// Bytes were asked for that the frame does not have.
    #[error("bytes {} to {} are not within it", range.start, range.end)]
    OutOfRange {
        /// What was asked for.
        range: Range<u64>,
    },
}

/// Where the bytes of a frame are.
pub trait Stored {
    /// How many there are.
    fn size(&self) -> io::Result<u64>;

    /// `len` of them from `at`, in place or copied into `spare`; fewer at the end.
    fn get<'a>(&'a self, at: u64, len: usize, spare: &'a mut Vec<u8>) -> io::Result<&'a [u8]>;
}

impl Stored for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn get<'a>(&'a self, at: u64, len: usize, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let rest = usize::try_from(at).ok().and_then(|at| <[u8]>::get(self, at..)).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }
}

/// A frame that is part of a file, or all of it.
#[derive(Debug)]
pub struct Section<B> {
    /// The file, behind any kind of pointer.
    pub source: B,
    /// Where in it.
    pub range: Range<u64>,
}

impl<B: Deref<Target: ByteSource>> Stored for Section<B> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.range.end.saturating_sub(self.range.start))
    }

    fn get<'a>(&'a self, at: u64, len: usize, spare: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        let len = len.min(usize::try_from(self.size()?.saturating_sub(at)).unwrap_or(usize::MAX));
        spare.resize(len, 0);
        let got = self.source.read_at(spare, self.range.start.saturating_add(at))?;
        spare.truncate(got);
        Ok(spare)
    }
}

/// Memory that decoding works in, kept from one call to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    stored: Vec<u8>,
    work: Work,
    block: Vec<u8>,
}

#[derive(Debug, Default)]
struct Work {
    filtered: Vec<u8>,
    spare: Vec<u8>,
}

/// A frame whose header was found sound.
#[derive(Debug)]
pub struct Frame<S> {
    source: S,
    header: Header,
    /// Where each block begins in the frame; empty if all is stored as it is.
    starts: Vec<u32>,
    /// The same in ascending order: a block ends where the next one begins.
    sorted: Vec<u32>,
}

impl<S: Stored> Frame<S> {
    /// Reads header and offsets of a frame that is to hold `expected` bytes; nothing that the frame claims makes it
    /// take more memory than about that.
    pub fn open(source: S, expected: u64) -> Result<Frame<S>, BloscError> {
        let mut spare = Vec::new();
        let size = source.size()?;
        let Some(header) = source.get(0, HEADER, &mut spare)?.first_chunk().copied() else {
            return Err(BloscError::Header("it is cut short"));
        };
        let header = Header::parse(&header, size, expected)?;
        let count = if header.stored { 0 } else { header.blocks() };
        let table = source.get(HEADER as u64, 4 * count, &mut spare)?;
        let starts: Vec<u32> =
            table.chunks_exact(4).filter_map(<[u8]>::first_chunk).copied().map(u32::from_le_bytes).collect();
        if starts.len() != count {
            return Err(BloscError::Header("it is cut short"));
        }
        let mut sorted = starts.clone();
        sorted.sort_unstable();
        Ok(Frame { source, header, starts, sorted })
    }

    /// How many bytes it decodes to.
    pub fn decoded_len(&self) -> u64 {
        u64::from(self.header.nbytes)
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        self.header.blocks()
    }

    /// The block that decoded byte `at` is in.
    pub fn block_at(&self, at: u64) -> Option<usize> {
        (at < self.decoded_len()).then(|| (at / u64::from(self.header.blocksize)) as usize)
    }

    /// The decoded bytes of block `block`.
    pub fn range_of(&self, block: usize) -> Range<u64> {
        let start = block as u64 * u64::from(self.header.blocksize);
        start..(start + u64::from(self.header.blocksize)).min(self.decoded_len())
    }

    /// How many bytes it takes.
    pub fn stored_len(&self) -> u64 {
        u64::from(self.header.cbytes)
    }

    /// Whether all bytes are stored as they are.
    pub fn is_stored(&self) -> bool {
        self.header.stored
    }

    /// The filter that its blocks have.
    pub fn filter(&self) -> Filter {
        if self.header.stored { Filter::None } else { self.header.filter }
    }

    /// Decodes `out.len()` bytes from `start` into `out`.
    ///
    /// After an error, `out` holds nothing of use.
    pub fn decode_range(&self, start: u64, out: &mut [u8], scratch: &mut Scratch) -> Result<(), BloscError> {
        self.decode(start, out, None, scratch)
    }

    /// The same, each block held against its check (one for each block of the frame).
    ///
    /// The error tells a block that does not decode from one that decodes but is another than was written.
    pub fn decode_range_checked(
        &self,
        start: u64,
        out: &mut [u8],
        checks: &[u64],
        scratch: &mut Scratch,
    ) -> Result<(), BloscError> {
        self.decode(start, out, Some(checks), scratch)
    }

    /// All of it.
    pub fn decode_all(&self) -> Result<Vec<u8>, BloscError> {
        let mut out = vec![0; self.header.nbytes as usize];
        self.decode_range(0, &mut out, &mut Scratch::default())?;
        Ok(out)
    }

    /// The check of each block as it is stored now.
    pub fn checks(&self) -> Result<Vec<u64>, BloscError> {
        let mut spare = Vec::new();
        (0..self.blocks()).map(|block| Ok(check_of(self.stored(block, &mut spare)?))).collect()
    }

    fn decode(
        &self,
        start: u64,
        out: &mut [u8],
        checks: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<(), BloscError> {
        let end = start.saturating_add(out.len() as u64);
        if end > self.decoded_len() {
            return Err(BloscError::OutOfRange { range: start..end });
        }
        let mut rest = out;
        let mut at = start;
        while let Some(block) = self.block_at(at).filter(|_| !rest.is_empty()) {
            let range = self.range_of(block);
            let len = ((range.end - at) as usize).min(rest.len());
            let (here, next) = rest.split_at_mut(len);
            let check = checks.map(|checks| checks.get(block).copied());
            if here.len() as u64 == range.end - range.start {
                self.block(block, here, check, &mut scratch.stored, &mut scratch.work)?;
            } else {
                scratch.block.resize((range.end - range.start) as usize, 0);
                self.block(block, &mut scratch.block, check, &mut scratch.stored, &mut scratch.work)?;
                let from = (at - range.start) as usize;
                here.copy_from_slice(&scratch.block[from..from + len]);
            }
            at += len as u64;
            rest = next;
        }
        Ok(())
    }

    /// Decodes one whole block; `check` is `Some(None)` where a check is wanted and there is none.
    fn block(
        &self,
        block: usize,
        out: &mut [u8],
        check: Option<Option<u64>>,
        stored: &mut Vec<u8>,
        work: &mut Work,
    ) -> Result<(), BloscError> {
        let stored = self.stored(block, stored)?;
        let same = check.is_none_or(|check| check == Some(check_of(stored)));
        let decoded = if !self.header.stored {
            decompress(&self.header, block, stored, out, work)
        } else if stored.len() == out.len() {
            out.copy_from_slice(stored);
            Ok(())
        } else {
            Err("it is cut short")
        };
        match decoded {
            Err(what) => Err(BloscError::Damaged { range: self.range_of(block), what }),
            Ok(()) if same => Ok(()),
            Ok(()) => Err(BloscError::Changed { range: self.range_of(block) }),
        }
    }

    /// The bytes of a block as stored; none where its offset leads out of the frame.
    fn stored<'a>(&'a self, block: usize, spare: &'a mut Vec<u8>) -> Result<&'a [u8], BloscError> {
        if self.header.stored {
            let range = self.range_of(block);
            return Ok(self.source.get(HEADER as u64 + range.start, (range.end - range.start) as usize, spare)?);
        }
        let start = self.starts.get(block).copied().unwrap_or(u32::MAX);
        let next = self.sorted.partition_point(|other| *other <= start);
        let end = self.sorted.get(next).copied().unwrap_or(self.header.cbytes).min(self.header.cbytes);
        let len = end.saturating_sub(start.max(HEADER as u32)) as usize;
        Ok(self.source.get(u64::from(start), len, spare)?)
    }
}

/// Decodes one block, split by split, and undoes its filter.
fn decompress(
    header: &Header,
    block: usize,
    stored: &[u8],
    out: &mut [u8],
    work: &mut Work,
) -> Result<(), &'static str> {
    let typesize = usize::from(header.typesize);
    let (len, splits) = header.block(block);
    let idle = shuffle::is_idle(header.filter, typesize, len);
    let Work { filtered, spare } = work;
    if idle {
        return splits_into(stored, splits, out);
    }
    filtered.resize(len, 0);
    splits_into(stored, splits, filtered)?;
    shuffle::undo(header.filter, typesize, filtered, out, spare);
    Ok(())
}

fn splits_into(stored: &[u8], splits: usize, out: &mut [u8]) -> Result<(), &'static str> {
    if out.len() % splits != 0 {
        return Err("its splits are not of one length");
    }
    let mut rest = stored;
    for split in out.chunks_exact_mut((out.len() / splits).max(1)) {
        let (len, after) = rest.split_first_chunk().ok_or("it is cut short")?;
        let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("it is cut short")?;
        rest = after;
        if bytes.len() == split.len() {
            split.copy_from_slice(bytes);
        } else if lz4_flex::block::decompress_into(bytes, split).ok() != Some(split.len()) {
            return Err("it does not decompress");
        }
    }
    Ok(())
}
