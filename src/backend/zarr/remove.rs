//! Files leave a store: first the page, then chunks that nobody else has, then what they were the last of.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ground::below;
use super::marker::Kind;
use super::metadata::SERIES;
use super::numbering::{parse_field, well_path};
use super::reshard::{Reshard, StagedShard};
use super::standing::files_of;
use super::store::{Claim, OWN, State, Store, hash};
use super::table::{Due, LITERALS, Page, RecordId, TABLES};
use crate::config::Ngff;
use crate::model::FileKind;

/// Records of one page that are removed with one writing of it.
const TOGETHER: usize = 64;

/// Removes one record and all that is only its own.
pub(super) fn remove_record(store: &Arc<Store>, id: RecordId) -> io::Result<()> {
    match remove_records(store, &[id]).pop() {
        Some((_, e)) => Err(e),
        None => Ok(()),
    }
}

/// Removes records and all that is only theirs: one writing of a page, and of what lists the images, serves several of
/// them. Those that are still there afterwards, and why.
pub(super) fn remove_records(store: &Arc<Store>, ids: &[RecordId]) -> Vec<(RecordId, io::Error)> {
    let mut state = store.state.lock();
    let (mut failed, mut empty) = (Vec::new(), Vec::new());
    let mut by_page: BTreeMap<u64, Vec<RecordId>> = BTreeMap::new();
    for id in ids {
        match state.pages.home(*id) {
            Some(number) => by_page.entry(number).or_default().push(*id),
            None => failed.push((*id, io::ErrorKind::NotFound.into())),
        }
    }
    // What shards are to hold afterwards is worked out for one file at a time.
    let together = if store.sharding.is_some() { 1 } else { TOGETHER };
    for (number, of_page) in by_page {
        for some in of_page.chunks(together) {
            match remove_from_page(store, &mut state, number, some) {
                Ok(left) => empty.extend(left),
                Err(e) => failed.extend(some.iter().map(|id| (*id, again(&e)))),
            }
        }
    }
    if !failed.is_empty() {
        // Groups and the store go when nothing of them is left: what was noted is repaired at the next mount.
        return failed;
    }
    if let Err(e) = settle(store, &mut state, &empty) {
        failed.extend(ids.first().map(|id| (*id, e)));
    }
    failed
}

/// What is left to do when records are gone: groups that none uses go, and the store with its last one.
fn settle(store: &Arc<Store>, state: &mut State, empty: &[String]) -> io::Result<()> {
    if !empty.is_empty() {
        super::companions::drop_unused(store, state)?;
    }
    drop_if_empty(store, state)
}

fn again(e: &io::Error) -> io::Error {
    e.raw_os_error().map_or_else(|| io::Error::new(e.kind(), e.to_string()), io::Error::from_raw_os_error)
}

/// Takes records out of their page, then their chunks away; images that no record uses any more.
fn remove_from_page(store: &Arc<Store>, state: &mut State, number: u64, ids: &[RecordId]) -> io::Result<Vec<String>> {
    let place = store.place();
    announce(store, state, ids);
    let mut page = state.pages.read(&store.ground, &place, store.version, number)?;
    let mut own: Vec<String> = Vec::new();
    for id in ids {
        own.extend(paths_of(store, &page, *id).into_iter().filter(|path| is_own(state, path, *id)));
    }
    for id in ids {
        page.remove(*id);
    }
    let (dues, shards) = take_out(store, &own)?;
    page.dues = dues;
    if page.encode().is_err() && store.sharding.is_none() {
        // Too many to be noted: should this be cut short, a check finds what is left.
        page.dues.clear();
    }
    let (ground, version) = (store.ground.clone(), store.version);
    state.pages.write(&ground, &place, version, number, &mut page)?;
    ground.reached("removed")?;
    own.iter().for_each(|path| drop(state.claims.remove(&hash(path))));
    let empty = ids.iter().flat_map(|id| state.let_go(id.0)).collect();
    shards.into_iter().try_for_each(|shard| shard.publish(store))?;
    for path in own.iter().filter(|path| is_file(store, path)) {
        ground.files.remove(&below(&place, path), &place)?;
    }
    for id in ids {
        super::update::give_way(store, state, *id)?;
    }
    ground.reached("chunks")?;
    Ok(empty)
}

