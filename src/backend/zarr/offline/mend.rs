//! What can be mended in a store: what was left undone, leftovers, and changes that are meant.
//!
//! Nothing here removes the only copy of anything: records are never dropped, and no file is taken for a leftover as
//! long as a record cannot be read, since it might be the one that uses it.

use std::io;

use super::super::array::{Chunk, ChunkArray, ChunkError};
use super::super::blosc::{BloscError, Filter, FilterChoice};
use super::super::table::{
    ArrayUse, CHUNK, ChunkList, ChunkRef, Due, LITERALS, LiteralChunk, PageWrite, Rebuilt, Recipe, RecipeBytes, Record,
    RecordId, Spill, StoredChunk, TABLES, TableError,
};
use super::{Offline, check, hash, orphans, path_of};
use crate::model::RelPath;

/// What a repair did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Files that got their place, or were removed, as was due.
    pub redone: u64,
    /// Leftovers that were removed.
    pub removed: Vec<RelPath>,
    /// Leftovers stay, because a part of the table cannot be read and may be about them.
    pub kept_leftovers: bool,
}

/// What was accepted.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Files that are from now on what their chunks say.
    pub files: Vec<RelPath>,
    /// Files that have changed chunks but cannot be accepted, and why.
    pub refused: Vec<(RelPath, String)>,
}

/// Does what is due, and removes what nothing uses. The store has to be opened with a staging directory: that in which
/// its staged files are.
pub fn repair(store: &Offline) -> Result<Repaired, TableError> {
    let mut done = Repaired::default();
    let files = &store.arrays.files;
    let renames = store.found.dues.iter().filter_map(|(_, due)| match due {
        Due::Rename { staged, path } => Some((staged, path)),
        Due::Remove { .. } => None,
    });
    for (staged, path) in renames {
        done.redone += u64::from(files.publish_left(staged.as_ref(), &path_of(path))?);
    }
    if !store.found.flaws.is_empty() {
        done.kept_leftovers = true;
        return Ok(done);
    }
    let used = orphans::used(store)?;
    for (_, due) in &store.found.dues {
        let Due::Remove { path } = due else { continue };
        let path = path_of(path);
        if used.is_unused(&path) {
            done.redone += u64::from(files.remove(&path, &RelPath::root())?);
        }
    }
    for path in orphans::find(store, &used)? {
        files.remove(&path, &RelPath::root())?;
        done.removed.push(path);
    }
    files.sync_all()?;
    store.found.dues.iter().for_each(|(page, _)| store.table.settle(*page));
    Ok(done)
}

/// Takes chunks that were changed from outside as the contents of their files: checks and hashes follow them. A file
/// with a damaged or missing chunk is left as it is.
pub fn accept(store: &Offline) -> Result<Accepted, TableError> {
    let mut done = Accepted::default();
    for (id, entry) in store.table.entries() {
        let Some(name) = entry.names.into_iter().next() else { continue };
        match accept_file(store, id) {
            Ok(true) => done.files.push(name),
            Ok(false) => {}
            Err(e) => done.refused.push((name, e.to_string())),
        }
    }
    Ok(done)
}

/// `false`: there is nothing to accept.
fn accept_file(store: &Offline, id: RecordId) -> Result<bool, TableError> {
    let record = store.table.record(id)?;
    let recipe = store.recipe(&record)?;
    let Some(chunks) = current(store, &record.arrays, &recipe.chunks)? else { return Ok(false) };
    let recipe = Recipe { chunks, ..recipe };
    let bytes = recipe.encode();
    let source = Rebuilt::new(record.arrays.clone().into(), recipe.into(), store.arrays.clone());
    let sha256 = hash(&source, &mut |_| Ok(()))?;
    let recipe = match record.recipe {
        RecipeBytes::Inline(_) => RecipeBytes::Inline(bytes),
        RecipeBytes::Spilled(_) => RecipeBytes::Spilled(spill(store, &bytes)?),
    };
    let owner = store.table.owner_of(id)?;
    let mut edit = store.table.edit(&owner);
    edit.put(Record { sha256, recipe, ..record }, Vec::new())?;
    write_pages(store, edit.writes()?)?;
    write_pages(store, edit.commit().settled())?;
    Ok(true)
}

