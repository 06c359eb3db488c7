//! After a crash: what a store says of itself is made what its records say.

use std::collections::BTreeSet;
use std::io;

use super::companions;
use super::ground::below;
use super::labels;
use super::marker::{Kind, PlateMarker};
use super::numbering::parse_field;
use super::store::Store;
use crate::backend::is_absent;
use crate::model::{FileKind, RelPath};

/// Levels that a field can have.
const LEVELS: u64 = 2;

/// Lists what is there, brings all fields to the same extents, and removes groups that a commit made and never used.
pub(super) fn repair(store: &Store) -> io::Result<()> {
    let mut state = store.state.lock();
    let Some(plate) = state.marker.plate.clone().filter(|_| store.kind == Kind::Plate) else {
        return if state.entries.is_empty() { Ok(()) } else { store.put_root(&state) };
    };
    store.put_fields_arrays(&plate, state.images.keys(), std::iter::empty())?;
    state.images.keys().try_for_each(|path| store.put_field(&plate, path))?;
    let wells: BTreeSet<_> = state.fields().map(|(well, _)| well).collect();
    wells.into_iter().try_for_each(|well| store.put_well(&state, well))?;
    if !state.images.is_empty() {
        store.put_root(&state)?;
    }
    let mut strays = strays(store)?;
    let labels = stray_labels(store, &plate, &strays)?;
    strays.extend(labels);
    strays.retain(|path| !state.images.contains_key(path));
    for path in strays {
        (0..LEVELS).try_for_each(|level| prune(store, &below(&store.place(), &format!("{path}/{level}"))).map(drop))?;
        state.images.insert(path, 0);
    }
    companions::drop_unused(store, &mut state)
}

/// Groups of fields, whoever uses them.
fn strays(store: &Store) -> io::Result<Vec<String>> {
    let mut strays = Vec::new();
    for row in dirs(store, "")? {
        for well in dirs(store, &row)? {
            let fields = dirs(store, &well)?;
            strays.extend(fields.into_iter().filter(|path| parse_field(path).is_some()));
        }
    }
    Ok(strays)
}

/// Groups of the plate's labels in fields.
fn stray_labels(store: &Store, plate: &PlateMarker, fields: &[String]) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for (field, set) in fields.iter().flat_map(|field| plate.labels.iter().map(move |set| (field, set))) {
        let path = labels::path_of(field, &set.name);
        if store.ground.files.tree().find(&below(&store.place(), &path))?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Paths in the store of the directories in `path` that may belong to a plate.
fn dirs(store: &Store, path: &str) -> io::Result<Vec<String>> {
    let entries = match store.ground.files.tree().list(&below(&store.place(), path)) {
        Err(e) if is_absent(&e) => Vec::new(),
        entries => entries?,
    };
    let found = entries.into_iter().filter(|entry| entry.kind == FileKind::Directory);
    let names = found.filter_map(|entry| entry.name.into_string().ok());
    let ours =
        names.filter(|name| name.len() <= 10 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    Ok(ours.map(|name| if path.is_empty() { name } else { format!("{path}/{name}") }).collect())
}

/// Removes the directories of chunks below `dir` that have none; whether nothing but documents is left.
fn prune(store: &Store, dir: &RelPath) -> io::Result<bool> {
    let entries = match store.ground.files.tree().list(dir) {
        Err(e) if is_absent(&e) => return Ok(true),
        entries => entries?,
    };
    let mut empty = true;
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.kind == FileKind::Directory && prune(store, &path)? {
            match store.ground.files.tree().rmdir(&path) {
                Err(e) if e.raw_os_error() == Some(libc::ENOTEMPTY) => empty = false,
                removed => removed?,
            }
        } else {
            empty = false;
        }
    }
    Ok(empty)
}
