//! The bytes of one chunk, from its file.

use std::ops::Range;

use thiserror::Error;

use super::{ChunkArray, Shard, ShardError};
use crate::backend::zarr::blosc::{BloscError, Frame, Scratch, Section};
use crate::backend::zarr::files::Files;
use crate::backend::{ByteSource, Object};
use crate::model::RelPath;

/// Why bytes of a chunk cannot be had.
#[derive(Debug, Error)]
pub enum ChunkError {
    /// The array has no chunk of that index.
    #[error("the array has no such chunk")]
    NoSuchChunk,
    /// It is not there, but was written.
    #[error("bytes {} to {} of it are missing", range.start, range.end)]
    Missing {
        /// What was asked for.
        range: Range<u64>,
    },
    /// Its frame is damaged, or not the one that was written.
    #[error(transparent)]
    Frame(#[from] BloscError),
    /// The shard that it is in is damaged.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// A chunk, opened for reading.
#[derive(Debug)]
pub enum Chunk {
    /// There is none: zeros.
    Absent,
    /// A frame in a file.
    Stored(Frame<Section<Box<Object>>>),
}

impl ChunkArray {
    /// Opens the chunk with this index of the array in the directory `dir`. Only its header is read.
    pub fn open(&self, files: &Files, dir: &RelPath, index: &[u64]) -> Result<Chunk, ChunkError> {
        let place = self.place(index).ok_or(ChunkError::NoSuchChunk)?;
        let mut path = dir.clone();
        place.file.components().for_each(|name| path.push(name));
        let Some(object) = files.open(&path)? else { return Ok(Chunk::Absent) };
        let range = match (place.slot, self.slots()) {
            (Some(slot), Some(slots)) => match Shard::open(&object, slots)?.range(slot) {
                Some(range) => range,
                None => return Ok(Chunk::Absent),
            },
            _ => 0..object.size()?,
        };
        Ok(Chunk::Stored(Frame::open(Section { source: Box::new(object), range }, self.chunk_len())?))
    }
}

impl Chunk {
    /// Reads `out.len()` decoded bytes from `start`; with `checks`, each block is held against its own, and a chunk that
    /// is absent is an error.
    pub fn read(
        &self,
        start: u64,
        out: &mut [u8],
        checks: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<(), ChunkError> {
        let read = match (self, checks) {
            (Chunk::Absent, Some(_)) => {
                let range = start..start.saturating_add(out.len() as u64);
                return Err(ChunkError::Missing { range });
            }
            (Chunk::Absent, None) => {
                out.fill(0);
                return Ok(());
            }
            (Chunk::Stored(frame), Some(checks)) => frame.decode_range_checked(start, out, checks, scratch),
            (Chunk::Stored(frame), None) => frame.decode_range(start, out, scratch),
        };
        read.map_err(ChunkError::from)
    }
}
