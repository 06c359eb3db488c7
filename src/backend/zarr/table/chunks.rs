//! The chunks that a file uses, and what their bytes looked like when they were written.

use crate::view::Dtype;

use super::wire::{FormatError, Reader, put_blob, put_column, put_varint, unzigzag, zigzag};

/// Dimensions that an array may have: NGFF has five.
const MAX_DIMENSIONS: usize = 8;

/// An array that a file uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayUse {
    /// Path of the array in the store: `B/03/0/0`.
    pub path: String,
    /// Type of a sample; little-endian.
    pub dtype: Dtype,
    /// Shape of a decoded chunk.
    pub chunk_shape: Vec<u64>,
    /// Made from other chunks of the file (a reduced level): holds nothing that cannot be made again.
    pub derived: bool,
}

impl ArrayUse {
    /// Bytes of a decoded chunk; `None` if that is more than 2^63.
    pub fn chunk_bytes(&self) -> Option<u64> {
        let size = self.dtype.size() as u64;
        self.chunk_shape.iter().try_fold(size, |all, &n| all.checked_mul(n)).filter(|&n| n <= i64::MAX as u64)
    }

    /// `flags u8 | kind u8 | bytes of a sample u8 | path | dimensions, each varint`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (kind, size) = dtype_code(self.dtype);
        out.extend_from_slice(&[u8::from(self.derived), kind, size]);
        put_blob(out, self.path.as_bytes());
        put_varint(out, self.chunk_shape.len() as u64);
        self.chunk_shape.iter().for_each(|&n| put_varint(out, n));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<ArrayUse, FormatError> {
        let [flags, kind, size] = from.array()?;
        let dtype = dtype_of(kind, size).ok_or(FormatError::Malformed("an array is of an unknown type"))?;
        let path = std::str::from_utf8(from.blob()?).ok().filter(|path| is_store_path(path));
        let path = path.ok_or(FormatError::Malformed("the path of an array leads out of the store"))?.to_owned();
        let dimensions = from.count(1)?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(FormatError::Malformed("an array has no dimensions, or too many"));
        }
        let chunk_shape = (0..dimensions).map(|_| from.varint()).collect::<Result<Vec<u64>, _>>()?;
        let array = ArrayUse { path, dtype, chunk_shape, derived: flags & 1 == 1 };
        match array.chunk_bytes() {
            None | Some(0) => Err(FormatError::Malformed("chunks of an array are empty, or of impossible size")),
            Some(_) => Ok(array),
        }
    }
}

/// Whether `path` stays within the store: normal components only. The root (an image that is the store) is empty.
pub(super) fn is_store_path(path: &str) -> bool {
    path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}

/// Kind and size as in numpy's `<u2`.
fn dtype_code(dtype: Dtype) -> (u8, u8) {
    let kind = match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => b'u',
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => b'i',
        Dtype::F32 | Dtype::F64 => b'f',
    };
    (kind, dtype.size() as u8)
}

fn dtype_of(kind: u8, size: u8) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&dtype| dtype_code(dtype) == (kind, size))
}

/// A chunk that a file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRef<'a> {
    /// Index of its array in the record's arrays.
    pub array: u32,
    /// Where in the grid of the array's chunks; as many numbers as the array has dimensions.
    pub coords: &'a [u64],
    /// Bytes of the encoded chunk.
    pub stored: u64,
    /// XXH3-64 of each of its Blosc blocks as stored.
    pub checks: &'a [u64],
}

/// Chunks in order; flat, because there may be a hundred thousand of one or two blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkList {
    ends: Vec<Ends>,
    coords: Vec<u64>,
    checks: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    array: u32,
    coords: u32,
    checks: u32,
    stored: u64,
}

