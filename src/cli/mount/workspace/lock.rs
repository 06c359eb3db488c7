//! One daemon per workspace.

mod dying;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{LOCK, write_failure};
use crate::cli::failure::Failure;
use crate::control::WirePath;
use crate::vfs::OWN_DIR;

/// Who holds the lock: the content of the file, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    host: String,
    /// Of the kernel's present run: tells a holder before a restart from one after it.
    boot_id: String,
    pid: u32,
    mountpoint: WirePath,
}

impl Holder {
    /// Whether it is a process of this machine in its present run.
    fn is_here(&self) -> bool {
        self.host == host() && self.boot_id == boot_id()
    }
}

/// Times that the file may be taken away between opening and locking it before we give up.
const TRIES: usize = 10;

/// Locks the workspace for a mount, or for work with no mount, or says who has it. `None`, with a note, where the file system has no locks.
pub(super) fn take(
    dir: &OwnedFd,
    path: &Path,
    mountpoint: Option<&Path>,
    note: &mut dyn FnMut(String),
) -> Result<Option<File>, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        let mut file = match rustix::fs::openat(dir, LOCK, flags, Mode::from_raw_mode(0o644)) {
            Ok(fd) => File::from(fd),
            Err(error) => return Err(write_failure(path, error)),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let holder = read(&mut file);
                if holder.as_ref().is_some_and(|holder| holder.is_here() && dying::wait_for(holder.pid)) {
                    continue;
                }
                return Err(held(holder, path));
            }
            Err(error) => {
                note(format!(
                    "the file system of {} has no locks ({error}); take care that it is mounted only once",
                    path.display()
                ));
                return Ok(None);
            }
        }
        // The daemon before us removes the file as it ends: a lock on a file without a name keeps nobody away.
        if is_named(dir, &file).map_err(|error| write_failure(path, error))? {
            describe(&mut file, mountpoint);
            return Ok(Some(file));
        }
    }
    Err(Failure::failed(format!("{}/{OWN_DIR}/{LOCK} disappears again and again; try again", path.display())))
}

fn is_named(dir: &OwnedFd, file: &File) -> rustix::io::Result<bool> {
    let ours = rustix::fs::fstat(file)?;
    match rustix::fs::statat(dir, LOCK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fails, and says who has it, if the workspace is locked.
pub(super) fn look(root: &OwnedFd, path: &Path) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let lock = Path::new(OWN_DIR).join(LOCK);
    // Whoever may not read it is told by the lock on the root itself.
    let Ok(fd) = rustix::fs::openat(root, lock, flags, Mode::empty()) else { return Ok(()) };
    let mut file = File::from(fd);
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(held(read(&mut file), path)),
        // Let go at once: what is in the file would be taken for us.
        _ => Ok(()),
    }
}

/// For the message of whoever comes next; the lock holds without it. With no mount there is nothing to say.
fn describe(file: &mut File, mountpoint: Option<&Path>) {
    let holder = mountpoint.map(|mountpoint| Holder {
        host: host(),
        boot_id: boot_id(),
        pid: std::process::id(),
        mountpoint: mountpoint.to_path_buf().into(),
    });
    let text = holder.map(|holder| serde_json::to_string_pretty(&holder)).transpose().map(Option::unwrap_or_default);
    let written = text.map_err(io::Error::from).and_then(|text| {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    });
    if let Err(error) = written {
        tracing::warn!("cannot write who we are into the lock: {error}");
    }
}

/// `None` if it has not said yet who it is, or cannot.
fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(holder: Option<Holder>, path: &Path) -> Failure {
    let shown = path.display();
    Failure::failed(match holder {
        None => format!(
            "the workspace {shown} is in use by another scopefs, which checks it or is about to serve it; \
             'scopefs status' lists the mounts"
        ),
        Some(holder) => {
            let Holder { host: there, pid, mountpoint, .. } = &holder;
            let remedy = if holder.is_here() {
                format!("'scopefs unmount {mountpoint}' ends it; if it is not mounted any more, it is still writing")
            } else {
                "unmount it there: one workspace is served by one machine at a time".to_owned()
            };
            format!("the workspace {shown} is in use: process {pid} on {there} serves it at {mountpoint}; {remedy}")
        }
    })
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
