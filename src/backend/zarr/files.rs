//! Files of a store: they appear whole or not at all.
//!
//! Everything is written under a temporary name in a staging directory and gets its own name by one rename. Paths are
//! resolved below one directory, never through a symbolic link (see [`Tree`]).

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self as sys, AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::backend::{Access, ByteSource, Object, Time, Times, Tree, is_absent};
use crate::model::RelPath;

/// How often a directory that vanishes under a rename is made again.
const TRIES: usize = 4;

/// The files below one directory, and a staging directory on the same file system.
///
/// What is made takes owner and permissions after the directory that it is made in.
#[derive(Debug)]
pub struct Files {
    tree: Tree,
    staging: Arc<OwnedFd>,
    /// Sets temporary names of this run apart from those that a killed one left, which may still be due for a rename.
    run: u64,
    serial: AtomicU64,
    written: AtomicU64,
}

/// A complete file with a temporary name. Dropping it removes it.
#[derive(Debug)]
pub struct StagedFile {
    object: Object,
    staging: Arc<OwnedFd>,
    name: OsString,
    named: bool,
}

impl Files {
    /// The files below `root`, with temporary ones in `staging`.
    pub fn new(root: OwnedFd, staging: OwnedFd) -> io::Result<Files> {
        let tree = Tree::new(root, staging.try_clone()?);
        let run = RandomState::new().hash_one(std::process::id());
        Ok(Files { tree, staging: Arc::new(staging), run, serial: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// Opens a file for reading; `None` if there is nothing of that name.
    pub fn open(&self, path: &RelPath) -> io::Result<Option<Object>> {
        match self.tree.open(path, Access::Read) {
            Ok(object) => Ok(Some(object)),
            // The directory may be a newer one than the one that is kept open.
            Err(e) if is_absent(&e) => {
                self.tree.forget_dirs();
                absent_as_none(self.tree.open(path, Access::Read))
            }
            Err(e) => Err(e),
        }
    }

    /// All of a file of at most `most` bytes; `None` if there is nothing of that name.
    pub fn read(&self, path: &RelPath, most: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(object) = self.open(path)? else { return Ok(None) };
        let size = object.size()?;
        if size > most as u64 {
            let what = format!("{path} has {size} bytes, more than the {most} that are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut bytes = vec![0; size as usize];
        let got = object.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        Ok(Some(bytes))
    }

    /// A complete file with a temporary name. It is durable after [`StagedFile::sync`] or [`Files::sync_all`].
    pub fn stage(&self, bytes: &[u8]) -> io::Result<StagedFile> {
        let staged = self.stage_empty()?;
        staged.object.write_all_at(bytes, 0)?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(staged)
    }

    /// Bytes that were written to complete files ([`Files::stage`], [`Files::put`], [`Files::note`]) since the start.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// An empty file with a temporary name, to be filled through [`StagedFile::object`].
    pub fn stage_empty(&self) -> io::Result<StagedFile> {
        let name = self.temporary_name();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = sys::openat(&*self.staging, &name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(StagedFile { object: Object::new(fd, true), staging: self.staging.clone(), name, named: true })
    }

    /// Gives a staged file its name, over whatever file stands there. Missing directories are made.
    pub fn publish(&self, mut staged: StagedFile, path: &RelPath) -> io::Result<()> {
        self.rename_in(&staged.name, &staged.object, path)?;
        staged.named = false;
        Ok(())
    }

    /// The same for a file that an earlier run left ([`StagedFile::keep`]); `false` if it is there no more, because
    /// it has its name already.
    pub fn publish_left(&self, name: &OsStr, path: &RelPath) -> io::Result<bool> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if name.is_empty() || name.as_bytes().contains(&b'/') {
            return Err(Errno::INVAL.into());
        }
        let object = match sys::openat(&*self.staging, name, flags, Mode::empty()) {
            Ok(fd) => Object::new(fd, true),
            Err(Errno::NOENT) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        self.rename_in(name, &object, path)?;
        Ok(true)
    }

    /// A durable file in the staging directory, whose name begins with `prefix`.
    pub fn note(&self, prefix: &str, bytes: &[u8]) -> io::Result<OsString> {
        let staged = self.stage(bytes)?;
        staged.sync()?;
        let mut name = OsString::from(prefix);
        name.push(&staged.name);
        sys::renameat(&*self.staging, &staged.name, &*self.staging, &name)?;
        staged.keep();
        Ok(name)
    }

    /// All of a file of at most `most` bytes in the staging directory.
    pub fn read_left(&self, name: &OsStr, most: usize) -> io::Result<Vec<u8>> {
        let object = self.open_left(name)?;
        let mut bytes = vec![0; usize::try_from(object.size()?).map_or(most, |size| size.min(most))];
        let got = object.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Names of all that is in the staging directory.
    pub fn left(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = sys::openat(&*self.staging, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Opens such a file for reading.
    pub fn open_left(&self, name: &OsStr) -> io::Result<Object> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(Object::new(sys::openat(&*self.staging, name, flags, Mode::empty())?, false))
    }

    /// Writes at the end of a file in the staging directory.
    pub fn append_left(&self, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object = Object::new(sys::openat(&*self.staging, name, flags, Mode::empty())?, true);
        object.write_all_at(bytes, object.size()?)
    }

    /// Whether a file that an earlier run left is still there.
    pub fn is_left(&self, name: &OsStr) -> io::Result<bool> {
        match sys::statat(&*self.staging, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes a file that an earlier run left and that nothing is due for.
    pub fn drop_left(&self, name: &OsStr) -> io::Result<()> {
        Ok(sys::unlinkat(&*self.staging, name, AtFlags::empty())?)
    }

    /// Writes a file as a whole, atomically; with `durable` its bytes are on the medium before it has its name.
    pub fn put(&self, path: &RelPath, bytes: &[u8], durable: bool) -> io::Result<()> {
        let staged = self.stage(bytes)?;
        if durable {
            staged.sync()?;
        }
        self.publish(staged, path)
    }

    /// Gives the file `from` a further name, over whatever file stands there, atomically.
    pub fn put_link(&self, from: &RelPath, path: &RelPath) -> io::Result<()> {
        let Some((above, last)) = from.split() else { return Err(Errno::ISDIR.into()) };
        let name = self.temporary_name();
        sys::linkat(&*self.tree.dir(&above)?, last, &*self.staging, &name, AtFlags::empty())?;
        let renamed = self.publish_left(&name, path).map(drop);
        // A rename between two names of one file does nothing.
        match sys::unlinkat(&*self.staging, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => renamed,
            Err(e) => renamed.and(Err(e.into())),
        }
    }

    fn temporary_name(&self) -> OsString {
        OsString::from(format!("{:016x}-{}", self.run, self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes a directory and those above it, where they are missing.
    pub fn make_dirs(&self, path: &RelPath) -> io::Result<()> {
        match self.tree.dir(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(drop),
        }
        let Some((above, _)) = path.split() else { return Ok(()) };
        self.make_dirs(&above)?;
        self.make_dir(path)
    }

    /// Makes a directory in one that is there; `NotFound` if that is not.
    pub fn make_dir(&self, path: &RelPath) -> io::Result<()> {
        let Some((above, name)) = path.split() else { return Ok(()) };
        let mut dir = self.tree.dir(&above)?;
        let mut made = sys::mkdirat(&*dir, name, Mode::from_raw_mode(0o755));
        if made == Err(Errno::NOENT) {
            // The directory may be another than the one that was opened last.
            self.tree.forget_dirs();
            dir = self.tree.dir(&above)?;
            made = sys::mkdirat(&*dir, name, Mode::from_raw_mode(0o755));
        }
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        let made = sys::openat(&*dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        after_parent(&made, &dir, 0o777)
    }

    /// Does something that changes the names in `dir`, and gives it its modification time back: that a store comes or
    /// goes beside its files is no news for those who look at the directory.
    pub fn keeping_times<T>(&self, dir: &RelPath, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let node = self.tree.node(dir)?;
        let before = node.stat()?;
        let done = act()?;
        match node.set_times(Times { atime: Time::Keep, mtime: Time::At(before.mtime) }) {
            // An ordinary user may write in a directory that is not theirs, but not set its times.
            Err(e) if e.raw_os_error() != Some(libc::EPERM) => Err(e),
            _ => Ok(done),
        }
    }

    /// Removes a file, and the directories above it that became empty, up to but not including `stop`. `false` if
    /// there was nothing of that name.
    pub fn remove(&self, path: &RelPath, stop: &RelPath) -> io::Result<bool> {
        self.tree.forget_dirs();
        let removed = absent_as_none(self.tree.unlink(path))?.is_some();
        self.remove_empty(path, stop)?;
        Ok(removed)
    }

    /// Removes the directories above `path` that are empty, up to but not including `stop`.
    pub fn remove_empty(&self, path: &RelPath, stop: &RelPath) -> io::Result<()> {
        let mut here = path.split().map(|(dir, _)| dir);
        while let Some(dir) = here.filter(|dir| dir != stop && dir.starts_with(stop)) {
            match self.tree.rmdir(&dir) {
                Ok(()) => {}
                Err(e) if is_absent(&e) => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOTEMPTY) => return Ok(()),
                Err(e) => return Err(e),
            }
            here = dir.split().map(|(dir, _)| dir);
        }
        Ok(())
    }

    /// Everything that was written to the file system of the staging directory is on the medium when it returns.
    pub fn sync_all(&self) -> io::Result<()> {
        // A descriptor of its own: an O_PATH one cannot be synced.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(sys::syncfs(sys::openat(&*self.staging, ".", flags, Mode::empty())?)?)
    }

    /// Makes the name `path` and those of the directories above it durable.
    pub fn sync_names(&self, path: &RelPath) -> io::Result<()> {
        self.tree.sync_names(path)
    }

    /// The tree, for listing and looking.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn rename_in(&self, name: &OsStr, object: &Object, path: &RelPath) -> io::Result<()> {
        let Some((above, last)) = path.split() else { return Err(Errno::ISDIR.into()) };
        let mut tries = 0;
        loop {
            let renamed = self.tree.dir(&above).and_then(|dir| {
                after_parent(object, &dir, 0o666)?;
                Ok(sys::renameat(&*self.staging, name, &*dir, last)?)
            });
            match renamed {
                // Not there yet, or removed in this moment because it had become empty.
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries < TRIES => {
                    tries += 1;
                    self.tree.forget_dirs();
                    self.make_dirs(&above)?;
                }
                renamed => return renamed,
            }
        }
    }
}

impl StagedFile {
    /// The open file.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Its temporary name, unique over all runs.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Its bytes are on the medium when it returns.
    pub fn sync(&self) -> io::Result<()> {
        self.object.sync(true)
    }

    /// Leaves it where it is: somebody has noted that its rename is due ([`Files::publish_left`]).
    pub fn keep(mut self) -> OsString {
        self.named = false;
        self.name.clone()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.named {
            // What cannot be removed now is swept when the workspace is next mounted.
            if let Err(e) = sys::unlinkat(&*self.staging, &self.name, AtFlags::empty()) {
                tracing::warn!("temporary file {:?} stays in the staging directory: {e}", self.name);
            }
        }
    }
}

/// Gives what was made the owner, group and permissions of its directory, as far as we may.
fn after_parent(made: impl std::os::fd::AsFd, parent: &OwnedFd, mask: u32) -> io::Result<()> {
    let above = sys::fstat(parent)?;
    let ours = sys::fstat(&made)?;
    if (above.st_uid, above.st_gid) != (ours.st_uid, ours.st_gid) {
        match sys::fchown(&made, Some(Uid::from_raw(above.st_uid)), Some(Gid::from_raw(above.st_gid))) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
    }
    // In a directory that is open to all but sticky, what is made is its owner's alone to change.
    let mask = if above.st_mode & 0o1000 == 0 { mask } else { mask & !0o022 };
    let wanted = Mode::from_raw_mode(above.st_mode & mask);
    if Mode::from_raw_mode(ours.st_mode & 0o777) == wanted { Ok(()) } else { Ok(sys::fchmod(&made, wanted)?) }
}

fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e),
    }
}
