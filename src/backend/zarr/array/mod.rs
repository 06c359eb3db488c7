//! One array of a store: what its metadata says, where its chunks are, and their bytes.

mod chunk;
mod document;
mod shard;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;

use thiserror::Error;
use zarrs::metadata::ArrayMetadata;

pub use self::chunk::{Chunk, ChunkError};
pub use self::shard::{Shard, ShardError, copy};
use super::blosc::{Encoded, FilterChoice, TooLarge, encode};
use crate::model::RelPath;
use crate::view::Dtype;

/// Longest decoded chunk that is served.
pub const CHUNK_MOST: u64 = 1 << 30;

/// Version of the Zarr specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Zarr v2, of NGFF 0.4.
    V2,
    /// Zarr v3, of NGFF 0.5.
    V3,
}

/// What a new array is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArraySpec {
    /// Version of the specification.
    pub version: Version,
    /// Type of an element; little-endian in the store.
    pub dtype: Dtype,
    /// Extent of each dimension.
    pub shape: Vec<u64>,
    /// Extent of a chunk in each dimension.
    pub chunk: Vec<u64>,
    /// Extent of a shard in each dimension, a multiple of the chunk's (v3 only). It may reach beyond the array, so that
    /// the array has room to grow: chunks keep their slots only as long as the shard's extent does not change. Shards
    /// are few: their files lie in the array's directory (`c.0.0.0`), without directories of their own.
    pub shard: Option<Vec<u64>>,
    /// A name for each dimension (v3 only).
    pub names: Option<Vec<String>>,
}

/// Why an array is not one that we can serve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArrayError {
    /// Its metadata is damaged.
    #[error("its metadata cannot be read: {0}")]
    Malformed(String),
    /// It is of a kind that is left to others.
    #[error("{0}")]
    Unsupported(String),
}

/// An array of chunks in Blosc frames.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkArray {
    spec: ArraySpec,
    /// The whole document, so that what others wrote into it survives.
    metadata: ArrayMetadata,
}

/// Where a chunk is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkPlace {
    /// The file, relative to the array's directory.
    pub file: RelPath,
    /// Which inner chunk of that file, if it is a shard.
    pub slot: Option<usize>,
}

impl ChunkArray {
    /// A new array, `fill_value` 0, chunks in Blosc frames around LZ4.
    pub fn new(spec: ArraySpec) -> Result<ChunkArray, ArrayError> {
        check(&spec)?;
        Ok(ChunkArray { metadata: document::of_spec(&spec)?, spec })
    }

    /// Reads `.zarray` or `zarr.json`.
    pub fn parse(version: Version, bytes: &[u8]) -> Result<ChunkArray, ArrayError> {
        let (spec, metadata) = document::parse(version, bytes)?;
        check(&spec)?;
        Ok(ChunkArray { spec, metadata })
    }

