//! A directory tree reached through one descriptor: what the memory and the disk backend have in common.
//!
//! Every path is resolved below the root descriptor, never through a symbolic link (`openat2` with RESOLVE_BENEATH and
//! RESOLVE_NO_SYMLINKS), so that whoever may write in the workspace cannot lead a privileged daemon out of it, and so
//! that a mount over the workspace itself does not stand in the way. Directories are kept open for a moment: one walk
//! serves the many calls that follow it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};

use super::xattr::name_of;
use super::{Access, Expected, Node, Object, PublishError, Staged};
use crate::model::{Attr, FileKind, Name, RelPath, Timestamp};

/// How long an open directory is trusted to be the one at its path. Changes behind our back show after that.
const DIR_TTL: Duration = Duration::from_millis(500);
/// How many directories are kept open, each for one descriptor.
const DIR_MOST: usize = 512;
/// Longest path that one system call takes, less some room.
const PATH_MOST: usize = 4000;

/// One entry of a directory.
#[derive(Debug, Clone)]
pub struct TreeEntry {
    /// Its name.
    pub name: OsString,
    /// Inode number on the backend.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
}

/// A directory that is kept open.
#[derive(Debug)]
struct OpenDir {
    fd: Arc<OwnedFd>,
    since: Instant,
    /// [`Tree::forgotten`] before it was opened: who opens one while others are forgotten may have opened what was meant.
    forgotten: u64,
}

/// A directory tree below one descriptor.
#[derive(Debug)]
pub struct Tree {
    root: Arc<OwnedFd>,
    staging: Arc<OwnedFd>,
    serial: AtomicU64,
    dirs: DashMap<RelPath, OpenDir>,
    /// How often open directories were forgotten.
    forgotten: AtomicU64,
    /// Held while a file is exchanged and compared: with three at once, two that take theirs back would leave a loser's.
    exchanging: Mutex<()>,
}

impl Tree {
    /// The tree below `root`, with temporary files in `staging`, which must be on the same file system.
    pub fn new(root: OwnedFd, staging: OwnedFd) -> Tree {
        Tree {
            root: Arc::new(root),
            staging: Arc::new(staging),
            serial: AtomicU64::new(0),
            dirs: DashMap::new(),
            forgotten: AtomicU64::new(0),
            exchanging: Mutex::default(),
        }
    }

    /// The root's descriptor.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A descriptor of the directory `path`.
    pub fn dir(&self, path: &RelPath) -> io::Result<Arc<OwnedFd>> {
        if path.is_root() {
            return Ok(self.root.clone());
        }
        let forgotten = self.forgotten.load(Ordering::Acquire);
        if let Some(kept) = self.dirs.get(path)
            && kept.forgotten == forgotten
            && kept.since.elapsed() < DIR_TTL
        {
            return Ok(kept.fd.clone());
        }
        let fd = Arc::new(self.walk(path)?);
        if self.dirs.len() >= DIR_MOST {
            self.dirs.clear();
        }
        self.dirs.insert(path.clone(), OpenDir { fd: fd.clone(), since: Instant::now(), forgotten });
        Ok(fd)
    }