/// Before records leave that are the last of an image: should this be cut short, its groups go at the next mount.
fn announce(store: &Store, state: &mut State, ids: &[RecordId]) {
    let mut leaving: BTreeMap<&String, usize> = BTreeMap::new();
    for entry in ids.iter().filter_map(|id| state.entries.get(&id.0)) {
        entry.images.iter().for_each(|image| *leaving.entry(image).or_default() += 1);
    }
    let is_last = |(image, leaving): &(&String, usize)| state.images.get(*image).is_some_and(|all| *all <= *leaving);
    let last: Vec<String> = leaving.into_iter().filter(is_last).map(|(image, _)| image.clone()).collect();
    let noted = match &state.leaving {
        _ if last.is_empty() => Ok(()),
        Some(note) => note.add(&last),
        None => super::due::note(&store.ground, std::iter::once((store.place(), last)))
            .map(|note| state.leaving = Some(note)),
    };
    if let Err(e) = noted {
        // On a full disk above all things can be deleted.
        tracing::warn!("nobody will know that files are leaving the store {}: {e}", store.place());
    }
}

/// Removes a store without records, unless somebody plans a file for it, or a record may be where nobody can read it.
pub(super) fn drop_if_empty(store: &Store, state: &mut State) -> io::Result<()> {
    if store.reserved.load(Ordering::Acquire) > 0 {
        return Ok(());
    }
    drop_locked(store, state)
}

/// Whether a chunk is a file of its own.
fn is_file(store: &Store, path: &str) -> bool {
    store.sharding.as_ref().is_none_or(|sharding| sharding.place_of(path).is_none())
}

/// What is due when the chunks `own` go, and the shards that have them no more.
fn take_out(store: &Store, own: &[String]) -> io::Result<(Vec<Due>, Vec<StagedShard>)> {
    let Some(mut reshard) = Reshard::of(store) else {
        return Ok((own.iter().map(|path| Due::Remove { path: path.clone() }).collect(), Vec::new()));
    };
    let mut dues = Vec::new();
    reshard.note(std::iter::empty(), own, &mut dues)?;
    let changes: Vec<_> = own.iter().map(|path| (path.as_str(), None)).collect();
    match reshard.write(&changes) {
        Ok(shards) => Ok((dues, shards)),
        // What cannot be read any more must not keep a file from being deleted.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            tracing::error!("chunks in a damaged shard of the store {} stay: {e}", store.place());
            dues.retain(|due| matches!(due, Due::Remove { .. }));
            Ok((dues, Vec::new()))
        }
        Err(e) => Err(e),
    }
}

/// Records were taken out of their page because another replaces them: what only they had goes.
pub(super) fn after_page(store: &Store, state: &mut State, old: &[RecordId], gone: &[String]) {
    let place = store.place();
    for path in gone {
        let key = hash(path);
        match state.claims.get(&key) {
            Some(Claim::Record(record)) if old.contains(&RecordId(*record)) => drop(state.claims.remove(&key)),
            Some(_) => continue,
            None => {}
        }
        if !is_file(store, path) {
            continue;
        }
        if let Err(e) = store.ground.files.remove(&below(&place, path), &place) {
            tracing::warn!("{path} of the store {place}, which no file uses, stays: {e}");
        }
    }
    for id in old {
        // Groups that are empty now are dropped when the commit ends.
        state.let_go(id.0);
    }
}

