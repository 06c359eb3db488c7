//! Bytes to a frame.

use lz4_flex::block::{compress_into, get_maximum_output_size};
use thiserror::Error;

use super::header::{Filter, HEADER, Header, SPLIT_LEAST};
use super::{FilterChoice, check_of, choose, shuffle};

/// Longest decoded block, in bytes: what a read of one byte costs.
pub const BLOCK_MOST: usize = 256 << 10;

/// Longest buffer that the format can hold.
const BUFFER_MOST: usize = i32::MAX as usize - HEADER;

/// A finished frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The frame.
    pub bytes: Vec<u8>,
    /// The filter that its blocks have.
    pub filter: Filter,
    /// The check of each block as stored ([`check_of`]).
    pub checks: Vec<u64>,
}

/// More bytes than a frame can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} bytes are more than a Blosc frame can hold")]
pub struct TooLarge(pub usize);

/// Encodes `bytes`, elements of `typesize` bytes (0 counts as 1), into one frame.
///
/// Blocks have at most [`BLOCK_MOST`] bytes and whole elements, their number a multiple of 8.
pub fn encode(bytes: &[u8], typesize: u8, filter: FilterChoice) -> Result<Encoded, TooLarge> {
    if bytes.len() > BUFFER_MOST {
        return Err(TooLarge(bytes.len()));
    }
    let typesize = typesize.max(1);
    let filter = match filter {
        FilterChoice::Always(filter) => filter,
        FilterChoice::Auto => choose::filter(bytes, usize::from(typesize)),
    };
    let header = Header {
        filter,
        stored: false,
        whole: filter == Filter::None,
        typesize,
        nbytes: bytes.len() as u32,
        blocksize: blocksize(bytes.len(), usize::from(typesize)) as u32,
        cbytes: 0,
    };
    Ok(compressed(bytes, header).unwrap_or_else(|| stored(bytes, header)))
}

/// Blocks of like length, so that the last is not a crumb.
pub(super) fn blocksize(len: usize, typesize: usize) -> usize {
    let step = 8 * typesize;
    if len < step {
        return len;
    }
    let most = BLOCK_MOST / step * step;
    if len <= most { len / step * step } else { len.div_ceil(len.div_ceil(most)).div_ceil(step) * step }
}

/// The frame with its blocks compressed; `None` if that would not make it smaller.
fn compressed(bytes: &[u8], mut header: Header) -> Option<Encoded> {
    if bytes.len() < SPLIT_LEAST {
        return None;
    }
    let offsets = HEADER + 4 * header.blocks();
    let mut writer = Writer::new(bytes.len(), offsets);
    let mut starts = Vec::with_capacity(header.blocks());
    for (block, bytes) in bytes.chunks(header.blocksize as usize).enumerate() {
        starts.push(writer.at);
        writer.block(bytes, block, &header)?;
    }
    header.cbytes = u32::try_from(writer.at).ok()?;
    let mut frame = writer.out;
    frame.truncate(header.cbytes as usize);
    frame[..HEADER].copy_from_slice(&header.bytes());
    for (place, start) in frame[HEADER..offsets].chunks_exact_mut(4).zip(&starts) {
        place.copy_from_slice(&(*start as u32).to_le_bytes());
    }
    let ends = starts.iter().skip(1).copied().chain([frame.len()]);
    let checks = starts.iter().zip(ends).map(|(start, end)| check_of(&frame[*start..end])).collect();
    Some(Encoded { bytes: frame, filter: header.filter, checks })
}

/// The frame with all bytes as they are.
fn stored(bytes: &[u8], header: Header) -> Encoded {
    let header =
        Header { stored: true, whole: true, filter: Filter::None, cbytes: header.nbytes + HEADER as u32, ..header };
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.extend_from_slice(&header.bytes());
    frame.extend_from_slice(bytes);
    let checks = bytes.chunks(header.blocksize.max(1) as usize).map(check_of).collect();
    Encoded { bytes: frame, filter: Filter::None, checks }
}

/// A frame being written.
struct Writer {
    out: Vec<u8>,
    /// How far it is written.
    at: usize,
    /// How far it may be.
    most: usize,
    filtered: Vec<u8>,
    spare: Vec<u8>,
}

impl Writer {
    fn new(len: usize, at: usize) -> Writer {
        let most = len + HEADER;
        // LZ4 wants room for what does not become smaller, behind all that may be written before.
        let out = vec![0; most + get_maximum_output_size(BLOCK_MOST.min(len)) + 4];
        Writer { out, at, most, filtered: Vec::new(), spare: Vec::new() }
    }

    /// Appends a block; `None` if the frame would become longer than what it holds.
    fn block(&mut self, bytes: &[u8], block: usize, header: &Header) -> Option<()> {
        let typesize = usize::from(header.typesize);
        let (_, splits) = header.block(block);
        let mut filtered = std::mem::take(&mut self.filtered);
        let source = if shuffle::is_idle(header.filter, typesize, bytes.len()) {
            bytes
        } else {
            filtered.resize(bytes.len(), 0);
            shuffle::apply(header.filter, typesize, bytes, &mut filtered, &mut self.spare);
            filtered.as_slice()
        };
        let written = source.chunks(bytes.len() / splits).try_for_each(|split| self.split(split));
        self.filtered = filtered;
        written
    }

    fn split(&mut self, bytes: &[u8]) -> Option<()> {
        let at = self.at.checked_add(4)?;
        let room = self.out.get_mut(at..at + get_maximum_output_size(bytes.len()))?;
        let len = match compress_into(bytes, room) {
            Ok(len) if len < bytes.len() => len,
            _ => {
                room.get_mut(..bytes.len())?.copy_from_slice(bytes);
                bytes.len()
            }
        };
        self.out.get_mut(self.at..at)?.copy_from_slice(&(len as u32).to_le_bytes());
        self.at = at + len;
        (self.at <= self.most).then_some(())
    }
}
