//! What a change that was cut short leaves in a store, and what keeps a name from being nobody's in between.

use std::io;

use super::ground::{Ground, below};
use super::store::{State, hash};
use super::table::Due;
use crate::config::Ngff;
use crate::model::RelPath;

/// Why a record keeps names.
#[derive(Debug)]
pub(super) struct Beside {
    /// The newer record that has the name in its page which this one has been given.
    pub newer: u64,
    /// What it was called before.
    pub names: Vec<RelPath>,
}

impl State {
    /// Removals that are due and whose chunk nobody has written since.
    pub fn forget_due(&self, ground: &Ground, place: &RelPath, dues: &[Due]) {
        for due in dues.iter().filter(|_| !self.flawed) {
            let Due::Remove { path } = due else { continue };
            if self.claims.contains_key(&hash(path)) {
                continue;
            }
            if let Err(e) = ground.files.remove(&below(place, path), place) {
                tracing::warn!("{path} of the store {place}, which no file uses, stays: {e}");
            }
        }
    }

    /// A record was written to another page, and not taken out of its own: it would come back from there when it is
    /// removed.
    pub fn forget_left_behind(&mut self, ground: &Ground, place: &RelPath, version: Ngff) -> io::Result<()> {
        for (number, records) in self.pages.left_behind() {
            let mut page = self.pages.read(ground, place, version, number)?;
            for record in records {
                page.remove(record);
            }
            self.pages.write(ground, place, version, number, &mut page)?;
        }
        Ok(())
    }

    /// The plate's marker and all others have been told of every file that left: whoever comes next need not look.
    pub fn has_left(&mut self) {
        if let Some(note) = self.leaving.take() {
            note.done();
        }
    }
}
