//! Calls a `Vfs` as the kernel does for a program: paths name by name, lookups counted, handles served as the file
//! system said. Errors are errno, as a program sees them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, XattrFlags};
use scopefs::backend::{ByteSource, Object};
use scopefs::model::{Attr, FileKind};
use scopefs::vfs::{Changes, Creator, Error, Fh, MoveError, OpenFlags, Opened, ROOT, RenameMode, Serve, Vfs};

/// The errno that a program gets.
pub fn errno(error: &Error) -> i32 {
    match error {
        Error::NotFound => libc::ENOENT,
        Error::Stale => libc::ESTALE,
        Error::Exists => libc::EEXIST,
        Error::NotEmpty => libc::ENOTEMPTY,
        Error::NotDirectory => libc::ENOTDIR,
        Error::IsDirectory => libc::EISDIR,
        Error::BadHandle => libc::EBADF,
        Error::Invalid(_) => libc::EINVAL,
        Error::Forbidden(_) => libc::EPERM,
        Error::ReadOnly => libc::EROFS,
        Error::NoSpace(_) => libc::ENOSPC,
        Error::Busy(_) => libc::EBUSY,
        Error::NoAttribute => libc::ENODATA,
        Error::Unsupported(_) | Error::Refused(_) => libc::EOPNOTSUPP,
        Error::Io(e) => e.raw_os_error().unwrap_or(libc::EIO),
    }
}

pub type Errno<T> = Result<T, i32>;

fn raw<T>(result: Result<T, Error>) -> Errno<T> {
    result.map_err(|e| errno(&e))
}

fn io<T>(result: std::io::Result<T>) -> Errno<T> {
    result.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
}

/// An open file.
#[derive(Debug)]
pub struct Handle {
    pub fh: Fh,
    pub ino: u64,
    pub write: bool,
    pub serve: Serve,
}

impl Handle {
    /// The file that the kernel reads and writes without the daemon hearing of it.
    fn own_object(&self) -> Option<&Arc<Object>> {
        match &self.serve {
            Serve::Kernel { object, direct: false } => Some(object),
            _ => None,
        }
    }

    /// The file that a mapping of this handle would be of, where the kernel serves it.
    pub fn mapped(&self) -> Option<Arc<Object>> {
        match &self.serve {
            Serve::Kernel { object, .. } => Some(object.clone()),
            _ => None,
        }
    }
}

/// The kernel's part.
pub struct Kernel {
    pub vfs: Arc<Vfs>,
    lookups: RefCell<HashMap<u64, u64>>,
    pub umask: u16,
}

impl Kernel {
    pub fn new(vfs: Arc<Vfs>) -> Kernel {
        Kernel { vfs, lookups: RefCell::default(), umask: 0 }
    }

    fn count(&self, attr: Attr) -> Attr {
        *self.lookups.borrow_mut().entry(attr.ino).or_default() += 1;
        attr
    }

    /// Forgets every inode that `keep` does not name.
    pub fn forget(&self, keep: &[u64]) {
        self.lookups.borrow_mut().retain(|ino, count| {
            if !keep.contains(ino) {
                self.vfs.forget(*ino, *count);
            }
            keep.contains(ino)
        });
    }