/// The chunks as they are now; `None` if they are as they were.
fn current(store: &Offline, arrays: &[ArrayUse], chunks: &ChunkList) -> Result<Option<ChunkList>, TableError> {
    let mut now = ChunkList::default();
    let mut changed = false;
    for chunk in chunks.iter() {
        let array = arrays.get(chunk.array as usize).map(|array| array.path.as_str()).unwrap_or_default();
        let stored = StoredChunk { array, coords: chunk.coords, stored: chunk.stored, checks: chunk.checks };
        match check::state(store, stored) {
            Ok(()) => now.push(chunk),
            Err(ChunkError::Frame(BloscError::Changed { .. })) => {
                changed = true;
                let checks = checks_now(store, stored).map_err(|e| failed(&e))?;
                now.push(ChunkRef { checks: &checks, ..chunk });
            }
            Err(e) => return Err(failed(&e).into()),
        }
    }
    Ok(changed.then_some(now))
}

fn checks_now(store: &Offline, stored: StoredChunk<'_>) -> Result<Vec<u64>, ChunkError> {
    match store.arrays.open(stored.array, stored.coords)? {
        Chunk::Stored(frame) => Ok(frame.checks()?),
        Chunk::Absent => Err(ChunkError::Missing { range: 0..0 }),
    }
}

/// Writes the bytes of a recipe into new chunks of `scopefs/literals`.
fn spill(store: &Offline, bytes: &[u8]) -> Result<Spill, TableError> {
    let ids = store.table.take_literals(bytes.len().div_ceil(CHUNK) as u64);
    make_room(store, LITERALS, ids.end)?;
    let mut chunks = Vec::new();
    for (id, part) in ids.zip(bytes.chunks(CHUNK)) {
        let mut chunk = part.to_vec();
        chunk.resize(CHUNK, 0);
        let encoded = write_chunk(store, LITERALS, id, &chunk)?;
        chunks.push(LiteralChunk { id, ..encoded });
    }
    Ok(Spill { len: bytes.len() as u64, crc: crc32fast::hash(bytes), chunks })
}

fn write_pages(store: &Offline, writes: Vec<PageWrite>) -> Result<(), TableError> {
    for write in writes {
        make_room(store, TABLES, write.index + 1)?;
        if write.bytes.is_empty() {
            let path = store.arrays.file_of(TABLES, &[write.index])?.unwrap_or_default();
            store.arrays.files.remove(&path, &path_of(TABLES))?;
        } else {
            write_chunk(store, TABLES, write.index, &write.bytes)?;
        }
    }
    Ok(())
}

fn write_chunk(store: &Offline, array: &str, index: u64, bytes: &[u8]) -> Result<LiteralChunk, TableError> {
    let too_large = |e| io::Error::new(io::ErrorKind::InvalidInput, e);
    let encoded = store.arrays.array(array)?.encode(bytes, FilterChoice::Always(Filter::None)).map_err(too_large)?;
    let absent = || io::Error::new(io::ErrorKind::NotFound, "the array has no room");
    let path = store.arrays.file_of(array, &[index])?.ok_or_else(absent)?;
    store.arrays.files.put(&path, &encoded.bytes, true)?;
    store.arrays.files.sync_names(&path)?;
    Ok(LiteralChunk { id: index, stored: encoded.bytes.len() as u64, checks: encoded.checks })
}

/// Makes the array at least `chunks` chunks long.
fn make_room(store: &Offline, path: &str, chunks: u64) -> Result<(), TableError> {
    let array = store.arrays.array(path)?;
    if array.grid().first().is_some_and(|&there| there >= chunks) {
        return Ok(());
    }
    let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    let longer = array.resized(&[chunks * CHUNK as u64]).map_err(invalid)?;
    let document = path_of(path).join(ChunkArray::document_name(store.arrays.version));
    store.arrays.files.put(&document, &longer.document().map_err(invalid)?, true)?;
    store.arrays.replace(path, longer);
    Ok(())
}

fn failed(e: &ChunkError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}
