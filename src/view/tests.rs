//! Whole files: planned, taken apart into chunks and literal bytes, and put together again.

mod files;
mod generator;
mod hostile;
mod known;
mod random;

use std::collections::BTreeMap;

use super::*;
use crate::model::ByteSource;

/// The chunks of a file that it stores anything of.
type Chunks = BTreeMap<ChunkIndex, Vec<u8>>;

/// Every stored chunk, out of the file.
fn chunks(layout: &Layout, source: &dyn ByteSource) -> Chunks {
    let by_chunk = layout.by_chunk();
    let stored = layout.segments.iter().filter_map(|segment| segment.run).map(|run| run.chunk);
    let mut chunks = Chunks::new();
    for index in stored {
        chunks.entry(index).or_insert_with(|| {
            let mut chunk = Vec::new();
            gather(layout.array(index).unwrap(), by_chunk.of(index), source, &mut chunk).unwrap();
            chunk
        });
    }
    chunks
}

/// A range of the file, from its literal bytes and chunks.
fn read(layout: &Layout, chunks: &Chunks, literals: &[u8], range: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in layout.segments_in(range.clone()) {
        let (from, to) = (segment.offset.max(range.start), segment.end().min(range.end));
        match segment.run {
            None => out.extend(&literals[from as usize..to as usize]),
            Some(run) => {
                let at = out.len();
                out.resize(at + (to - from) as usize, 0);
                let size = layout.array(run.chunk).unwrap().dtype.size();
                let chunk = &chunks[&run.chunk];
                let window = run.chunk_range(size, from - segment.offset, to - from);
                let bytes = &chunk[window.start as usize..window.end as usize];
                run.copy_out(size, from - segment.offset, &mut out[at..], window.start, bytes).unwrap();
            }
        }
    }
    out
}

/// Plans a file and rebuilds it, in pieces of `step` bytes, from chunks and a copy that has nothing but its literal
/// bytes.
#[track_caller]
fn round_trip(file: &[u8], step: u64) -> Result<(Layout, Chunks), Refusal> {
    let layout = layout(&file)?;
    assert_eq!(layout.check(), Ok(()));
    assert_eq!(layout.size, file.len() as u64);
    let mut literals = vec![0xEE; file.len()];
    for range in layout.literals() {
        let range = range.start as usize..range.end as usize;
        literals[range.clone()].copy_from_slice(&file[range]);
    }
    let chunks = chunks(&layout, &file);
    let mut start = 0;
    while start < layout.size {
        let end = (start + step).min(layout.size);
        let part = read(&layout, &chunks, &literals, start..end);
        assert!(part == file[start as usize..end as usize], "bytes {start}..{end} differ");
        start = end;
    }
    Ok((layout, chunks))
}
