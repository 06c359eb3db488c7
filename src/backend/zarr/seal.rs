//! One file on its way into a store: chunks are gathered, encoded and staged, and the whole is rebuilt and compared.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::ground::{Ground, StagedChunk, chunk_path};
use super::plan::Plan;
use super::pyramid::make_levels;
use super::reader::{KeptChunks, StagedReader};
use super::standing::Standing;
use super::stores::{SealError, Subject};
use super::table::{
    ArrayUse, Attributes, CHUNK, ChunkList, ChunkRef, LITERALS, LiteralChunk, Literals, Rebuilt, Recipe, RecipeBytes,
    Record, RecordId, Spill,
};
use super::windows::Windows;
use crate::config::Ngff;
use crate::model::ByteSource;
use crate::view::{ByChunk, Layout, Refusal, gather};

/// Literal bytes up to this many are kept in the record.
const INLINE: u64 = 64 << 10;
/// A recipe up to this many bytes is kept in the record.
const RECIPE_INLINE: usize = 128 << 10;
/// A recipe longer than this is not read again.
const RECIPE_MOST: usize = super::table::MAX_RECIPE as usize;
/// The file is compared in steps of so many bytes.
const STEP: usize = 1 << 20;

/// A file whose chunks are staged.
pub(super) struct Sealed {
    /// What is known of it; without its number, and with names relative to the workspace.
    pub record: Record,
    /// Its recipe.
    pub recipe: Recipe,
    /// Chunks of arrays.
    pub chunks: Vec<StagedChunk>,
    /// Chunks of literal bytes.
    pub literals: Vec<StagedChunk>,
    /// Paths of those that got their places before the commit.
    pub early: Vec<String>,
    /// Values of its channels.
    pub windows: Windows,
}

/// What a file is sealed with.
pub(super) struct Sealing<'a> {
    pub ground: &'a Arc<Ground>,
    pub version: Ngff,
    pub layout: &'a Layout,
    pub plan: &'a Plan,
    /// Gives out numbers of chunks of literal bytes.
    pub literal: &'a (dyn Fn() -> u64 + Sync),
    /// The version that this one replaces.
    pub standing: Option<&'a Standing>,
}

