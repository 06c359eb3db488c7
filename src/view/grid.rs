//! How an array is cut into chunks.

use std::ops::Range;

use super::{Array, ChunkIndex, Dtype, Layout, Role};

/// Decoded bytes up to which a plane is one chunk.
const CHUNK_MOST: u64 = 32 << 20;

/// Decoded bytes of a chunk that are never exceeded: that of a tile or of a single row.
pub(super) const CHUNK_LIMIT: u64 = 64 << 20;

/// Extents of a plane and the type of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Plane {
    /// Pixels of a row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Samples of a pixel.
    pub samples: u32,
    /// Type of a sample.
    pub dtype: Dtype,
    /// Width and height of a tile, if the file has tiles.
    pub tile: Option<(u64, u64)>,
}

impl Plane {
    /// Values of the plane, of all samples.
    pub(super) fn values(self) -> u64 {
        self.width.saturating_mul(self.height).saturating_mul(u64::from(self.samples))
    }

    /// The array of `planes` such planes; `None` where a chunk would be empty or too large.
    pub(super) fn array(self, planes: u64, role: Role) -> Option<Array> {
        let pixel = (self.dtype.size() as u64).checked_mul(u64::from(self.samples))?;
        let (chunk_width, chunk_height) = match self.tile {
            Some(tile) => tile,
            None => (self.width, band(self.height, pixel.checked_mul(self.width)?)),
        };
        let chunk = pixel.checked_mul(chunk_width)?.checked_mul(chunk_height)?;
        let counted = |extent: u64, part: u64| part != 0 && u32::try_from(extent.div_ceil(part)).is_ok();
        let sound = (1..=CHUNK_LIMIT).contains(&chunk)
            && self.width != 0
            && counted(self.height, chunk_height)
            && counted(self.width, chunk_width)
            && pixel.checked_mul(self.width)?.checked_mul(self.height)?.checked_mul(planes.max(1)).is_some();
        let Plane { width, height, samples, dtype, .. } = self;
        sound.then_some(Array { dtype, planes, samples, height, width, chunk_height, chunk_width, role })
    }
}

/// Rows of a band: all of them, or as equal parts as whole rows allow.
fn band(height: u64, row: u64) -> u64 {
    let most = (CHUNK_MOST / row.max(1)).max(1);
    let bands = height.div_ceil(most).max(1);
    height.div_ceil(bands)
}

impl Array {
    /// Bands of rows in a plane.
    pub fn rows(&self) -> u64 {
        self.height.div_ceil(self.chunk_height.max(1))
    }

    /// Columns of chunks in a plane: 1 but for tiles.
    pub fn columns(&self) -> u64 {
        self.width.div_ceil(self.chunk_width.max(1))
    }

    /// Bytes of one sample's part of a decoded chunk.
    pub fn sample_stride(&self) -> u64 {
        self.chunk_height.saturating_mul(self.chunk_width).saturating_mul(self.dtype.size() as u64)
    }

    /// Bytes of a decoded chunk, padding included. All chunks of an array have the same size.
    pub fn chunk_len(&self) -> u64 {
        self.sample_stride().saturating_mul(u64::from(self.samples))
    }

    /// Rows and columns of the plane that a chunk covers, padding left out. Empty for a chunk that is not there.
    pub fn covered(&self, chunk: ChunkIndex) -> (Range<u64>, Range<u64>) {
        let part = |index: u32, step: u64, end: u64| {
            let start = u64::from(index).saturating_mul(step).min(end);
            start..start.saturating_add(step).min(end)
        };
        (part(chunk.row, self.chunk_height, self.height), part(chunk.column, self.chunk_width, self.width))
    }

    /// Whether the array has this chunk (whatever `chunk.array` says).
    pub fn has(&self, chunk: ChunkIndex) -> bool {
        chunk.plane < self.planes && u64::from(chunk.row) < self.rows() && u64::from(chunk.column) < self.columns()
    }
}

impl Layout {
    /// The array of a chunk.
    pub fn array(&self, chunk: ChunkIndex) -> Option<&Array> {
        self.arrays.get(usize::try_from(chunk.array).ok()?)
    }

    /// Every chunk of every array, array by array, plane by plane, row by row.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        (0u32..).zip(&self.arrays).flat_map(|(number, array)| {
            let (rows, columns) = (array.rows(), array.columns());
            (0..array.planes).flat_map(move |plane| {
                (0..rows as u32).flat_map(move |row| {
                    (0..columns as u32).map(move |column| ChunkIndex { array: number, plane, row, column })
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane { width: 2160, height: 2160, samples: 1, dtype: Dtype::U16, tile: None };

    #[test]
    fn a_plane_up_to_32_mebibytes_is_one_chunk() {
        let array = PLANE.array(3, Role::Full(0)).unwrap();
        assert_eq!((array.chunk_height, array.chunk_width, array.chunk_len()), (2160, 2160, 2160 * 2160 * 2));
        let most = Plane { width: 4096, height: 4096, ..PLANE }.array(1, Role::Full(0)).unwrap();
        assert_eq!(most.rows(), 1);
    }

    #[test]
    fn a_larger_plane_is_cut_into_equal_bands() {
        let array = Plane { width: 4096, height: 4097, ..PLANE }.array(1, Role::Full(0)).unwrap();
        assert_eq!((array.rows(), array.chunk_height), (2, 2049));
        let last = ChunkIndex { array: 0, plane: 0, row: 1, column: 0 };
        assert_eq!(array.covered(last), (2049..4097, 0..4096));
        assert!(array.has(last) && !array.has(ChunkIndex { row: 2, ..last }));
    }

    #[test]
    fn rows_and_tiles_beyond_the_limit_are_not_cut() {
        assert!(Plane { width: CHUNK_LIMIT, ..PLANE }.array(1, Role::Full(0)).is_none());
        assert!(Plane { tile: Some((1 << 20, 64)), ..PLANE }.array(1, Role::Full(0)).is_none());
        assert!(Plane { tile: Some((0, 64)), ..PLANE }.array(1, Role::Full(0)).is_none());
        assert!(Plane { height: u64::MAX, ..PLANE }.array(1, Role::Full(0)).is_none());
    }
}