    /// Directory of `path` and its last component.
    fn at<'p>(&self, path: &'p RelPath) -> io::Result<(Arc<OwnedFd>, &'p Name)> {
        match path.split() {
            Some((dir, name)) => Ok((self.dir(&dir)?, name)),
            None => Ok((self.root.clone(), OsStr::new("."))),
        }
    }

    /// Opens a directory by its whole path, in pieces where it is longer than one call takes.
    fn walk(&self, path: &RelPath) -> io::Result<OwnedFd> {
        let mut here: Option<OwnedFd> = None;
        let mut piece = RelPath::root();
        for name in path.components() {
            if piece.as_bytes().len() + name.len() > PATH_MOST {
                here = Some(self.step(here.as_ref(), &piece)?);
                piece = RelPath::root();
            }
            piece.push(name);
        }
        self.step(here.as_ref(), &piece)
    }

    fn step(&self, from: Option<&OwnedFd>, piece: &RelPath) -> io::Result<OwnedFd> {
        let from = from.map_or(self.root.as_fd(), |fd| fd.as_fd());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(sys::openat2(from, piece.as_path(), flags, Mode::empty(), resolve)?)
    }

    /// Forgets open directories, because one was renamed or removed.
    pub fn forget_dirs(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.dirs.clear();
    }

    /// Attributes of `path` itself, not of what a symbolic link points to.
    pub fn stat(&self, path: &RelPath) -> io::Result<Attr> {
        let (dir, name) = self.at(path)?;
        Ok(attr_of(&sys::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Attributes of `path`, `None` if there is nothing of that name (or no such directory).
    pub fn find(&self, path: &RelPath) -> io::Result<Option<Attr>> {
        match self.stat(path) {
            Ok(attr) => Ok(Some(attr)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Holds the inode at `path`.
    pub fn node(&self, path: &RelPath) -> io::Result<Node> {
        let (dir, name) = self.at(path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Node(Arc::new(sys::openat(&*dir, name, flags, Mode::empty())?)))
    }

    /// Holds the directory at `path`; cheaper than [`Tree::node`] where the directory was used just before.
    pub fn dir_node(&self, path: &RelPath) -> io::Result<Node> {
        self.dir(path).map(Node)
    }

    /// Opens a regular file.
    pub fn open(&self, path: &RelPath, access: Access) -> io::Result<Object> {
        let (dir, name) = self.at(path)?;
        let mode = if access == Access::Write { OFlags::RDWR } else { OFlags::RDONLY };
        // NONBLOCK: should a pipe have taken the name meanwhile, the open must not hang.
        let flags = mode | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(Object::new(sys::openat(&*dir, name, flags, Mode::empty())?, access == Access::Write))
    }

    /// Creates a regular file that must not exist yet.
    pub fn create(&self, path: &RelPath, perm: u16) -> io::Result<Object> {
        let (dir, name) = self.at(path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Object::new(sys::openat(&*dir, name, flags, Mode::from_raw_mode(u32::from(perm)))?, true))
    }

    /// Creates a directory.
    pub fn mkdir(&self, path: &RelPath, perm: u16) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        Ok(sys::mkdirat(&*dir, name, Mode::from_raw_mode(u32::from(perm)))?)
    }

    /// Creates a special file (or an empty regular one); `rdev` as in `stat`.
    pub fn mknod(&self, path: &RelPath, kind: FileKind, perm: u16, rdev: u64) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        let kind = match kind {
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
            FileKind::CharDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::Regular => FileType::RegularFile,
            FileKind::Directory | FileKind::Symlink => return Err(rustix::io::Errno::INVAL.into()),
        };
        Ok(sys::mknodat(&*dir, name, kind, Mode::from_raw_mode(u32::from(perm)), rdev)?)
    }

    /// Creates a symbolic link with the bytes `target`.
    pub fn symlink(&self, target: &OsStr, path: &RelPath) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        Ok(sys::symlinkat(target, &*dir, name)?)
    }

    /// What a symbolic link points to.
    pub fn readlink(&self, path: &RelPath) -> io::Result<OsString> {
        use std::os::unix::ffi::OsStringExt;
        let (dir, name) = self.at(path)?;
        Ok(OsString::from_vec(sys::readlinkat(&*dir, name, Vec::new())?.into_bytes()))
    }

    /// Removes a name that is not a directory.
    pub fn unlink(&self, path: &RelPath) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        Ok(sys::unlinkat(&*dir, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, path: &RelPath) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        sys::unlinkat(&*dir, name, AtFlags::REMOVEDIR)?;
        self.forget_dirs();
        Ok(())
    }

    /// Renames with the flags of `renameat2(2)`.
    pub fn rename(&self, from: &RelPath, to: &RelPath, flags: RenameFlags) -> io::Result<()> {
        let (from_dir, from_name) = self.at(from)?;
        let (to_dir, to_name) = self.at(to)?;
        Ok(sys::renameat_with(&*from_dir, from_name, &*to_dir, to_name, flags)?)
    }

    /// A further name for the inode at `from`.
    pub fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()> {
        let (from_dir, from_name) = self.at(from)?;
        let (to_dir, to_name) = self.at(to)?;
        Ok(sys::linkat(&*from_dir, from_name, &*to_dir, to_name, AtFlags::empty())?)
    }

    /// The entries of a directory, without `.` and `..`, in the order of the file system.
    pub fn list(&self, path: &RelPath) -> io::Result<Vec<TreeEntry>> {
        let dir = self.dir(path)?;
        let fd = sys::openat(&*dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buf = Vec::with_capacity(64 << 10);
        let mut raw = sys::RawDir::new(&fd, buf.spare_capacity_mut());
        let mut entries = Vec::new();
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = name_of(entry.file_name());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match kind_of(entry.file_type()) {
                Some(kind) => kind,
                None => match sys::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => attr_of(&stat).kind,
                    Err(_) => continue,
                },
            };
            entries.push(TreeEntry { name: name.to_owned(), ino: entry.ino(), kind });
        }
        Ok(entries)
    }

    /// A new, empty file in the staging directory.
    pub fn stage_empty(&self) -> io::Result<Staged> {
        loop {
            let serial = self.serial.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{}-{serial}", std::process::id()));
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            match sys::openat(&*self.staging, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => return Ok(Staged::new(Object::new(fd, true), self.staging.clone(), name)),
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// A further name, in the staging directory, for the file at `path`, so that it can replace another name.
    pub fn stage_link(&self, path: &RelPath) -> io::Result<Staged> {
        let object = self.open(path, Access::Read)?;
        let (dir, name) = self.at(path)?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let staged = OsString::from(format!("{}-{serial}", std::process::id()));
        sys::linkat(&*dir, name, &*self.staging, &staged, AtFlags::empty())?;
        Ok(Staged::new(object, self.staging.clone(), staged))
    }

    /// Removes what an earlier run left in the staging directory.
    pub fn sweep_staging(&self) -> io::Result<usize> {
        let mut swept = 0;
        let fd = sys::openat(&*self.staging, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buf = Vec::with_capacity(16 << 10);
        let mut raw = sys::RawDir::new(&fd, buf.spare_capacity_mut());
        while let Some(entry) = raw.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                sys::unlinkat(&*self.staging, name, AtFlags::empty())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Gives a staged file its name if what stands there is as `expected`.
    ///
    /// Over an existing file the two are exchanged, and what came out is compared: if somebody replaced the file in
    /// the moment between looking and renaming, they are exchanged back and it is a conflict.
    pub fn publish(&self, mut staged: Staged, path: &RelPath, expected: Expected) -> Result<Attr, PublishError> {
        match self.try_publish(&staged, path, expected) {
            Ok(Some(attr)) => {
                staged.named();
                Ok(attr)
            }
            Ok(None) => Err(PublishError::Conflict(staged)),
            Err(e) => {
                // Should the staging name hold somebody else's file after an exchange that could not be taken back,
                // it must not be removed with ours.
                if !staged.holds_its_name() {
                    staged.named();
                }
                Err(PublishError::Io(staged, e))
            }
        }
    }

    fn try_publish(&self, staged: &Staged, path: &RelPath, expected: Expected) -> io::Result<Option<Attr>> {
        let (staging, Some(temp)) = staged.place() else { return Err(rustix::io::Errno::NOENT.into()) };
        let (dir, name) = self.at(path)?;
        let version = match expected {
            Expected::Absent => {
                return match rename_new(staging, temp, &dir, name) {
                    Ok(()) => Ok(Some(staged.object().stat()?)),
                    Err(rustix::io::Errno::EXIST) => Ok(None),
                    Err(e) => Err(e.into()),
                };
            }
            Expected::Version(version) => version,
        };
        let exchanging = self.exchanging.lock();
        let there = match sys::statat(&*dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => attr_of(&stat),
            Err(rustix::io::Errno::NOENT) => return self.try_publish(staged, path, Expected::Absent),
            Err(e) => return Err(e.into()),
        };
        if !there.identity().is_same_version(&version) {
            return Ok(None);
        }
        match sys::renameat_with(&**staging, temp, &*dir, name, RenameFlags::EXCHANGE) {
            // Some file systems (NFS, exFAT) cannot exchange: there the look above has to be enough.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                sys::renameat(&**staging, temp, &*dir, name)?;
                return Ok(Some(staged.object().stat()?));
            }
            exchanged => exchanged?,
        }
        let out = attr_of(&sys::statat(&**staging, temp, AtFlags::SYMLINK_NOFOLLOW)?);
        if !out.identity().is_same_version(&version) {
            sys::renameat_with(&**staging, temp, &*dir, name, RenameFlags::EXCHANGE)?;
            return Ok(None);
        }
        drop(exchanging);
        sys::unlinkat(&**staging, temp, AtFlags::empty())?;
        Ok(Some(staged.object().stat()?))
    }

    /// Makes the names in the directory of `path`, and the directories above it, durable.
    pub fn sync_names(&self, path: &RelPath) -> io::Result<()> {
        let mut dir = path.split().map(|(dir, _)| dir);
        while let Some(here) = dir {
            self.node(&here)?.sync_dir()?;
            dir = here.split().map(|(above, _)| above);
        }
        Ok(())
    }
}

/// Renames to a name that must be free. Where the file system cannot promise that in one step, a hard link does, and
/// where there are no hard links either, a look has to be enough.
fn rename_new(from: &OwnedFd, old: &OsStr, to: &OwnedFd, new: &OsStr) -> rustix::io::Result<()> {
    use rustix::io::Errno;
    match sys::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        renamed => return renamed,
    }
    match sys::linkat(from, old, to, new, AtFlags::empty()) {
        Ok(()) => return sys::unlinkat(from, old, AtFlags::empty()),
        Err(Errno::PERM | Errno::NOTSUP) => {}
        Err(e) => return Err(e),
    }
    match sys::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => sys::renameat(from, old, to, new),
        Err(e) => Err(e),
    }
}

/// Whether an error says that there is nothing of that name.
pub fn is_absent(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// The attributes in a `stat` buffer.
pub(super) fn attr_of(stat: &Stat) -> Attr {
    let time = |secs: i64, nanos: u64| Timestamp { secs, nanos: nanos as u32 };
    Attr {
        dev: stat.st_dev,
        ino: stat.st_ino,
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)).unwrap_or(FileKind::Regular),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev,
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        blksize: stat.st_blksize as u32,
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn kind_of(kind: FileType) -> Option<FileKind> {
    Some(match kind {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        _ => return None,
    })
}
