//! From a decoded chunk to the bytes of the file.

use std::io;
use std::ops::Range;

use super::{Interleave, Run};

impl Run {
    /// The part of the decoded chunk that bytes `from .. from + len` of the run are made of; `size` is that of a sample.
    ///
    /// Whole samples where bytes are swapped, whole pixels where samples are interleaved; then it is the hull over all
    /// samples, which [`Run::read_with`] avoids.
    pub fn chunk_range(&self, size: usize, from: u64, len: u64) -> Range<u64> {
        let (size, unit) = (size as u64, self.unit(size));
        let (first, end) = (from / unit, from.saturating_add(len).div_ceil(unit));
        let start = |units: u64, size: u64| self.at.saturating_add(units.saturating_mul(size));
        match self.interleave {
            None => start(first, unit)..start(end, unit),
            Some(Interleave { samples, sample_stride }) => {
                let last = sample_stride.saturating_mul(u64::from(samples).saturating_sub(1));
                let end = start(end, size).saturating_add(last);
                start(first, size)..end
            }
        }
    }

    /// Fills `out` with the bytes of the run from byte `from` on. `size` is that of a sample;
    /// `decode` fills a buffer with the bytes of the decoded chunk from an offset on.
    ///
    /// `decode` is called once, or once per sample where they are interleaved, for ranges in rising order. A range may
    /// begin and end anywhere, in the middle of a sample too.
    pub fn read_with(
        &self,
        size: usize,
        from: u64,
        out: &mut [u8],
        decode: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let unit = self.unit(size);
        let first = from / unit;
        let (skip, unit) = ((from % unit) as usize, unit as usize);
        let whole = (skip + out.len()).next_multiple_of(unit);
        if whole == out.len() {
            return self.units(size, first, out, decode);
        }
        let mut wider = vec![0; whole];
        self.units(size, first, &mut wider, decode)?;
        let wanted = wider.get(skip..skip + out.len()).ok_or_else(outside)?;
        out.copy_from_slice(wanted);
        Ok(())
    }

