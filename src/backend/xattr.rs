//! Extended attributes of an open file or of an inode held by an O_PATH descriptor.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{self as sys, XattrFlags};

/// The largest list of names and the largest value that Linux allows, in bytes.
const LARGEST: usize = 65536;

/// All extended attributes of one file, names and values.
pub type XattrSet = Vec<(OsString, Vec<u8>)>;

/// Access to the extended attributes of one inode.
pub struct Xattrs<'a> {
    fd: BorrowedFd<'a>,
    /// Set where the descriptor is O_PATH, on which the f* calls answer EBADF.
    path: Option<String>,
}

impl<'a> Xattrs<'a> {
    /// Of a file opened for reading or writing.
    pub fn of_file(fd: BorrowedFd<'a>) -> Xattrs<'a> {
        Xattrs { fd, path: None }
    }

    /// Of an inode held by an O_PATH descriptor.
    pub fn of_handle(fd: BorrowedFd<'a>) -> Xattrs<'a> {
        Xattrs { fd, path: Some(format!("/proc/self/fd/{}", fd.as_raw_fd())) }
    }

    /// The value of `name`, `None` if it is not set.
    pub fn get(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0u8; 256];
        loop {
            let got = match &self.path {
                Some(path) => sys::getxattr(path, name, &mut value[..]),
                None => sys::fgetxattr(self.fd, name, &mut value[..]),
            };
            match got {
                Ok(len) => {
                    value.truncate(len);
                    return Ok(Some(value));
                }
                Err(rustix::io::Errno::NODATA) => return Ok(None),
                Err(rustix::io::Errno::RANGE) if value.len() < LARGEST => value.resize(LARGEST, 0),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sets `name`; `flags` as in `setxattr(2)`.
    pub fn set(&self, name: &OsStr, value: &[u8], flags: XattrFlags) -> io::Result<()> {
        match &self.path {
            Some(path) => sys::setxattr(path, name, value, flags)?,
            None => sys::fsetxattr(self.fd, name, value, flags)?,
        }
        Ok(())
    }

    /// Removes `name`; ENODATA if it is not set.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match &self.path {
            Some(path) => sys::removexattr(path, name)?,
            None => sys::fremovexattr(self.fd, name)?,
        }
        Ok(())
    }

    /// The names that are set.
    pub fn list(&self) -> io::Result<Vec<OsString>> {
        let mut names = vec![0u8; 1024];
        let len = loop {
            let got = match &self.path {
                Some(path) => sys::listxattr(path, &mut names[..]),
                None => sys::flistxattr(self.fd, &mut names[..]),
            };
            match got {
                Ok(len) => break len,
                Err(rustix::io::Errno::RANGE) if names.len() < LARGEST => names.resize(LARGEST, 0),
                Err(rustix::io::Errno::NOTSUP) => break 0,
                Err(e) => return Err(e.into()),
            }
        };
        let names = names[..len].split(|&b| b == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
    }

    /// Every attribute with its value, but for those that the kernel keeps for itself (SELinux labels come from the
    /// policy of each file system).
    pub fn all(&self) -> io::Result<XattrSet> {
        let mut set = XattrSet::new();
        for name in self.list()? {
            if name.as_bytes() == b"security.selinux" {
                continue;
            }
            if let Some(value) = self.get(&name)? {
                set.push((name, value));
            }
        }
        Ok(set)
    }

    /// Makes the attributes those of `wanted`: sets what differs, removes what is not in it.
    pub fn replace_with(&self, wanted: &XattrSet) -> io::Result<()> {
        for (name, _) in self.all()? {
            if !wanted.iter().any(|(other, _)| *other == name) {
                self.remove(&name)?;
            }
        }
        for (name, value) in wanted {
            if self.get(name)?.as_ref() != Some(value) {
                self.set(name, value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// A zero-terminated name as an `OsStr`.
pub(super) fn name_of(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
