//! What makes a directory one of our stores.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::Value;

use super::DOCUMENT_MOST;

const NONBLOCK: i32 = OFlags::NONBLOCK.bits() as i32;

/// Whether a directory is a store of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// It has our marker.
    Ours,
    /// There are tables as ours are, but no marker that can be read: a mount shows none of its files.
    Lost,
    /// It is anything else.
    No,
}

/// Looks for the marker in the attributes of the group `scopefs` of `dir`, of Zarr v2 or v3.
pub fn marked(dir: &Path) -> io::Result<Marked> {
    let own = dir.join("scopefs");
    let in_v2 = document(&own.join(".zattrs"))?.is_some_and(|attributes| is_marker(attributes.get("scopefs")));
    let in_v3 = || {
        let attributes = |document: Value| is_marker(document.get("attributes").and_then(|a| a.get("scopefs")));
        Ok::<_, io::Error>(document(&own.join("zarr.json"))?.is_some_and(attributes))
    };
    if in_v2 || in_v3()? {
        return Ok(Marked::Ours);
    }
    let tables = own.join("tables");
    let lost = [".zarray", "zarr.json"].iter().any(|name| tables.join(name).is_file());
    Ok(if lost { Marked::Lost } else { Marked::No })
}

/// A JSON document; `None` if there is none, or nothing that is JSON.
fn document(path: &Path) -> io::Result<Option<Value>> {
    // Not to wait for the writer of a pipe that has the name.
    let file = match File::options().read(true).custom_flags(NONBLOCK).open(path) {
        Err(e) if crate::backend::is_absent(&e) => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(DOCUMENT_MOST as u64).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes).ok())
}

fn is_marker(marker: Option<&Value>) -> bool {
    let Some(marker) = marker else { return false };
    let id = marker.get("id").and_then(Value::as_str);
    marker.get("version").is_some_and(Value::is_u64)
        && id.is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::zarr::array::Version;
    use crate::backend::zarr::offline::made;

    #[test]
    fn a_store_is_known_by_its_marker_in_both_versions_of_zarr() {
        for (version, document) in [(Version::V2, ".zattrs"), (Version::V3, "zarr.json")] {
            let store = made(version, false);
            assert_eq!(marked(&store.root()).unwrap(), Marked::Ours, "{version:?}");
            std::fs::write(store.root().join("scopefs").join(document), "{\"scopefs\": ").unwrap();
            assert_eq!(marked(&store.root()).unwrap(), Marked::Lost, "{version:?}");
        }
    }

    #[test]
    fn stores_of_others_are_not_ours_whatever_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(marked(dir.path()).unwrap(), Marked::No);
        std::fs::create_dir(dir.path().join("scopefs")).unwrap();
        std::fs::write(dir.path().join("scopefs/.zattrs"), r#"{"scopefs": {"version": 1, "id": "7"}}"#).unwrap();
        assert_eq!(marked(dir.path()).unwrap(), Marked::No);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(marked(&dir.path().join("file")).unwrap(), Marked::No);
    }
}
