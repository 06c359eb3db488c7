//! What a run that was killed left in the staging directory.
//!
//! Before a commit writes a page it notes, in the staging directory, the stores that it changes and the groups in them;
//! before the last file of a group leaves, its store is noted. Whoever comes next opens those stores, which makes the
//! renames that are due in them, takes away what no record uses, and only then throws away what is left.
//!
//! A note is the places of stores, each followed by a zero byte; a store is followed by its groups, which begin with `/`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::ground::Ground;
use super::store::Store;
use crate::model::{FileKind, RelPath};

/// Begins the names of notes.
const NOTE: &str = "due-";
/// Longest note.
const NOTE_MOST: usize = 16 << 20;

/// Files of a store that hold nothing of anybody's.
const DOCUMENTS: [&str; 6] = [".zgroup", ".zattrs", ".zarray", "zarr.json", "README.txt", "restore.py"];

/// A note that stores are being changed.
pub(super) struct Note {
    ground: Arc<Ground>,
    name: OsString,
}

/// Notes, durably, that `stores` (where each stands, and groups that may be made in it) are being changed.
pub(super) fn note(ground: &Arc<Ground>, stores: impl Iterator<Item = (RelPath, Vec<String>)>) -> io::Result<Note> {
    let mut text = Vec::new();
    for (place, groups) in stores {
        text.extend_from_slice(place.as_bytes());
        // No path has one.
        text.push(0);
        for group in groups {
            text.push(b'/');
            text.extend_from_slice(group.as_bytes());
            text.push(0);
        }
    }
    let name = ground.files.note(NOTE, &text)?;
    Ok(Note { ground: ground.clone(), name })
}

impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Note").field(&self.name).finish()
    }
}

impl Note {
    /// Notes groups of the last store, for whoever comes after a kill.
    pub fn add(&self, groups: &[String]) -> io::Result<()> {
        let text: Vec<u8> = groups.iter().flat_map(|group| [b"/", group.as_bytes(), &[0]].concat()).collect();
        self.ground.files.append_left(&self.name, &text)
    }

    /// All that was due has been done.
    pub fn done(self) {
        if let Err(e) = self.ground.files.drop_left(&self.name) {
            tracing::warn!("the note of a finished commit stays in the staging directory: {e}");
        }
    }
}

/// Finishes what a run that was killed left.
pub(super) fn finish_left(ground: &Arc<Ground>) -> io::Result<()> {
    let left = ground.files.left()?;
    for name in left.iter().filter(|name| name.as_bytes().starts_with(NOTE.as_bytes())) {
        for (place, groups) in parse(&ground.files.read_left(name, NOTE_MOST)?) {
            match Store::open(ground, &place) {
                Ok(Some(store)) => super::repair::repair(&store, &groups)?,
                Ok(None) => drop_half(ground, &place)?,
                // Nothing is thrown away that the store may still need.
                Err(e) => return Err(e),
            }
        }
    }
    for name in left.iter().filter(|name| is_ours(name)) {
        match ground.files.drop_left(name) {
            // It has its place now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            dropped => dropped?,
        }
    }
    Ok(())
}

/// The stores of a note, and groups in each.
fn parse(text: &[u8]) -> Vec<(RelPath, Vec<String>)> {
    let mut stores: Vec<(RelPath, Vec<String>)> = Vec::new();
    for field in text.split(|&byte| byte == 0).filter(|field| !field.is_empty()) {
        match (field.strip_prefix(b"/"), stores.last_mut()) {
            (Some(group), Some((_, groups))) => groups.extend(std::str::from_utf8(group).map(str::to_owned)),
            _ => stores.extend(RelPath::from_bytes(field).map(|place| (place, Vec::new()))),
        }
    }
    stores
}

/// Takes away what is left of a store that was being made or removed, and has no marker: documents and directories. What
/// holds anything else is left alone.
fn drop_half(ground: &Arc<Ground>, place: &RelPath) -> io::Result<()> {
    let tree = ground.files.tree();
    if tree.find(place)?.is_none() {
        return Ok(());
    }
    let (mut dirs, mut files, mut next) = (Vec::new(), Vec::new(), vec![place.clone()]);
    while let Some(dir) = next.pop() {
        for entry in tree.list(&dir)? {
            let path = dir.join(&entry.name);
            match entry.kind {
                FileKind::Directory => next.push(path),
                _ if entry.name.to_str().is_some_and(|name| DOCUMENTS.contains(&name)) => files.push(path),
                _ => {
                    tracing::warn!("{place} was being made or removed, and is no store; {path} is kept");
                    return Ok(());
                }
            }
        }
        dirs.push(dir);
    }
    files.iter().try_for_each(|file| tree.unlink(file))?;
    let base = place.split().map(|(dir, _)| dir).unwrap_or_default();
    // The deepest were found last.
    ground.files.keeping_times(&base, || dirs.iter().rev().try_for_each(|dir| tree.rmdir(dir)))
}

/// Whether a name is one that we give in the staging directory.
fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(NOTE.as_bytes())
        || (bytes.len() > 17 && bytes[..16].iter().all(u8::is_ascii_hexdigit) && bytes.get(16) == Some(&b'-'))
}
