//! After a crash: what a store says of itself is made what its records say.

use std::collections::BTreeSet;
use std::io;

use super::ground::below;
use super::marker::{Kind, PlateMarker};
use super::numbering::parse_field;
use super::store::{State, Store, hash};
use super::table::LITERALS;
use super::{companions, labels, remove};
use crate::backend::is_absent;
use crate::model::FileKind;

/// Levels that an image can have.
const LEVELS: u64 = 64;

/// Lists what is there, brings all fields to the same extents, and removes groups that a commit made and never used
/// (`groups` may be such), chunks in them that no record uses, and a store that has no records.
pub(super) fn repair(store: &Store, groups: &[String]) -> io::Result<()> {
    let mut state = store.state.lock();
    let plate = state.marker.plate.clone().filter(|_| store.kind == Kind::Plate);
    if let Some(plate) = &plate {
        list_plate(store, &state, plate)?;
    } else if !state.entries.is_empty() {
        store.put_root(&state)?;
    }
    if state.flawed {
        // What seems to be of no use may belong to a record that cannot be read.
        return Ok(());
    }
    sweep_chunks(store, &state, LITERALS)?;
    let mut unused = plate.map_or_else(|| Ok(Vec::new()), |plate| strays(store, &state, &plate))?;
    unused.extend(groups.iter().cloned());
    for group in unused {
        for level in 0..LEVELS {
            let array = if group.is_empty() { level.to_string() } else { format!("{group}/{level}") };
            sweep_chunks(store, &state, &array)?;
        }
        // Known, so that they are taken away.
        state.images.entry(group).or_insert(0);
    }
    companions::drop_unused(store, &mut state)?;
    if store.kind == Kind::Plate {
        drop_bare_wells(store)?;
    }
    remove::drop_if_empty(store, &mut state)
}

/// Rows and wells of which nothing but documents is left.
fn drop_bare_wells(store: &Store) -> io::Result<()> {
    let place = store.place();
    for row in dirs(store, "")? {
        for well in dirs(store, &row)? {
            store.drop_documents(&place, &below(&place, &well))?;
        }
        store.drop_documents(&place, &below(&place, &row))?;
    }
    Ok(())
}

/// Whether nothing but documents is left in the directory `path` of an array; directories without chunks go.
fn sweep_chunks(store: &Store, state: &State, path: &str) -> io::Result<bool> {
    let tree = store.ground.files.tree();
    let dir = below(&store.place(), path);
    let entries = match tree.list(&dir) {
        Err(e) if is_absent(&e) => return Ok(true),
        entries => entries?,
    };
    let mut bare = true;
    for entry in entries {
        let Some(name) = entry.name.to_str() else { return Ok(false) };
        let is_index = name == "c" || name.bytes().all(|byte| byte.is_ascii_digit());
        let inside = format!("{path}/{name}");
        if entry.kind == FileKind::Directory && is_index && sweep_chunks(store, state, &inside)? {
            tree.rmdir(&dir.join(&entry.name))?;
        } else if entry.kind == FileKind::Regular && is_index && !state.claims.contains_key(&hash(&inside)) {
            tree.unlink(&dir.join(&entry.name))?;
        } else {
            bare = false;
        }
    }
    Ok(bare)
}

/// Writes what fields, wells and plate say, where it differs from the records.
fn list_plate(store: &Store, state: &State, plate: &PlateMarker) -> io::Result<()> {
    store.put_fields_arrays(plate, state.images.keys(), std::iter::empty())?;
    state.images.keys().try_for_each(|path| store.put_field(plate, path))?;
    let wells: BTreeSet<_> = state.fields().map(|(well, _)| well).collect();
    wells.into_iter().try_for_each(|well| store.put_well(state, well))?;
    if state.images.is_empty() { Ok(()) } else { store.put_root(state) }
}

/// Groups of fields, and of the plate's labels in them, that no record uses.
fn strays(store: &Store, state: &State, plate: &PlateMarker) -> io::Result<Vec<String>> {
    let mut strays = Vec::new();
    for row in dirs(store, "")? {
        for well in dirs(store, &row)? {
            let fields = dirs(store, &well)?;
            strays.extend(fields.into_iter().filter(|path| parse_field(path).is_some()));
        }
    }
    let labels = stray_labels(store, plate, &strays)?;
    strays.extend(labels);
    strays.retain(|path| !state.images.contains_key(path));
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
