//! Stores with no mount: giving the originals back, finding what is wrong, mending what can be mended.

mod check;
mod export;
#[cfg(test)]
mod made;
mod marked;
mod mend;
mod orphans;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

pub use check::{Finding, Verdict, check};
pub use export::{Exported, export};
#[cfg(test)]
pub(crate) use made::{Made, made, made_with, plane};
pub use marked::{Marked, marked};
pub use mend::{Accepted, Repaired, accept, repair};

use super::array::{Chunk, ChunkArray, ChunkError, Version};
use super::blosc::Scratch;
use super::files::Files;
use super::table::{
    CHUNK, ChunkReader, Found, LITERALS, PageReader, Rebuilt, Recipe, RecipeBytes, Record, StoredChunk, TABLES, Table,
    TableError, read_literal_chunks,
};
use crate::backend::ByteSource;
use crate::model::{FileKind, RelPath};

/// The program that gives the originals back with Python alone; it lies in each store.
pub const RESTORE_PY: &str = include_str!("../restore.py");

/// What lies in each store for people.
pub const README: &str = include_str!("../README.txt");

/// Bytes that are read at once.
const STEP: usize = 4 << 20;

/// Longest metadata document that is read.
const DOCUMENT_MOST: usize = 16 << 20;

/// How far an operation is: files done, bytes done. `false` ends it early.
pub type Progress<'p> = dyn FnMut(u64, u64) -> bool + 'p;

/// The arrays of a store that is not mounted.
#[derive(Debug)]
pub struct Arrays {
    files: Files,
    version: Version,
    known: Mutex<HashMap<String, Arc<ChunkArray>>>,
}

/// A store that is not mounted.
#[derive(Debug)]
pub struct Offline {
    /// Its arrays.
    pub arrays: Arc<Arrays>,
    /// Its table.
    pub table: Table<Arc<Arrays>>,
    /// What was found when the table was read.
    pub found: Found,
}

impl Offline {
    /// Opens the store in the directory `store`. What is written goes through `staging`, which must be on the same file
    /// system; without it the store can only be read.
    pub fn open(store: &Path, staging: Option<&Path>) -> Result<Offline, TableError> {
        let root = File::open(store)?;
        let staging = staging.map_or_else(|| root.try_clone(), File::open)?;
        let files = Files::new(root.into(), staging.into())?;
        let v3 = files.open(&path_of(TABLES).join(OsStr::new("zarr.json")))?.is_some();
        let version = if v3 { Version::V3 } else { Version::V2 };
        let arrays = Arc::new(Arrays { files, version, known: Mutex::default() });
        arrays.array(TABLES)?;
        let pages = arrays.indices(TABLES)?;
        let literals = arrays.indices(LITERALS)?.last().map_or(0, |last| last + 1);
        let (table, found) = Table::load(arrays.clone(), &pages, literals);
        Ok(Offline { arrays, table, found })
    }

    /// Files that are sealed in it and their bytes, as far as its table can be read.
    pub fn size(&self) -> (u64, u64) {
        let entries = self.table.entries();
        (entries.len() as u64, entries.iter().map(|(_, entry)| entry.size).sum())
    }

    /// The recipe of a record, wherever it is.
    pub fn recipe(&self, record: &Record) -> Result<Recipe, TableError> {
        let RecipeBytes::Spilled(spill) = &record.recipe else { return Ok(record.recipe()?) };
        // At most MAX_RECIPE, as decoding the record made sure.
        let mut bytes = vec![0; spill.len as usize];
        read_literal_chunks(&*self.arrays, &spill.chunks, 0, &mut bytes)?;
        Ok(record.spilled_recipe(&bytes)?)
    }

    /// The file of a record.
    pub fn source(&self, record: &Record) -> Result<Rebuilt<Arc<Arrays>>, TableError> {
        let recipe = self.recipe(record)?;
        Ok(Rebuilt::new(record.arrays.clone().into(), recipe.into(), self.arrays.clone()))
    }
}

