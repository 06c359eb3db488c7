//! Byte sources for the checks: with holes, and with faults.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::ByteSource;

/// Bytes that no compressor and no shift of a block leaves alike.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*: one step gives eight bytes.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A file of `size` bytes of which one run is data and the rest a hole.
pub(super) struct Sparse {
    pub size: u64,
    pub start: u64,
    pub data: Vec<u8>,
}

impl Sparse {
    pub fn dense(bytes: &[u8]) -> Sparse {
        Sparse { size: bytes.len() as u64, start: 0, data: bytes.to_vec() }
    }

    /// All of it, holes as zeros.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        let start = self.start as usize;
        bytes[start..start + self.data.len()].copy_from_slice(&self.data);
        bytes
    }
}

impl ByteSource for Sparse {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buf.len().min(self.size.saturating_sub(offset) as usize);
        buf[..len].fill(0);
        let (from, to) = (offset.max(self.start), (offset + len as u64).min(self.start + self.data.len() as u64));
        if from < to {
            let data = &self.data[(from - self.start) as usize..(to - self.start) as usize];
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(data);
        }
        Ok(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let end = self.start + self.data.len() as u64;
        Ok((offset < end).then(|| offset.max(self.start)..end))
    }
}

/// Works until its `n`-th read (from 0), which fails.
pub(super) struct Failing<'a> {
    inner: &'a Sparse,
    left: AtomicUsize,
}

impl Failing<'_> {
    pub fn at(n: usize, inner: &Sparse) -> Failing<'_> {
        Failing { inner, left: AtomicUsize::new(n) }
    }
}

impl ByteSource for Failing<'_> {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let fails = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err();
        if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { self.inner.read_at(buf, offset) }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }
}
