//! What every layout must be, whoever made it.

use super::grid::CHUNK_LIMIT;
use super::{Array, Interleave, Layout, Refusal, Run, Segment};

impl Layout {
    /// Whether the layout is sound: arrays of a size that can be counted, chunks of 64 MiB
    /// at most, segments sorted and without gaps over
    /// `[0, size)`, none empty, and each run within a chunk that is there. A layout that came from outside is not used
    /// before this.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.arrays.is_empty() {
            return Err(fault("it has no array", 0));
        }
        for (number, array) in self.arrays.iter().enumerate() {
            check_array(array).ok_or_else(|| fault("its size cannot be counted: array", number as u64))?;
        }
        let mut end = 0;
        for segment in &self.segments {
            if segment.offset != end || segment.len == 0 {
                return Err(fault("segments have a gap, overlap or are empty at byte", end));
            }
            end = segment.offset.checked_add(segment.len).ok_or_else(|| fault("segments are too long at byte", end))?;
            if let Some(run) = segment.run {
                self.check_run(segment, run)
                    .ok_or_else(|| fault("a run is outside of its chunk at byte", segment.offset))?;
            }
        }
        if end == self.size { Ok(()) } else { Err(fault("segments end too early or too late, at byte", end)) }
    }

    fn check_run(&self, segment: &Segment, run: Run) -> Option<()> {
        let array = self.array(run.chunk)?;
        let (size, stride) = (array.dtype.size(), array.sample_stride());
        let whole = segment.len % run.unit(size) == 0;
        let end = run.at.checked_add(run.advance(segment.len))?;
        let within = match run.interleave {
            None => end <= array.chunk_len(),
            Some(interleave) => {
                interleave == Interleave { samples: array.samples, sample_stride: stride } && end <= stride
            }
        };
        (array.has(run.chunk) && whole && within).then_some(())
    }
}

fn check_array(array: &Array) -> Option<()> {
    let pixel = (array.dtype.size() as u64).checked_mul(u64::from(array.samples))?;
    let plane = pixel.checked_mul(array.width)?.checked_mul(array.height)?.checked_mul(array.planes)?;
    let chunk = pixel.checked_mul(array.chunk_width)?.checked_mul(array.chunk_height)?;
    let counted = u32::try_from(array.rows()).is_ok() && u32::try_from(array.columns()).is_ok();
    (plane != 0 && (1..=CHUNK_LIMIT).contains(&chunk) && counted).then_some(())
}

fn fault(what: &str, at: u64) -> Refusal {
    Refusal::Malformed(format!("{what} {at}"))
}
