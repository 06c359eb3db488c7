//! A file as segments over arrays, with no I/O of its own: TIFF and npy.
//!
//! A [`Layout`] says for each byte of a file whether it is a *literal* byte (headers, tags, gaps) or part of a *chunk*
//! of a decoded array. Whoever has the literals and the chunks can give any range of the file back, byte for byte.

mod assemble;
mod check;
mod gather;
mod grid;
mod index;
mod layout;
mod meta;
mod npy;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod tiff;

pub use gather::gather;
pub use index::ByChunk;
pub use layout::{Array, ChunkIndex, Dtype, Interleave, Layout, Refusal, Role, Run, Segment};
pub use meta::{Axis, Calibration, ChannelMeta, ImageMeta};

use crate::model::ByteSource;

/// Plans a file, which is known by its first bytes and not by its name.
///
/// Reads headers and tags only, at most 128 MiB of them, in time and memory that are bounded whatever the bytes are.
/// The layout is sound in the sense of [`Layout::check`].
pub fn layout(source: &dyn ByteSource) -> Result<Layout, Refusal> {
    let mut headers = read::Headers::new(source)?;
    let magic = headers.bytes(0, headers.size().min(8))?;
    let layout = if magic.starts_with(npy::MAGIC) {
        npy::layout(&mut headers)?
    } else {
        match self::tiff::Format::of(magic) {
            Some(format) => self::tiff::layout(&mut headers, format)?,
            None => return Err(Refusal::NotAnImage),
        }
    };
    layout.check()?;
    Ok(layout)
}
