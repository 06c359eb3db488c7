//! How a sealed file is put together again.

use std::collections::HashMap;

use crate::view::{ChunkIndex, Interleave, Layout};

use super::chunks::{ArrayUse, ChunkList};
use super::segments::{Origin, Segments};
use super::wire::{FormatError, Reader, put_blob, put_varint};

/// Version of the format.
const VERSION: u8 = 1;

/// How a run of bytes differs from the bytes of its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Bytes of a sample are in reverse order in the file.
    pub swap: bool,
    /// Samples of a pixel lie together in the file, apart in the chunk.
    pub interleave: Option<Interleave>,
}

impl Mode {
    /// Whether `len` bytes have the same number of bytes for each sample of a pixel.
    fn divides(&self, len: u64) -> bool {
        self.interleave.is_none_or(|interleave| len.checked_rem(interleave.samples.into()) == Some(0))
    }
}

/// The literal bytes of a file: what is not pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literals {
    /// With the recipe.
    Inline(Vec<u8>),
    /// In chunks of `scopefs/literals`, each full but the last.
    Chunks {
        /// How many bytes.
        len: u64,
        /// The chunks in order.
        chunks: Vec<LiteralChunk>,
    },
}

impl Literals {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        match self {
            Literals::Inline(bytes) => bytes.len() as u64,
            Literals::Chunks { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A chunk of `scopefs/literals`, which belongs to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteralChunk {
    /// Its index in the array.
    pub id: u64,
    /// Bytes of the encoded chunk.
    pub stored: u64,
    /// XXH3-64 of each of its Blosc blocks as stored.
    pub checks: Vec<u64>,
}

impl LiteralChunk {
    /// `id | stored | blocks, each varint | checks, 8 bytes each`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id);
        put_varint(out, self.stored);
        put_varint(out, self.checks.len() as u64);
        self.checks.iter().for_each(|check| out.extend_from_slice(&check.to_le_bytes()));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<LiteralChunk, FormatError> {
        let (id, stored) = (from.varint()?, from.varint()?);
        let blocks = from.count(8)?;
        let checks = (0..blocks).map(|_| from.u64()).collect::<Result<_, _>>()?;
        Ok(LiteralChunk { id, stored, checks })
    }
}

/// Chunks, segments over them, and literal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Chunks that the file's bytes are in, then those that were made from them (reduced levels).
    pub chunks: ChunkList,
    /// What segments refer to.
    pub modes: Vec<Mode>,
    /// The file over chunks and literal bytes.
    pub segments: Segments,
    /// The literal bytes.
    pub literals: Literals,
}

impl Recipe {
    /// The chunks of `layout` in the order in which the list of a recipe has them: as the file first uses them.
    pub fn chunk_order(layout: &Layout) -> Vec<ChunkIndex> {
        let mut seen = std::collections::HashSet::new();
        let runs = layout.segments.iter().filter_map(|segment| segment.run);
        runs.map(|run| run.chunk).filter(|chunk| seen.insert(*chunk)).collect()
    }

    /// The recipe of a file that was planned as `layout`; `chunks` are those of [`Recipe::chunk_order`] as they were
    /// written, then any further ones.
    pub fn new(layout: &Layout, chunks: ChunkList, literals: Literals) -> Result<Recipe, FormatError> {
        let order = Recipe::chunk_order(layout);
        if chunks.len() < order.len() {
            return Err(FormatError::Malformed("a chunk of the file is missing"));
        }
        let numbers: HashMap<ChunkIndex, u64> = order.into_iter().zip(0..).collect();
        let mut modes: Vec<Mode> = Vec::new();
        let mut pieces = Vec::with_capacity(layout.segments.len());
        for segment in &layout.segments {
            let run = segment.run.map(|run| {
                let mode = mode_number(&mut modes, Mode { swap: run.swap, interleave: run.interleave });
                (numbers.get(&run.chunk).copied().unwrap_or(u64::MAX), run.at, mode)
            });
            pieces.push((segment.len, run));
        }
        let segments = Segments::new(pieces)?;
        if segments.size() != layout.size || segments.literals() != literals.len() {
            return Err(FormatError::Malformed("the segments do not cover the file"));
        }
        Ok(Recipe { chunks, modes, segments, literals })
    }

