//! Everything that can be known to go wrong before anything is touched, each with what to do about it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use super::{MountRequest, detach, process};
use crate::cli::failure::Failure;
use crate::cli::mountinfo::{self, Mount};

/// The machine, as far as it decides whether something can be mounted.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whether mount(2) is open to us.
    pub may_mount: bool,
    /// The device through which the kernel speaks to FUSE daemons.
    pub dev_fuse: PathBuf,
    /// Where the administrator says what ordinary users may.
    pub fuse_conf: PathBuf,
    /// The program that mounts for ordinary users.
    pub fusermount: Option<PathBuf>,
    /// What is mounted; read again after stale mounts were taken away.
    pub mounts: fn() -> io::Result<Vec<Mount>>,
}

impl Surroundings {
    /// This machine.
    pub fn here() -> Result<Surroundings, Failure> {
        Ok(Surroundings {
            may_mount: process::may_mount(),
            dev_fuse: "/dev/fuse".into(),
            fuse_conf: "/etc/fuse.conf".into(),
            fusermount: detach::find_fusermount(),
            mounts: mountinfo::read,
        })
    }
}

/// Where the workspace and the mount point really are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Absolute and without links.
    pub workspace: PathBuf,
    /// Absolute and without links.
    pub mountpoint: PathBuf,
}

/// Says no where it must; takes stale mounts away, with a note.
pub fn check(request: &MountRequest, at: &Surroundings, note: &mut dyn FnMut(String)) -> Result<Checked, Failure> {
    for path in [&request.mountpoint, &request.workspace] {
        detach::clean_stale(path)?.into_iter().for_each(&mut *note);
    }
    let workspace = workspace(&request.workspace)?;
    let mountpoint = mountpoint(&request.mountpoint)?;
    let mounts =
        (at.mounts)().map_err(|error| Failure::failed(format!("cannot read /proc/self/mountinfo: {error}")))?;
    positions(&workspace, &mountpoint)?;
    neighbours(&workspace, &mountpoint, &mounts)?;
    fuse(at)?;
    rights(request, at)?;
    if !request.options.read_only {
        writable(&workspace)?;
    }
    Ok(Checked { workspace, mountpoint })
}

fn workspace(path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let real =
        directory(path, "the workspace", &format!("check the path, or make an empty one with 'mkdir -p {shown}'"))?;
    let access = Access::READ_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, &real, access, AtFlags::EACCESS).map_err(|error| {
        Failure::failed(format!(
            "the workspace {shown} is not open to you: {}; ask its owner for read and search permission",
            io::Error::from(error)
        ))
    })?;
    Ok(real)
}

fn mountpoint(path: &Path) -> Result<PathBuf, Failure> {
    directory(path, "the mount point", &format!("make it with 'mkdir -p {}'", path.display()))
}

fn directory(path: &Path, what: &str, remedy: &str) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| {
        Failure::failed(match error.kind() {
            io::ErrorKind::NotFound => format!("{what} {shown} does not exist; {remedy}"),
            _ => {
                format!("{what} {shown} cannot be reached: {error}; check the permissions of the directories above it")
            }
        })
    })?;
    if !meta.is_dir() {
        return Err(Failure::failed(format!("{what} {shown} is not a directory; give one")));
    }
    fs::canonicalize(path).map_err(|error| Failure::failed(format!("{what} {shown} cannot be reached: {error}")))
}

/// One may be the other, but not inside it.
fn positions(workspace: &Path, mountpoint: &Path) -> Result<(), Failure> {
    let (w, m) = (workspace.display(), mountpoint.display());
    if is_below(mountpoint, workspace) {
        return Err(Failure::usage(format!(
            "the mount point {m} is inside the workspace {w}, which would then contain itself; use a directory outside \
             it, or leave the mount point out to mount over the workspace"
        )));
    }
    if is_below(workspace, mountpoint) {
        return Err(Failure::usage(format!(
            "the workspace {w} is inside the mount point {m} and would be hidden by its own mount; use another mount \
             point, or leave it out to mount over the workspace"
        )));
    }
    Ok(())
}

/// Strictly below, whatever bind mounts and links lead there.
fn is_below(inner: &Path, outer: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let Some(outer) = id(outer) else { return false };
    id(inner) != Some(outer) && inner.ancestors().skip(1).any(|above| id(above) == Some(outer))
}

