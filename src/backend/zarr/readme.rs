//! What a store tells a person who finds it, and the program that gives the files back.

use std::io;

use super::ground::below;
use super::offline::{README, RESTORE_PY};
use super::store::Store;
use super::table::TABLES;

/// Writes both into a new store, beside its pages: plain files in a group make zarr-python warn, in the directory of an
/// array nobody minds them.
pub(super) fn put(store: &Store) -> io::Result<()> {
    let dir = below(&store.place(), TABLES);
    for (name, text) in [("README.txt", README), ("restore.py", RESTORE_PY)] {
        store.ground.files.put(&below(&dir, name), text.as_bytes(), false)?;
    }
    Ok(())
}
