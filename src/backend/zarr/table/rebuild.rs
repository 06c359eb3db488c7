//! A sealed file as a source of bytes: any range at the cost of that range.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::model::ByteSource;
use crate::view::{ChunkIndex, Run};

use super::chunks::ArrayUse;
use super::recipe::{LiteralChunk, Literals, Recipe};
use super::segments::{Origin, Piece};
use super::{CHUNK, LITERALS};

/// A chunk to be read, with what its stored bytes have to be.
#[derive(Debug, Clone, Copy)]
pub struct StoredChunk<'a> {
    /// Path of its array in the store.
    pub array: &'a str,
    /// Where in the grid of the array's chunks.
    pub coords: &'a [u64],
    /// Bytes of the encoded chunk.
    pub stored: u64,
    /// XXH3-64 of each of its Blosc blocks as stored.
    pub checks: &'a [u64],
}

/// Reads ranges of decoded chunks.
pub trait ChunkReader: Send + Sync {
    /// Fills `out` with `range` of the decoded chunk; both are of the same length, which is not 0. Each block that is
    /// touched is compared with its check: one that differs is an error, as is a chunk that is not there.
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()>;
}

/// A sealed file.
#[derive(Debug, Clone)]
pub struct Rebuilt<R> {
    arrays: Arc<[ArrayUse]>,
    recipe: Arc<Recipe>,
    reader: R,
}

impl<R: ChunkReader> Rebuilt<R> {
    /// The file that `recipe` makes of the chunks of `arrays`.
    pub fn new(arrays: Arc<[ArrayUse]>, recipe: Arc<Recipe>, reader: R) -> Rebuilt<R> {
        Rebuilt { arrays, recipe, reader }
    }

    /// The recipe.
    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }

    /// `out` is the part of `piece` from byte `skip` on.
    fn read_piece(&self, piece: &Piece, skip: u64, out: &mut [u8]) -> io::Result<()> {
        match piece.origin {
            Origin::Literal(at) => self.read_literals(at + skip, out),
            Origin::Chunk { chunk, at, mode } => {
                let number = usize::try_from(chunk).map_err(|_| unsound())?;
                let chunk = self.recipe.chunks.get(number).ok_or_else(unsound)?;
                let array = self.arrays.get(chunk.array as usize).ok_or_else(unsound)?;
                let mode = self.recipe.modes.get(mode as usize).ok_or_else(unsound)?;
                let size = array.chunk_bytes().ok_or_else(unsound)?;
                let stored = StoredChunk {
                    array: &array.path,
                    coords: chunk.coords,
                    stored: chunk.stored,
                    checks: chunk.checks,
                };
                let index = ChunkIndex { array: chunk.array, plane: 0, row: 0, column: 0 };
                let run = Run { chunk: index, at, swap: mode.swap, interleave: mode.interleave };
                run.read_with(array.dtype.size(), skip, out, &mut |at, part| {
                    let end = at.checked_add(part.len() as u64).filter(|&end| end <= size).ok_or_else(unsound)?;
                    self.reader.read(stored, at..end, part)
                })
            }
        }
    }

    fn read_literals(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.recipe.literals {
            Literals::Inline(bytes) => {
                let at = usize::try_from(at).map_err(|_| unsound())?;
                let bytes = bytes.get(at..).and_then(|rest| rest.get(..out.len())).ok_or_else(unsound)?;
                out.copy_from_slice(bytes);
                Ok(())
            }
            Literals::Chunks { chunks, .. } => read_literal_chunks(&self.reader, chunks, at, out),
        }
    }
}

/// Fills `out` with the bytes from `at` on that lie in `chunks` of `scopefs/literals`, one behind the other.
pub fn read_literal_chunks(
    reader: &impl ChunkReader,
    chunks: &[LiteralChunk],
    at: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let (mut at, mut rest) = (at, out);
    while !rest.is_empty() {
        let number = usize::try_from(at / CHUNK as u64).map_err(|_| unsound())?;
        let chunk = chunks.get(number).ok_or_else(unsound)?;
        let start = at % CHUNK as u64;
        let len = rest.len().min(CHUNK - start as usize);
        let (part, behind) = rest.split_at_mut(len);
        let stored = StoredChunk { array: LITERALS, coords: &[chunk.id], stored: chunk.stored, checks: &chunk.checks };
        reader.read(stored, start..start + len as u64, part)?;
        at += len as u64;
        rest = behind;
    }
    Ok(())
}

impl<R: ChunkReader> ByteSource for Rebuilt<R> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.recipe.segments.size())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = self.recipe.segments.size();
        let len = usize::try_from(size.saturating_sub(offset)).map_or(buf.len(), |rest| rest.min(buf.len()));
        let mut rest = buf.get_mut(..len).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let piece = self.recipe.segments.find(at).ok_or_else(unsound)?;
            let skip = at - piece.offset;
            let part = usize::try_from(piece.len - skip).map_or(rest.len(), |left| left.min(rest.len()));
            let (out, behind) = rest.split_at_mut(part);
            self.read_piece(&piece, skip, out)?;
            at += part as u64;
            rest = behind;
        }
        Ok(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size = self.recipe.segments.size();
        Ok((offset < size).then_some(offset..size))
    }
}

/// A recipe that was decoded and does not fit its chunks.
fn unsound() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the recipe reaches outside of its chunks")
}