/// Paths in the store of all files that a record uses.
pub(super) fn paths_of(store: &Store, page: &Page, id: RecordId) -> Vec<String> {
    let Some(Ok(record)) = page.record(id) else { return Vec::new() };
    match store.recipe(&record) {
        Ok(recipe) => files_of(store.version, &record, &recipe).collect(),
        Err(e) => {
            tracing::error!("chunks of {} stay, because its recipe cannot be read: {e}", record.names[0]);
            Vec::new()
        }
    }
}

/// Whether nobody else claims a chunk.
fn is_own(state: &State, path: &str, id: RecordId) -> bool {
    match state.claims.get(&hash(path)) {
        Some(Claim::Record(record)) => *record == id.0,
        Some(Claim::Pending(_)) => false,
        None => true,
    }
}

/// Removes groups of images that no record uses, and then what they were the last of. What fails is tried again after
/// the next commit.
pub(super) fn drop_images(store: &Store, state: &mut State, mut empty: Vec<String>) -> io::Result<()> {
    if empty.is_empty() {
        return Ok(());
    }
    empty.sort_unstable();
    for image in &empty {
        state.images.remove(image);
    }
    let dropped = drop_groups(store, state, &empty);
    if dropped.is_err() {
        state.images.extend(empty.into_iter().map(|image| (image, 0)));
    }
    dropped
}

fn drop_groups(store: &Store, state: &State, empty: &[String]) -> io::Result<()> {
    if store.kind != Kind::Plate {
        store.put_root(state)?;
    }
    let wells: HashSet<_> = empty.iter().filter_map(|image| parse_field(image)).map(|(well, _)| well).collect();
    if store.kind == Kind::Plate {
        store.put_root(state)?;
        for well in &wells {
            if !state.fields_of(*well).is_empty() {
                store.put_well(state, *well)?;
            }
        }
    }
    drop_dirs(store, state, empty)
}

/// Removes the directories of images that no record uses, and of wells and rows that have no other.
fn drop_dirs(store: &Store, state: &State, empty: &[String]) -> io::Result<()> {
    let wells: HashSet<_> = empty.iter().filter_map(|image| parse_field(image)).map(|(well, _)| well).collect();
    let place = store.place();
    // Labels, whose paths are longer, before the images that they are in.
    for image in empty.iter().rev() {
        match super::labels::parse(image) {
            Some(_) => store.drop_labels(image)?,
            None => store.drop_image(image)?,
        }
    }
    for well in wells.into_iter().filter(|well| state.fields_of(*well).is_empty()) {
        let path = well_path(well);
        store.drop_documents(&place, &below(&place, &path))?;
        let row = path.split('/').next().unwrap_or_default();
        store.drop_documents(&place, &below(&place, row))?;
    }
    Ok(())
}

/// Removes a store that nothing is in and nobody plans a file for: all that was to be sealed there failed, or has left
/// meanwhile.
pub(super) fn drop_unused(store: &Store) -> io::Result<()> {
    drop_if_empty(store, &mut store.state.lock())
}

/// Removes a store that nothing is in, whoever plans a file for it.
pub(super) fn drop_empty(store: &Store) -> io::Result<()> {
    drop_locked(store, &mut store.state.lock())
}

/// As [`drop_empty`]. Nothing is dropped while a record may be where nobody can read it.
fn drop_locked(store: &Store, state: &mut State) -> io::Result<()> {
    let there = store.is_created() || store.ground.files.tree().find(&store.place())?.is_some();
    if !there || store.is_gone() || !state.entries.is_empty() || state.flawed {
        return Ok(());
    }
    // On a full disk what says that they are there could not be changed before.
    let images: Vec<String> = std::mem::take(&mut state.images).into_keys().collect();
    drop_dirs(store, state, &images)?;
    drop_store(store, state)
}

/// Removes a store that has no records. What others put into it stays, in a group that is no plate any more.
fn drop_store(store: &Store, state: &mut State) -> io::Result<()> {
    store.in_work.store(true, Ordering::Release);
    let is_removed = drop_ours(store, state);
    if !matches!(is_removed, Ok(true)) {
        store.in_work.store(false, Ordering::Release);
    }
    is_removed.map(drop)
}

