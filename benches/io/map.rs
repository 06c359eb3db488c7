//! A read-only shared map of a whole file, so that reading through it can be measured.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The bytes of a file, mapped. Unmapped when dropped.
pub struct Map {
    address: NonNull<u8>,
    length: usize,
}

impl Map {
    /// Maps `length` bytes of the file from its start.
    pub fn new(file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so no memory that Rust knows of is replaced.
        let address =
            unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) }?.cast::<u8>();
        let address = NonNull::new(address).ok_or_else(|| io::Error::other("mmap returned the null address"))?;
        Ok(Self { address, length })
    }

    /// Touches every byte, eight at a time, and returns their sum, so that no compiler can leave the reads out.
    pub fn sum(&self) -> u64 {
        let words = self.address.as_ptr().cast::<u64>();
        let mut sum = 0u64;
        for index in 0..self.length / 8 {
            // SAFETY: the word lies within the map, which is page-aligned; nothing writes the file meanwhile, and a
            // volatile read would be right even then.
            sum = sum.wrapping_add(unsafe { words.add(index).read_volatile() });
        }
        sum
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: address and length are those that mmap gave, and no reference into the map outlives `self`.
        // A failure could only mean that they were not, and nothing could be done about it here.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), self.length) };
    }
}
