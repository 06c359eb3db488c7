//! The 16 bytes at the beginning of a frame.

use super::decode::BloscError;

/// Length of the header.
pub(super) const HEADER: usize = 16;
/// Blocks and frames under this many bytes are not compressed, and splits do not become shorter.
pub(super) const SPLIT_LEAST: usize = 128;
/// Elements of more bytes are not split.
const SPLITS_MOST: usize = 16;

const FRAME_VERSION: u8 = 2;
const LZ4_VERSION: u8 = 1;
const LZ4: u8 = 1;
const BYTE_SHUFFLE: u8 = 1 << 0;
const STORED: u8 = 1 << 1;
const BIT_SHUFFLE: u8 = 1 << 2;
const FUTURE: u8 = 1 << 3;
const NO_SPLITS: u8 = 1 << 4;

/// What is done to a block before it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Nothing: labels, and what has no pattern by byte.
    None,
    /// First bytes of all elements, then second bytes, and so on.
    Shuffle,
    /// First bits of all elements, then second bits, and so on.
    BitShuffle,
}

/// A header that was checked: whatever follows from it stays within the decoded length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub filter: Filter,
    /// All bytes are stored as they are.
    pub stored: bool,
    /// Blocks are not split.
    pub whole: bool,
    pub typesize: u8,
    pub nbytes: u32,
    pub blocksize: u32,
    pub cbytes: u32,
}

impl Header {
    /// Reads the header of a frame of at most `len` bytes that is to decode to `expected` bytes.
    pub fn parse(bytes: &[u8; HEADER], len: u64, expected: u64) -> Result<Header, BloscError> {
        let [version, lz4, flags, typesize, rest @ ..] = *bytes;
        let word = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let filter = match (flags & BYTE_SHUFFLE != 0, flags & BIT_SHUFFLE != 0) {
            (true, _) => Filter::Shuffle,
            (false, true) => Filter::BitShuffle,
            (false, false) => Filter::None,
        };
        let header = Header {
            filter,
            stored: flags & STORED != 0,
            whole: flags & NO_SPLITS != 0,
            typesize,
            nbytes: word(0),
            blocksize: word(4),
            cbytes: word(8),
        };
        if version != FRAME_VERSION || flags & FUTURE != 0 {
            return Err(BloscError::Header("it is not of a version that is known"));
        }
        if !header.stored && (flags >> 5 != LZ4 || lz4 != LZ4_VERSION) {
            return Err(BloscError::Header("it is not compressed by LZ4"));
        }
        header.check(len, expected)?;
        Ok(header)
    }

    fn check(&self, len: u64, expected: u64) -> Result<(), BloscError> {
        let (nbytes, blocksize, cbytes) = (u64::from(self.nbytes), u64::from(self.blocksize), u64::from(self.cbytes));
        if nbytes != expected {
            return Err(BloscError::Size { expected, found: nbytes });
        }
        if cbytes > len {
            return Err(BloscError::Header("it is cut short"));
        }
        if self.typesize == 0 || (nbytes > 0 && (blocksize == 0 || blocksize > nbytes)) {
            return Err(BloscError::Header("its blocks have an impossible length"));
        }
        if cbytes < HEADER as u64 || cbytes > nbytes + HEADER as u64 {
            return Err(BloscError::Header("its length contradicts that of its contents"));
        }
        let least = if self.stored { nbytes } else { 4 * self.blocks() as u64 };
        if cbytes - (HEADER as u64) < least {
            return Err(BloscError::Header("it is too short for its blocks"));
        }
        Ok(())
    }

    /// The 16 bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut flags = LZ4 << 5;
        flags |= match self.filter {
            Filter::None => 0,
            Filter::Shuffle => BYTE_SHUFFLE,
            Filter::BitShuffle => BIT_SHUFFLE,
        };
        if self.stored {
            flags |= STORED;
        }
        if self.whole {
            flags |= NO_SPLITS;
        }
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&[FRAME_VERSION, LZ4_VERSION, flags, self.typesize]);
        bytes[4..8].copy_from_slice(&self.nbytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.blocksize.to_le_bytes());
        bytes[12..].copy_from_slice(&self.cbytes.to_le_bytes());
        bytes
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        if self.nbytes == 0 { 0 } else { self.nbytes.div_ceil(self.blocksize) as usize }
    }

    /// Decoded length of block `block`, and into how many splits it is cut.
    pub fn block(&self, block: usize) -> (usize, usize) {
        let (blocksize, typesize) = (self.blocksize as usize, self.typesize as usize);
        let len = blocksize.min((self.nbytes as usize).saturating_sub(block.saturating_mul(blocksize)));
        let split = !self.whole && len == blocksize && typesize <= SPLITS_MOST && blocksize / typesize >= SPLIT_LEAST;
        (len, if split { typesize } else { 1 })
    }
}
