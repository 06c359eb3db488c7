//! What a file is made of.

use thiserror::Error;

use super::ImageMeta;

/// A file as arrays and the segments over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Length of the file in bytes.
    pub size: u64,
    /// The arrays that its pixels belong to, largest first; never empty.
    pub arrays: Vec<Array>,
    /// Sorted and without gaps over `[0, size)`.
    pub segments: Vec<Segment>,
    /// What the file says about its pixels.
    pub meta: ImageMeta,
}

/// Planes of one shape and type, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Type of a sample.
    pub dtype: Dtype,
    /// Planes (pages of a TIFF; product of the leading axes of an npy).
    pub planes: u64,
    /// Samples of a pixel: 1 for grey, 3 for RGB. Each sample is a plane of its own in a chunk.
    pub samples: u32,
    /// Rows of a plane.
    pub height: u64,
    /// Pixels of a row.
    pub width: u64,
    /// Rows of a chunk; the last band of rows may be padded.
    pub chunk_height: u64,
    /// Pixels of a row of a chunk; smaller than `width` only for tiles.
    pub chunk_width: u64,
    /// What it is of the image.
    pub role: Role,
}

/// What an array is of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Full resolution of the image with this number (from 0) in the file.
    Full(u32),
    /// A reduced level (from 1) of that image.
    Reduced(u32, u32),
}

/// Type of a sample. Chunks are little-endian whatever the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
}

impl Dtype {
    /// Every type that there is.
    pub const ALL: [Dtype; 10] = [
        Dtype::U8,
        Dtype::U16,
        Dtype::U32,
        Dtype::U64,
        Dtype::I8,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::F32,
        Dtype::F64,
    ];

    /// Bytes of a sample.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }
}

/// One chunk: array, plane, and band of rows and column of tiles in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkIndex {
    /// Index in [`Layout::arrays`].
    pub array: u32,
    /// Plane of the array.
    pub plane: u64,
    /// Which band of `chunk_height` rows.
    pub row: u32,
    /// Which column of `chunk_width` pixels.
    pub column: u32,
}

/// `len` bytes of the file at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First byte in the file.
    pub offset: u64,
    /// How many bytes; never 0.
    pub len: u64,
    /// Where they come from; `None`: literal bytes, kept as they are.
    pub run: Option<Run>,
}

/// A run of bytes of a decoded chunk, whose shape is samples × rows × columns, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The chunk.
    pub chunk: ChunkIndex,
    /// First byte in the decoded chunk that belongs to it; for interleaved samples, that of the first sample.
    pub at: u64,
    /// Bytes of a sample are in reverse order in the file (a big-endian file with samples of more than one byte).
    pub swap: bool,
    /// Samples of a pixel lie together in the file, apart in the chunk.
    pub interleave: Option<Interleave>,
}

/// Pixel by pixel in the file, sample by sample in the chunk.
///
/// Byte `k` of the run is byte `k % size` of sample `(k / size) % samples` of pixel `k / size / samples`, and lies in
/// the chunk at `at + sample × sample_stride + pixel × size + byte` (before swapping).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interleave {
    /// Samples of a pixel.
    pub samples: u32,
    /// Bytes from one sample's plane to the next in the chunk: `chunk_height × chunk_width × size`.
    pub sample_stride: u64,
}

/// Why a file cannot be held byte-exactly as chunks; it stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Neither TIFF nor npy.
    #[error("it is neither a TIFF nor an npy file")]
    NotAnImage,
    /// Pixels are compressed.
    #[error("its pixels are compressed ({0}), and could not be rebuilt byte for byte")]
    Compressed(String),
    /// A layout of samples that arrays cannot hold.
    #[error("{0}")]
    Unsupported(String),
    /// The file contradicts itself or is cut short.
    #[error("it is damaged or cut short: {0}")]
    Malformed(String),
    /// More structure than is read.
    #[error("{0}")]
    TooComplex(String),
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}