    /// The attributes of what stands at `path`, symbolic links not followed at its end (and dangling before it).
    pub fn stat(&self, path: &str) -> Errno<Attr> {
        let mut attr = raw(self.vfs.getattr(ROOT))?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match attr.kind {
                FileKind::Directory => {}
                FileKind::Symlink => return Err(libc::ENOENT),
                _ => return Err(libc::ENOTDIR),
            }
            attr = self.count(raw(self.vfs.lookup(attr.ino, OsStr::new(name)))?);
        }
        Ok(attr)
    }

    fn parent<'p>(&self, path: &'p str) -> Errno<(u64, &'p OsStr)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let attr = self.stat(dir)?;
        match attr.kind {
            FileKind::Directory => Ok((attr.ino, OsStr::new(name))),
            FileKind::Symlink => Err(libc::ENOENT),
            _ => Err(libc::ENOTDIR),
        }
    }

    fn creator(&self) -> Creator {
        Creator { uid: 0, gid: 0, umask: self.umask }
    }

    /// `open(path, O_CREAT | O_NOFOLLOW | …)`.
    pub fn create(&self, path: &str, perm: u16, flags: OpenFlags) -> Errno<Handle> {
        let (dir, name) = self.parent(path)?;
        match self.stat(path) {
            Ok(_) if flags.exclusive => Err(libc::EEXIST),
            Ok(attr) => self.open_found(attr, flags),
            Err(libc::ENOENT) => {
                let (attr, opened) = raw(self.vfs.create(dir, name, perm, self.creator(), flags))?;
                Ok(self.handle(self.count(attr).ino, opened, flags.write))
            }
            Err(e) => Err(e),
        }
    }

    /// `open(path, O_NOFOLLOW | …)`.
    pub fn open(&self, path: &str, flags: OpenFlags) -> Errno<Handle> {
        self.open_found(self.stat(path)?, flags)
    }

    fn open_found(&self, attr: Attr, flags: OpenFlags) -> Errno<Handle> {
        match attr.kind {
            FileKind::Symlink => Err(libc::ELOOP),
            FileKind::Directory => Err(libc::EISDIR),
            FileKind::Regular => {
                let opened = raw(self.vfs.open(attr.ino, flags))?;
                Ok(self.handle(attr.ino, opened, flags.write))
            }
            // Pipes and devices never reach a FUSE file system's open.
            _ => Err(libc::ENXIO),
        }
    }

    fn handle(&self, ino: u64, opened: Opened, write: bool) -> Handle {
        Handle { fh: opened.fh, ino, write, serve: opened.serve }
    }

    pub fn close(&self, handle: Handle) {
        let fh = handle.fh;
        let _ = self.vfs.flush(fh);
        // The kernel drops its own reference to the backing file with the last close.
        drop(handle);
        self.vfs.release(fh);
    }

    pub fn read_at(&self, handle: &Handle, offset: u64, len: usize) -> Errno<Vec<u8>> {
        let mut buf = vec![0; len];
        let got = match handle.own_object() {
            Some(object) => io(object.read_at(&mut buf, offset))?,
            None => raw(self.vfs.read(handle.fh, offset, &mut buf))?,
        };
        buf.truncate(got);
        Ok(buf)
    }

    pub fn write_at(&self, handle: &Handle, offset: u64, data: &[u8]) -> Errno<()> {
        if !handle.write {
            return Err(libc::EBADF);
        }
        match handle.own_object() {
            Some(object) => io(object.write_all_at(data, offset)),
            None => raw(self.vfs.write(handle.fh, offset, data, false, false)),
        }
    }

    pub fn fallocate(&self, handle: &Handle, mode: FallocateFlags, offset: u64, len: u64) -> Errno<()> {
        raw(self.vfs.fallocate(handle.fh, mode, offset, len))
    }

    pub fn copy_range(&self, from: &Handle, at: u64, to: &Handle, to_at: u64, len: u64) -> Errno<u64> {
        raw(self.vfs.copy_range(from.fh, at, to.fh, to_at, len))
    }

    pub fn fsync(&self, handle: &Handle) -> Errno<()> {
        raw(self.vfs.fsync(handle.fh, false))
    }

    pub fn fstat(&self, handle: &Handle) -> Errno<Attr> {
        raw(self.vfs.getattr(handle.ino))
    }

    pub fn setattr(&self, ino: u64, changes: &Changes) -> Errno<Attr> {
        raw(self.vfs.setattr(ino, changes))
    }

    pub fn truncate(&self, path: &str, size: u64) -> Errno<()> {
        let attr = self.stat(path)?;
        match attr.kind {
            FileKind::Regular => self.setattr(attr.ino, &Changes { size: Some(size), ..Changes::default() }).map(drop),
            FileKind::Directory => Err(libc::EISDIR),
            _ => Err(libc::EINVAL),
        }
    }

    pub fn mkdir(&self, path: &str, perm: u16) -> Errno<()> {
        let (dir, name) = self.parent(path)?;
        match self.stat(path) {
            Ok(_) => return Err(libc::EEXIST),
            Err(libc::ENOENT) => {}
            Err(e) => return Err(e),
        }
        raw(self.vfs.mkdir(dir, name, perm, self.creator())).map(|attr| self.count(attr)).map(|_| ())
    }

    pub fn mknod(&self, path: &str, kind: FileKind, perm: u16) -> Errno<()> {
        let (dir, name) = self.parent(path)?;
        if self.stat(path).is_ok() {
            return Err(libc::EEXIST);
        }
        raw(self.vfs.mknod(dir, name, kind, perm, 0, self.creator())).map(|attr| self.count(attr)).map(|_| ())
    }

    pub fn symlink(&self, target: &str, path: &str) -> Errno<()> {
        let (dir, name) = self.parent(path)?;
        if self.stat(path).is_ok() {
            return Err(libc::EEXIST);
        }
        raw(self.vfs.symlink(dir, name, OsStr::new(target), self.creator())).map(|attr| self.count(attr)).map(|_| ())
    }

    pub fn readlink(&self, path: &str) -> Errno<OsString> {
        raw(self.vfs.readlink(self.stat(path)?.ino))
    }

    pub fn unlink(&self, path: &str) -> Errno<()> {
        let (dir, name) = self.parent(path)?;
        if self.stat(path)?.kind == FileKind::Directory {
            return Err(libc::EISDIR);
        }
        raw(self.vfs.unlink(dir, name))
    }

    pub fn rmdir(&self, path: &str) -> Errno<()> {
        let (dir, name) = self.parent(path)?;
        if self.stat(path)?.kind != FileKind::Directory {
            return Err(libc::ENOTDIR);
        }
        raw(self.vfs.rmdir(dir, name))
    }

    pub fn link(&self, from: &str, to: &str) -> Errno<()> {
        let attr = self.stat(from)?;
        let (dir, name) = self.parent(to)?;
        match self.stat(to) {
            Ok(_) => return Err(libc::EEXIST),
            Err(libc::ENOENT) => {}
            Err(e) => return Err(e),
        }
        if attr.kind == FileKind::Directory {
            return Err(libc::EPERM);
        }
        raw(self.vfs.link(attr.ino, dir, name)).map(|attr| self.count(attr)).map(|_| ())
    }

    pub fn rename(&self, from: &str, to: &str, mode: RenameMode) -> Errno<()> {
        let (dir, name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if from == to {
            self.stat(from)?;
            return if mode == RenameMode::NoReplace { Err(libc::EEXIST) } else { Ok(()) };
        }
        raw(self.vfs.rename(dir, name, to_dir, to_name, mode))
    }

    pub fn set_xattr(&self, path: &str, name: &str, value: &[u8], flags: XattrFlags) -> Errno<()> {
        raw(self.vfs.setxattr(self.stat(path)?.ino, OsStr::new(name), value, flags, 0))
    }

    pub fn remove_xattr(&self, path: &str, name: &str) -> Errno<()> {
        raw(self.vfs.removexattr(self.stat(path)?.ino, OsStr::new(name)))
    }

    pub fn xattr(&self, ino: u64, name: &OsStr) -> Errno<Vec<u8>> {
        raw(self.vfs.getxattr(ino, name))
    }

    pub fn xattrs(&self, ino: u64) -> Errno<Vec<(OsString, Vec<u8>)>> {
        let mut all = Vec::new();
        for name in raw(self.vfs.listxattr(ino))? {
            let value = self.xattr(ino, &name)?;
            all.push((name, value));
        }
        all.sort();
        Ok(all)
    }

    /// Names, inode numbers and kinds in a directory, without `.` and `..`, sorted.
    pub fn list(&self, path: &str) -> Errno<Vec<(OsString, u64, FileKind)>> {
        let fh = raw(self.vfs.opendir(self.stat(path)?.ino))?;
        let entries = raw(self.vfs.readdir(fh, false));
        self.vfs.releasedir(fh);
        let mut listed: Vec<_> = entries?
            .iter()
            .filter(|entry| entry.name != "." && entry.name != "..")
            .map(|entry| (entry.name.clone(), entry.ino, entry.kind))
            .collect();
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(listed)
    }

    /// All bytes of a file, through an open and a close.
    pub fn read(&self, path: &str) -> Errno<Vec<u8>> {
        let handle = self.open(path, OpenFlags::default())?;
        let all = self.read_at(&handle, 0, 4 << 20);
        self.close(handle);
        all
    }

    /// Writes a file anew, as `open(O_CREAT | O_TRUNC)`, `write` and `close` do.
    pub fn write(&self, path: &str, data: &[u8]) -> Errno<()> {
        let flags = OpenFlags { write: true, truncate: true, ..OpenFlags::default() };
        let handle = self.create(path, 0o644, flags)?;
        let written = self.write_at(&handle, 0, data);
        self.close(handle);
        written
    }

    /// In which tier a file is, as its extended attribute says.
    pub fn tier(&self, path: &str) -> String {
        self.own_xattr(path, "user.scopefs.tier")
    }

    /// Whether the home has everything, as its extended attribute says.
    pub fn state(&self, path: &str) -> String {
        self.own_xattr(path, "user.scopefs.state")
    }

    fn own_xattr(&self, path: &str, name: &str) -> String {
        let ino = self.stat(path).expect("it is there").ino;
        String::from_utf8(self.xattr(ino, OsStr::new(name)).expect("every file has it")).expect("a word")
    }

    /// Moves a file by its path, as `migrate` does.
    pub fn migrate(&self, path: &str, tier: scopefs::model::Tier) -> Result<(), MoveError> {
        let path = scopefs::model::RelPath::from_path(std::path::Path::new(path)).expect("relative");
        self.vfs.migrate_path(&path, tier)
    }
}
