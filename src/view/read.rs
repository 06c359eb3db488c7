//! Reading headers: bounded, and never behind the end.

use crate::model::ByteSource;

use super::Refusal;

/// Bytes read at once, so that a directory and the values behind it are one read.
const WINDOW: usize = 2 << 10;

/// Bytes of headers and values that are read of one file; a file with more is refused.
const BYTES_MOST: u64 = 128 << 20;

/// A file whose headers are read.
pub(super) struct Headers<'a> {
    source: &'a dyn ByteSource,
    size: u64,
    /// Bytes that may still be asked for.
    left: u64,
    /// Offset of `window`.
    start: u64,
    window: Vec<u8>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(source: &'a dyn ByteSource) -> Result<Self, Refusal> {
        let size = source.size().map_err(|error| Refusal::Unreadable(error.to_string()))?;
        Ok(Headers { source, size, left: BYTES_MOST, start: 0, window: Vec::new() })
    }

    /// Length of the file when reading began.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// `len` bytes at `offset`. They are checked against the file's length before anything is allocated.
    pub(super) fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8], Refusal> {
        let end = offset.checked_add(len).filter(|&end| end <= self.size);
        let end = end.ok_or_else(|| Refusal::Malformed(format!("{len} bytes at byte {offset} are behind its end")))?;
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| Refusal::TooComplex(format!("its headers are more than {} MiB", BYTES_MOST >> 20)))?;
        if offset < self.start || end > self.start.saturating_add(self.window.len() as u64) {
            self.fill(offset, len)?;
        }
        // Both differences are at most the length of the window, which is in memory.
        let (from, to) = ((offset - self.start) as usize, (end - self.start) as usize);
        self.window.get(from..to).ok_or_else(|| Refusal::Malformed("it became shorter while it was read".to_owned()))
    }

    /// `N` bytes at `offset`.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], Refusal> {
        let bytes = self.bytes(offset, N as u64)?;
        bytes.try_into().map_err(|_| Refusal::Malformed("it became shorter while it was read".to_owned()))
    }

    fn fill(&mut self, offset: u64, len: u64) -> Result<(), Refusal> {
        // At most BYTES_MOST, or the length of the window.
        let wanted = len.max(WINDOW as u64).min(self.size - offset) as usize;
        self.window.clear();
        self.window.resize(wanted, 0);
        self.start = offset;
        let read = self.source.read_at(&mut self.window, offset);
        let read = read.map_err(|error| Refusal::Unreadable(error.to_string()))?;
        self.window.truncate(read);
        Ok(())
    }
}
