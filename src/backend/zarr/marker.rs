//! The marker: what makes a directory one of our stores, and what a store has to remember besides its records.
//!
//! It is the key `scopefs` in the attributes of the group `scopefs/`:
//!
//! ```json
//! {"scopefs": {"version": 1, "id": "<32 hex digits>", "kind": "plate", "plate": {"convention": "imagexpress", …}}}
//! ```

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ground::{Ground, below};
use super::labels::LabelSet;
use super::ngff::{ChannelDisplay, Document, Extents, Window};
use super::sample::{named_dtype, numpy_name};
use super::store::OWN;
use crate::config::Ngff;
use crate::model::RelPath;
use crate::plate::PlateKey;
use crate::view::{Axis, Calibration, Dtype};

/// The version that this code writes, and the latest that it reads.
const VERSION: u32 = 1;

/// What a store remembers of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Marker {
    version: u32,
    #[serde(with = "hex")]
    pub id: u128,
    pub kind: Kind,
    /// No record has this number or a higher one.
    #[serde(default)]
    pub next_record: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<PlateMarker>,
}

/// What a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Plate,
    Collection,
    Image,
}

/// What sets a plate apart from others in the same directory: the names, and the shape of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlateShape {
    pub key: PlateKey,
    pub dtype: Dtype,
    pub samples: u64,
    pub height: u64,
    pub width: u64,
    /// Rows and columns of a chunk.
    pub chunk: [u64; 2],
    /// Axes that the planes of one file run along.
    pub inner: Vec<Axis>,
}

/// What a plate's store remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlateMarker {
    pub convention: String,
    pub prefix: String,
    pub suffix: String,
    pub extension: String,
    pub has_time: bool,
    pub has_depth: bool,
    pub dtype: String,
    pub samples: u64,
    pub height: u64,
    pub width: u64,
    pub chunk: [u64; 2],
    #[serde(default)]
    pub inner: String,
    /// What names count from: 0 or 1.
    pub field_base: u32,
    pub channel_base: u32,
    pub depth_base: u32,
    pub time_base: u32,
    /// Channels that names give as text, and time points that are not counted one by one.
    #[serde(default)]
    pub channel_names: BTreeMap<String, u64>,
    #[serde(default)]
    pub times: BTreeMap<u32, u64>,
    /// Extents of every field's arrays.
    pub extent_t: Option<u64>,
    pub extent_c: u64,
    pub extent_z: Option<u64>,
    /// The physical plate.
    pub rows: u32,
    pub columns: u32,
    /// Columns of the plate, if it is known and not merely large enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_columns: Option<u32>,
    /// Pixel by pixel of full resolution to one of the overview; none: there is none.
    pub overview: Option<u64>,
    /// Time points, channels and focal planes of a field that lie in one shard; none: each chunk is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<[u64; 3]>,
    /// Micrometres, seconds.
    pub pixel_x: Option<f64>,
    pub pixel_y: Option<f64>,
    pub step_z: Option<f64>,
    pub step_t: Option<f64>,
    #[serde(default)]
    pub display: Vec<Shown>,
    /// Labels that fields have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelSet>,
}

/// How a channel of a plate is shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Shown {
    pub name: Option<String>,
    pub colour: Option<u32>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub start: Option<f64>,
    pub end: Option<f64>,
}

impl Marker {
    /// A new store's.
    pub fn new(id: u128, kind: Kind, plate: Option<PlateMarker>) -> Marker {
        Marker { version: VERSION, id, kind, next_record: 1, plate }
    }

    /// From the attributes of the group; `None` if there is no marker or one of a later version.
    pub fn read(attributes: &Map<String, Value>) -> Option<Marker> {
        let marker: Marker = serde_json::from_value(attributes.get("scopefs")?.clone()).ok()?;
        let whole = marker.version <= VERSION && (marker.kind != Kind::Plate || marker.plate.is_some());
        whole.then_some(marker)
    }

    /// Into the attributes of the group.
    pub fn write(&self, attributes: &mut Map<String, Value>) -> io::Result<()> {
        attributes.insert("scopefs".into(), serde_json::to_value(self)?);
        Ok(())
    }
}

impl PlateMarker {
    /// The shape that all its files have; `None` if the marker does not make sense.
    pub fn shape(&self) -> Option<PlateShape> {
        let axis = |letter| match letter {
            't' => Some(Axis::Time),
            'c' => Some(Axis::Channel),
            'z' => Some(Axis::Depth),
            _ => None,
        };
        Some(PlateShape {
            key: PlateKey {
                convention: self.convention.clone(),
                prefix: self.prefix.clone(),
                suffix: self.suffix.clone(),
                extension: self.extension.clone(),
                has_time: self.has_time,
                has_depth: self.has_depth,
            },
            dtype: named_dtype(&self.dtype)?,
            samples: self.samples,
            height: self.height,
            width: self.width,
            chunk: self.chunk,
            inner: self.inner.chars().map(axis).collect::<Option<_>>()?,
        })
    }

