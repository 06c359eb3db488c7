//! The original files out of a store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::backend::{Object, Owner, Time, Times};
use crate::model::RelPath;

use super::super::table::{Record, RecordId, TableError};
use super::{Offline, Progress, hash};

/// What an export did.
#[derive(Debug, Default)]
pub struct Exported {
    /// Names written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Names that could not be restored, and why. Nothing of theirs was written.
    pub failed: Vec<(RelPath, String)>,
    /// It was ended early.
    pub ended: bool,
}

/// Writes every original below `dest`, each under a temporary name first and compared by hash. Where one of its names is
/// taken, a file is not written, and is among those that failed. Owner and extended attributes as far as `dest` and our rights allow.
pub fn export(store: &Offline, dest: &Path, progress: &mut Progress<'_>) -> Exported {
    let mut done = Exported::default();
    let mut entries = store.table.entries();
    entries.sort_by(|(_, a), (_, b)| a.names.cmp(&b.names));
    for (id, entry) in entries {
        let Some(first) = entry.names.first() else { continue };
        let before = (done.files, done.bytes);
        // Whether to go on is asked between files.
        let mut step = |written| {
            let _ = progress(before.0, before.1 + written);
        };
        match one(store, id, &entry.names, dest, &mut step) {
            Ok(()) => {
                done.files += entry.names.len() as u64;
                done.bytes += entry.size;
            }
            // What the system says stands for itself.
            Err(TableError::Io(e)) => done.failed.push((first.clone(), e.to_string())),
            Err(e) => done.failed.push((first.clone(), e.to_string())),
        }
        if !progress(done.files, done.bytes) {
            done.ended = true;
            break;
        }
    }
    done
}

fn one(
    store: &Offline,
    id: RecordId,
    names: &[RelPath],
    dest: &Path,
    step: &mut dyn FnMut(u64),
) -> Result<(), TableError> {
    let record = store.table.record(id)?;
    let mut paths = names.iter().map(|name| dest.join(name.as_path()));
    if let Some(taken) = paths.find(|path| path.symlink_metadata().is_ok()) {
        return Err(is_taken(&taken).into());
    }
    let mut first: Option<PathBuf> = None;
    for name in names {
        let path = dest.join(name.as_path());
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let temporary = temporary(&path);
        let written = match &first {
            None => write(store, &record, &temporary, step),
            Some(first) => Ok(fs::hard_link(first, &temporary)?),
        };
        if let Err(e) = written.and_then(|()| Ok(publish(&temporary, &path)?)) {
            // The error that matters is the one above.
            let _ = fs::remove_file(&temporary);
            return Err(e);
        }
        first.get_or_insert(path);
    }
    Ok(())
}

/// Gives a complete file its name, if that is still free.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(is_taken(path)),
        // Not every file system can tell; it was free a moment ago.
        Err(Errno::INVAL) => fs::rename(temporary, path),
        renamed => Ok(renamed?),
    }
}

fn is_taken(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{path:?} is there already and stays as it is"))
}

/// A name beside `path` that nobody else uses.
fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!(".scopefs-export-{}", std::process::id()))
}

fn write(store: &Offline, record: &Record, path: &Path, step: &mut dyn FnMut(u64)) -> Result<(), TableError> {
    let source = store.source(record)?;
    // What a killed process of the same number has left.
    let _ = fs::remove_file(path);
    let mut file = File::create_new(path)?;
    let mut written = 0;
    let sha256 = hash(&source, &mut |part| {
        file.write_all(part)?;
        written += part.len() as u64;
        step(written);
        Ok(())
    })?;
    if sha256 != record.sha256 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its contents are not those of the original").into());
    }
    let object = Object::new(file.into(), true);
    let attributes = &record.attributes;
    // An ordinary user cannot give files away, nor can every file system keep every attribute.
    let _ = object.set_owner(Owner { uid: Some(attributes.uid), gid: Some(attributes.gid) });
    let _ = object.xattrs().replace_with(&record.xattrs);
    object.set_perm(attributes.perm)?;
    object.set_times(Times { atime: Time::At(attributes.atime), mtime: Time::At(attributes.mtime) })?;
    Ok(())
}
