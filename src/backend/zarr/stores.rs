//! What the file system needs of stores.

use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::backend::XattrSet;
use crate::config::Originals;
use crate::model::{Attr, ByteSource, Identity, RelPath, Timestamp};
use crate::view::Refusal;

/// A sealed file: which store, which record in it. It stays the same through renames, growth of the store, attribute
/// changes and restarts; a file that is sealed anew gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealedId {
    /// The store's id, as its marker says.
    pub store: u128,
    /// The record in the store.
    pub record: u64,
}

/// A file that is to be sealed.
#[derive(Debug, Clone)]
pub struct Subject {
    /// All its names, relative to the workspace; the first decides where it goes.
    pub names: Vec<RelPath>,
    /// Its attributes.
    pub attr: Attr,
    /// Its extended attributes.
    pub xattrs: XattrSet,
    /// The sealed version that this one replaces: its record goes in the same commit, and chunks that are equal stay.
    pub replaces: Option<SealedId>,
    /// What the rule says of the plain file; with `Keep`, the identity of the file that stays.
    pub originals: Originals,
    /// The plain file in the workspace that is sealed, if it is one.
    pub found: Option<Identity>,
    /// Its rule says that its pixels are labels: reduced levels take values that exist, and it goes below its image.
    pub labels: Option<LabelsOf>,
}

/// Which images a file may be the labels of.
#[derive(Clone)]
pub struct LabelsOf {
    /// Their rule names them: images outside of the file's directory may be meant.
    pub named: bool,
    /// Whether the image with this path, relative to the workspace, may be the one.
    pub may_be: Arc<dyn Fn(&RelPath) -> bool + Send + Sync>,
}

impl fmt::Debug for LabelsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelsOf").field("named", &self.named).finish_non_exhaustive()
    }
}

/// A sealed file, as a store's table lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedEntry {
    /// Which.
    pub id: SealedId,
    /// All names, relative to the workspace.
    pub names: Vec<RelPath>,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits.
    pub perm: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: XattrSet,
    /// The plain file that it was sealed from, where that may still be there.
    pub found: Option<Identity>,
}

/// Why a file was not sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// It cannot be held byte for byte, or another file has its place; it stays as it is until it changes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another sealed file claims the same plane.
    #[error("{0} is already sealed as that plane")]
    Claimed(RelPath),
    /// What was rebuilt is not what was read; the storage cannot be trusted.
    #[error("what was rebuilt from the chunks differs from the file")]
    Differs,
    /// The disk has no room or no inodes for the chunks.
    #[error("the workspace's disk has no room for the chunks")]
    NoSpace,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub usize);

/// Files that are sealed together: one commit of the disk serves them all. Dropped without a commit, it leaves nothing.
pub trait Batch: Send + Sync {
    /// Plans a file, encodes and stages its chunks, rebuilds it and compares. May run for several files at once.
    fn add(&self, subject: Subject, source: &dyn ByteSource) -> Result<Ticket, SealError>;

    /// Leaves a file out after all, because it changed meanwhile.
    fn abandon(&self, ticket: Ticket);

    /// Seals what was added: durable when it returns. Each file by itself is sealed wholly or not at all.
    fn commit(self: Box<Self>) -> Vec<(Ticket, Result<SealedId, SealError>)>;
}

/// Where a path stands with regard to stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Outside of every store of ours.
    Outside,
    /// The store's own directory.
    Store,
    /// Below it, and ours: read-only for programs.
    Ours,
    /// Below it, and somebody else's (`labels/`, `tables/`, …): ordinary files.
    Foreign,
}

/// Where a sealed file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAt {
    /// The store's directory.
    pub store: RelPath,
    /// Path of its first array in the store.
    pub array: String,
    /// Bytes that its chunks take as stored.
    pub stored_bytes: u64,
}

impl StoredAt {
    /// For the labels of an image: their name, and the path of the image's group in the store.
    pub fn labels(&self) -> Option<(&str, &str)> {
        let (group, _) = self.array.rsplit_once('/')?;
        super::labels::parse(group).map(|(image, name)| (name, image))
    }
}

