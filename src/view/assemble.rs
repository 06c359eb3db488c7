//! From the places of pixels in the file to its segments.

use super::{Array, ChunkIndex, Interleave, Refusal, Run, Segment};

/// Most runs of one file, before they are joined: what a layout may cost in memory (90 bytes each).
const RUNS_MOST: usize = 1 << 20;

/// The runs of a file as they are found, in any order.
#[derive(Debug)]
pub(super) struct Runs {
    list: Vec<Segment>,
    swap: bool,
}

impl Runs {
    /// `big_endian`: that of the file.
    pub(super) fn new(big_endian: bool) -> Self {
        Runs { list: Vec::new(), swap: big_endian }
    }

    /// Adds whole `rows` of a plane that lie at `offset`: of one sample, or (`None`) of all samples pixel by pixel.
    ///
    /// The array's chunks are bands of whole rows. Returns the offset behind them.
    pub(super) fn rows(
        &mut self,
        array: &Array,
        chunk: ChunkIndex,
        sample: Option<u32>,
        rows: std::ops::Range<u64>,
        offset: u64,
    ) -> Result<u64, Refusal> {
        let row_len = array.width.saturating_mul(array.dtype.size() as u64);
        let together = if sample.is_none() { u64::from(array.samples) } else { 1 };
        let (mut row, mut offset) = (rows.start, offset);
        while row < rows.end {
            let band = row / array.chunk_height.max(1);
            let skip = row - band * array.chunk_height;
            let count = (array.chunk_height - skip).min(rows.end - row);
            let chunk = ChunkIndex { row: u32::try_from(band).map_err(|_| too_large())?, ..chunk };
            let len = count.checked_mul(row_len).and_then(|len| len.checked_mul(together)).ok_or_else(too_large)?;
            let at = skip.checked_mul(row_len).ok_or_else(too_large)?;
            self.push(array, chunk, sample, (offset, len), at)?;
            offset = offset.checked_add(len).ok_or_else(too_large)?;
            row += count;
        }
        Ok(offset)
    }

    /// Adds a whole chunk that lies at `offset`: of one sample, or (`None`) of all samples pixel by pixel.
    pub(super) fn chunk(
        &mut self,
        array: &Array,
        chunk: ChunkIndex,
        sample: Option<u32>,
        offset: u64,
    ) -> Result<(), Refusal> {
        let len = if sample.is_none() { array.chunk_len() } else { array.sample_stride() };
        self.push(array, chunk, sample, (offset, len), 0)
    }

    fn push(
        &mut self,
        array: &Array,
        chunk: ChunkIndex,
        sample: Option<u32>,
        (offset, len): (u64, u64),
        at: u64,
    ) -> Result<(), Refusal> {
        let sample_stride = array.sample_stride();
        let interleave =
            (sample.is_none() && array.samples > 1).then_some(Interleave { samples: array.samples, sample_stride });
        let skipped = u64::from(sample.unwrap_or(0)).checked_mul(sample_stride).ok_or_else(too_large)?;
        let at = at.checked_add(skipped).ok_or_else(too_large)?;
        let swap = self.swap && array.dtype.size() > 1;
        let next = Segment { offset, len, run: Some(Run { chunk, at, swap, interleave }) };
        if self.list.last_mut().is_some_and(|last| join(last, &next)) {
            return Ok(());
        }
        if self.list.len() >= RUNS_MOST {
            return Err(Refusal::TooComplex(format!("its pixels lie in more than {RUNS_MOST} pieces")));
        }
        self.list.push(next);
        Ok(())
    }

    /// The segments of a file of `size` bytes: the runs in order, and literal bytes between them.
    pub(super) fn into_segments(mut self, size: u64) -> Result<Vec<Segment>, Refusal> {
        self.list.sort_unstable_by_key(|run| run.offset);
        let mut segments: Vec<Segment> = Vec::with_capacity(self.list.len().min(RUNS_MOST) + 2);
        let mut end = 0;
        for run in self.list {
            if run.offset < end {
                return Err(Refusal::Unsupported(format!("its planes share bytes, at byte {}", run.offset)));
            }
            if run.offset > end {
                segments.push(Segment { offset: end, len: run.offset - end, run: None });
            }
            end = run.end();
            if end > size {
                return Err(Refusal::Malformed(format!("pixels at byte {} reach behind its end", run.offset)));
            }
            if !segments.last_mut().is_some_and(|last| join(last, &run)) {
                segments.push(run);
            }
        }
        if end < size {
            segments.push(Segment { offset: end, len: size - end, run: None });
        }
        Ok(segments)
    }
}

/// Makes `last` longer by `next`, if that is what follows it both in the file and in the chunk.
fn join(last: &mut Segment, next: &Segment) -> bool {
    let (Some(before), Some(run)) = (last.run, next.run) else { return false };
    let follows = last.end() == next.offset
        && (before.chunk, before.swap, before.interleave) == (run.chunk, run.swap, run.interleave)
        && before.at.checked_add(before.advance(last.len)) == Some(run.at);
    if follows {
        last.len = last.len.saturating_add(next.len);
    }
    follows
}

fn too_large() -> Refusal {
    Refusal::Malformed("its extents are larger than any file".to_owned())
}