impl Sealing<'_> {
    /// Stages the file and proves that it can be rebuilt.
    pub fn run(&self, subject: &Subject, source: &dyn ByteSource) -> Result<Sealed, SealError> {
        let mut arrays = self.arrays();
        let (mut list, mut chunks, windows) = self.stage_chunks(&arrays, source)?;
        // What is decoded to make levels need not be decoded again to prove the file.
        let kept = KeptChunks::default();
        make_levels(self, &kept, &mut arrays, &mut list, &mut chunks)?;
        let mut literals = Vec::new();
        let bytes = self.stage_literals(source, &mut literals)?;
        let recipe = Recipe::new(self.layout, list, bytes).map_err(too_complex)?;
        let sha256 = self.prove((&arrays, &kept), &recipe, chunks.iter().chain(&literals), source)?;
        let bytes = self.stage_recipe(&recipe, &mut literals)?;
        let attr = &subject.attr;
        let attributes =
            Attributes { perm: attr.perm, uid: attr.uid, gid: attr.gid, atime: attr.atime, mtime: attr.mtime };
        let record = Record {
            id: RecordId(0),
            names: subject.names.clone(),
            size: self.layout.size,
            attributes,
            xattrs: subject.xattrs.clone(),
            sha256,
            source: subject.found,
            arrays,
            recipe: bytes,
        };
        Ok(Sealed { record, recipe, chunks, literals, early: Vec::new(), windows })
    }

    /// The arrays of the layout, as records know them.
    fn arrays(&self) -> Vec<ArrayUse> {
        let arrays = self.layout.arrays.iter().zip(&self.plan.arrays);
        let used = arrays.filter_map(|(array, place)| {
            let image = self.plan.images.get(place.image)?;
            let shape = place.chunk_shape(u64::from(array.samples), array.chunk_height, array.chunk_width);
            let path = image.array_path(place.level);
            Some(ArrayUse { path, dtype: array.dtype, chunk_shape: shape, derived: false })
        });
        used.collect()
    }

    fn stage_chunks(
        &self,
        arrays: &[ArrayUse],
        source: &dyn ByteSource,
    ) -> Result<(ChunkList, Vec<StagedChunk>, Windows), SealError> {
        let index: ByChunk<'_> = self.layout.by_chunk();
        let (mut list, mut staged, mut windows) = (ChunkList::default(), Vec::new(), Windows::default());
        let mut bytes = Vec::new();
        for chunk in Recipe::chunk_order(self.layout) {
            let number = chunk.array as usize;
            let parts = (self.layout.arrays.get(number), self.plan.arrays.get(number), arrays.get(number));
            let (Some(array), Some(place), Some(used)) = parts else {
                return Err(Refusal::Malformed("a segment lies in no array".into()).into());
            };
            gather(array, index.of(chunk), source, &mut bytes)?;
            windows.look(array, place, chunk, &bytes);
            let coords = place.chunk(chunk);
            self.stage(&mut list, &mut staged, (chunk.array, used, &coords), &bytes)?;
        }
        Ok((list, staged, windows))
    }

    /// Encodes and stages one chunk of an array, if it does not stand there already.
    pub fn stage(
        &self,
        list: &mut ChunkList,
        staged: &mut Vec<StagedChunk>,
        (array, used, coords): (u32, &ArrayUse, &[u64]),
        bytes: &[u8],
    ) -> Result<(), SealError> {
        let path = chunk_path(self.version, &used.path, coords);
        if let Some(known) = self.standing.and_then(|standing| standing.equal(&path, used, bytes)) {
            list.push(ChunkRef { array, coords, ..known });
            return Ok(());
        }
        let frame = self.ground.encode(bytes, used.dtype.size())?;
        list.push(ChunkRef { array, coords, stored: frame.bytes.len() as u64, checks: &frame.checks });
        staged.push(self.ground.stage(&frame, path)?);
        Ok(())
    }

    /// Literal bytes: in the record if they are few, else in chunks.
    fn stage_literals(&self, source: &dyn ByteSource, staged: &mut Vec<StagedChunk>) -> Result<Literals, SealError> {
        let len: u64 = self.layout.literals().map(|range| range.end - range.start).sum();
        let mut pieces = LiteralBytes { ranges: self.layout.literals().collect(), next: 0, source };
        if len <= INLINE {
            return Ok(Literals::Inline(pieces.take(len as usize)?));
        }
        let mut chunks = Vec::new();
        let mut left = len;
        while left > 0 {
            let bytes = pieces.take(left.min(CHUNK as u64) as usize)?;
            left -= bytes.len() as u64;
            chunks.push(self.stage_literal(bytes, staged)?);
        }
        Ok(Literals::Chunks { len, chunks })
    }

    fn stage_literal(&self, mut bytes: Vec<u8>, staged: &mut Vec<StagedChunk>) -> Result<LiteralChunk, SealError> {
        bytes.resize(CHUNK, 0);
        let frame = self.ground.encode(&bytes, 1)?;
        if let Some(known) = self.standing.and_then(|standing| standing.take_literal(&frame)) {
            return Ok(known);
        }
        let id = (self.literal)();
        staged.push(self.ground.stage(&frame, chunk_path(self.version, LITERALS, &[id]))?);
        Ok(LiteralChunk { id, stored: frame.bytes.len() as u64, checks: frame.checks })
    }

    /// The recipe as the record holds it.
    fn stage_recipe(&self, recipe: &Recipe, staged: &mut Vec<StagedChunk>) -> Result<RecipeBytes, SealError> {
        let bytes = recipe.encode();
        if bytes.len() <= RECIPE_INLINE {
            return Ok(RecipeBytes::Inline(bytes));
        }
        if bytes.len() > RECIPE_MOST {
            return Err(Refusal::TooComplex(format!("its recipe would have {} bytes", bytes.len())).into());
        }
        let chunks = bytes.chunks(CHUNK).map(|part| self.stage_literal(part.to_vec(), staged));
        let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
        Ok(RecipeBytes::Spilled(Spill { len: bytes.len() as u64, crc: crc32fast::hash(&bytes), chunks }))
    }

    /// Rebuilds the file from what was staged, compares it with the source byte for byte, and returns its SHA-256.
    fn prove<'s>(
        &'s self,
        (arrays, kept): (&'s [ArrayUse], &'s KeptChunks),
        recipe: &Recipe,
        staged: impl Iterator<Item = &'s StagedChunk>,
        source: &dyn ByteSource,
    ) -> Result<[u8; 32], SealError> {
        let reader = StagedReader::new((self.version, self.standing), arrays, staged, kept);
        let rebuilt = Rebuilt::new(Arc::from(arrays), Arc::new(recipe.clone()), reader);
        let (mut wanted, mut found) = (vec![0; STEP], vec![0; STEP]);
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < self.layout.size {
            let len = STEP.min((self.layout.size - at) as usize);
            let (wanted, found) = (&mut wanted[..len], &mut found[..len]);
            let got = source.read_at(wanted, at)?;
            if got != len || rebuilt.read_at(found, at)? != len || wanted != found {
                return Err(SealError::Differs);
            }
            hash.update(&*wanted);
            at += len as u64;
        }
        if source.size()? != self.layout.size { Err(SealError::Differs) } else { Ok(hash.finalize().into()) }
    }
}

fn too_complex(e: super::table::FormatError) -> SealError {
    Refusal::TooComplex(format!("its recipe cannot be written: {e}")).into()
}

/// The literal bytes of a file, one range behind the other.
struct LiteralBytes<'a> {
    ranges: Vec<std::ops::Range<u64>>,
    next: usize,
    source: &'a dyn ByteSource,
}

impl LiteralBytes<'_> {
    /// The next `len` of them.
    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while let Some(range) = self.ranges.get_mut(self.next).filter(|_| filled < len) {
            let part = ((range.end - range.start).min((len - filled) as u64)) as usize;
            let place = &mut bytes[filled..filled + part];
            if self.source.read_at(place, range.start)? != part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            range.start += part as u64;
            filled += part;
            if range.start == range.end {
                self.next += 1;
            }
        }
        Ok(bytes)
    }
}
