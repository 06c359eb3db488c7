//! Metadata documents on disk: written only where they change, whole or not at all.

use std::io;

use super::array::{ArraySpec, ChunkArray};
use super::ground::{Ground, below};
use super::ngff::Document;
use crate::config::Ngff;
use crate::model::RelPath;

/// Makes the directory `group` a group and changes its attributes; what others wrote into them stays. `root` is that of
/// the store, whose own marker of a group is shared by all.
pub(super) fn edit_group(
    ground: &Ground,
    (root, group): (&RelPath, &RelPath),
    version: Ngff,
    change: impl FnOnce(&mut Document) -> io::Result<()>,
) -> io::Result<()> {
    if version == Ngff::V04 {
        put_zgroup(ground, root, group)?;
    }
    let path = below(group, Document::file_name(version));
    let before = ground.document(&path)?;
    let mut document = Document::parse(version, before.as_deref())?;
    change(&mut document)?;
    if before.is_none() && document.is_dispensable() {
        return Ok(());
    }
    let after = document.to_bytes();
    if before.as_ref() == Some(&after) { Ok(()) } else { ground.files.put(&path, &after, false) }
}

/// What a group says of an image is taken out of its document; others' attributes stay.
pub(super) fn forget_image(ground: &Ground, group: &RelPath, version: Ngff) -> io::Result<()> {
    let path = below(group, Document::file_name(version));
    let Some(before) = ground.document(&path)? else { return Ok(()) };
    let mut document = Document::parse(version, Some(&before))?;
    let ome = document.ome();
    ["multiscales", "omero"].iter().for_each(|key| drop(ome.remove(*key)));
    if document.is_dispensable() {
        return ground.files.tree().unlink(&path);
    }
    let after = document.to_bytes();
    if before == after { Ok(()) } else { ground.files.put(&path, &after, false) }
}

/// The document that a group has for certain.
pub(super) fn document_of(version: Ngff, group: &RelPath) -> RelPath {
    below(group, if version == Ngff::V04 { ".zgroup" } else { "zarr.json" })
}

/// `.zgroup` says the same in every group: one inode with many names serves them all.
fn put_zgroup(ground: &Ground, root: &RelPath, group: &RelPath) -> io::Result<()> {
    let (first, path) = (below(root, ".zgroup"), below(group, ".zgroup"));
    if ground.files.tree().find(&path)?.is_some() {
        return Ok(());
    }
    if first != path {
        ground.files.make_dirs(group)?;
        match ground.files.tree().link(&first, &path) {
            Ok(()) => return Ok(()),
            Err(e) => tracing::trace!("{path} is written, because it cannot be linked: {e}"),
        }
    }
    ground.files.put(&path, Document::ZGROUP, false)
}

/// Makes the directory `dir` an array as `spec` says; one that is there already gets its shape, and keeps the rest.
pub(super) fn put_array(ground: &Ground, dir: &RelPath, spec: &ArraySpec) -> io::Result<()> {
    put_array_like(ground, dir, spec, None)
}

/// The same; if the array `like` says exactly that already, both have one inode.
pub(super) fn put_array_like(
    ground: &Ground,
    dir: &RelPath,
    spec: &ArraySpec,
    like: Option<&RelPath>,
) -> io::Result<()> {
    let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    let path = dir.join(ChunkArray::document_name(spec.version));
    let before = ground.document(&path)?;
    let array = match &before {
        None => ChunkArray::new(spec.clone()),
        Some(bytes) => ChunkArray::parse(spec.version, bytes).and_then(|array| array.resized(&spec.shape)),
    };
    let after = array.and_then(|array| array.document()).map_err(invalid)?;
    if before.as_ref() == Some(&after) {
        return Ok(());
    }
    if let Some(other) = like.filter(|other| *other != dir) {
        let other = other.join(ChunkArray::document_name(spec.version));
        if ground.document(&other)?.as_ref() == Some(&after) {
            match ground.files.put_link(&other, &path) {
                Ok(()) => return Ok(()),
                Err(e) => tracing::trace!("{path} is written, because it cannot be linked: {e}"),
            }
        }
    }
    ground.files.put(&path, &after, false)
}

/// `spec` with no dimension shorter than that of the array that is there.
pub(super) fn at_least_as_declared(ground: &Ground, dir: &RelPath, mut spec: ArraySpec) -> io::Result<ArraySpec> {
    let Some(bytes) = ground.document(&dir.join(ChunkArray::document_name(spec.version)))? else { return Ok(spec) };
    if let Ok(array) = ChunkArray::parse(spec.version, &bytes) {
        let declared = array.spec().shape.iter();
        spec.shape.iter_mut().zip(declared).for_each(|(extent, declared)| *extent = (*extent).max(*declared));
    }
    Ok(spec)
}