    /// The bytes of the recipe, version 1:
    ///
    /// ```text
    /// version u8 = 1
    /// chunks     see ChunkList::put
    /// modes      how many; each: flags u8 (1 swap, 2 interleave); if interleaved samples and stride, varint
    /// segments   see Segments::put
    /// literals   u8 = 0, length and bytes; or u8 = 1, length, number of chunks, each as in LiteralChunk::put
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.chunks.put(&mut out);
        put_varint(&mut out, self.modes.len() as u64);
        for mode in &self.modes {
            out.push(u8::from(mode.swap) | u8::from(mode.interleave.is_some()) << 1);
            if let Some(interleave) = mode.interleave {
                put_varint(&mut out, u64::from(interleave.samples));
                put_varint(&mut out, interleave.sample_stride);
            }
        }
        self.segments.put(&mut out);
        match &self.literals {
            Literals::Inline(bytes) => {
                out.push(0);
                put_blob(&mut out, bytes);
            }
            Literals::Chunks { len, chunks } => {
                out.push(1);
                put_varint(&mut out, *len);
                put_varint(&mut out, chunks.len() as u64);
                chunks.iter().for_each(|chunk| chunk.put(&mut out));
            }
        }
        out
    }

    /// Reads what [`Recipe::encode`] wrote, for a file of `size` bytes over `arrays`. Whatever the bytes: memory taken
    /// is at most about a hundred times their number, and every index in the result lies within its list.
    pub fn decode(bytes: &[u8], size: u64, arrays: &[ArrayUse]) -> Result<Recipe, FormatError> {
        let mut from = Reader::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(FormatError::Version(version.into()));
        }
        let chunks = ChunkList::read(&mut from, arrays)?;
        let modes = (0..from.count(1)?).map(|_| read_mode(&mut from)).collect::<Result<Vec<_>, _>>()?;
        let segments = Segments::read(&mut from)?;
        let literals = read_literals(&mut from)?;
        let recipe = Recipe { chunks, modes, segments, literals };
        recipe.check(size)?;
        if from.rest().is_empty() { Ok(recipe) } else { Err(FormatError::Malformed("there are bytes behind a recipe")) }
    }

    /// Whether all numbers fit each other.
    fn check(&self, size: u64) -> Result<(), FormatError> {
        if self.segments.size() != size || self.segments.literals() != self.literals.len() {
            return Err(FormatError::Malformed("the segments do not cover the file"));
        }
        let inside = |piece: super::segments::Piece| match piece.origin {
            Origin::Literal(_) => true,
            Origin::Chunk { chunk, mode, .. } => chunk < self.chunks.len() as u64 && (mode as usize) < self.modes.len(),
        };
        if !self.segments.extremes().all(inside) {
            return Err(FormatError::Malformed("a segment lies in no chunk"));
        }
        // A pixel costs as many reads as it has samples: a segment of a part of one would cost them for each byte.
        let whole = |piece: super::segments::Piece| match piece.origin {
            Origin::Literal(_) => true,
            Origin::Chunk { mode, .. } => self.modes.get(mode as usize).is_some_and(|mode| mode.divides(piece.len)),
        };
        let all = self.segments.extremes().all(whole);
        if all { Ok(()) } else { Err(FormatError::Malformed("a segment ends within a pixel")) }
    }
}

fn mode_number(modes: &mut Vec<Mode>, mode: Mode) -> u32 {
    let known = modes.iter().position(|other| *other == mode);
    known.unwrap_or_else(|| {
        modes.push(mode);
        modes.len() - 1
    }) as u32
}

fn read_mode(from: &mut Reader<'_>) -> Result<Mode, FormatError> {
    let flags = from.u8()?;
    if flags & 2 == 0 {
        return Ok(Mode { swap: flags & 1 == 1, interleave: None });
    }
    let samples = from.varint()?;
    let sample_stride = from.varint()?;
    match u32::try_from(samples) {
        Ok(samples @ 1..=65_535) => {
            Ok(Mode { swap: flags & 1 == 1, interleave: Some(Interleave { samples, sample_stride }) })
        }
        _ => Err(FormatError::Malformed("a pixel has no samples, or too many")),
    }
}

fn read_literals(from: &mut Reader<'_>) -> Result<Literals, FormatError> {
    match from.u8()? {
        0 => Ok(Literals::Inline(from.blob()?.to_vec())),
        1 => {
            let len = from.varint()?;
            let chunks = (0..from.count(3)?).map(|_| LiteralChunk::read(from)).collect::<Result<Vec<_>, _>>()?;
            if len.div_ceil(super::CHUNK as u64) != chunks.len() as u64 {
                return Err(FormatError::Malformed("the chunks do not hold the literal bytes"));
            }
            Ok(Literals::Chunks { len, chunks })
        }
        _ => Err(FormatError::Malformed("the literal bytes are held in an unknown way")),
    }
}
