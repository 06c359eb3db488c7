//! Names and attributes of a sealed file change.

use std::io;
use std::sync::Arc;

use super::store::{Entry, State, Store};
use super::table::Record;

/// Writes a record anew, in its page, or in another if it has outgrown that.
pub(super) fn put(store: &Arc<Store>, state: &mut State, record: &Record) -> io::Result<()> {
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
        page.remove(record.id);
        state.pages.write(&ground, &place, version, number, &mut page)?;
    }
    let Some(before) = state.entries.get(&record.id.0).cloned() else { return Ok(()) };
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
    Ok(())
}
