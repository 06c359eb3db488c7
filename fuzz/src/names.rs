//! Names of plate images.

use std::sync::LazyLock;

use scopefs::model::RelPath;
use scopefs::plate::{PlateSize, Recognised, Recogniser, parse_well, vendor_file};

static BUILT_IN: LazyLock<Recogniser> = LazyLock::new(|| Recogniser::new(&[]).expect("the patterns of our own"));

/// A path; where there is a line break, what stands before it is a pattern from a configuration.
pub fn names(bytes: &[u8]) -> bool {
    let Some(at) = bytes.iter().position(|&byte| byte == b'\n') else { return recognise(&BUILT_IN, bytes) };
    let Ok(pattern) = std::str::from_utf8(&bytes[..at]) else { return false };
    let Ok(recogniser) = Recogniser::new(&[pattern.to_owned()]) else { return false };
    recognise(&recogniser, &bytes[at + 1..])
}

fn recognise(recogniser: &Recogniser, path: &[u8]) -> bool {
    let Some(path) = RelPath::from_bytes(path) else { return false };
    if let Some((_, name)) = path.split() {
        vendor_file(name);
    }
    let Some(found) = recogniser.recognise(&path) else { return false };
    assert_eq!(recogniser.recognise(&path).as_ref(), Some(&found));
    hangs_together(&path, &found);
    for columns in [0, 1, 24, u32::MAX] {
        let moved = found.clone().on_plate_of(columns);
        assert_eq!((&moved.key, moved.depth), (&found.key, found.depth));
    }
    true
}

/// What is said of a path is in it.
fn hangs_together(path: &RelPath, found: &Recognised) {
    assert!((1..=path.components().count()).contains(&found.depth), "{} components", found.depth);
    let base = found.base(path);
    assert!(path.starts_with(&base), "{base:?}");
    assert_eq!(base.components().count() + found.depth, path.components().count());
    let name = path.split().map(|(_, name)| name.to_string_lossy().into_owned()).unwrap_or_default();
    assert!(name.starts_with(&found.key.prefix) && name.ends_with(&found.key.extension), "{:?}", found.key);
    let well = found.position.well;
    assert!(PlateSize::holding(well).holds(well), "{well:?}");
    if found.linear_well.is_none() {
        assert_eq!(parse_well(&well.to_string()), Some(well));
    }
}
