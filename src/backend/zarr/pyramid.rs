//! Reduced levels of a file that is being sealed, made out of its staged chunks: a level at a time, a chunk at a time.

use std::collections::HashMap;
use std::io;

use super::ground::StagedChunk;
use super::level::{Reduce, reduce};
use super::ngff::PlaneAt;
use super::plan::{ImagePlan, LevelPlan};
use super::reader::{KeptChunks, StagedReader};
use super::seal::Sealing;
use super::stores::SealError;
use super::table::{ArrayUse, ChunkList};

/// Makes and stages all levels that the plan says are made, and appends them to arrays, list and chunks.
pub(super) fn make_levels(
    sealing: &Sealing<'_>,
    kept: &KeptChunks,
    arrays: &mut Vec<ArrayUse>,
    list: &mut ChunkList,
    chunks: &mut Vec<StagedChunk>,
) -> Result<(), SealError> {
    for (number, image) in sealing.plan.images.iter().enumerate() {
        let planes = planes_of(sealing, number);
        for level in &image.levels {
            let Some((from, factor)) = level.made_from else { continue };
            let Some(from) = image.levels.get(from) else { continue };
            arrays.push(image.array_use(level));
            let index = (arrays.len() - 1) as u32;
            let step = Step { image, from, level, factor, planes: &planes, array: index, kept };
            let (made_list, made) = make_level(sealing, arrays, list, chunks, &step)?;
            made_list.iter().for_each(|chunk| list.push(chunk));
            chunks.extend(made);
        }
    }
    Ok(())
}

/// From one level to the next.
struct Step<'a> {
    image: &'a ImagePlan,
    from: &'a LevelPlan,
    level: &'a LevelPlan,
    factor: u64,
    planes: &'a [PlaneAt],
    /// Index of the new level among the file's arrays.
    array: u32,
    kept: &'a KeptChunks,
}

/// The planes of image `number` that the file has.
fn planes_of(sealing: &Sealing<'_>, number: usize) -> Vec<PlaneAt> {
    let places = sealing.layout.arrays.iter().zip(&sealing.plan.arrays);
    let full = places.filter(|(_, place)| place.image == number && place.level == 0);
    full.flat_map(|(array, place)| (0..array.planes).map(|plane| place.plane(plane))).collect()
}

fn make_level(
    sealing: &Sealing<'_>,
    arrays: &[ArrayUse],
    list: &ChunkList,
    chunks: &[StagedChunk],
    step: &Step<'_>,
) -> Result<(ChunkList, Vec<StagedChunk>), SealError> {
    let reader = StagedReader::new((sealing.version, sealing.standing), arrays, chunks.iter(), step.kept);
    let path = step.image.array_path(step.from.name);
    let checks: HashMap<&[u64], &[u64]> = (0..list.len())
        .filter_map(|index| list.get(index))
        .filter(|chunk| arrays.get(chunk.array as usize).is_some_and(|array| array.path == path))
        .map(|chunk| (chunk.coords, chunk.checks))
        .collect();
    let source = Source { step, reader: &reader, path: &path, checks };
    let (mut made_list, mut made) = (ChunkList::default(), Vec::new());
    let used = step.image.array_use(step.level);
    for plane in step.planes {
        for row in 0..step.level.height.div_ceil(step.level.chunk[0]) {
            for column in 0..step.level.width.div_ceil(step.level.chunk[1]) {
                if let Some(bytes) = source.chunk(*plane, row, column)? {
                    let coords = step.image.extents.chunk_index(*plane, row, column);
                    sealing.stage(&mut made_list, &mut made, (step.array, &used, &coords), &bytes)?;
                }
            }
        }
    }
    Ok((made_list, made))
}

/// The level that another is made from.
struct Source<'a> {
    step: &'a Step<'a>,
    reader: &'a StagedReader<'a>,
    path: &'a str,
    checks: HashMap<&'a [u64], &'a [u64]>,
}

impl Source<'_> {
    /// A chunk of the reduced level; `None` if nothing is stored of what it is made from.
    fn chunk(&self, plane: PlaneAt, row: u64, column: u64) -> io::Result<Option<Vec<u8>>> {
        let (step, size) = (self.step, self.step.image.dtype.size());
        let (from, level) = (step.from, step.level);
        let part = |index: u64, chunk: u64, side: u64, full: u64| {
            let (first, end) = (index * chunk, ((index + 1) * chunk).min(side));
            (first * step.factor, (end * step.factor).min(full), end - first)
        };
        let (top, bottom, rows) = part(row, level.chunk[0], level.height, from.height);
        let (left, right, columns) = part(column, level.chunk[1], level.width, from.width);
        let samples = step.image.samples as usize;
        let (height, width) = ((bottom - top) as usize, (right - left) as usize);
        let mut region = vec![0; samples * height * width * size];
        let mut found = false;
        for y in top / from.chunk[0]..bottom.div_ceil(from.chunk[0]) {
            for x in left / from.chunk[1]..right.div_ceil(from.chunk[1]) {
                found |= self.copy(plane, [y, x], [top, bottom, left, right], &mut region)?;
            }
        }
        if !found {
            return Ok(None);
        }
        let how = if step.image.labels { Reduce::Nearest } else { Reduce::Mean };
        let small = reduce(step.image.dtype, [samples, height, width], &region, step.factor as usize, how);
        let small = small.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(pad(&small, samples, [rows, columns], level.chunk, size)))
    }

    /// Copies what the chunk `[y, x]` of the level above holds of a region; whether there is such a chunk.
    fn copy(&self, plane: PlaneAt, [y, x]: [u64; 2], region: [u64; 4], out: &mut [u8]) -> io::Result<bool> {
        let (from, size) = (self.step.from, self.step.image.dtype.size());
        let coords = self.step.image.extents.chunk_index(plane, y, x);
        let Some(checks) = self.checks.get(coords.as_slice()) else { return Ok(false) };
        let Some(bytes) = self.reader.chunk(self.path, &coords, checks)? else { return Ok(false) };
        let [top, bottom, left, right] = region;
        let (first, last) = ((y * from.chunk[0]).max(top), ((y + 1) * from.chunk[0]).min(bottom));
        let (start, end) = ((x * from.chunk[1]).max(left), ((x + 1) * from.chunk[1]).min(right));
        let len = (end - start) as usize * size;
        for sample in 0..self.step.image.samples {
            for row in first..last {
                let at = ((sample * from.chunk[0] + row - y * from.chunk[0]) * from.chunk[1] + start
                    - x * from.chunk[1]) as usize
                    * size;
                let to = ((sample * (bottom - top) + row - top) * (right - left) + start - left) as usize * size;
                if let (Some(from), Some(to)) = (bytes.get(at..at + len), out.get_mut(to..to + len)) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(true)
    }
}

/// A chunk at the edge has zeros where the image ends.
fn pad(bytes: &[u8], samples: usize, [rows, columns]: [u64; 2], chunk: [u64; 2], size: usize) -> Vec<u8> {
    if [rows, columns] == chunk {
        return bytes.to_vec();
    }
    let (rows, columns, width) = (rows as usize, columns as usize * size, chunk[1] as usize * size);
    let mut padded = vec![0; samples * chunk[0] as usize * width];
    for (line, row) in bytes.chunks_exact(columns.max(1)).enumerate() {
        let at = (line / rows * chunk[0] as usize + line % rows) * width;
        if let Some(to) = padded.get_mut(at..at + columns) {
            to.copy_from_slice(row);
        }
    }
    padded
}
