//! ImageJ: lines of `key=value`, planes in the order XYCZT.
//!
//! As `ij.io.FileOpener.decodeDescriptionString` of ImageJ reads them.

use std::collections::HashMap;

use super::stated::{Resolution, Stated, StatedImage};
use super::{Axis, Calibration, unit};

/// Lines that are read at most; ImageJ writes about a dozen.
const LINES_MOST: usize = 1000;

pub(super) fn read(text: &str, resolution: Resolution) -> Stated {
    let lines: HashMap<&str, &str> = text.lines().take(LINES_MOST).filter_map(|line| line.split_once('=')).collect();
    let count = |key: &str| lines.get(key).and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(1);
    let axes = [(Axis::Time, "frames"), (Axis::Depth, "slices"), (Axis::Channel, "channels")];
    let axes = axes.into_iter().map(|(axis, key)| (axis, count(key))).filter(|&(_, extent)| extent > 1).collect();
    let length = lines.get("unit").map(|unit| unit::micrometres(unit));
    let flat = match length {
        Some(Some(micrometres)) => resolution.in_unit(micrometres),
        Some(None) => Calibration::default(),
        None => resolution.calibration(),
    };
    let number = |key: &str| lines.get(key).and_then(|value| unit::number(value));
    let z = number("spacing").zip(length.flatten()).map(|(spacing, micrometres)| spacing * micrometres);
    let second = lines.get("tunit").map_or(Some(1.0), |unit| unit::seconds(unit));
    let t = number("finterval").zip(second).map(|(interval, second)| interval * second);
    let calibration = Calibration { z, t, ..flat };
    Stated { images: vec![StatedImage { axes, calibration, ..StatedImage::default() }], planes_behind: count("images") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRON: Resolution = Resolution { x: Some(2.0), y: Some(4.0), unit: Some(1) };

    #[test]
    fn a_hyperstack_is_time_then_depth_then_channel() {
        let text = "ImageJ=1.53t\nimages=24\nchannels=2\nslices=3\nframes=4\nhyperstack=true\nunit=micron\nspacing=0.5\nfinterval=30\n";
        let stated = read(text, MICRON);
        let image = &stated.images[0];
        assert_eq!(image.axes, [(Axis::Time, 4), (Axis::Depth, 3), (Axis::Channel, 2)]);
        let expected = Calibration { x: Some(0.5), y: Some(0.25), z: Some(0.5), t: Some(30.0) };
        assert_eq!((image.calibration, stated.planes_behind), (expected, 24));
    }

    #[test]
    fn a_size_in_pixels_is_no_size() {
        let stated = read("ImageJ=1.53t\nunit=pixel\nspacing=2\n", MICRON);
        assert_eq!(stated.images[0].calibration, Calibration::default());
    }

    #[test]
    fn without_a_unit_the_tags_have_theirs() {
        let resolution = Resolution { x: Some(20_000.0), y: Some(20_000.0), unit: Some(3) };
        assert_eq!(read("ImageJ=1.53t\n", resolution).images[0].calibration.x, Some(0.5));
    }
}