    /// A plate that has no planes yet.
    pub fn new(shape: &PlateShape, overview: Option<u64>) -> PlateMarker {
        let letter = |axis: &Axis| match axis {
            Axis::Time => 't',
            Axis::Channel => 'c',
            Axis::Depth => 'z',
        };
        let key = shape.key.clone();
        PlateMarker {
            extent_t: (key.has_time || shape.inner.contains(&Axis::Time)).then_some(1),
            extent_c: 1,
            extent_z: (key.has_depth || shape.inner.contains(&Axis::Depth)).then_some(1),
            convention: key.convention,
            prefix: key.prefix,
            suffix: key.suffix,
            extension: key.extension,
            has_time: key.has_time,
            has_depth: key.has_depth,
            dtype: numpy_name(shape.dtype).to_owned(),
            samples: shape.samples,
            height: shape.height,
            width: shape.width,
            chunk: shape.chunk,
            inner: shape.inner.iter().map(letter).collect(),
            field_base: 1,
            channel_base: 1,
            depth_base: 1,
            time_base: 1,
            channel_names: BTreeMap::new(),
            times: BTreeMap::new(),
            rows: 0,
            columns: 0,
            linear_columns: None,
            overview,
            shard: None,
            pixel_x: None,
            pixel_y: None,
            step_z: None,
            step_t: None,
            display: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Extents of every field's arrays.
    pub fn extents(&self) -> Extents {
        Extents { time: self.extent_t, channels: Some(self.extent_c), depth: self.extent_z }
    }

    /// Sets the extents.
    pub fn set_extents(&mut self, extents: Extents) {
        (self.extent_t, self.extent_z) = (extents.time, extents.depth);
        self.extent_c = extents.channels.unwrap_or(1);
    }

    /// Physical sizes.
    pub fn calibration(&self) -> Calibration {
        Calibration { x: self.pixel_x, y: self.pixel_y, z: self.step_z, t: self.step_t }
    }

    /// Takes over what `known` says and nothing has said before.
    pub fn learn_calibration(&mut self, known: &Calibration) {
        self.pixel_x = self.pixel_x.or(known.x);
        self.pixel_y = self.pixel_y.or(known.y);
        self.step_z = self.step_z.or(known.z);
        self.step_t = self.step_t.or(known.t);
    }

    /// The channels (and samples) as they are shown.
    pub fn channels(&self) -> Vec<ChannelDisplay> {
        self.display.iter().map(Shown::display).collect()
    }

    /// The entry of a channel (and sample), made if there is none.
    pub fn shown(&mut self, index: u64) -> Option<&mut Shown> {
        let index = usize::try_from(index).ok()?;
        if self.display.len() <= index {
            self.display.resize(index + 1, Shown::default());
        }
        self.display.get_mut(index)
    }
}

impl Shown {
    /// The window of all values seen so far.
    pub fn window(&self) -> Option<Window> {
        Some(Window { min: self.min?, max: self.max?, start: self.start?, end: self.end? })
    }

    /// Widens the window by the values of one more plane; whether that changed it.
    pub fn widen(&mut self, by: Window) -> bool {
        let before = self.window();
        let window = before.map_or(by, |before| before.union(by));
        (self.min, self.max) = (Some(window.min), Some(window.max));
        (self.start, self.end) = (Some(window.start), Some(window.end));
        before != Some(window)
    }

    fn display(&self) -> ChannelDisplay {
        ChannelDisplay { name: self.name.clone(), colour: self.colour, window: self.window() }
    }
}

/// Ids as 32 hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(id: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{id:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// The marker of the store in `place`, and the version that it is written in.
pub(super) fn read_marker(ground: &Ground, place: &RelPath) -> io::Result<Option<(Ngff, Marker)>> {
    for version in [Ngff::V04, Ngff::V05] {
        let path = below(&below(place, OWN), Document::file_name(version));
        let Some(bytes) = ground.document(&path)? else { continue };
        let Ok(mut document) = Document::parse(version, Some(&bytes)) else { continue };
        if let Some(marker) = Marker::read(document.attributes()) {
            return Ok(Some((version, marker)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_back() {
        let key = PlateKey {
            convention: "imagexpress".into(),
            prefix: "P1".into(),
            suffix: "_mask".into(),
            extension: ".tif".into(),
            has_time: true,
            has_depth: false,
        };
        let (dtype, inner) = (Dtype::U16, vec![Axis::Depth]);
        let shape = PlateShape { key, dtype, samples: 1, height: 10, width: 20, chunk: [10, 20], inner };
        let plate = PlateMarker::new(&shape, Some(4));
        let marker = Marker::new(u128::MAX - 5, Kind::Plate, Some(plate));
        let mut attributes = Map::new();
        marker.write(&mut attributes).unwrap();
        let again = Marker::read(&attributes).unwrap();
        assert_eq!(again, marker);
        assert_eq!(again.plate.unwrap().shape().unwrap(), shape);
    }

    #[test]
    fn a_store_of_a_later_version_is_not_taken_for_ours() {
        let mut attributes = Map::new();
        let marker = Marker { version: 2, ..Marker::new(1, Kind::Collection, None) };
        marker.write(&mut attributes).unwrap();
        assert_eq!(Marker::read(&attributes), None);
        assert_eq!(Marker::read(&Map::new()), None);
    }
}
