//! From the bytes of a file to a decoded chunk.

use std::io;

use crate::model::ByteSource;

use super::run::{separate, swap};
use super::{Array, Interleave, Run, Segment};

/// Bytes read at a time where samples are interleaved.
const STEP: usize = 64 << 10;

/// Makes one decoded chunk of `array`: samples × rows × columns, little-endian, zero where no segment reaches.
///
/// `segments` are those of that chunk (see [`super::ByChunk`]); literal ones are passed over. `chunk` is cleared
/// first and then holds [`Array::chunk_len`] bytes. A file that is shorter than its layout says is `UnexpectedEof`, a run
/// outside of the chunk `InvalidData`.
pub fn gather<'a>(
    array: &Array,
    segments: impl IntoIterator<Item = &'a Segment>,
    source: &dyn ByteSource,
    chunk: &mut Vec<u8>,
) -> io::Result<()> {
    chunk.clear();
    chunk.resize(usize::try_from(array.chunk_len()).map_err(|_| outside())?, 0);
    for segment in segments {
        let Some(run) = segment.run else { continue };
        match run.interleave {
            None => contiguous(array, segment, run, source, chunk)?,
            Some(interleave) => interleaved(array, segment, (run, interleave), source, chunk)?,
        }
    }
    Ok(())
}

fn contiguous(array: &Array, segment: &Segment, run: Run, source: &dyn ByteSource, chunk: &mut [u8]) -> io::Result<()> {
    let place = part(chunk, run.at, segment.len)?;
    read_exact(source, place, segment.offset)?;
    if run.swap {
        swap(array.dtype.size(), place);
    }
    Ok(())
}

fn interleaved(
    array: &Array,
    segment: &Segment,
    (run, interleave): (Run, Interleave),
    source: &dyn ByteSource,
    chunk: &mut [u8],
) -> io::Result<()> {
    let (size, samples) = (array.dtype.size(), interleave.samples as usize);
    let pixel = size.checked_mul(samples).filter(|&pixel| pixel != 0).ok_or_else(outside)?;
    let step = (STEP / pixel).max(1).checked_mul(pixel).ok_or_else(outside)?;
    let mut pixels = vec![0; step];
    let (mut done, mut at) = (0, run.at);
    while done < segment.len {
        let len = usize::try_from(segment.len - done).map_or(step, |left| left.min(step));
        let bytes = pixels.get_mut(..len).ok_or_else(outside)?;
        read_exact(source, bytes, segment.offset.saturating_add(done))?;
        if run.swap {
            swap(size, bytes);
        }
        let of_one = (len / samples) as u64;
        for sample in 0..samples {
            let begin = at.saturating_add(interleave.sample_stride.saturating_mul(sample as u64));
            separate(size, samples, sample, bytes, part(chunk, begin, of_one)?);
        }
        done += len as u64;
        at = at.saturating_add(of_one);
    }
    Ok(())
}

fn part(chunk: &mut [u8], at: u64, len: u64) -> io::Result<&mut [u8]> {
    let (at, len) = (usize::try_from(at).map_err(|_| outside())?, usize::try_from(len).map_err(|_| outside())?);
    chunk.get_mut(at..).and_then(|rest| rest.get_mut(..len)).ok_or_else(outside)
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a run reaches outside of its chunk")
}

fn read_exact(source: &dyn ByteSource, buf: &mut [u8], offset: u64) -> io::Result<()> {
    if source.read_at(buf, offset)? == buf.len() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter than it was when it was planned"))
}
