//! Fields without planes that a plate needs: common readers take the first field of the first well for one that all wells have,
//! and fail on the whole plate where one has it not.

use std::collections::BTreeMap;
use std::io;

use super::documents::document_of;
use super::ground::below;
use super::marker::Kind;
use super::numbering::{parse_field, well_path};
use super::remove::drop_images;
use super::store::{State, Store};
use crate::plate::WellPosition;

/// Fields by path, and their wells.
type Fields = BTreeMap<String, WellPosition>;

/// Fields that every well with planes has to have and that are not there; those in `fresh` are about to get their first
/// plane.
pub(super) fn lacking(state: &State, fresh: &Fields) -> Fields {
    let is_there = |path: &String| state.images.contains_key(path) || fresh.contains_key(path);
    needed(state, fresh).into_iter().filter(|(path, _)| !is_there(path)).collect()
}

/// The field of each well with planes that has the number of the first well's first.
fn needed(state: &State, fresh: &Fields) -> Fields {
    let with_planes = state.images.iter().filter(|(_, planes)| **planes > 0).map(|(path, _)| path);
    let mut wells: BTreeMap<WellPosition, u64> = BTreeMap::new();
    for (well, field) in with_planes.chain(fresh.keys()).filter_map(|path| parse_field(path)) {
        wells.entry(well).and_modify(|first| *first = field.min(*first)).or_insert(field);
    }
    let Some(first) = wells.values().next().copied() else { return BTreeMap::new() };
    wells.into_keys().map(|well| (format!("{}/{first}", well_path(well)), well)).collect()
}

/// Takes in the fields without planes that an earlier run made.
pub(super) fn take_in(store: &Store, state: &mut State) -> io::Result<()> {
    if store.kind != Kind::Plate {
        return Ok(());
    }
    for path in lacking(state, &Fields::new()).into_keys() {
        let document = document_of(store.version, &below(&store.place(), &path));
        if store.ground.files.tree().find(&document)?.is_some() {
            state.images.insert(path, 0);
        }
    }
    Ok(())
}

/// Images have lost their last plane, or never got one: they go, unless the plate needs them.
pub(super) fn drop_unused(store: &Store, state: &mut State) -> io::Result<()> {
    if state.images.values().all(|planes| *planes > 0) {
        return Ok(());
    }
    let mut needed = Fields::new();
    if store.kind == Kind::Plate {
        let missing = lacking(state, &Fields::new());
        put(store, state, &missing)?;
        needed = self::needed(state, &Fields::new());
    }
    let unused = state.images.iter().filter(|(path, planes)| **planes == 0 && !needed.contains_key(*path));
    drop_images(store, state, unused.map(|(path, _)| path.clone()).collect())
}

/// Makes fields without planes.
fn put(store: &Store, state: &mut State, fields: &Fields) -> io::Result<()> {
    let Some(plate) = state.marker.plate.clone().filter(|_| !fields.is_empty()) else { return Ok(()) };
    store.put_fields_arrays(&plate, fields.keys(), state.images.keys())?;
    for (path, well) in fields {
        store.put_field(&plate, path)?;
        state.images.insert(path.clone(), 0);
        store.put_well(state, *well)?;
    }
    Ok(())
}
