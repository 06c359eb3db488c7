//! Bytes on their way: a file that has been copied but has no name yet.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::AtFlags;
use thiserror::Error;

use super::{ByteSource, Object};
use crate::model::Identity;

/// How much is copied in one step, in bytes: each thread that copies keeps two buffers of it in its part of the heap.
const STEP: usize = 256 << 10;

/// What must stand at a name for a staged file to replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// This version of this inode, and no other.
    Version(Identity),
}

/// Why a staged file did not get its name. The staged file is handed back.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Something else stands there; somebody changed the workspace behind the mount's back.
    #[error("the file in the workspace is not the one that was there before")]
    Conflict(Staged),
    /// The system refused.
    #[error("{1}")]
    Io(Staged, #[source] io::Error),
}

/// A file in a backend's staging directory. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    object: Arc<Object>,
    dir: Arc<OwnedFd>,
    name: Option<OsString>,
}

impl Staged {
    /// Takes over the file `name` in `dir`.
    pub(super) fn new(object: Object, dir: Arc<OwnedFd>, name: OsString) -> Staged {
        Staged { object: Arc::new(object), dir, name: Some(name) }
    }

    /// The open file, for attributes, later changes and for what goes on being written through it.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Copies all of `source` (holes stay holes), and reads each step back to compare it.
    pub fn fill(&self, source: &dyn ByteSource) -> io::Result<()> {
        let mut at = 0;
        while let Some(data) = source.next_data(at)? {
            self.copy_range(source, data.start, data.end)?;
            at = data.end;
        }
        self.object.set_size(source.size()?)
    }

    /// Copies the bytes of `source` in `[start, end)` as they are now, zeros included, and compares them.
    ///
    /// Stops at the end of `source`, which may have become shorter.
    pub fn copy_range(&self, source: &dyn ByteSource, start: u64, end: u64) -> io::Result<()> {
        let mut wanted = vec![0; STEP.min((end - start) as usize)];
        let mut found = vec![0; wanted.len()];
        let mut at = start;
        while at < end {
            let len = wanted.len().min((end - at) as usize);
            let got = source.read_at(&mut wanted[..len], at)?;
            if got == 0 {
                break;
            }
            self.object.write_all_at(&wanted[..got], at)?;
            if self.object.read_at(&mut found[..got], at)? != got || found[..got] != wanted[..got] {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the copy differs from its source at byte {at}; the storage cannot be trusted"),
                ));
            }
            at += got as u64;
        }
        Ok(())
    }

    /// Where it lies until it is published.
    pub(super) fn place(&self) -> (&Arc<OwnedFd>, Option<&OsString>) {
        (&self.dir, self.name.as_ref())
    }

    /// Whether the temporary name still stands for this file.
    pub(super) fn holds_its_name(&self) -> bool {
        let Some(name) = &self.name else { return false };
        match (rustix::fs::statat(&*self.dir, name, AtFlags::SYMLINK_NOFOLLOW), rustix::fs::fstat(&*self.object)) {
            (Ok(there), Ok(ours)) => (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino),
            _ => false,
        }
    }

    /// Lets go of the temporary name, because it was given away.
    pub(super) fn named(&mut self) {
        self.name = None;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // What cannot be removed now is swept when the workspace is next mounted.
            if let Err(e) = rustix::fs::unlinkat(&*self.dir, &name, AtFlags::empty()) {
                tracing::warn!("temporary file {name:?} stays in the staging directory: {e}");
            }
        }
    }
}
