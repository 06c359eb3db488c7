//! Attribute documents of groups: what is ours in them changes, the rest stays.

use std::io;

use serde_json::{Map, Value, json};

use crate::config::Ngff;

/// The attributes of a group, in the file where its Zarr version keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    version: Ngff,
    whole: Map<String, Value>,
}

impl Document {
    /// The contents of `.zgroup`, which are the same for every group of Zarr v2.
    pub const ZGROUP: &'static [u8] = b"{\n    \"zarr_format\": 2\n}\n";

    /// Name of the file that holds the attributes.
    pub fn file_name(version: Ngff) -> &'static str {
        match version {
            Ngff::V04 => ".zattrs",
            Ngff::V05 => "zarr.json",
        }
    }

    /// Reads the file `bytes` of [`Document::file_name`]; without one, an empty document. `InvalidData` if it is no
    /// JSON object: then it is not ours to replace.
    pub fn parse(version: Ngff, bytes: Option<&[u8]>) -> io::Result<Document> {
        let whole = match bytes {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?,
            None => Map::new(),
        };
        let mut document = Document { version, whole };
        // In Zarr v3 a group without attributes has a document too.
        document.attributes();
        Ok(document)
    }

    /// Whether there is nothing in it that a group needs to be one.
    pub fn is_dispensable(&self) -> bool {
        self.version == Ngff::V04 && self.whole.is_empty()
    }

    /// The group's attributes.
    pub fn attributes(&mut self) -> &mut Map<String, Value> {
        match self.version {
            Ngff::V04 => &mut self.whole,
            Ngff::V05 => {
                self.whole.insert("zarr_format".into(), json!(3));
                self.whole.insert("node_type".into(), json!("group"));
                object(&mut self.whole, "attributes")
            }
        }
    }

    /// The attributes that OME-NGFF defines.
    pub fn ome(&mut self) -> &mut Map<String, Value> {
        match self.version {
            Ngff::V04 => self.attributes(),
            Ngff::V05 => {
                let ome = object(self.attributes(), "ome");
                ome.insert("version".into(), json!("0.5"));
                ome
            }
        }
    }

    /// The file, as text for people.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(&self.whole).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The object under `key`, made if there is none.
fn object<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let entry = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    match entry {
        Value::Object(object) => object,
        _ => unreachable!("it was made one above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_noted_in_a_document_survives() {
        let theirs = br#"{"zarr_format": 3, "node_type": "group", "attributes": {"lab": "B12", "ome": {"_note": 1}}}"#;
        let mut document = Document::parse(Ngff::V05, Some(theirs)).unwrap();
        document.ome().insert("well".into(), json!({"images": []}));
        let again: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
        assert_eq!(again["attributes"]["lab"], "B12");
        assert_eq!(again["attributes"]["ome"]["_note"], 1);
        assert_eq!(again["attributes"]["ome"]["version"], "0.5");
    }

    #[test]
    fn in_0_4_the_attributes_are_the_document() {
        let mut document = Document::parse(Ngff::V04, None).unwrap();
        document.ome().insert("plate".into(), json!({}));
        assert_eq!(document.to_bytes(), b"{\n  \"plate\": {}\n}\n");
    }

    #[test]
    fn a_document_that_is_no_object_is_not_replaced() {
        assert_eq!(Document::parse(Ngff::V04, Some(b"[1]")).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
