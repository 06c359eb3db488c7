//! The group `labels` of an image, which lists the names of its labels: ours come and go, those of others stay.

use std::io;

use serde_json::{Value, json};

use super::super::documents::edit_group;
use super::super::ground::below;
use super::super::ngff::Document;
use super::super::store::Store;
use super::{LABELS, group_of, parse};

impl Store {
    /// Lists the label image at `path` among the labels of its image. A list that makes no sense is somebody's, and
    /// stays as it is.
    pub fn list_labels(&self, path: &str) -> io::Result<()> {
        let Some((image, name)) = parse(path) else { return Ok(()) };
        let place = self.place();
        let listed = edit_group(&self.ground, (&place, &below(&place, &group_of(image))), self.version, |document| {
            let names = document.ome().entry(LABELS).or_insert_with(|| json!([]));
            let names = names.as_array_mut().ok_or(io::ErrorKind::InvalidData)?;
            if !names.iter().any(|known| known == name) {
                names.push(json!(name));
            }
            Ok(())
        });
        match listed {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!("{name} cannot be listed among the labels of {image} in {place}: {e}");
                Ok(())
            }
            listed => listed,
        }
    }

    /// Removes what makes up the label image at `path`, and the group `labels` if nothing is left in it.
    pub fn drop_labels(&self, path: &str) -> io::Result<()> {
        let Some((image, name)) = parse(path) else { return Ok(()) };
        self.unlist_labels(image, name)?;
        self.drop_image(path)?;
        let place = self.place();
        if self.ground.files.tree().find(&below(&place, path))?.is_some() {
            // What others put into it keeps it where it is.
            return self.list_labels(path);
        }
        let group = below(&place, &group_of(image));
        let Some(mut document) = self.labels_document(image)? else { return Ok(()) };
        let named = document.ome().get(LABELS).and_then(Value::as_array).is_none_or(|names| !names.is_empty());
        if named || !is_plain(&mut document) { Ok(()) } else { self.drop_documents(&place, &group) }
    }

    fn unlist_labels(&self, image: &str, name: &str) -> io::Result<()> {
        let Some(mut document) = self.labels_document(image)? else { return Ok(()) };
        if document.ome().get(LABELS).and_then(Value::as_array).is_none() {
            return Ok(());
        }
        let place = self.place();
        edit_group(&self.ground, (&place, &below(&place, &group_of(image))), self.version, |document| {
            if let Some(names) = document.ome().get_mut(LABELS).and_then(Value::as_array_mut) {
                names.retain(|known| known != name);
            }
            Ok(())
        })
    }

    /// What the group `labels` of an image says; `None` if there is none, or nobody understands it.
    fn labels_document(&self, image: &str) -> io::Result<Option<Document>> {
        let group = below(&self.place(), &group_of(image));
        let bytes = self.ground.document(&below(&group, Document::file_name(self.version)))?;
        Ok(bytes.and_then(|bytes| Document::parse(self.version, Some(&bytes)).ok()))
    }
}

/// Whether a group's attributes say nothing but which labels there are.
fn is_plain(document: &mut Document) -> bool {
    let known = |key: &String| key == LABELS || key == "version" || key == "ome";
    document.ome().keys().all(known) && document.attributes().keys().all(known)
}