impl Arrays {
    /// The array at `path`, if it is one that can be read.
    pub fn array(&self, path: &str) -> io::Result<Arc<ChunkArray>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some(array) = known {
            return Ok(array);
        }
        let document = path_of(path).join(ChunkArray::document_name(self.version));
        let bytes = self.files.read(&document, DOCUMENT_MOST)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("the metadata of the array {path} are missing"))
        })?;
        let array = ChunkArray::parse(self.version, &bytes)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("the array {path}: {e}")))?;
        let array = Arc::new(array);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), array.clone());
        Ok(array)
    }

    /// Takes `array` as the one at `path` from now on.
    fn replace(&self, path: &str, array: ChunkArray) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), Arc::new(array));
    }

    /// Opens a chunk.
    pub fn open(&self, path: &str, coords: &[u64]) -> Result<Chunk, ChunkError> {
        self.array(path)?.open(&self.files, &path_of(path), coords)
    }

    /// Path of the file that a chunk is in.
    pub fn file_of(&self, path: &str, coords: &[u64]) -> io::Result<Option<RelPath>> {
        Ok(self.array(path)?.place(coords).map(|place| below(path, &place.file)))
    }

    /// Indices of the chunks that an array of one dimension has, ascending.
    fn indices(&self, path: &str) -> io::Result<Vec<u64>> {
        let mut dir = path_of(path);
        if self.version == Version::V3 {
            dir.push(OsStr::new("c"));
        }
        let entries = match self.files.tree().list(&dir) {
            Err(e) if crate::backend::is_absent(&e) => Vec::new(),
            entries => entries?,
        };
        let regular = entries.into_iter().filter(|entry| entry.kind == FileKind::Regular);
        let mut indices: Vec<u64> = regular.filter_map(|entry| entry.name.to_str()?.parse().ok()).collect();
        indices.sort_unstable();
        Ok(indices)
    }
}

impl ChunkReader for Arc<Arrays> {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        (**self).read(chunk, range, out)
    }
}

impl ChunkReader for Arrays {
    fn read(&self, chunk: StoredChunk<'_>, range: Range<u64>, out: &mut [u8]) -> io::Result<()> {
        let opened = self.open(chunk.array, chunk.coords);
        let read = opened.and_then(|opened| opened.read(range.start, out, Some(chunk.checks), &mut Scratch::default()));
        read.map_err(|e| {
            let what = format!("chunk {:?} of {}: {e}", chunk.coords, chunk.array);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }
}

impl PageReader for Arc<Arrays> {
    fn read_page(&self, index: u64) -> io::Result<Vec<u8>> {
        let failed = |e: ChunkError| io::Error::new(io::ErrorKind::InvalidData, format!("page {index}: {e}"));
        let mut bytes = vec![0; CHUNK];
        let Chunk::Stored(frame) = self.open(TABLES, &[index]).map_err(failed)? else { return Ok(bytes) };
        let mut scratch = Scratch::default();
        for block in 0..frame.blocks() {
            let range = frame.range_of(block);
            let Some(part) = bytes.get_mut(range.start as usize..range.end as usize) else { continue };
            if frame.decode_range(range.start, part, &mut scratch).is_err() {
                // What was in it is missed when the page is read: its header counts.
                part.fill(0);
            }
        }
        Ok(bytes)
    }
}

/// SHA-256 of all bytes of `source`, each step told to `step`.
fn hash(source: &dyn ByteSource, step: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut buf = vec![0; STEP.min(usize::try_from(source.size()?).unwrap_or(STEP)).max(1)];
    let mut at = 0;
    loop {
        let got = source.read_at(&mut buf, at)?;
        let part = buf.get(..got).unwrap_or_default();
        if part.is_empty() {
            return Ok(digest.finalize().into());
        }
        digest.update(part);
        step(part)?;
        at += got as u64;
    }
}

/// A path in the store that was checked to have normal components only.
fn path_of(path: &str) -> RelPath {
    RelPath::from_bytes(path.as_bytes()).unwrap_or_default()
}

fn below(dir: &str, file: &RelPath) -> RelPath {
    let mut path = path_of(dir);
    file.components().for_each(|name| path.push(name));
    path
}
