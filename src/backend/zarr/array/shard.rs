//! Shards: many chunks in one file, with an index of their places at its end.
//!
//! ```text
//! …          inner chunks, in any order
//! 16 × n     for each inner chunk, in C order: u64 offset in the file, u64 length; both 2^64 - 1 where there is none
//! 4          u32 CRC-32C of the index
//! ```
//!
//! All little-endian (Zarr v3, codec `sharding_indexed`, index codecs `bytes` and `crc32c`, index at the end).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use thiserror::Error;

use crate::backend::{ByteSource, Object};

/// Most inner chunks of a shard.
pub(super) const SLOTS_MOST: u64 = 1 << 20;

const ENTRY: usize = 16;
const ABSENT: u64 = u64::MAX;
/// How much is copied in one step, in bytes.
const STEP: usize = 1 << 20;

/// Why a shard cannot be used.
#[derive(Debug, Error)]
pub enum ShardError {
    /// Its index is damaged: nothing of it can be found.
    #[error("the index of its shard is damaged")]
    Index,
    /// The file could not be read or written.
    #[error("its shard cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// The index of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    entries: Vec<Option<Range<u64>>>,
}

impl Shard {
    /// Reads the index of a shard of `slots` inner chunks.
    pub fn open(source: &dyn ByteSource, slots: usize) -> Result<Shard, ShardError> {
        let len = slots * ENTRY + 4;
        let size = source.size()?;
        let start = size.checked_sub(len as u64).ok_or(ShardError::Index)?;
        let mut index = vec![0; len];
        if source.read_at(&mut index, start)? != len {
            return Err(ShardError::Index);
        }
        let (index, check) = index.split_at(slots * ENTRY);
        if check != crc32c::crc32c(index).to_le_bytes() {
            return Err(ShardError::Index);
        }
        let entries = index.chunks_exact(ENTRY).map(|entry| {
            let word = |at| entry.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(ABSENT, u64::from_le_bytes);
            match (word(0), word(8)) {
                (ABSENT, ABSENT) => Ok(None),
                (offset, len) => match offset.checked_add(len) {
                    Some(end) if end <= size => Ok(Some(offset..end)),
                    _ => Err(ShardError::Index),
                },
            }
        });
        Ok(Shard { entries: entries.collect::<Result<_, _>>()? })
    }

    /// A shard of `slots` inner chunks with nothing in it.
    pub fn empty(slots: usize) -> Shard {
        Shard { entries: vec![None; slots] }
    }

    /// Where in the file an inner chunk is; `None` if there is none.
    pub fn range(&self, slot: usize) -> Option<Range<u64>> {
        self.entries.get(slot).cloned().flatten()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(Option::is_none)
    }

    /// Writes a shard into the empty file `to`: the inner chunks of `self`, which is the index of `from`, as they are, but
    /// for those in `changes`, which are replaced, added or (`None`) left out. Returns the index of the new file.
    pub fn rewrite(
        &self,
        from: &dyn ByteSource,
        changes: &BTreeMap<usize, Option<&[u8]>>,
        to: &Object,
    ) -> Result<Shard, ShardError> {
        self.rewrite_with(from, changes, to, |bytes, to, at| {
            to.write_all_at(bytes, at)?;
            Ok(bytes.len() as u64)
        })
    }

    /// The same with changes of any kind: `put` writes one at an offset and returns its length.
    pub fn rewrite_with<C>(
        &self,
        from: &dyn ByteSource,
        changes: &BTreeMap<usize, Option<C>>,
        to: &Object,
        put: impl Fn(&C, &Object, u64) -> Result<u64, ShardError>,
    ) -> Result<Shard, ShardError> {
        let mut at = 0;
        let mut entries = Vec::with_capacity(self.entries.len());
        for (slot, old) in self.entries.iter().enumerate() {
            let start = at;
            let there = match (changes.get(&slot), old) {
                (Some(None), _) | (None, None) => false,
                (Some(Some(change)), _) => {
                    at += put(change, to, at)?;
                    true
                }
                (None, Some(old)) => {
                    at += copy(from, old, to, at)?;
                    true
                }
            };
            entries.push(there.then_some(start..at));
        }
        let shard = Shard { entries };
        to.write_all_at(&shard.index(), at)?;
        Ok(shard)
    }

    fn index(&self) -> Vec<u8> {
        let mut index = Vec::with_capacity(self.entries.len() * ENTRY + 4);
        for entry in &self.entries {
            let (offset, len) = entry.as_ref().map_or((ABSENT, ABSENT), |entry| (entry.start, entry.end - entry.start));
            index.extend_from_slice(&offset.to_le_bytes());
            index.extend_from_slice(&len.to_le_bytes());
        }
        let check = crc32c::crc32c(&index);
        index.extend_from_slice(&check.to_le_bytes());
        index
    }
}

/// Copies a range as it is; returns its length.
pub fn copy(from: &dyn ByteSource, range: &Range<u64>, to: &Object, start: u64) -> Result<u64, ShardError> {
    let len = range.end - range.start;
    let mut buf = vec![0; STEP.min(usize::try_from(len).unwrap_or(STEP))];
    let mut done = 0;
    while done < len {
        let step = buf.len().min(usize::try_from(len - done).unwrap_or(STEP));
        let got = from.read_at(&mut buf[..step], range.start + done)?;
        if got == 0 {
            return Err(ShardError::Index);
        }
        to.write_all_at(&buf[..got], start + done)?;
        done += got as u64;
    }
    Ok(len)
}
