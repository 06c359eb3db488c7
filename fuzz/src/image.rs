//! Files of images: planned, taken apart, written as a recipe, and put together again.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use scopefs::backend::zarr::table::{
    ArrayUse, ChunkList, ChunkReader, ChunkRef, Literals, Rebuilt, Recipe, StoredChunk,
};
use scopefs::model::ByteSource;
use scopefs::view::{self, Axis, Calibration, Layout, Role};

/// Bytes of chunks that are held; a small file may have chunks of 64 MiB each, most of them padding.
const HELD_MOST: u64 = 4 << 20;

/// Any bytes as a file, which is a TIFF by its first bytes or nothing.
pub fn tiff(bytes: &[u8]) -> bool {
    plan(bytes).is_some()
}

/// Any bytes behind the magic number of npy.
pub fn npy(bytes: &[u8]) -> bool {
    plan(&[b"\x93NUMPY", bytes].concat()).is_some()
}

/// Plans a file, and rebuilds it from its chunks and literal bytes by way of an encoded recipe.
pub(super) fn plan(file: &[u8]) -> Option<Layout> {
    let layout = view::layout(&file).ok()?;
    assert_eq!(layout.check(), Ok(()));
    assert_eq!(layout.size, file.len() as u64);
    metadata_fits(&layout);
    let order = Recipe::chunk_order(&layout);
    let len = |index: &view::ChunkIndex| layout.array(*index).expect("an array").chunk_len();
    if order.iter().map(len).try_fold(0u64, |held, len| held.checked_add(len)).is_some_and(|held| held <= HELD_MOST) {
        rebuild(file, &layout);
    }
    Some(layout)
}

fn rebuild(file: &[u8], layout: &Layout) {
    let arrays: Arc<[ArrayUse]> = (0..).zip(&layout.arrays).map(|(number, array)| array_use(number, array)).collect();
    let by_chunk = layout.by_chunk();
    let mut chunks = Chunks::default();
    let mut list = ChunkList::default();
    for index in Recipe::chunk_order(layout) {
        let mut chunk = Vec::new();
        let array = layout.array(index).expect("an array");
        view::gather(array, by_chunk.of(index), &file, &mut chunk).expect("a chunk of a sound layout");
        let coords = [index.plane, u64::from(index.row), u64::from(index.column)];
        list.push(ChunkRef { array: index.array, coords: &coords, stored: chunk.len() as u64, checks: &[7] });
        chunks.0.insert((index.array.to_string(), coords), chunk);
    }
    let literals = layout.literals().flat_map(|range| &file[range.start as usize..range.end as usize]);
    let recipe = Recipe::new(layout, list, Literals::Inline(literals.copied().collect())).expect("a recipe");
    let decoded = Recipe::decode(&recipe.encode(), layout.size, &arrays).expect("the recipe that was encoded");
    assert_eq!(decoded, recipe);
    let rebuilt = Rebuilt::new(arrays, Arc::new(decoded), chunks);
    let seed = file.iter().fold(7usize, |seed, &byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let from = seed % file.len();
    let to = from + 1 + (seed >> 20) % (file.len() - from);
    for range in [0..file.len(), from..to] {
        let mut out = vec![0xEE; range.len()];
        assert_eq!(rebuilt.read_at(&mut out, range.start as u64).expect("bytes"), range.len());
        assert!(out == file[range.clone()], "bytes {range:?} differ");
    }
}

fn array_use(number: usize, array: &view::Array) -> ArrayUse {
    let chunk_shape = vec![u64::from(array.samples), array.chunk_height, array.chunk_width];
    ArrayUse { path: number.to_string(), dtype: array.dtype, chunk_shape, derived: false }
}

/// Decoded chunks by array and place.
#[derive(Default)]
struct Chunks(HashMap<(String, [u64; 3]), Vec<u8>>);

impl ChunkReader for Chunks {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        let coords: [u64; 3] = chunk.coords.try_into().expect("three dimensions");
        let bytes = &self.0[&(chunk.array.to_owned(), coords)];
        out.copy_from_slice(&bytes[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// What is told of images: each axis once, as many planes as there are, sizes that a pixel can have.
fn metadata_fits(layout: &Layout) {
    let meta = &layout.meta;
    let images = meta.axes.len();
    assert_eq!((meta.names.len(), meta.calibration.len(), meta.channels.len()), (images, images, images));
    for (number, axes) in (0u32..).zip(&meta.axes).filter(|(_, axes)| !axes.is_empty()) {
        let array = layout.arrays.iter().find(|array| array.role == Role::Full(number)).expect("the image's array");
        let planes = axes.iter().try_fold(1u64, |planes, (_, extent)| planes.checked_mul(*extent));
        assert_eq!(planes, Some(array.planes), "axes {axes:?}");
        for axis in [Axis::Time, Axis::Channel, Axis::Depth] {
            assert!(axes.iter().filter(|(other, _)| *other == axis).count() <= 1, "axes {axes:?}");
        }
    }
    for &Calibration { x, y, z, t } in &meta.calibration {
        for size in [x, y, z, t].into_iter().flatten() {
            assert!(size.is_finite() && size > 0.0, "a size of {size}");
        }
    }
}