    /// As [`Run::read_with`], out of a window of the decoded chunk that begins at `start` and holds at least
    /// [`Run::chunk_range`]; a smaller one is an error of kind `InvalidInput`.
    pub fn copy_out(&self, size: usize, from: u64, out: &mut [u8], start: u64, window: &[u8]) -> io::Result<()> {
        self.read_with(size, from, out, &mut |at, part| {
            let at = at.checked_sub(start).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
            let bytes = window.get(at..).and_then(|rest| rest.get(..part.len())).ok_or_else(outside)?;
            part.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// How far the run reaches in a sample's part of the chunk after `len` bytes of the file.
    pub(super) fn advance(&self, len: u64) -> u64 {
        len / self.interleave.map_or(1, |interleave| u64::from(interleave.samples.max(1)))
    }

    /// Bytes of the file that can only be made together: 1, those of a sample, or those of a pixel.
    pub(super) fn unit(&self, size: usize) -> u64 {
        match self.interleave {
            Some(interleave) => (size as u64).saturating_mul(u64::from(interleave.samples)).max(1),
            None if self.swap => size.max(1) as u64,
            None => 1,
        }
    }

    /// Whole units from unit `first` on.
    fn units(
        &self,
        size: usize,
        first: u64,
        out: &mut [u8],
        decode: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let at = |step: u64| first.checked_mul(step).and_then(|skipped| skipped.checked_add(self.at));
        match self.interleave {
            None => decode(at(self.unit(size)).ok_or_else(outside)?, out)?,
            Some(Interleave { samples, sample_stride }) => {
                let samples = samples as usize;
                let mut one = vec![0; out.len() / samples.max(1)];
                let mut at = at(size as u64).ok_or_else(outside)?;
                for sample in 0..samples {
                    decode(at, &mut one)?;
                    interleave(size, samples, sample, &one, out);
                    at = at.saturating_add(sample_stride);
                }
            }
        }
        if self.swap {
            swap(size, out);
        }
        Ok(())
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a run reaches outside of its chunk")
}

/// Reverses the bytes of each sample.
pub(super) fn swap(size: usize, bytes: &mut [u8]) {
    fn each<const SIZE: usize>(bytes: &mut [u8]) {
        for sample in bytes.chunks_exact_mut(SIZE) {
            sample.reverse();
        }
    }
    match size {
        2 => each::<2>(bytes),
        4 => each::<4>(bytes),
        8 => each::<8>(bytes),
        _ => {}
    }
}

/// Puts the values of one sample into their places in whole pixels.
fn interleave(size: usize, samples: usize, sample: usize, values: &[u8], pixels: &mut [u8]) {
    fn each<const SIZE: usize>(pixel: usize, skip: usize, values: &[u8], pixels: &mut [u8]) {
        for (value, pixel) in values.chunks_exact(SIZE).zip(pixels.chunks_exact_mut(pixel)) {
            if let Some(place) = pixel.get_mut(skip..skip + SIZE) {
                place.copy_from_slice(value);
            }
        }
    }
    let (pixel, skip) = (size * samples, sample * size);
    match size {
        1 => each::<1>(pixel, skip, values, pixels),
        2 => each::<2>(pixel, skip, values, pixels),
        4 => each::<4>(pixel, skip, values, pixels),
        _ => each::<8>(pixel, skip, values, pixels),
    }
}

/// Takes the values of one sample out of whole pixels.
pub(super) fn separate(size: usize, samples: usize, sample: usize, pixels: &[u8], values: &mut [u8]) {
    fn each<const SIZE: usize>(pixel: usize, skip: usize, pixels: &[u8], values: &mut [u8]) {
        for (place, pixel) in values.chunks_exact_mut(SIZE).zip(pixels.chunks_exact(pixel)) {
            if let Some(value) = pixel.get(skip..skip + SIZE) {
                place.copy_from_slice(value);
            }
        }
    }
    let (pixel, skip) = (size * samples, sample * size);
    match size {
        1 => each::<1>(pixel, skip, pixels, values),
        2 => each::<2>(pixel, skip, pixels, values),
        4 => each::<4>(pixel, skip, pixels, values),
        _ => each::<8>(pixel, skip, pixels, values),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ChunkIndex;
    use super::*;

    const RUN: Run =
        Run { chunk: ChunkIndex { array: 0, plane: 0, row: 0, column: 0 }, at: 4, swap: false, interleave: None };

    /// Every part of a run of `len` bytes, out of the smallest window that is promised to do.
    fn every_part(run: Run, size: usize, chunk: &[u8], expected: &[u8]) {
        for from in 0..expected.len() {
            for to in from..=expected.len() {
                let mut out = vec![0; to - from];
                let hull = run.chunk_range(size, from as u64, out.len() as u64);
                let window = &chunk[hull.start as usize..hull.end as usize];
                run.copy_out(size, from as u64, &mut out, hull.start, window).unwrap();
                assert_eq!(out, expected[from..to], "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_plain_run_is_a_part_of_the_chunk() {
        let chunk: Vec<u8> = (0..32).collect();
        every_part(RUN, 2, &chunk, &chunk[4..20]);
    }

    #[test]
    fn a_swapped_run_may_be_cut_in_the_middle_of_a_sample() {
        let chunk: Vec<u8> = (0..32).collect();
        let run = Run { swap: true, ..RUN };
        every_part(run, 2, &chunk, &[5, 4, 7, 6, 9, 8, 11, 10]);
        every_part(run, 4, &chunk, &[7, 6, 5, 4, 11, 10, 9, 8]);
        every_part(run, 8, &chunk, &[11, 10, 9, 8, 7, 6, 5, 4]);
    }

    #[test]
    fn an_interleaved_run_takes_each_sample_from_its_own_part() {
        let chunk: Vec<u8> = (0..48).collect();
        let run = Run { interleave: Some(Interleave { samples: 3, sample_stride: 16 }), ..RUN };
        every_part(run, 2, &chunk, &[4, 5, 20, 21, 36, 37, 6, 7, 22, 23, 38, 39]);
        every_part(Run { swap: true, ..run }, 2, &chunk, &[5, 4, 21, 20, 37, 36, 7, 6, 23, 22, 39, 38]);
        every_part(run, 1, &chunk, &[4, 20, 36, 5, 21, 37]);
    }

    #[test]
    fn a_window_that_is_too_small_is_an_error() {
        let error = RUN.copy_out(1, 0, &mut [0; 4], 4, &[1, 2, 3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(RUN.copy_out(1, 0, &mut [0; 4], 5, &[1, 2, 3, 4]).is_err());
    }

    #[test]
    fn separating_is_the_reverse_of_interleaving() {
        for size in [1, 2, 4, 8] {
            let pixels: Vec<u8> = (0..size as u8 * 3 * 5).collect();
            let mut back = vec![0; pixels.len()];
            for sample in 0..3 {
                let mut values = vec![0; size * 5];
                separate(size, 3, sample, &pixels, &mut values);
                interleave(size, 3, sample, &values, &mut back);
            }
            assert_eq!(back, pixels);
        }
    }
}
