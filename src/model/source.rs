//! The one way to read from anything that holds the bytes of a file.

use std::io;
use std::ops::Range;

/// Something that holds the bytes of one file: an open object, a sealed file's segments, a buffer in a test.
pub trait ByteSource: Send + Sync {
    /// Length in bytes, now.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset` until `buf` is full or the end is reached; returns how much.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The next range at or after `offset` that is not a hole; `None` after the last one.
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>>;
}

/// Bytes at hand: a file without holes.
impl ByteSource for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let len = buf.len().min(rest.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let size = self.len() as u64;
        Ok((offset < size).then_some(offset..size))
    }
}

/// Whatever can be read can be read through a reference.
impl<S: ByteSource + ?Sized> ByteSource for &S {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        (**self).next_data(offset)
    }
}
