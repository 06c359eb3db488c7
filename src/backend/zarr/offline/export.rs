//! The original files out of a store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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

/// Writes every original below `dest`, each under a temporary name first and compared by hash; a file of the same
/// name there is replaced. Owner and extended attributes as far as `dest` and our rights allow.
pub fn export(store: &Offline, dest: &Path, progress: &mut Progress<'_>) -> Exported {
    let mut done = Exported::default();
    let mut entries = store.table.entries();
    entries.sort_by(|(_, a), (_, b)| a.names.cmp(&b.names));
    for (id, entry) in entries {
        let Some(first) = entry.names.first() else { continue };
        match one(store, id, &entry.names, dest) {
            Ok(()) => {
                done.files += entry.names.len() as u64;
                done.bytes += entry.size;
            }
            Err(e) => done.failed.push((first.clone(), e.to_string())),
        }
        if !progress(done.files, done.bytes) {
            done.ended = true;
            break;
        }
    }
    done
}

fn one(store: &Offline, id: RecordId, names: &[RelPath], dest: &Path) -> Result<(), TableError> {
    let record = store.table.record(id)?;
    let mut first: Option<PathBuf> = None;
    for name in names {
        let path = dest.join(name.as_path());
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let temporary = temporary(&path);
        let written = match &first {
            None => write(store, &record, &temporary),
            Some(first) => Ok(fs::hard_link(first, &temporary)?),
        };
        if let Err(e) = written.and_then(|()| Ok(fs::rename(&temporary, &path)?)) {
            // The error that matters is the one above.
            let _ = fs::remove_file(&temporary);
            return Err(e);
        }
        // A rename of one link over another of the same file leaves both names.
        let _ = fs::remove_file(&temporary);
        first.get_or_insert(path);
    }
    Ok(())
}

/// A name beside `path` that nobody else uses.
fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!(".scopefs-export-{}", std::process::id()))
}

fn write(store: &Offline, record: &Record, path: &Path) -> Result<(), TableError> {
    let source = store.source(record)?;
    let mut file = File::create(path)?;
    let sha256 = hash(&source, &mut |part| file.write_all(part))?;
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
