//! Names and attributes of a sealed file change.

use std::io;
use std::sync::Arc;

use super::left::Beside;
use super::store::{Entry, State, Store};
use super::table::{Record, RecordId};

/// Changes names and attributes of a record.
///
/// Of two records that claim one name the newer has it, for whoever reads the store. If this one takes a name from a
/// newer one, it keeps those that it had until the newer has given the name up: at every moment each file has a name.
pub(super) fn put(store: &Store, state: &mut State, record: &Record) -> io::Result<()> {
    let id = record.id.0;
    let newer = record.names.iter().filter_map(|name| state.by_name.get(name)).find(|other| **other > id).copied();
    if let (Some(newer), Some(entry)) = (newer, state.entries.get(&id)) {
        let names = entry.names.clone();
        state.beside.entry(id).or_insert(Beside { newer, names }).newer = newer;
    }
    let mut written = record.clone();
    if let Some(beside) = state.beside.get(&id) {
        written.names.extend(beside.names.iter().filter(|name| !record.names.contains(name)).cloned());
    }
    write(store, state, &written)?;
    take_names(state, record);
    give_way(store, state, record.id)
}

/// A record has given up names, or is gone: older ones that were given them need no others any more.
pub(super) fn give_way(store: &Store, state: &mut State, newer: RecordId) -> io::Result<()> {
    let older: Vec<u64> =
        state.beside.iter().filter(|(_, beside)| beside.newer == newer.0).map(|(older, _)| *older).collect();
    for older in older {
        let Some(entry) = state.entries.get(&older).cloned() else {
            state.beside.remove(&older);
            continue;
        };
        let mut record = store.record(state, RecordId(older))?;
        record.names.clone_from(&entry.names);
        write(store, state, &record)?;
        state.beside.remove(&older);
    }
    Ok(())
}

/// Writes a record anew, in its page, or in another if it has outgrown that.
fn write(store: &Store, state: &mut State, record: &Record) -> io::Result<()> {
    let (ground, place, version) = (store.ground.clone(), store.place(), store.version);
    let number = state.pages.home(record.id).ok_or(io::ErrorKind::NotFound)?;
    let mut page = state.pages.read(&ground, &place, version, number)?;
    page.dues.clear();
    let body = record.encode();
    if page.put(record.id, body.clone()) {
        state.pages.write(&ground, &place, version, number, &mut page)?;
    } else {
        // The copy with the higher sequence counts, should this be cut short in between.
        let mut other = super::table::Page::new(page.owner.as_deref().unwrap_or_default());
        if !other.put(record.id, body) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let unused = state.pages.unused();
        state.pages.write(&ground, &place, version, unused, &mut other)?;
        ground.reached("moved")?;
        page.remove(record.id);
        state.pages.write(&ground, &place, version, number, &mut page)?;
    }
    Ok(())
}

/// What is known of a record follows.
fn take_names(state: &mut State, record: &Record) {
    let Some(before) = state.entries.get(&record.id.0).cloned() else { return };
    for name in &before.names {
        if state.by_name.get(name) == Some(&record.id.0) {
            state.by_name.remove(name);
        }
    }
    state.by_name.extend(record.names.iter().map(|name| (name.clone(), record.id.0)));
    let changed = Entry {
        names: record.names.clone(),
        attributes: record.attributes,
        xattrs: record.xattrs.clone(),
        source: record.source,
        ..(*before).clone()
    };
    state.entries.insert(record.id.0, Arc::new(changed));
}
