//! The labels that the fields of a plate have: what the files of each name are like.

use serde::{Deserialize, Serialize};

use super::super::marker::PlateMarker;
use super::super::sample::{named_dtype, numpy_name};
use super::super::table::ArrayUse;
use super::parse;
use crate::plate::PlateKey;
use crate::view::{Array, Dtype};

/// Files that are labels of one name: `labels/NAME` of the fields that have such a file. A plate's marker lists them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct LabelSet {
    /// Name of the group.
    pub name: String,
    /// What it would be called if nothing else were.
    word: String,
    convention: String,
    prefix: String,
    suffix: String,
    extension: String,
    has_time: bool,
    has_depth: bool,
    /// Index of the channel that names speak of. Labels have no channels: each has a set of its own.
    channel: u64,
    dtype: String,
    chunk: [u64; 2],
}

impl LabelSet {
    /// That of files with the names of `key`, of channel `channel`, whose planes are like `array`.
    pub fn of(name: String, key: &PlateKey, channel: u64, array: &Array) -> LabelSet {
        LabelSet {
            word: name.clone(),
            name,
            convention: key.convention.clone(),
            prefix: key.prefix.clone(),
            suffix: key.suffix.clone(),
            extension: key.extension.clone(),
            has_time: key.has_time,
            has_depth: key.has_depth,
            channel,
            dtype: numpy_name(array.dtype).to_owned(),
            chunk: [array.chunk_height, array.chunk_width],
        }
    }

    /// Type of a pixel.
    pub fn dtype(&self) -> Option<Dtype> {
        named_dtype(&self.dtype)
    }

    /// Rows and columns of a chunk.
    pub fn chunk(&self) -> [u64; 2] {
        self.chunk
    }

    fn serves(&self, wanted: &LabelSet) -> bool {
        LabelSet { name: wanted.name.clone(), ..self.clone() } == *wanted
    }
}

impl PlateMarker {
    /// The labels called `name`.
    pub fn labels_named(&self, name: &str) -> Option<&LabelSet> {
        self.labels.iter().find(|set| set.name == name)
    }

    /// Name of the labels that are like `wanted`, which get the next free one if there are none yet; `taken` tells names
    /// that the field has from others. Whether they are new.
    pub fn name_labels(&mut self, wanted: LabelSet, taken: impl Fn(&str) -> bool) -> (String, bool) {
        if let Some(set) = self.labels.iter().find(|set| set.serves(&wanted) && !taken(&set.name)) {
            return (set.name.clone(), false);
        }
        let mut name = wanted.name.clone();
        let mut number = 2_u64;
        while self.labels_named(&name).is_some() || taken(&name) {
            name = format!("{}-{number}", wanted.name);
            number += 1;
        }
        self.labels.push(LabelSet { name: name.clone(), ..wanted });
        (name, true)
    }

    /// Takes in the labels that an array of a record belongs to, should the marker not tell of them. No further file is
    /// ever one of those.
    pub fn know_labels(&mut self, array: &ArrayUse) {
        let Some((_, name)) = array.path.rsplit_once('/').and_then(|(image, _)| parse(image)) else { return };
        let [.., height, width] = array.chunk_shape.as_slice() else { return };
        if array.derived || self.labels_named(name).is_some() {
            return;
        }
        self.labels.push(LabelSet {
            name: name.to_owned(),
            word: String::new(),
            convention: String::new(),
            prefix: String::new(),
            suffix: String::new(),
            extension: String::new(),
            has_time: false,
            has_depth: false,
            channel: 0,
            dtype: numpy_name(array.dtype).to_owned(),
            chunk: [*height, *width],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::zarr::marker::PlateShape;
    use crate::view::Role;

    fn key(suffix: &str) -> PlateKey {
        PlateKey {
            convention: "imagexpress".into(),
            prefix: "P_".into(),
            suffix: suffix.into(),
            extension: ".tif".into(),
            has_time: false,
            has_depth: false,
        }
    }

    fn array(dtype: Dtype) -> Array {
        let (height, width) = (8, 9);
        Array { dtype, planes: 1, samples: 1, height, width, chunk_height: 8, chunk_width: 9, role: Role::Full(0) }
    }

    fn plate() -> PlateMarker {
        let (key, chunk, inner) = (key(""), [8, 9], Vec::new());
        PlateMarker::new(&PlateShape { key, dtype: Dtype::U16, samples: 1, height: 8, width: 9, chunk, inner }, None)
    }

    #[test]
    fn files_that_are_alike_share_a_name_and_others_step_aside() {
        let mut plate = plate();
        let set = |dtype| LabelSet::of("mask".into(), &key("_mask"), 0, &array(dtype));
        let free = |_: &str| false;
        assert_eq!(plate.name_labels(set(Dtype::U16), free), ("mask".to_owned(), true));
        assert_eq!(plate.name_labels(set(Dtype::U16), free), ("mask".to_owned(), false));
        assert_eq!(plate.name_labels(set(Dtype::U8), free), ("mask-2".to_owned(), true));
        assert_eq!(plate.name_labels(set(Dtype::U16), |name| name == "mask"), ("mask-3".to_owned(), true));
    }

    #[test]
    fn labels_that_only_records_tell_of_are_known_and_serve_no_other_file() {
        let mut plate = plate();
        let chunk_shape = vec![1, 8, 9];
        let used = |path: &str, derived| ArrayUse {
            path: path.into(),
            dtype: Dtype::U8,
            chunk_shape: chunk_shape.clone(),
            derived,
        };
        plate.know_labels(&used("B/03/0/0", false));
        plate.know_labels(&used("B/03/0/labels/mask/1", true));
        assert!(plate.labels.is_empty());
        plate.know_labels(&used("B/03/0/labels/mask/0", false));
        let set = plate.labels_named("mask").unwrap();
        assert_eq!((set.dtype(), set.chunk()), (Some(Dtype::U8), [8, 9]));
        let wanted = LabelSet::of("mask".into(), &key("_mask"), 0, &array(Dtype::U8));
        assert_eq!(plate.name_labels(wanted, |_| false).0, "mask-2");
    }
}
