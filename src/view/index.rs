//! Finding segments: by range of the file, and by chunk.

use std::ops::Range;

use super::{ChunkIndex, Layout, Segment};

impl Segment {
    /// The byte behind the last one.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Layout {
    /// The segments that hold any byte of `range`, by binary search.
    pub fn segments_in(&self, range: Range<u64>) -> &[Segment] {
        let first = self.segments.partition_point(|segment| segment.end() <= range.start);
        let rest = self.segments.get(first..).unwrap_or_default();
        let count = if range.is_empty() { 0 } else { rest.partition_point(|segment| segment.offset < range.end) };
        rest.get(..count).unwrap_or_default()
    }

    /// The ranges of the file whose bytes are literal, in its order.
    pub fn literals(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.segments.iter().filter(|segment| segment.run.is_none()).map(|segment| segment.offset..segment.end())
    }

    /// An index from chunks to their segments: four bytes for each run, made in one sort.
    pub fn by_chunk(&self) -> ByChunk<'_> {
        let mut order: Vec<u32> =
            (0u32..).zip(&self.segments).filter(|(_, segment)| segment.run.is_some()).map(|(at, _)| at).collect();
        let segments = &self.segments;
        order.sort_by_key(|&at| chunk_of(segments, at));
        ByChunk { segments, order }
    }
}

/// From a chunk to its segments.
#[derive(Debug)]
pub struct ByChunk<'a> {
    segments: &'a [Segment],
    /// Indices of the runs, sorted by chunk, then by offset in the file.
    order: Vec<u32>,
}

impl<'a> ByChunk<'a> {
    /// The segments of one chunk in the order of the file; none for a chunk that the file does not store.
    pub fn of(&self, chunk: ChunkIndex) -> impl Iterator<Item = &'a Segment> + '_ {
        let first = self.order.partition_point(|&at| chunk_of(self.segments, at) < Some(chunk));
        let rest = self.order.get(first..).unwrap_or_default();
        let segments = self.segments;
        rest.iter()
            .take_while(move |&&at| chunk_of(segments, at) == Some(chunk))
            .filter_map(move |&at| segments.get(at as usize))
    }
}

fn chunk_of(segments: &[Segment], at: u32) -> Option<ChunkIndex> {
    segments.get(at as usize).and_then(|segment| segment.run).map(|run| run.chunk)
}
