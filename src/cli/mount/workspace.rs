//! The backing directory, held open, and what the daemon keeps in it.
//!
//! Everything goes relative to a descriptor that was opened before the mount: the mount may lie over the directory, and
//! the daemon must never go through its own mount.
//!
//! ```text
//! .scopefs/SCOPEFS.TAG   that this directory is ours
//! .scopefs/lock          locked (flock) while a daemon serves the workspace; says which
//! .scopefs/IN-MEMORY     where files are while no daemon runs, and what to do
//! .scopefs/staging/      files on their way to their names
//! .scopefs/counted       what lies in a large workspace, so that the next mount need not begin at nothing
//! .scopefs/chunks/       chunks on their way into stores; a store that was being changed may still want them
//! ```
//!
//! All of it can be deleted while nothing is mounted. After a clean unmount it is gone, but for `counted` (see
//! `counted.rs`) and the tag beside it.

mod counted;
mod lock;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

pub use counted::Counted;

use crate::cli::failure::Failure;
use crate::vfs::OWN_DIR;

/// Files on their way to their names, inside [`OWN_DIR`].
pub const STAGING: &str = "staging";
/// Chunks on their way into stores, inside [`OWN_DIR`].
pub const CHUNKS: &str = "chunks";
const MARKER: &str = "SCOPEFS.TAG";
const IN_MEMORY: &str = "IN-MEMORY";
const LOCK: &str = "lock";

/// What a marker begins with, in whatever version.
const SIGNATURE: &str = "scopefs workspace directory";

const MARKER_TEXT: &str = "scopefs workspace directory, version 1
This directory belongs to scopefs. While nothing is mounted it can be deleted, with nothing lost but time; if there is
a file IN-MEMORY beside this one, read that first.
";

/// A workspace, open and, unless it is read-only, locked.
#[derive(Debug)]
pub struct Workspace {
    /// `O_PATH | O_DIRECTORY`.
    root: OwnedFd,
    path: PathBuf,
    /// Held while we live: it keeps read-only mounts, which write no lock file, apart from others.
    _root_lock: Option<OwnedFd>,
    own: Option<Own>,
}

