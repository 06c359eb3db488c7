//! What a file says about its pixels: axes, sizes, channels.

mod imagej;
mod metaxpress;
mod ome;
mod shaped;
mod stated;
mod unit;

pub(super) use stated::{Described, Resolution, Stated};

/// Order and extent of an image's planes, and what they show. Everything is optional: a plain TIFF says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageMeta {
    /// For each image of the file (see [`super::Role`]): its leading axes, slowest first, whose extents multiply to
    /// the planes of its array. Empty where the file does not say: planes are then one axis (`Z` for more than one).
    pub axes: Vec<Vec<(Axis, u64)>>,
    /// For each image: name, if the file gives one.
    pub names: Vec<Option<String>>,
    /// For each image: physical sizes.
    pub calibration: Vec<Calibration>,
    /// For each image: its channels.
    pub channels: Vec<Vec<ChannelMeta>>,
}

/// A leading axis of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Time points.
    Time,
    /// Channels.
    Channel,
    /// Focal planes.
    Depth,
}

/// Physical sizes of a pixel and a time step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibration {
    /// Width of a pixel in micrometres.
    pub x: Option<f64>,
    /// Height of a pixel in micrometres.
    pub y: Option<f64>,
    /// Distance of focal planes in micrometres.
    pub z: Option<f64>,
    /// Time between time points in seconds.
    pub t: Option<f64>,
}

/// A channel of an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChannelMeta {
    /// Its name.
    pub name: Option<String>,
    /// Colour, `0xRRGGBB`.
    pub colour: Option<u32>,
}

impl Calibration {
    /// Without sizes that no image has: a size and its unit can each be sensible, and their product not.
    pub(super) fn sensible(self) -> Self {
        let sensible = |size: Option<f64>| size.and_then(unit::positive);
        Calibration { x: sensible(self.x), y: sensible(self.y), z: sensible(self.z), t: sensible(self.t) }
    }
}

impl ImageMeta {
    /// Nothing said about any of `images`.
    pub(super) fn silent(images: usize) -> Self {
        ImageMeta {
            axes: vec![Vec::new(); images],
            names: vec![None; images],
            calibration: vec![Calibration::default(); images],
            channels: vec![Vec::new(); images],
        }
    }
}
