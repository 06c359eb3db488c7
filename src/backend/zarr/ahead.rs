//! Looking ahead: who opens the files of a store one after the other will want the next ones too.
//!
//! The kernel is asked to read their chunks from the disk; nothing is decoded, so a wrong guess costs little.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;

use super::store::{State, Store};
use super::table::RecordId;
use crate::model::RelPath;

/// Files that are fetched ahead of a walk.
const AHEAD: usize = 2;
/// Walks that are followed at once: several programs, or one that opens a channel after the other.
const WALKS: usize = 8;

/// The names that were opened lately, by store.
#[derive(Debug, Default)]
pub(super) struct Walks(Mutex<Vec<(u128, RelPath)>>);

impl Walks {
    /// Notes that the record was opened; whether it comes right after one that was opened lately.
    fn note(&self, store: u128, name: &RelPath, before: Option<&RelPath>) -> bool {
        let mut lately = self.0.lock();
        let walks_on = lately.iter().position(|(id, last)| *id == store && Some(last) == before);
        // One place for each walk, and for whatever was opened last.
        match walks_on {
            Some(at) => drop(lately.remove(at)),
            None if lately.len() >= WALKS => drop(lately.remove(0)),
            None => {}
        }
        lately.push((store, name.clone()));
        walks_on.is_some()
    }
}

/// The record was opened: if somebody walks through the store, what comes next is fetched.
pub(super) fn opened(walks: &Walks, store: &Arc<Store>, state: &State, id: RecordId) {
    let Some(name) = state.entries.get(&id.0).and_then(|entry| entry.names.first()) else { return };
    let before = state.by_name.range(..name.clone()).next_back().map(|(name, _)| name);
    if !walks.note(store.id, name, before) {
        return;
    }
    let next = state.by_name.range(name.clone()..).skip(1).take(AHEAD);
    for (_, record) in next {
        if let Err(e) = fetch(store, state, RecordId(*record)) {
            tracing::debug!("a file of {} could not be fetched ahead: {e}", store.place());
        }
    }
}

/// Asks the kernel for the chunks of a record.
fn fetch(store: &Store, state: &State, id: RecordId) -> io::Result<()> {
    let record = store.record(state, id)?;
    let recipe = store.recipe(&record)?;
    let reader = store.reader(&record);
    for chunk in recipe.chunks.iter() {
        let Some(array) = record.arrays.get(chunk.array as usize) else { continue };
        let (object, range) = reader.find(&array.path, chunk.coords)?;
        let len = NonZeroU64::new(range.end - range.start);
        rustix::fs::fadvise(&object, range.start, len, rustix::fs::Advice::WillNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::from_path(name.as_ref()).expect("relative")
    }

    #[test]
    fn a_walk_is_noticed_at_its_second_file_and_others_may_walk_beside_it() {
        let walks = Walks::default();
        let (a1, a2, a3, m1, m2) = (path("a1"), path("a2"), path("a3"), path("m1"), path("m2"));
        assert!(!walks.note(7, &a1, None));
        assert!(!walks.note(7, &m1, Some(&a3)));
        assert!(walks.note(7, &a2, Some(&a1)));
        assert!(walks.note(7, &m2, Some(&m1)));
        assert!(walks.note(7, &a3, Some(&a2)));
        assert!(!walks.note(8, &a3, Some(&a2)), "another store is another walk");
        assert!(!walks.note(7, &a1, None), "who starts again has to show that they walk");
    }
}