/// `.scopefs`, open.
#[derive(Debug)]
struct Own {
    dir: OwnedFd,
    /// There was none before.
    made: bool,
    _lock: Option<File>,
}

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Workspace {
    /// Opens and locks the workspace at `path`, for a mount on `mountpoint`. Read-only: nothing is written.
    pub fn open(
        path: &Path,
        mountpoint: &Path,
        read_only: bool,
        note: &mut dyn FnMut(String),
    ) -> Result<Self, Failure> {
        let root = open_root(path)?;
        if read_only {
            let root_lock = lock_root(&root, path)?;
            let workspace = Workspace { root, path: path.to_path_buf(), _root_lock: root_lock, own: None };
            if workspace.is_noted() {
                let shown = path.display();
                note(format!(
                    "files of an earlier mount of {shown} may still be in memory; a mount without -o ro brings them back"
                ));
            }
            return Ok(workspace);
        }
        Workspace::locked(root, path, Some(mountpoint), note)
    }

    /// Opens and locks the workspace at `path` to work on its stores with no mount.
    pub fn open_offline(path: &Path, note: &mut dyn FnMut(String)) -> Result<Self, Failure> {
        Workspace::locked(open_root(path)?, path, None, note)
    }

    fn locked(
        root: OwnedFd,
        path: &Path,
        mountpoint: Option<&Path>,
        note: &mut dyn FnMut(String),
    ) -> Result<Self, Failure> {
        let made = rustix::fs::statat(&root, OWN_DIR, AtFlags::SYMLINK_NOFOLLOW).is_err();
        let dir = own_dir(&root, path)?;
        let lock = lock::take(&dir, path, mountpoint, note)?;
        // Only now: an earlier daemon that was about to end may have taken the marker away until it let the lock go.
        mark(&dir, path)?;
        let root_lock = lock_root(&root, path)?;
        for name in [STAGING, CHUNKS] {
            match rustix::fs::mkdirat(&dir, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(write_failure(path, error)),
            }
        }
        let own = Own { dir, made, _lock: lock };
        Ok(Workspace { root, path: path.to_path_buf(), _root_lock: root_lock, own: Some(own) })
    }

    /// The workspace's root (`O_PATH`), to open everything else relative to it.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A directory on the workspace's file system for files on their way to their names; `None` if it is read-only.
    pub fn staging(&self) -> io::Result<Option<OwnedFd>> {
        self.own_part(STAGING)
    }

    /// The same, for chunks of stores.
    pub fn chunks(&self) -> io::Result<Option<OwnedFd>> {
        self.own_part(CHUNKS)
    }

    /// What earlier mounts have counted; `None` for a workspace that is only read.
    pub fn counted(&self) -> io::Result<Option<Counted>> {
        Ok(self.own.as_ref().map(|own| own.dir.try_clone()).transpose()?.map(Counted::new))
    }

    /// The directory of our own files, for records that outlive a daemon; `None` if it is read-only.
    pub fn own_dir(&self) -> io::Result<Option<OwnedFd>> {
        self.own_part(".")
    }

    fn own_part(&self, name: &str) -> io::Result<Option<OwnedFd>> {
        let open = |own: &Own| rustix::fs::openat(&own.dir, name, DIR | OFlags::NOFOLLOW, Mode::empty());
        Ok(self.own.as_ref().map(open).transpose()?)
    }

    /// Whether an earlier daemon has left word that files are in memory.
    pub fn is_noted(&self) -> bool {
        let note = Path::new(OWN_DIR).join(IN_MEMORY);
        rustix::fs::statat(&self.root, note, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Where it is; for messages only, since the mount may cover it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves word where files are while no daemon runs. Nothing relies on it, so a full disk is no reason to stop.
    pub fn note_memory(&self, shown_as: &Path, mountpoint: &Path) -> io::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let (place, w, m) = (shown_as.display(), self.path.display(), mountpoint.display());
        let text = format!(
            "Files of this workspace may be in memory only.\n\n\
             While scopefs has it mounted ({m}), there is nothing to do.\n\
             If the daemon was killed, nothing is lost as long as the machine is not restarted: the files are in\n\n    \
             {place}\n\n\
             To have them on disk, mount the workspace again and unmount it:\n\n    \
             scopefs mount {w} {m}\n    scopefs unmount {m}\n"
        );
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&own.dir, IN_MEMORY, flags, Mode::from_raw_mode(0o644))?;
        File::from(file).write_all(text.as_bytes())
    }

    /// Lets go of the workspace; what an earlier daemon had left is still there.
    pub fn leave_as_found(self) -> io::Result<()> {
        if self.own.as_ref().is_some_and(|own| own.made) { self.leave() } else { Ok(()) }
    }

    /// Lets go of the workspace after everything was brought home: nothing of ours stays, and its root has the mtime
    /// that it had. What others have put into our directory stays there.
    pub fn leave(self) -> io::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let gone = |result: rustix::io::Result<()>| match result {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        };
        gone(rustix::fs::unlinkat(&own.dir, IN_MEMORY, AtFlags::empty()))?;
        empty_part(&own.dir, STAGING)?;
        empty_part(&own.dir, CHUNKS)?;
        if names(&own.dir)?.iter().any(|name| name != MARKER && name != LOCK) {
            // The marker stays with it, or the next mount would refuse the directory.
            return Ok(gone(rustix::fs::unlinkat(&own.dir, LOCK, AtFlags::empty()))?);
        }
        gone(rustix::fs::unlinkat(&own.dir, MARKER, AtFlags::empty()))?;
        gone(rustix::fs::unlinkat(&own.dir, LOCK, AtFlags::empty()))?;
        match keeping_mtime(&self.root, || rustix::fs::unlinkat(&self.root, OWN_DIR, AtFlags::REMOVEDIR)) {
            // A daemon that waits for our lock has put its own file there already.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Keeps daemons off the workspace at `path` for as long as what is returned lives, and fails if one serves it. Nothing
/// is written. Several may do so at a time.
pub fn keep_still(path: &Path) -> Result<Still, Failure> {
    let root = open_root(path)?;
    lock::look(&root, path)?;
    let flock = FlockOperation::NonBlockingLockShared;
    lock_root_as(&root, path, flock).map(|lock| Still { _lock: lock })
}

/// A workspace that no daemon can begin to serve.
#[derive(Debug)]
pub struct Still {
    _lock: Option<OwnedFd>,
}

fn open_root(path: &Path) -> Result<OwnedFd, Failure> {
    let failed = |error: Errno| Failure::failed(format!("cannot open the workspace {}: {error}", path.display()));
    rustix::fs::open(path, DIR | OFlags::PATH, Mode::empty()).map_err(failed)
}

/// Does something that changes the names in the root, and gives the root its mtime back: names of ours are no news for
/// tools that look at it. Where the root is not ours to date, it is dated now.
fn keeping_mtime(root: &OwnedFd, change: impl FnOnce() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    let before = rustix::fs::statat(root, ".", AtFlags::empty())?;
    change()?;
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    // A time in nanoseconds of one second fits whatever integer the field is.
    let mtime = Timespec { tv_sec: before.st_mtime as _, tv_nsec: before.st_mtime_nsec as _ };
    let times = Timestamps { last_access: omit, last_modification: mtime };
    if let Err(error) = rustix::fs::utimensat(root, ".", &times, AtFlags::empty()) {
        tracing::debug!("the workspace's own mtime could not be kept: {error}");
    }
    Ok(())
}

/// Opens `.scopefs`, which is made if it is missing and refused if it is not ours.
fn own_dir(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Failure> {
    match keeping_mtime(root, || rustix::fs::mkdirat(root, OWN_DIR, Mode::from_raw_mode(0o755))) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(write_failure(path, error)),
    }
    let shown = path.join(OWN_DIR);
    let not_ours = |what: &str| {
        Failure::failed(format!(
            "{} {what}, so scopefs does not touch it; move it elsewhere, then mount again",
            shown.display()
        ))
    };
    let dir =
        rustix::fs::openat(root, OWN_DIR, DIR | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => not_ours("is not a directory of scopefs"),
            _ => Failure::failed(format!("cannot open {}: {}", shown.display(), io::Error::from(error))),
        })?;
    let listed = names(&dir).map_err(|error| Failure::failed(format!("cannot read {}: {error}", shown.display())))?;
    // A daemon that ends takes the marker away before the lock; one that begins makes the lock before the marker, and
    // after a loss of power the marker may be empty: what holds only names of ours is ours.
    let named = |name: &std::ffi::OsString| {
        [MARKER, LOCK, IN_MEMORY, STAGING, CHUNKS, counted::NAME].iter().any(|own| name == own)
    };
    let ours = is_marked(&dir) || (listed.iter().all(named) && !is_filled(&dir));
    if ours { Ok(dir) } else { Err(not_ours("holds files that are not those of scopefs")) }
}

fn is_marked(dir: &OwnedFd) -> bool {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::openat(dir, MARKER, flags, Mode::empty()) else { return false };
    let mut start = String::new();
    // Text that is not UTF-8 is no marker of ours.
    let read = File::from(file).take(SIGNATURE.len() as u64).read_to_string(&mut start);
    read.is_ok() && start == SIGNATURE
}

/// Whether there is a marker with something else in it than ours.
fn is_filled(dir: &OwnedFd) -> bool {
    rustix::fs::statat(dir, MARKER, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_size > 0)
}

fn mark(dir: &OwnedFd, path: &Path) -> Result<(), Failure> {
    if is_marked(dir) {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let written = rustix::fs::openat(dir, MARKER, flags, Mode::from_raw_mode(0o644))
        .map_err(io::Error::from)
        .and_then(|file| File::from(file).write_all(MARKER_TEXT.as_bytes()));
    written.map_err(|error| {
        // Half a marker would make the next mount refuse the directory.
        let _ = rustix::fs::unlinkat(dir, MARKER, AtFlags::empty());
        write_failure(path, error)
    })
}

fn write_failure(path: &Path, error: impl Into<io::Error>) -> Failure {
    let (error, shown) = (error.into(), path.display());
    Failure::failed(match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => format!(
            "there is no room on the disk of the workspace {shown} ({error}); free some, or mount it with -o ro to read it"
        ),
        Some(libc::EROFS) => {
            format!(
                "the workspace {shown} is on a file system that is mounted read-only; mount it with -o ro to read it"
            )
        }
        _ => format!("cannot make {OWN_DIR} in the workspace {shown}: {error}; mount it with -o ro to read it"),
    })
}

/// A lock on the root directory itself, for as long as the descriptor lives. Where directories cannot be locked, the
/// lock file alone has to do.
fn lock_root(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Failure> {
    lock_root_as(root, path, FlockOperation::NonBlockingLockExclusive)
}

fn lock_root_as(root: &OwnedFd, path: &Path, how: FlockOperation) -> Result<Option<OwnedFd>, Failure> {
    let shown = path.display();
    let fd = rustix::fs::openat(root, ".", DIR | OFlags::RDONLY, Mode::empty())
        .map_err(|error| Failure::failed(format!("cannot open the workspace {shown}: {error}")))?;
    match rustix::fs::flock(&fd, how) {
        Ok(()) => Ok(Some(fd)),
        Err(Errno::WOULDBLOCK) => Err(Failure::failed(format!(
            "the workspace {shown} is in use by another scopefs (or another program holds a lock on the directory); \
             'scopefs status' lists the mounts"
        ))),
        Err(error) => {
            tracing::debug!("{shown} itself cannot be locked: {error}");
            Ok(None)
        }
    }
}

/// Temporary files that never got their names. There are no directories among them.
fn empty_part(dir: &OwnedFd, part: &str) -> io::Result<()> {
    let staging = match rustix::fs::openat(dir, part, DIR | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    for name in names(&staging)? {
        rustix::fs::unlinkat(&staging, &*name, AtFlags::empty())?;
    }
    Ok(rustix::fs::unlinkat(dir, part, AtFlags::REMOVEDIR)?)
}

/// Everything in a directory but itself and the one above.
fn names(dir: &OwnedFd) -> io::Result<Vec<std::ffi::OsString>> {
    use std::os::unix::ffi::OsStringExt;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsString::from_vec(name));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
