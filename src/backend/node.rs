//! One inode, held open: its attributes, and how they are set.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{self as sys, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};

use super::Object;
use super::tree::attr_of;
use super::xattr::Xattrs;
use crate::model::{Attr, Timestamp};

/// How an object is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading and writing.
    Write,
}

/// Owner and group to set; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

impl Owner {
    pub(super) fn raw(self) -> (Option<Uid>, Option<Gid>) {
        (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw))
    }
}

/// A time to set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Time {
    /// Leave it as it is.
    #[default]
    Keep,
    /// The time of the call.
    Now,
    /// This one.
    At(Timestamp),
}

/// Access and modification time to set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Last access.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
}

impl Times {
    pub(super) fn raw(self) -> Timestamps {
        let spec = |time| match time {
            Time::Keep => Timespec { tv_sec: 0, tv_nsec: sys::UTIME_OMIT },
            Time::Now => Timespec { tv_sec: 0, tv_nsec: sys::UTIME_NOW },
            Time::At(t) => Timespec { tv_sec: t.secs, tv_nsec: t.nanos.into() },
        };
        Timestamps { last_access: spec(self.atime), last_modification: spec(self.mtime) }
    }
}

/// An inode held by an O_PATH descriptor: its attributes can be changed whatever its permissions are.
#[derive(Debug, Clone)]
pub struct Node(pub(super) Arc<OwnedFd>);

impl Node {
    /// Attributes on the backend.
    pub fn stat(&self) -> io::Result<Attr> {
        Ok(attr_of(&sys::statat(&*self.0, "", AtFlags::EMPTY_PATH)?))
    }

    /// Sets permission bits; not for symbolic links.
    pub fn set_perm(&self, perm: u16) -> io::Result<()> {
        Ok(sys::chmodat(sys::CWD, self.proc_path(), Mode::from_raw_mode(u32::from(perm)), AtFlags::empty())?)
    }

    /// Sets owner and group.
    pub fn set_owner(&self, owner: Owner) -> io::Result<()> {
        let (uid, gid) = owner.raw();
        Ok(sys::chownat(&*self.0, "", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    /// Sets access and modification time.
    pub fn set_times(&self, times: Times) -> io::Result<()> {
        Ok(sys::utimensat(&*self.0, "", &times.raw(), AtFlags::EMPTY_PATH)?)
    }

    /// Its extended attributes.
    pub fn xattrs(&self) -> Xattrs<'_> {
        Xattrs::of_handle(self.0.as_fd())
    }

    /// Opens the very same inode.
    pub fn open(&self, access: Access) -> io::Result<Object> {
        let flags = if access == Access::Write { OFlags::RDWR } else { OFlags::RDONLY };
        let fd = sys::open(self.proc_path(), flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
        Ok(Object::new(fd, access == Access::Write))
    }

    /// Syncs a directory's names.
    pub fn sync_dir(&self) -> io::Result<()> {
        let fd = sys::openat(&*self.0, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(sys::fsync(fd)?)
    }

    fn proc_path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