/// What the known stores hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Stores.
    pub stores: u64,
    /// Sealed files.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// Bytes of chunks as stored.
    pub stored_bytes: u64,
}

/// One store and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreTotal {
    /// Its directory, relative to the workspace.
    pub place: RelPath,
    /// Sealed files.
    pub files: u64,
    /// Their lengths in bytes.
    pub bytes: u64,
    /// Bytes of their chunks as stored.
    pub stored_bytes: u64,
}

/// A sealed file in few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// Which.
    pub id: SealedId,
    /// One of its names, relative to the workspace.
    pub name: RelPath,
    /// Length in bytes.
    pub size: u64,
    /// Bytes of its chunks as stored.
    pub stored_bytes: u64,
    /// Last change of the contents.
    pub mtime: Timestamp,
}

/// The stores of a workspace.
pub trait Stores: Send + Sync {
    /// Begins to seal.
    fn begin(&self) -> Box<dyn Batch + '_>;

    /// Every sealed file of the stores that stand in the directory `dir` (their names may lie deeper). A store that
    /// was read before is not read again unless it changed. A record whose names newer records have, because a commit or
    /// a rename was cut short, is listed with none.
    fn listing(&self, dir: &RelPath) -> io::Result<Vec<SealedEntry>>;

    /// Something that changes when a store appears in the directory `dir` or vanishes from it. Cheap.
    fn revision(&self, dir: &RelPath) -> io::Result<u64>;

    /// The bytes of a sealed file.
    fn open(&self, id: SealedId) -> io::Result<Arc<dyn ByteSource>>;

    /// Whether the store of `id` can hold a file under this name: it lies below the store's base.
    fn holds_name(&self, id: SealedId, name: &RelPath) -> bool;

    /// Sets names and attributes of a sealed file (not its size), as one change.
    fn update(&self, entry: &SealedEntry) -> io::Result<()>;

    /// Removes a sealed file with all its names, its chunks, and what of the store is then empty.
    fn remove(&self, id: SealedId) -> io::Result<()>;

    /// Removes what is left of stores in the directory `dir` in which nothing is any more. No commit is under way; who
    /// plans a file for one of them finds it gone.
    fn clear(&self, dir: &RelPath) -> io::Result<()>;

    /// Removes several, together where that is cheaper; those for which it failed.
    fn remove_all(&self, ids: &[SealedId]) -> Vec<(SealedId, io::Error)> {
        ids.iter().filter_map(|id| Some((*id, self.remove(*id).err()?))).collect()
    }

    /// Renames a directory, or has two exchange their names, by `act`, which says whether it did: stores in them stand
    /// elsewhere then. Nobody looks for stores meanwhile; `act` must not either.
    fn rename_dirs(&self, from: &RelPath, to: &RelPath, exchange: bool, act: &mut dyn FnMut() -> bool);

    /// Where `path` stands.
    fn within(&self, path: &RelPath) -> Within;

    /// Where the bytes of a sealed file are.
    fn stored_at(&self, id: SealedId) -> Option<StoredAt>;

    /// The known stores that are on disk, each with what it holds. Costs a look at each.
    fn totals(&self) -> Vec<StoreTotal>;

    /// Shows `visit` every sealed file of the known stores that stand above, at or below `under` (nothing: all), until
    /// it says `false`. No lock is held meanwhile.
    fn visit_sealed(&self, under: &[RelPath], visit: &mut dyn FnMut(SealedFile) -> bool);

    /// What the known stores hold.
    fn figures(&self) -> StoreFigures;

    /// Work that waits until there is time: extents that grow, levels that are listed, time axes that are trimmed.
    fn tidy(&self) -> io::Result<()>;

    /// Everything is durable, and all metadata is as it should be at rest.
    fn finish(&self) -> io::Result<()>;

    /// Bytes of decoded chunks that may be kept.
    fn set_cache(&self, bytes: u64);
}