/// Other mounts that are in the way.
fn neighbours(workspace: &Path, mountpoint: &Path, mounts: &[Mount]) -> Result<(), Failure> {
    let (w, m) = (workspace.display(), mountpoint.display());
    if let Some(mount) = mountinfo::covering(mounts, workspace).filter(|mount| mount.is_scopefs()) {
        let (point, source) = (mount.point.display(), mount.source.display());
        return Err(Failure::failed(if mount.point == workspace {
            format!("{w} is a mount of scopefs already (of the workspace {source}); 'scopefs unmount {point}' ends it")
        } else {
            format!(
                "{w} is inside the workspace {source}, which is mounted at {point}, and a workspace in a workspace is \
                 refused; use the files there as they are, or 'scopefs unmount {point}' first"
            )
        }));
    }
    for mount in mounts.iter().filter(|mount| mount.is_scopefs() && mount.source != workspace) {
        let (point, source) = (mount.point.display(), mount.source.display());
        if workspace.starts_with(&mount.source) || mount.source.starts_with(workspace) {
            return Err(Failure::failed(format!(
                "{w} and {source}, which is mounted at {point}, lie one in the other, so two daemons would serve the \
                 same files; 'scopefs unmount {point}' first"
            )));
        }
    }
    match mountinfo::at(mounts, mountpoint) {
        Some(mount) if mount.is_scopefs() => Err(Failure::failed(format!(
            "the mount point {m} is in use: scopefs serves {} there; use another one, or 'scopefs unmount {m}' first",
            mount.source.display()
        ))),
        // Over the workspace itself, which may well be the root of a disk.
        Some(_) if mountpoint == workspace => Ok(()),
        Some(mount) => Err(Failure::failed(format!(
            "the mount point {m} is in use: {} ({}) is mounted there; use another one, or unmount that first",
            mount.source.display(),
            mount.fstype
        ))),
        None => Ok(()),
    }
}

/// Whether there is FUSE here at all.
fn fuse(at: &Surroundings) -> Result<(), Failure> {
    let device = at.dev_fuse.display();
    if fs::metadata(&at.dev_fuse).is_err() {
        return Err(Failure::failed(format!(
            "{device} is missing, so nothing can be mounted; load the kernel's part with 'modprobe fuse' as root, or \
             start the container with '--device /dev/fuse --cap-add SYS_ADMIN'"
        )));
    }
    if !at.may_mount && at.fusermount.is_none() {
        return Err(Failure::failed(detach::NO_FUSERMOUNT));
    }
    let access = Access::READ_OK | Access::WRITE_OK;
    rustix::fs::accessat(CWD, &at.dev_fuse, access, AtFlags::EACCESS).map_err(|error| {
        Failure::failed(format!(
            "{device} cannot be used: {}; as root, 'chmod 666 {device}' opens it to all users",
            io::Error::from(error)
        ))
    })
}

/// Options that are not everybody's.
fn rights(request: &MountRequest, at: &Surroundings) -> Result<(), Failure> {
    if at.may_mount {
        return Ok(());
    }
    let options = &request.options;
    if let Some(word) = [(options.suid, "suid"), (options.dev, "dev")].iter().find_map(|(on, word)| on.then_some(word))
    {
        return Err(Failure::failed(format!("only root may mount with -o {word}; leave it out, or run as root")));
    }
    if options.allow_other && !user_allow_other(&at.fuse_conf) {
        let conf = at.fuse_conf.display();
        return Err(Failure::failed(format!(
            "-o allow_other is not open to ordinary users here; the administrator opens it with a line \
             'user_allow_other' in {conf}; or leave it out"
        )));
    }
    Ok(())
}

fn user_allow_other(conf: &Path) -> bool {
    fs::read_to_string(conf).is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"))
}

fn writable(workspace: &Path) -> Result<(), Failure> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    let shown = workspace.display();
    rustix::fs::accessat(CWD, workspace, access, AtFlags::EACCESS).map_err(|error| {
        Failure::failed(match error {
            rustix::io::Errno::ROFS => format!(
                "the workspace {shown} is on a file system that is mounted read-only; mount it with -o ro to read it"
            ),
            _ => format!(
                "you may not write in the workspace {shown}: {}; ask its owner, or mount it with -o ro to read it",
                io::Error::from(error)
            ),
        })
    })
}

#[cfg(test)]
mod tests;
