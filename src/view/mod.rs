//! A file as segments over arrays, with no I/O of its own: TIFF and npy.
//!
//! A [`Layout`] says for each byte of a file whether it is a *literal* byte (headers, tags, gaps) or part of a *chunk*
//! of a decoded array. Whoever has the literals and the chunks can give any range of the file back, byte for byte.

mod layout;
mod meta;

pub use layout::{Array, ChunkIndex, Dtype, Interleave, Layout, Refusal, Role, Run, Segment};
pub use meta::{Axis, Calibration, ChannelMeta, ImageMeta};
