//! Blosc 1 frames around LZ4: how chunks are stored.
//!
//! A frame describes itself, so that each chunk of an array may have the filter that suits it, whatever the array's
//! metadata declares. Layout, all numbers little-endian:
//!
//! ```text
//! 0   u8   version of the frame: 2
//! 1   u8   version of the LZ4 format: 1
//! 2   u8   flags: bit 0 byte shuffle, bit 1 stored as it is, bit 2 bit shuffle, bit 4 blocks are not split,
//!          bits 5 to 7 the compressor (1 is LZ4, whatever effort the writer made)
//! 3   u8   bytes of an element
//! 4   u32  length of the decoded bytes
//! 8   u32  length of a decoded block; the last may be shorter
//! 12  u32  length of the frame
//! 16  u32  for each block: where it begins in the frame
//! …        the blocks, in any order
//! ```
//!
//! A block is filtered as a whole and cut into as many *splits* as an element has bytes; into one if it is a shorter
//! last block, if flag bit 4 is set, if elements have more than 16 bytes, or if a split would have fewer than 128. Each
//! split is a u32 length and an LZ4 block, or the bytes as they are if that length is the split's own. A frame that
//! would not become smaller holds all bytes as they are behind the header, and neither offsets nor filter.
//!
//! The format is that of c-blosc 1.x (`README_HEADER.rst` there), which numcodecs, zarr-python and tensorstore use.

mod bits;
mod choose;
mod decode;
mod encode;
#[cfg(test)]
mod fixtures;
mod header;
mod shuffle;
#[cfg(test)]
mod tests;

pub use decode::{BloscError, Frame, Scratch, Section, Stored};
pub use encode::{BLOCK_MOST, Encoded, TooLarge, encode};
pub use header::Filter;

/// How the filter of a chunk is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilterChoice {
    /// Tried on samples of the chunk; the one that makes them smallest is taken.
    #[default]
    Auto,
    /// This one.
    Always(Filter),
}

/// The check of a block: XXH3-64 of its bytes as they are stored.
pub fn check_of(stored: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(stored)
}
