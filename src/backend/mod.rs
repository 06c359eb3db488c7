//! Backends: the ways to store bytes, found by name.
//!
//! A backend keeps files under paths relative to the workspace. Bytes come into it by one verb in two steps: they are
//! *staged* beside the names (copied and verified, invisible), and the staged file is *published* under its name by
//! one rename, if what stands there is still what the caller expects. Whatever is byte-addressable can be opened as an
//! [`Object`]; a backend whose files are not answers `None` and is read through the same [`ByteSource`].
//!
//! To add one: one file with its `impl Backend`, one line in [`KINDS`], and the suite in [`conformance`] must pass.

pub mod conformance;
pub mod disk;
pub mod lease;
pub mod memory;
mod node;
mod object;
mod staged;
mod tree;
mod xattr;
pub mod zarr;

use std::io;

pub use disk::Disk;
pub use memory::Memory;
pub use node::{Access, Node, Owner, Time, Times};
pub use object::Object;
pub use staged::{Expected, PublishError, Staged};
pub use tree::{Tree, TreeEntry, is_absent};
pub use xattr::{XattrSet, Xattrs};

pub use crate::model::ByteSource;
use crate::model::{Attr, RelPath, Tier};

/// One way to store bytes, as the registry lists it.
#[derive(Debug)]
pub struct Kind {
    /// The name that rules use.
    pub name: &'static str,
    /// Where bytes are when this backend has them.
    pub tier: Tier,
    /// What it is, in one line for people.
    pub summary: &'static str,
}

/// Every backend there is.
pub static KINDS: &[&Kind] = &[&memory::KIND, &disk::KIND];

/// The kind called `name`; the error lists those that exist.
pub fn find(name: &str) -> Result<&'static Kind, String> {
    KINDS.iter().copied().find(|kind| kind.name == name).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        format!("there is no backend '{name}'; the registered ones are {}", known.join(", "))
    })
}

/// What a move needs of the place that bytes go to.
pub trait Backend: Send + Sync {
    /// Name and tier.
    fn kind(&self) -> &'static Kind;

    /// The attributes of `path`; `NotFound` if there is nothing of that name.
    fn stat(&self, path: &RelPath) -> io::Result<Attr>;

    /// The bytes of `path` as an object that can be read (and written, if asked for) in place; `None` where this
    /// backend cannot address single bytes.
    fn open(&self, path: &RelPath, access: Access) -> io::Result<Option<Object>>;

    /// Copies `source` beside the names, verified against what was read, with no name yet.
    fn stage(&self, source: &dyn ByteSource) -> io::Result<Staged>;

    /// Gives a staged file its name, atomically, if what stands there is as `expected`.
    fn publish(&self, staged: Staged, path: &RelPath, expected: Expected) -> Result<Attr, PublishError>;

    /// Removes the name `path`.
    fn remove(&self, path: &RelPath) -> io::Result<()>;

    /// Renames a file, replacing what stands at `to`.
    fn rename(&self, from: &RelPath, to: &RelPath) -> io::Result<()>;

    /// Gives the file at `from` the further name `to`.
    fn link(&self, from: &RelPath, to: &RelPath) -> io::Result<()>;

    /// Returns when the name `path` and the bytes under it are durable.
    fn sync(&self, path: &RelPath) -> io::Result<()>;
}
