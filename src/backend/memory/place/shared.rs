//! Where user namespaces are closed: a private directory in `/dev/shm`, if it is large enough and stays.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{PlaceError, Surroundings, WorkspaceId, notes, runtime, tmpfs};

/// The directory and what others hold in the same tmpfs.
pub(super) struct Shared {
    pub(super) root: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) others: u64,
}

/// The directory that an earlier daemon made, if it is there.
pub(super) fn find(at: &Surroundings, id: &WorkspaceId) -> Result<Option<Shared>, PlaceError> {
    let (parent, name) = names(at, id);
    match runtime::private(&parent, &name, at.uid, false) {
        Ok(dir) => open(dir.path).map(Some),
        Err(PlaceError::Io { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the directory; the inner error says in words why it would not do.
pub(super) fn create(at: &Surroundings, id: &WorkspaceId, size: u64) -> Result<Result<Shared, String>, PlaceError> {
    let (parent, name) = names(at, id);
    let shown = parent.display();
    let Ok(above) = tmpfs::open_root(&parent, OFlags::empty()) else {
        return Ok(Err(format!("there is no {shown}")));
    };
    if !rustix::fs::fstatfs(&above).is_ok_and(|s| s.f_type == libc::TMPFS_MAGIC) {
        return Ok(Err(format!("{shown} is not in memory")));
    }
    let free = tmpfs::used_and_free(&above).map_or(0, |(_, free)| free);
    if free < size {
        return Ok(Err(format!("{shown} has {} MiB free where {} MiB are wanted", free >> 20, size >> 20)));
    }
    if let Some(reason) = notes::removed_at_logout(at) {
        return Ok(Err(format!("{shown} does not keep files: {reason}")));
    }
    let dir = runtime::private(&parent, &name, at.uid, true)?;
    open(dir.path).map(Ok)
}

fn names(at: &Surroundings, id: &WorkspaceId) -> (PathBuf, String) {
    (at.root.join("dev/shm"), format!("scopefs-{}-{id}", at.uid))
}

fn open(path: PathBuf) -> Result<Shared, PlaceError> {
    let fail = |source: io::Error| PlaceError::Io { doing: "open", path: path.clone(), source };
    let root = tmpfs::open_root(&path, OFlags::NOFOLLOW).map_err(|e| fail(e.into()))?;
    let (all, _) = tmpfs::used_and_free(&root).map_err(fail)?;
    let others = all.saturating_sub(blocks_below(&path).map_err(fail)?);
    Ok(Shared { root, path, others })
}

/// Bytes allocated to files below a directory. Walked once at the start, not per write.
fn blocks_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0u64;
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let stat = entry.metadata()?;
            if stat.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes = bytes.saturating_add(stat.blocks().saturating_mul(512) / stat.nlink().max(1));
            }
        }
    }
    Ok(bytes)
}
