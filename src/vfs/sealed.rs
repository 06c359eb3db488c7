//! Sealed files as the file system knows them.
//!
//! A sealed file keeps its names and attributes where every file of the memory tier has them: in the mirror tree, as a
//! file of the right size with no bytes in it (a *stub*). So whatever works on names works on it too, links and
//! renames, times and extended attributes, and a successor of a killed daemon finds it. Only its bytes are elsewhere:
//! a store has them, under an id. Bytes that come back (because somebody writes, or reads again and again) fill the
//! stub's own pages, and leave it again when the store has them.
//!
//! | `absent` | `seal_is_current` | dirty | the file |
//! | --- | --- | --- | --- |
//! | yes | yes | no | sealed: bytes in the store alone |
//! | no | yes | no | sealed, and a copy in memory that can be dropped at any time |
//! | no | no | yes | changed since it was sealed, or never sealed |
//! | no | no | no | the plain file on disk has all of it |
//!
//! A large file that is not absent may still have most of its bytes in the store alone: see [`super::partial`].

use std::fmt;
use std::sync::Arc;

use super::inode::Inode;
use super::partial::Partial;
use super::{Result, Vfs};
use crate::backend::zarr::{SealedEntry, SealedId, Stores};
use crate::backend::{ByteSource, Object};
use crate::model::{Attr, Timestamp};

/// The version of a file that a store holds.
#[derive(Clone)]
pub(crate) struct Sealed {
    /// Where.
    pub id: SealedId,
    /// The last access that the record tells. What is read from a copy in memory is forgotten with it.
    pub atime: Timestamp,
    /// Open while a handle reads it.
    pub source: Option<Arc<dyn ByteSource>>,
    /// Where memory has some of the bytes: which.
    pub partial: Option<Arc<Partial>>,
}

impl Sealed {
    /// In the store, not open.
    pub fn new(id: SealedId, atime: Timestamp) -> Sealed {
        Sealed { id, atime, source: None, partial: None }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("id", &self.id).field("open", &self.source.is_some()).finish()
    }
}

impl Inode {
    /// The record in a store that holds a version of this file.
    pub(crate) fn sealed_id(&self) -> Option<SealedId> {
        self.content.read().sealed.as_ref().map(|sealed| sealed.id)
    }
}

impl Vfs {
    /// The stores, where the caller has just seen a sealed file.
    pub(super) fn stores(&self) -> Result<&dyn Stores> {
        self.stores.as_deref().ok_or(super::Error::Unsupported("this mount reads no stores"))
    }

    /// Opens the store's bytes of a file whose bytes are only there, once for all handles. Hold `opens`.
    pub(super) fn open_sealed(&self, inode: &Inode) -> Result<()> {
        let id = match &inode.content.read().sealed {
            Some(sealed) if inode.is_absent() && sealed.source.is_none() => sealed.id,
            _ => return Ok(()),
        };
        let source = self.stores()?.open(id)?;
        if let Some(sealed) = &mut inode.content.write().sealed {
            sealed.source = Some(source);
        }
        Ok(())
    }

    /// What a store's table should say of a sealed file now. Hold the namespace lock.
    pub(super) fn sealed_entry(&self, inode: &Inode, id: SealedId) -> Result<SealedEntry> {
        let node =
            inode.path().map(|path| self.memory()?.tree().node(&path).map_err(super::Error::from)).transpose()?;
        let (attr, xattrs) = match node {
            Some(node) => (node.stat()?, node.xattrs().all()?),
            None => (self.attr(inode)?, Default::default()),
        };
        Ok(entry_of(id, inode.paths(), &attr, xattrs))
    }

    /// The version of a sealed file that memory has now is still the one in the store. Hold the namespace lock.
    pub(super) fn note_sealed_version(&self, inode: &Inode, id: SealedId) -> Result<()> {
        let Some(path) = inode.path() else { return Ok(()) };
        let memory = self.memory()?.tree().stat(&path)?.identity();
        self.note(&super::journal::Record::Sealed { memory, id, absent: inode.is_absent() })
    }

    /// Names or attributes of a sealed file changed: its record follows. Hold the namespace lock.
    pub(super) fn update_sealed(&self, inode: &Inode) -> Result<()> {
        match inode.sealed_id() {
            Some(id) => {
                let entry = self.sealed_entry(inode, id)?;
                self.stores()?.update(&entry)?;
                if let Some(sealed) = &mut inode.content.write().sealed {
                    sealed.atime = entry.atime;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A record's face.
pub(super) fn entry_of(
    id: SealedId,
    names: Vec<crate::model::RelPath>,
    attr: &Attr,
    xattrs: crate::backend::XattrSet,
) -> SealedEntry {
    SealedEntry {
        id,
        names,
        size: attr.size,
        perm: attr.perm,
        uid: attr.uid,
        gid: attr.gid,
        atime: attr.atime,
        mtime: attr.mtime,
        xattrs,
        found: None,
    }
}

/// Gives an object the attributes of a record, times last.
pub(super) fn set_attributes(object: &Object, entry: &SealedEntry) -> Result<()> {
    use crate::backend::{Owner, Time, Times};
    match object.set_owner(Owner { uid: Some(entry.uid), gid: Some(entry.gid) }) {
        // An ordinary user's daemon makes every file its own.
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {}
        done => done?,
    }
    object.set_perm(entry.perm)?;
    object.xattrs().replace_with(&entry.xattrs)?;
    Ok(object.set_times(Times { atime: Time::At(entry.atime), mtime: Time::At(entry.mtime) })?)
}
