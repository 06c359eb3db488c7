//! One `Image` of an OME document.

use std::ops::Range;

use quick_xml::events::BytesStart;

use super::super::stated::StatedImage;
use super::super::{Axis, Calibration, ChannelMeta, unit};
use super::attribute;

/// Channels that are kept of an image.
const CHANNELS_MOST: usize = 1 << 12;

/// What is read of an image, piece by piece.
#[derive(Default)]
pub(super) struct Image {
    name: Option<String>,
    /// Extents of the axes, fastest first; channels as `SizeC` counts them: in samples.
    sizes: Vec<(Axis, u64)>,
    calibration: Calibration,
    channels: Vec<ChannelMeta>,
    /// Samples of all channels.
    samples: u64,
    blocks: Blocks,
}

/// `TiffData`: planes from a place in the axes on, in directories from a number on.
#[derive(Default)]
struct Blocks {
    list: Vec<Block>,
}

struct Block {
    directory: Option<u64>,
    planes: Option<u64>,
    /// Indices along time, channel, depth.
    first: [u64; 3],
}

impl Image {
    pub(super) fn named(name: Option<String>) -> Self {
        Image { name, ..Image::default() }
    }

    pub(super) fn pixels(&mut self, element: &BytesStart<'_>) {
        let order = attribute(element, "DimensionOrder").unwrap_or_default();
        let size = |name: &str| attribute(element, name).and_then(|size| size.trim().parse().ok()).unwrap_or(1);
        let axis = |letter| match letter {
            'C' => Some((Axis::Channel, size("SizeC"))),
            'Z' => Some((Axis::Depth, size("SizeZ"))),
            'T' => Some((Axis::Time, size("SizeT"))),
            _ => None,
        };
        self.sizes.clear();
        for (axis, size) in order.chars().skip(2).filter_map(axis) {
            // An order that names an axis twice is none, and no image has two axes of one kind.
            if self.sizes.iter().all(|&(known, _)| known != axis) {
                self.sizes.push((axis, size));
            }
        }
        let length = |name: &str| {
            let value = attribute(element, name).as_deref().and_then(unit::number)?;
            let factor = attribute(element, &format!("{name}Unit")).map_or(Some(1.0), |unit| unit::micrometres(&unit));
            Some(value * factor?)
        };
        let step = attribute(element, "TimeIncrement").as_deref().and_then(unit::number);
        let second = attribute(element, "TimeIncrementUnit").map_or(Some(1.0), |unit| unit::seconds(&unit));
        self.calibration = Calibration {
            x: length("PhysicalSizeX"),
            y: length("PhysicalSizeY"),
            z: length("PhysicalSizeZ"),
            t: step.zip(second).map(|(step, second)| step * second),
        };
    }

    pub(super) fn channel(&mut self, element: &BytesStart<'_>) {
        if self.channels.len() >= CHANNELS_MOST {
            return;
        }
        let samples = attribute(element, "SamplesPerPixel").and_then(|samples| samples.trim().parse().ok());
        self.samples = self.samples.saturating_add(samples.unwrap_or(1));
        // Red, green, blue and alpha, as a signed number.
        let colour = attribute(element, "Color").and_then(|colour| colour.trim().parse::<i32>().ok());
        let colour = colour.map(|colour| (colour as u32) >> 8);
        self.channels.push(ChannelMeta { name: attribute(element, "Name"), colour });
    }

    pub(super) fn tiff_data(&mut self, element: &BytesStart<'_>) {
        let number = |name: &str| attribute(element, name).and_then(|value| value.trim().parse::<u64>().ok());
        let first = ["FirstT", "FirstC", "FirstZ"].map(|name| number(name).unwrap_or(0));
        self.blocks.list.push(Block { directory: number("IFD"), planes: number("PlaneCount"), first });
    }

    pub(super) fn stated(mut self) -> StatedImage {
        let per_channel = self.samples_of_a_channel();
        for (axis, size) in &mut self.sizes {
            if *axis == Axis::Channel {
                *size /= per_channel;
            }
        }
        let directories = self.blocks.directories(&self.sizes, per_channel);
        let mut axes = Vec::new();
        if directories.is_some() {
            axes = self.sizes.into_iter().rev().filter(|&(_, extent)| extent > 1).collect();
        }
        let Image { name, calibration, channels, .. } = self;
        StatedImage { directories, axes, name, calibration, channels }
    }

    /// More than 1 where the samples of a pixel are one channel (RGB).
    fn samples_of_a_channel(&self) -> u64 {
        let all = self.sizes.iter().find(|(axis, _)| *axis == Axis::Channel).map_or(1, |&(_, size)| size);
        match (self.samples, self.channels.len() as u64) {
            (samples, count @ 1..) if samples == all && samples % count == 0 => (samples / count).max(1),
            _ => 1,
        }
    }
}

impl Blocks {
    /// The directories of the image's planes, if they lie one behind the other in the order of `sizes`.
    fn directories(&self, sizes: &[(Axis, u64)], per_channel: u64) -> Option<Range<u64>> {
        let planes = sizes.iter().try_fold(1u64, |planes, (_, size)| planes.checked_mul(*size))?;
        let mut base = None;
        let mut sum = 0u64;
        for block in &self.list {
            let directory = block.directory.unwrap_or(0);
            let all = if block.directory.is_some() { 1 } else { planes };
            sum = sum.checked_add(block.planes.unwrap_or(all))?;
            let start = directory.checked_sub(block.start(sizes, per_channel)?)?;
            if *base.get_or_insert(start) != start {
                return None;
            }
        }
        let base = base.unwrap_or(0);
        let whole = self.list.is_empty() || sum == planes;
        (whole && planes > 0)
            .then_some(base..base.checked_add(planes)?)
            .filter(|range| range.end <= u64::from(u32::MAX))
    }
}

impl Block {
    /// Number of its first plane in the order of `sizes`, which are fastest first.
    fn start(&self, sizes: &[(Axis, u64)], per_channel: u64) -> Option<u64> {
        let [time, channel, depth] = self.first;
        let (mut start, mut step) = (0u64, 1u64);
        for &(axis, size) in sizes {
            let index = match axis {
                Axis::Time => time,
                Axis::Channel => channel / per_channel,
                Axis::Depth => depth,
            };
            start = start.checked_add(index.checked_mul(step)?)?;
            step = step.checked_mul(size)?;
        }
        Some(start)
    }
}
