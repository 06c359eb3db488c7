//! What is known about a plate.

use super::super::{ChannelKey, Colour, PlateSize, colour_for};

/// Most channels that are kept.
const CHANNELS_MOST: usize = 256;
/// Most fields that are kept.
const FIELDS_MOST: usize = 4096;
/// Most characters of a name that are kept.
const NAME_MOST: usize = 256;
/// Most rows or columns that are believed: a plate has at most 1536 wells.
const SIDE_MOST: u32 = 1536;

/// What the microscope's files say about a plate. Each may be missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlateMeta {
    /// Rows and columns of the physical plate.
    pub plate: Option<PlateSize>,
    /// Name of the plate.
    pub name: Option<String>,
    /// Width and height of a pixel in µm.
    pub pixel_size_um: Option<(f64, f64)>,
    /// Distance of focal planes in µm.
    pub z_step_um: Option<f64>,
    /// Time between time points in seconds, on average.
    pub time_step_s: Option<f64>,
    /// Channels, each under the key that names use for it; an InCell channel under its text and under its number.
    pub channels: Vec<ChannelMeta>,
    /// Positions of the fields, in the order of their numbers.
    pub fields: Vec<FieldMeta>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMeta {
    /// As in the names of the images.
    pub key: ChannelKey,
    /// What people call it: `DAPI`.
    pub name: String,
    /// By the name, else by the channel's place among the others.
    pub colour: Colour,
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldMeta {
    /// As in the names of the images.
    pub field: u32,
    /// Position relative to the well in µm, as the microscope gives it.
    pub x_um: f64,
    /// The same; in the microscope's direction, which with Harmony and CellVoyager is upwards.
    pub y_um: f64,
}

impl PlateMeta {
    /// The channel with this key.
    pub fn channel(&self, key: &ChannelKey) -> Option<&ChannelMeta> {
        self.channels.iter().find(|channel| channel.key == *key)
    }

    /// Takes from `other` what is missing here; where both say something, this stands.
    pub fn or(mut self, other: PlateMeta) -> PlateMeta {
        self.plate = self.plate.or(other.plate);
        self.name = self.name.or(other.name);
        self.pixel_size_um = self.pixel_size_um.or(other.pixel_size_um);
        self.z_step_um = self.z_step_um.or(other.z_step_um);
        self.time_step_s = self.time_step_s.or(other.time_step_s);
        if self.channels.is_empty() {
            self.channels = other.channels;
        }
        if self.fields.is_empty() {
            self.fields = other.fields;
        }
        self
    }

    /// Notes the plate's size, if it can be one and none is known yet.
    pub(super) fn size(&mut self, rows: Option<u32>, columns: Option<u32>) {
        let side = |n: Option<u32>| n.filter(|n| (1..=SIDE_MOST).contains(n));
        if let (None, Some(rows), Some(columns)) = (self.plate, side(rows), side(columns)) {
            self.plate = Some(PlateSize { rows, columns });
        }
    }

    /// Notes the plate's name, if there is anything in it and none is known yet.
    pub(super) fn named(&mut self, name: &str) {
        let name = short(name);
        if self.name.is_none() && !name.is_empty() {
            self.name = Some(name);
        }
    }

    /// Notes the size of a pixel in µm, if it can be one and none is known yet.
    pub(super) fn pixel(&mut self, x: Option<f64>, y: Option<f64>) {
        let size = |v: Option<f64>| v.filter(|v| v.is_finite() && *v > 0.0);
        if let (None, Some(x)) = (self.pixel_size_um, size(x)) {
            self.pixel_size_um = Some((x, size(y).unwrap_or(x)));
        }
    }

    /// Notes a channel's name, the `index`th of them, if it has none yet.
    pub(super) fn channel_named(&mut self, key: ChannelKey, name: &str, index: usize) {
        let name = short(name);
        if name.is_empty() || self.channels.len() >= CHANNELS_MOST || self.channel(&key).is_some() {
            return;
        }
        let colour = colour_for(&name, index);
        self.channels.push(ChannelMeta { key, name, colour });
    }

    /// Notes where a field is, if that is not known yet.
    pub(super) fn field_at(&mut self, field: u32, x_um: f64, y_um: f64) {
        if let (true, Err(at)) =
            (self.fields.len() < FIELDS_MOST, self.fields.binary_search_by_key(&field, |known| known.field))
        {
            self.fields.insert(at, FieldMeta { field, x_um, y_um });
        }
    }
}

/// A name without space around it, and no longer than names are.
pub(super) fn short(name: &str) -> String {
    name.trim().chars().filter(|c| !c.is_control()).take(NAME_MOST).collect()
}
