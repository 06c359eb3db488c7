//! Which filter suits a chunk: tried on samples of it.

use lz4_flex::block::{compress_into, get_maximum_output_size};

use super::header::Filter;
use super::shuffle;

/// Bytes of one sample.
const SAMPLE: usize = 64 << 10;
/// How many samples are taken of a large chunk.
const SAMPLES: usize = 4;
/// Of a chunk, at most this part is sampled.
const PART: usize = 16;
/// The bit shuffle costs time: it must save this part of the bytes.
const WORTH: usize = 50;

/// The filter that makes samples of `bytes` smallest.
pub(super) fn filter(bytes: &[u8], typesize: usize) -> Filter {
    let samples = samples(bytes, typesize);
    let mut work = Work::default();
    let mut size = |filter| samples.iter().map(|sample| work.size(sample, typesize, filter)).sum::<usize>();
    let mut best = (Filter::None, size(Filter::None));
    if typesize > 1 {
        let shuffled = size(Filter::Shuffle);
        if shuffled < best.1 {
            best = (Filter::Shuffle, shuffled);
        }
    }
    let bits = size(Filter::BitShuffle);
    if bits + best.1 / WORTH < best.1 { Filter::BitShuffle } else { best.0 }
}

/// Pieces of whole elements, their number a multiple of 8: the middles of equal parts, because corners tend to be empty.
fn samples(bytes: &[u8], typesize: usize) -> Vec<&[u8]> {
    let step = 8 * typesize;
    let count = (bytes.len() / PART / SAMPLE).clamp(1, SAMPLES);
    let part = bytes.len() / count;
    let len = SAMPLE.min(part) / step * step;
    let starts = (0..count).map(|sample| (sample * part + (part - len) / 2) / step * step);
    starts.filter_map(|at| bytes.get(at..at + len)).collect()
}

#[derive(Default)]
struct Work {
    filtered: Vec<u8>,
    spare: Vec<u8>,
    out: Vec<u8>,
}

impl Work {
    fn size(&mut self, sample: &[u8], typesize: usize, filter: Filter) -> usize {
        self.filtered.resize(sample.len(), 0);
        shuffle::apply(filter, typesize, sample, &mut self.filtered, &mut self.spare);
        let splits = if filter == Filter::None || typesize > 16 { 1 } else { typesize };
        let split = (sample.len() / splits).max(1);
        self.out.resize(get_maximum_output_size(split), 0);
        let size = |split: &[u8]| compress_into(split, &mut self.out).map_or(split.len(), |len| len.min(split.len()));
        self.filtered.chunks(split).map(size).sum()
    }
}