    /// Name of the file that [`ChunkArray::document`] is for.
    pub fn document_name(version: Version) -> &'static OsStr {
        OsStr::new(match version {
            Version::V2 => ".zarray",
            Version::V3 => "zarr.json",
        })
    }

    /// The metadata document. For v2, attributes are in a file of their own, `.zattrs`.
    pub fn document(&self) -> Result<Vec<u8>, ArrayError> {
        document::bytes(&self.metadata)
    }

    /// What it is.
    pub fn spec(&self) -> &ArraySpec {
        &self.spec
    }

    /// The same array with another extent; its chunks stay what they are.
    pub fn resized(&self, shape: &[u64]) -> Result<ChunkArray, ArrayError> {
        let spec = ArraySpec { shape: shape.to_vec(), ..self.spec.clone() };
        check(&spec)?;
        let mut metadata = self.metadata.clone();
        match &mut metadata {
            ArrayMetadata::V2(metadata) => metadata.shape = shape.to_vec(),
            ArrayMetadata::V3(metadata) => metadata.shape = shape.to_vec(),
        }
        Ok(ChunkArray { spec, metadata })
    }

    /// Bytes of a decoded chunk.
    pub fn chunk_len(&self) -> u64 {
        self.spec.chunk.iter().product::<u64>() * self.spec.dtype.size() as u64
    }

    /// How many chunks there are in each dimension.
    pub fn grid(&self) -> Vec<u64> {
        self.spec.shape.iter().zip(&self.spec.chunk).map(|(extent, chunk)| extent.div_ceil(*chunk)).collect()
    }

    /// Where the chunk with this index is; `None` if the array has no such chunk.
    pub fn place(&self, index: &[u64]) -> Option<ChunkPlace> {
        let grid = self.grid();
        if index.len() != grid.len() || index.iter().zip(&grid).any(|(at, count)| at >= count) {
            return None;
        }
        let Some(shard) = &self.spec.shard else {
            return Some(ChunkPlace { file: self.file(index.iter().copied()), slot: None });
        };
        let mut slot = 0;
        let mut outer = Vec::with_capacity(index.len());
        for ((at, shard), chunk) in index.iter().zip(shard).zip(&self.spec.chunk) {
            let per_shard = shard / chunk;
            slot = slot * per_shard + at % per_shard;
            outer.push(at / per_shard);
        }
        Some(ChunkPlace { file: self.file(outer.into_iter()), slot: usize::try_from(slot).ok() })
    }

    /// How many inner chunks a shard has; `None` without shards.
    pub fn slots(&self) -> Option<usize> {
        let shard = self.spec.shard.as_ref()?;
        let count: u64 = shard.iter().zip(&self.spec.chunk).map(|(shard, chunk)| shard / chunk).product();
        usize::try_from(count).ok()
    }

    /// Encodes the bytes of a whole chunk, little-endian, C order.
    pub fn encode(&self, bytes: &[u8], filter: FilterChoice) -> Result<Encoded, TooLarge> {
        encode(bytes, self.spec.dtype.size() as u8, filter)
    }

    fn file(&self, index: impl ExactSizeIterator<Item = u64>) -> RelPath {
        let mut file = RelPath::root();
        if self.spec.shard.is_some() {
            file.push(OsStr::new(&shard_name(index)));
            return file;
        }
        let dimensions = index.len();
        if self.spec.version == Version::V3 {
            file.push(OsStr::new("c"));
        }
        for at in index {
            file.push(OsStr::new(&at.to_string()));
        }
        // An array without dimensions has one chunk.
        if dimensions == 0 && self.spec.version == Version::V2 {
            file.push(OsStr::new("0"));
        }
        file
    }
}

/// Name of a shard's file in the directory of its array.
pub fn shard_name(index: impl Iterator<Item = u64>) -> String {
    index.fold("c".to_owned(), |name, at| format!("{name}.{at}"))
}

/// What must hold of every array, so that nothing that is computed from it overflows.
fn check(spec: &ArraySpec) -> Result<(), ArrayError> {
    let malformed = |what: &str| Err(ArrayError::Malformed(what.to_owned()));
    if spec.chunk.len() != spec.shape.len() || spec.chunk.contains(&0) {
        return malformed("shape and chunks contradict each other");
    }
    let product = |extents: &[u64]| extents.iter().try_fold(1u64, |product, extent| product.checked_mul(*extent));
    let elements = product(&spec.chunk).filter(|elements| *elements <= CHUNK_MOST / spec.dtype.size() as u64);
    if elements.is_none() {
        return Err(ArrayError::Unsupported(format!("its chunks have more than {CHUNK_MOST} bytes")));
    }
    if spec.names.as_ref().is_some_and(|names| names.len() != spec.shape.len()) {
        return malformed("it has not one name for each dimension");
    }
    let Some(shard) = &spec.shard else { return Ok(()) };
    if spec.version == Version::V2 {
        return malformed("there are no shards in version 2");
    }
    let whole = shard.iter().zip(&spec.chunk).all(|(shard, chunk)| *shard > 0 && shard % chunk == 0);
    if shard.len() != spec.chunk.len() || !whole {
        return malformed("its shards are not made of whole chunks");
    }
    let slots: Vec<u64> = shard.iter().zip(&spec.chunk).map(|(shard, chunk)| shard / chunk).collect();
    match product(&slots) {
        Some(slots) if slots <= shard::SLOTS_MOST => Ok(()),
        _ => Err(ArrayError::Unsupported(format!("its shards have more than {} chunks", shard::SLOTS_MOST))),
    }
}
