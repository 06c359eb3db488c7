//! The reference: a plain directory of a native file system, driven with plain system calls.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};
use scopefs::vfs::RenameMode;

use crate::support::Setup;

pub type Errno<T> = Result<T, i32>;

fn os<T>(result: rustix::io::Result<T>) -> Errno<T> {
    result.map_err(|e| e.raw_os_error())
}

fn io<T>(result: std::io::Result<T>) -> Errno<T> {
    result.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
}

/// The directory.
pub struct Reference {
    dir: tempfile::TempDir,
}

impl Reference {
    pub fn new(_setup: &Setup) -> Reference {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        Reference { dir: dir.expect("a temporary directory") }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn create(&self, path: &str, perm: u16, excl: bool, trunc: bool, write: bool) -> Errno<File> {
        let flags = OFlags::CREATE
            | OFlags::NOFOLLOW
            | if write { OFlags::RDWR } else { OFlags::RDONLY }
            | if excl { OFlags::EXCL } else { OFlags::empty() };
        let file = self.open_with(path, flags, perm)?;
        if trunc && write {
            io(file.set_len(0))?;
        }
        Ok(file)
    }

    pub fn open(&self, path: &str, trunc: bool, write: bool) -> Errno<File> {
        let file = self.open_with(path, OFlags::NOFOLLOW | if write { OFlags::RDWR } else { OFlags::RDONLY }, 0)?;
        if trunc && write {
            io(file.set_len(0))?;
        }
        Ok(file)
    }

    fn open_with(&self, path: &str, flags: OFlags, perm: u16) -> Errno<File> {
        let path = self.path(path);
        let meta = std::fs::symlink_metadata(&path);
        if let Ok(meta) = meta {
            let kind = meta.file_type();
            if kind.is_dir() && !flags.contains(OFlags::EXCL) {
                return Err(libc::EISDIR);
            }
            if !kind.is_file() && !kind.is_symlink() && !flags.contains(OFlags::EXCL) {
                return Err(libc::ENXIO);
            }
        }
        let fd: OwnedFd = os(sys::open(&path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(perm.into())))?;
        Ok(File::from(fd))
    }

    pub fn read_at(file: &File, at: u64, len: usize) -> Errno<Vec<u8>> {
        let mut buf = vec![0; len];
        let mut done = 0;
        while done < len {
            match io(file.read_at(&mut buf[done..], at + done as u64))? {
                0 => break,
                got => done += got,
            }
        }
        buf.truncate(done);
        Ok(buf)
    }

    pub fn write_at(file: &File, at: u64, data: &[u8]) -> Errno<()> {
        io(file.write_all_at(data, at))
    }

    pub fn fallocate(file: &File, mode: FallocateFlags, at: u64, len: u64) -> Errno<()> {
        os(sys::fallocate(file, mode, at, len))
    }

    pub fn truncate(&self, path: &str, size: u64) -> Errno<()> {
        let meta = io(std::fs::symlink_metadata(self.path(path)))?;
        if meta.is_dir() {
            return Err(libc::EISDIR);
        }
        if !meta.is_file() {
            return Err(libc::EINVAL);
        }
        let file = io(std::fs::OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(self.path(path)))?;
        io(file.set_len(size))
    }

    pub fn mkdir(&self, path: &str, perm: u16) -> Errno<()> {
        os(sys::mkdir(self.path(path), Mode::from_raw_mode(perm.into())))
    }

    pub fn mkfifo(&self, path: &str, perm: u16) -> Errno<()> {
        os(sys::mknodat(sys::CWD, self.path(path), sys::FileType::Fifo, Mode::from_raw_mode(perm.into()), 0))
    }

    pub fn symlink(&self, target: &str, path: &str) -> Errno<()> {
        os(sys::symlink(target, self.path(path)))
    }

    pub fn unlink(&self, path: &str) -> Errno<()> {
        os(sys::unlink(self.path(path)))
    }

    pub fn rmdir(&self, path: &str) -> Errno<()> {
        os(sys::rmdir(self.path(path)))
    }

    pub fn link(&self, from: &str, to: &str) -> Errno<()> {
        os(sys::linkat(sys::CWD, self.path(from), sys::CWD, self.path(to), AtFlags::empty()))
    }

    pub fn rename(&self, from: &str, to: &str, mode: RenameMode) -> Errno<()> {
        let flags = match mode {
            RenameMode::Replace => RenameFlags::empty(),
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
        };
        os(sys::renameat_with(sys::CWD, self.path(from), sys::CWD, self.path(to), flags))
    }

    pub fn is_symlink(&self, path: &str) -> bool {
        self.path(path).is_symlink()
    }

    pub fn chmod(&self, path: &str, perm: u16) -> Errno<()> {
        os(sys::chmod(self.path(path), Mode::from_raw_mode(perm.into())))
    }

    pub fn chown(&self, path: &str, uid: u32, gid: u32) -> Errno<()> {
        let (uid, gid) = (sys::Uid::from_raw(uid), sys::Gid::from_raw(gid));
        os(sys::chownat(sys::CWD, self.path(path), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
    }

    pub fn utimes(&self, path: &str, atime: Option<i64>, mtime: Option<i64>) -> Errno<()> {
        let spec = |time: Option<i64>| match time {
            Some(secs) => Timespec { tv_sec: secs, tv_nsec: 5 },
            None => Timespec { tv_sec: 0, tv_nsec: sys::UTIME_OMIT },
        };
        let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
        os(sys::utimensat(sys::CWD, self.path(path), &times, AtFlags::SYMLINK_NOFOLLOW))
    }

    pub fn set_xattr(&self, path: &str, name: &str, value: &[u8], flags: XattrFlags) -> Errno<()> {
        os(sys::lsetxattr(self.path(path), name, value, flags))
    }

    pub fn remove_xattr(&self, path: &str, name: &str) -> Errno<()> {
        os(sys::lremovexattr(self.path(path), name))
    }
}

/// The `user` attributes of a file on a native file system, sorted.
pub fn xattrs(path: &Path) -> Errno<Vec<(OsString, Vec<u8>)>> {
    let mut names = vec![0u8; 4096];
    let len = os(sys::llistxattr(path, &mut names[..]))?;
    let mut all = Vec::new();
    for name in names[..len].split(|&b| b == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0u8; 8192];
        let text = CString::new(name).expect("split at zeros");
        let len = os(sys::lgetxattr(path, text.as_c_str(), &mut value[..]))?;
        value.truncate(len);
        all.push((std::ffi::OsStr::from_bytes(name).to_owned(), value));
    }
    all.sort();
    Ok(all)
}
