//! What a store tells a person who finds it, and the program that gives the files back.

use std::io;

use super::ground::below;
use super::offline::{README, RESTORE_PY};
use super::store::{OWN, Store};

/// Writes both into a new store, in our own group: at the top, readers that list the plate would warn of them.
pub(super) fn put(store: &Store) -> io::Result<()> {
    let dir = below(&store.place(), OWN);
    for (name, text) in [("README.txt", README), ("restore.py", RESTORE_PY)] {
        store.ground.files.put(&below(&dir, name), text.as_bytes(), false)?;
    }
    Ok(())
}
