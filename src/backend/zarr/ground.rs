//! What all stores of a workspace stand on: its files, and how they are written.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::array::Version;
use super::blosc::{Encoded, FilterChoice, Frame, Scratch, Section, encode};
use super::cache::Cache;
use super::files::{Files, StagedFile};
use super::reader::Opened;
use crate::backend::Object;
use crate::config::{Ngff, Shards};
use crate::model::RelPath;

/// Longest metadata document that is read.
pub(super) const DOCUMENT_MOST: usize = 64 << 20;

/// Called at each step of a commit, by tests that stop there.
pub(super) type Hook = Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>;

/// The workspace's files, and the choices of the configuration.
pub(super) struct Ground {
    pub files: Files,
    /// Version of new stores.
    pub version: Ngff,
    /// Whether the fields of new plates are gathered in shards.
    pub shards: Shards,
    pub filter: FilterChoice,
    /// The workspace may be written to.
    pub writable: bool,
    pub hook: Option<Hook>,
    /// Decoded blocks.
    pub cache: Cache,
    /// Chunks that are open for reading.
    pub opened: Opened,
}

/// A complete chunk under a temporary name, with no descriptor open. Dropping it removes it.
pub(super) struct StagedChunk {
    ground: Arc<Ground>,
    name: Option<OsString>,
    /// Where it belongs, in the store.
    pub path: String,
}

impl Ground {
    /// A step of a commit was reached.
    pub fn reached(&self, step: &'static str) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    /// Stages a finished frame that belongs at `path` in its store.
    pub fn stage(self: &Arc<Self>, frame: &Encoded, path: String) -> io::Result<StagedChunk> {
        let name = self.files.stage(&frame.bytes)?.keep();
        Ok(StagedChunk { ground: self.clone(), name: Some(name), path })
    }

    /// A finished file that belongs at `path` in its store.
    pub fn staged(self: &Arc<Self>, file: StagedFile, path: String) -> StagedChunk {
        StagedChunk { ground: self.clone(), name: Some(file.keep()), path }
    }

    /// Encodes the bytes of a chunk whose samples have `size` bytes.
    pub fn encode(&self, bytes: &[u8], size: usize) -> io::Result<Encoded> {
        let size = u8::try_from(size).unwrap_or(1);
        encode(bytes, size, self.filter).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Reads a document; `None` if there is none.
    pub fn document(&self, path: &RelPath) -> io::Result<Option<Vec<u8>>> {
        self.files.read(path, DOCUMENT_MOST)
    }
}

impl StagedChunk {
    /// Its temporary name; `None` once it has its own.
    pub fn name(&self) -> Option<&OsString> {
        self.name.as_ref()
    }

    /// Opens it for reading.
    pub fn open(&self) -> io::Result<Object> {
        let name = self.name.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.ground.files.open_left(name)
    }

    /// Gives it its place in the store `store`.
    pub fn publish(mut self, store: &RelPath) -> io::Result<()> {
        if let Some(name) = &self.name {
            self.ground.files.publish_left(name, &below(store, &self.path))?;
        }
        self.name = None;
        Ok(())
    }

    /// Leaves it where it is, because a page says that its rename is due.
    pub fn keep(mut self) {
        self.name = None;
    }
}

impl Drop for StagedChunk {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && let Err(e) = self.ground.files.drop_left(name)
        {
            tracing::warn!("temporary file {name:?} stays in the staging directory: {e}");
        }
    }
}

/// `path`, which is relative to the directory `dir`, from the root of the workspace.
pub(super) fn below(dir: &RelPath, path: &str) -> RelPath {
    let mut whole = dir.clone();
    path.split('/').filter(|part| !part.is_empty()).for_each(|part| whole.push(part.as_ref()));
    whole
}

/// The Zarr version of an NGFF version.
pub(super) fn zarr_version(version: Ngff) -> Version {
    match version {
        Ngff::V04 => Version::V2,
        Ngff::V05 => Version::V3,
    }
}

/// Path in the store of the chunk with this index of the array at `array`.
pub(super) fn chunk_path(version: Ngff, array: &str, index: &[u64]) -> String {
    let mut path = array.to_owned();
    if version == Ngff::V05 {
        path.push_str("/c");
    }
    index.iter().for_each(|at| path.push_str(&format!("/{at}")));
    path
}

/// Fills `out` with `range` of the chunk in `object`, which decodes to `len` bytes; each block that is touched is held
/// against its check.
pub(super) fn decode(object: Object, len: u64, checks: &[u64], range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
    let stored = 0..object.stat()?.size;
    let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    let frame = Frame::open(Section { source: Box::new(object), range: stored }, len).map_err(invalid)?;
    frame.decode_range_checked(range.start, out, checks, &mut Scratch::default()).map_err(invalid)
}