/// As [`drop_store`]; whether nothing else was in it.
fn drop_ours(store: &Store, state: &mut State) -> io::Result<bool> {
    let place = store.place();
    if state.leaving.is_none() {
        // Without room for the note it is done all the same.
        state.leaving = super::due::note(&store.ground, std::iter::once((place.clone(), Vec::new()))).ok();
    }
    drop_bare(store)?;
    // The marker last: without it nobody would know that the rest is ours.
    for path in [TABLES, LITERALS, OWN] {
        drop_tree(store, path)?;
        store.ground.reached(path)?;
    }
    store.drop_documents(&place, &below(&place, SERIES))?;
    store.gone.store(true, Ordering::Release);
    store.ground.opened.forget(store.id);
    let foreign = store
        .ground
        .files
        .tree()
        .list(&place)?
        .iter()
        .any(|entry| !matches!(entry.name.to_str(), Some(".zattrs" | "zarr.json" | ".zgroup")));
    if foreign {
        state.has_left();
        super::documents::edit_group(&store.ground, (&place, &place), store.version, |document| {
            let ome = document.ome();
            ["plate", "multiscales", "omero", "bioformats2raw.layout"].iter().for_each(|key| drop(ome.remove(*key)));
            Ok(())
        })?;
        return Ok(false);
    }
    store.drop_documents(&place, &place)?;
    let files = &store.ground.files;
    files.keeping_times(&store.base(), || match files.tree().rmdir(&place) {
        Err(e) if crate::backend::is_absent(&e) => Ok(()),
        removed => removed,
    })?;
    state.has_left();
    Ok(true)
}

/// Removes images and rows of a store that is about to go, as far as nothing but documents is left of them: whatever had
/// made them, or was about to take them away, may have been cut short.
fn drop_bare(store: &Store) -> io::Result<()> {
    for entry in store.ground.files.tree().list(&store.place())? {
        let Some(name) = entry.name.to_str() else { continue };
        if entry.kind == FileKind::Directory && may_be_ours(name) && is_bare(store, name)? {
            drop_tree(store, name)?;
        }
    }
    Ok(())
}

/// Whether a directory may be a row, a well, an image, a level or chunks of one: others have names for theirs.
fn may_be_ours(name: &str) -> bool {
    name == "c" || name.bytes().all(|b| b.is_ascii_digit()) || name.bytes().all(|b| b.is_ascii_uppercase())
}

/// Whether there are but documents at and below `path`.
fn is_bare(store: &Store, path: &str) -> io::Result<bool> {
    for entry in store.ground.files.tree().list(&below(&store.place(), path))? {
        let bare = match (entry.kind, entry.name.to_str()) {
            (FileKind::Directory, Some(name)) => may_be_ours(name) && is_bare(store, &format!("{path}/{name}"))?,
            (_, Some(name)) => is_document(name, store.version),
            _ => false,
        };
        if !bare {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes one of our own groups with all that is in it.
fn drop_tree(store: &Store, path: &str) -> io::Result<()> {
    let place = store.place();
    let dir = below(&place, path);
    let entries = match store.ground.files.tree().list(&dir) {
        Err(e) if crate::backend::is_absent(&e) => return Ok(()),
        listed => listed?,
    };
    for entry in entries {
        match (entry.kind, entry.name.to_str()) {
            (FileKind::Directory, Some(name)) => drop_tree(store, &format!("{path}/{name}"))?,
            _ => store.ground.files.tree().unlink(&dir.join(&entry.name))?,
        }
    }
    store.ground.files.tree().rmdir(&dir)
}

/// Whether a name at the root of a store belongs to its metadata.
pub(super) fn is_document(name: &str, version: Ngff) -> bool {
    match version {
        Ngff::V04 => matches!(name, ".zgroup" | ".zattrs" | ".zarray"),
        Ngff::V05 => name == "zarr.json",
    }
}
