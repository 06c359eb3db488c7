//! Files of chunks that no record uses.

use std::collections::{BTreeSet, HashSet};

use super::super::array::Version;
use super::super::table::{Due, LITERALS, Literals, RecipeBytes, TableError};
use super::{Offline, below, path_of};
use crate::backend::is_absent;
use crate::model::{FileKind, RelPath};

/// Files in the arrays of records, and in `scopefs/literals`, that have names of chunks and that no record uses. Other
/// groups and arrays (`labels`, an image that somebody added) are not looked at, nor single chunks within a shard that
/// others use.
pub(super) fn find(store: &Offline, used: &Used) -> Result<Vec<RelPath>, TableError> {
    let mut orphans = Vec::new();
    for array in used.arrays.iter().map(String::as_str).chain([LITERALS]) {
        chunk_files(store, array, &path_of(array), &mut orphans)?;
    }
    orphans.retain(|path| !used.files.contains(path));
    Ok(orphans)
}

/// Whether something that is due has not been done: a page says so until it is next written, done or not.
pub(super) fn is_left(store: &Offline, used: &Used, due: &Due) -> Result<bool, TableError> {
    Ok(match due {
        Due::Rename { staged, .. } => store.arrays.files.is_left(staged.as_ref())?,
        Due::Remove { path } => {
            let path = path_of(path);
            used.is_unused(&path) && store.arrays.files.tree().find(&path)?.is_some()
        }
    })
}

/// Arrays that records use, and the files of their chunks.
pub(super) struct Used {
    arrays: BTreeSet<String>,
    files: HashSet<RelPath>,
}

impl Used {
    /// Whether no record uses the file `path`.
    pub(super) fn is_unused(&self, path: &RelPath) -> bool {
        !self.files.contains(path)
    }
}

/// What the records use.
pub(super) fn used(store: &Offline) -> Result<Used, TableError> {
    let mut used = Used { arrays: BTreeSet::new(), files: HashSet::new() };
    for (id, _) in store.table.entries() {
        let record = store.table.record(id)?;
        let recipe = store.recipe(&record)?;
        for chunk in recipe.chunks.iter() {
            let Some(array) = record.arrays.get(chunk.array as usize) else { continue };
            used.files.extend(store.arrays.file_of(&array.path, chunk.coords)?);
        }
        let spilled = if let RecipeBytes::Spilled(spill) = &record.recipe { spill.chunks.as_slice() } else { &[] };
        let literals = if let Literals::Chunks { chunks, .. } = &recipe.literals { chunks.as_slice() } else { &[] };
        for chunk in spilled.iter().chain(literals) {
            used.files.extend(store.arrays.file_of(LITERALS, &[chunk.id])?);
        }
        used.arrays.extend(record.arrays.into_iter().map(|array| array.path));
    }
    Ok(used)
}

/// Adds the files below `dir` that have the names of chunks of `array`.
fn chunk_files(store: &Offline, array: &str, dir: &RelPath, files: &mut Vec<RelPath>) -> Result<(), TableError> {
    let entries = match store.arrays.files.tree().list(dir) {
        Err(e) if is_absent(&e) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let Some(name) = entry.name.to_str() else { continue };
        let top = *dir == below(array, &RelPath::root());
        let numbers = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let shard = |name: &str| name.strip_prefix("c.").is_some_and(|rest| rest.split('.').all(numbers));
        let chunk = numbers(name) || (top && store.arrays.version == Version::V3 && shard(name));
        if !(chunk || top && name == "c" && store.arrays.version == Version::V3) {
            continue;
        }
        let path = dir.join(&entry.name);
        match entry.kind {
            FileKind::Regular => files.push(path),
            FileKind::Directory => chunk_files(store, array, &path, files)?,
            _ => {}
        }
    }
    Ok(())
}