impl ChunkList {
    /// Appends a chunk; its index is the number of chunks before it.
    pub fn push(&mut self, chunk: ChunkRef<'_>) {
        self.coords.extend_from_slice(chunk.coords);
        self.checks.extend_from_slice(chunk.checks);
        let (coords, checks) = (self.coords.len() as u32, self.checks.len() as u32);
        self.ends.push(Ends { array: chunk.array, coords, checks, stored: chunk.stored });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The chunk with this index.
    pub fn get(&self, index: usize) -> Option<ChunkRef<'_>> {
        let ends = self.ends.get(index)?;
        let (coords, checks) =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or((0, 0), |e| (e.coords, e.checks));
        Some(ChunkRef {
            array: ends.array,
            coords: self.coords.get(coords as usize..ends.coords as usize)?,
            stored: ends.stored,
            checks: self.checks.get(checks as usize..ends.checks as usize)?,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = ChunkRef<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The number of chunks; columns of arrays, of each dimension (as differences along the list), of blocks; stored
    /// lengths; checks, 8 bytes each.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        put_column(out, &self.iter().map(|chunk| u64::from(chunk.array)).collect::<Vec<_>>());
        let dimensions = self.iter().map(|chunk| chunk.coords.len()).max().unwrap_or(0);
        for dimension in 0..dimensions {
            let mut before = 0_u64;
            let steps = self.iter().filter_map(|chunk| chunk.coords.get(dimension).copied()).map(|at| {
                let step = at.wrapping_sub(before) as i64;
                before = at;
                zigzag(step)
            });
            put_column(out, &steps.collect::<Vec<_>>());
        }
        put_column(out, &self.iter().map(|chunk| chunk.checks.len() as u64).collect::<Vec<_>>());
        self.iter().for_each(|chunk| put_varint(out, chunk.stored));
        self.checks.iter().for_each(|check| out.extend_from_slice(&check.to_le_bytes()));
    }

    pub(super) fn read(from: &mut Reader<'_>, arrays: &[ArrayUse]) -> Result<ChunkList, FormatError> {
        // Each chunk has a stored length of at least a byte: that bounds everything below.
        let count = from.count(1)?;
        let chunk_arrays = from.column(count)?;
        let dimensions_of = |array: u64| -> Result<usize, FormatError> {
            let array = usize::try_from(array).ok().and_then(|array| arrays.get(array));
            Ok(array.ok_or(FormatError::Malformed("a chunk is of an array that is not there"))?.chunk_shape.len())
        };
        let dimensions = chunk_arrays.iter().map(|&array| dimensions_of(array)).collect::<Result<Vec<_>, _>>()?;
        let mut list = ChunkList { coords: read_coords(from, &dimensions)?, ..ChunkList::default() };
        let blocks = from.column(count)?;
        let stored = (0..count).map(|_| from.varint()).collect::<Result<Vec<_>, _>>()?;
        let mut coords = 0;
        for (((array, dimensions), blocks), stored) in chunk_arrays.into_iter().zip(dimensions).zip(blocks).zip(stored)
        {
            let checks = from.bytes(blocks.checked_mul(8).ok_or(FormatError::Truncated)?)?;
            let little_endian = |check: &[u8]| check.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
            list.checks.extend(checks.chunks_exact(8).map(little_endian));
            coords += dimensions;
            let ends = (u32::try_from(array), u32::try_from(coords), u32::try_from(list.checks.len()));
            let (Ok(array), Ok(coords), Ok(checks)) = ends else {
                return Err(FormatError::TooLarge("a file of too many chunks"));
            };
            list.ends.push(Ends { array, coords, checks, stored });
        }
        Ok(list)
    }
}

/// Coordinates of chunks with so many dimensions, one chunk behind the other.
fn read_coords(from: &mut Reader<'_>, dimensions: &[usize]) -> Result<Vec<u64>, FormatError> {
    let mut coords = vec![0; dimensions.iter().sum()];
    for dimension in 0..dimensions.iter().copied().max().unwrap_or(0) {
        let with = dimensions.iter().filter(|&&n| n > dimension).count();
        let mut steps = from.column(with)?.into_iter();
        let (mut at, mut start) = (0_u64, 0);
        for &n in dimensions {
            if let Some(coord) = coords.get_mut(start + dimension).filter(|_| dimension < n) {
                at = at.wrapping_add(unzigzag(steps.next().unwrap_or(0)) as u64);
                *coord = at;
            }
            start += n;
        }
    }
    Ok(coords)
}
