//! An open, byte-addressable file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{self as sys, FallocateFlags, Mode, OFlags, SeekFrom};

use super::tree::attr_of;
use super::xattr::Xattrs;
use super::{Owner, Times};
use crate::model::{Attr, ByteSource};

/// An open file of the memory or the disk tier.
#[derive(Debug)]
pub struct Object {
    file: File,
    writable: bool,
}

impl Object {
    /// Wraps an open descriptor.
    pub fn new(fd: OwnedFd, writable: bool) -> Object {
        Object { file: File::from(fd), writable }
    }

    /// Whether it was opened for writing too.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// The same inode opened anew for reading and writing, even if it has no name any more.
    pub fn reopen_writable(&self) -> io::Result<Object> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let fd = sys::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Object::new(fd, true))
    }

    /// The same inode opened anew for reading, in a way that leaves its access time alone.
    pub fn reopen_unseen(&self) -> io::Result<Object> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match sys::open(&*path, flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner may ask for that.
            Err(rustix::io::Errno::PERM) => sys::open(&*path, flags, Mode::empty())?,
            opened => opened?,
        };
        Ok(Object::new(fd, false))
    }

    /// The same inode opened anew for reading past the page cache: offsets, lengths and buffers are multiples of the
    /// disk's block.
    pub fn reopen_uncached(&self) -> io::Result<Object> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let fd = sys::open(path, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Object::new(fd, false))
    }

    /// Attributes on the backend.
    pub fn stat(&self) -> io::Result<Attr> {
        Ok(attr_of(&sys::fstat(&self.file)?))
    }

    /// Writes all of `data` at `offset`.
    pub fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    /// Cuts or extends (with a hole) to `size` bytes.
    pub fn set_size(&self, size: u64) -> io::Result<()> {
        Ok(sys::ftruncate(&self.file, size)?)
    }

    /// `fallocate(2)` with the mode bits as they came.
    pub fn allocate(&self, mode: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
        Ok(sys::fallocate(&self.file, mode, offset, len)?)
    }

    /// `SEEK_DATA` and `SEEK_HOLE`.
    pub fn seek(&self, pos: SeekFrom) -> io::Result<u64> {
        Ok(sys::seek(&self.file, pos)?)
    }

    /// Bytes (and attributes, unless `data_only`) are on the medium when it returns.
    pub fn sync(&self, data_only: bool) -> io::Result<()> {
        if data_only { self.file.sync_data() } else { self.file.sync_all() }
    }

    /// Sets permission bits.
    pub fn set_perm(&self, perm: u16) -> io::Result<()> {
        Ok(sys::fchmod(&self.file, Mode::from_raw_mode(u32::from(perm)))?)
    }

    /// Sets owner and group; `None` leaves one as it is.
    pub fn set_owner(&self, owner: Owner) -> io::Result<()> {
        let (uid, gid) = owner.raw();
        Ok(sys::fchown(&self.file, uid, gid)?)
    }

    /// Sets access and modification time.
    pub fn set_times(&self, times: Times) -> io::Result<()> {
        Ok(sys::futimens(&self.file, &times.raw())?)
    }

    /// Its extended attributes.
    pub fn xattrs(&self) -> Xattrs<'_> {
        Xattrs::of_file(self.file.as_fd())
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl ByteSource for Object {
    fn size(&self) -> io::Result<u64> {
        Ok(self.stat()?.size)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let start = match sys::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        Ok(Some(start..sys::seek(&self.file, SeekFrom::Hole(start))?))
    }
}
